/* landscape.c - draws a seeded landscape: sky, sun or moon, clouds, mountains, water and trees. See image.h. */
#include "emulator/image.h"

#include <math.h>

#include "platform/random.h"

#define PI 3.14159265358979323846

struct colour {
    double r, g, b;
};

/* Colours for a time of day, from the zenith to the foreground. */
struct palette {
    uint32_t zenith, sky, horizon, light, far, near;
    bool night;
};

static const struct palette palettes[] = {
    {0x27345c, 0xb5647e, 0xf9b48c, 0xfff0cf, 0xb7788a, 0x1b1730, false}, /* dawn */
    {0x1f4e79, 0x6fa5c9, 0xf7e3bd, 0xfffbe6, 0x8fb1c2, 0x16303a, false}, /* clear morning */
    {0x0a1128, 0x1c3560, 0x4f7d95, 0xf3f6ff, 0x34577a, 0x050a14, true},  /* moonlight */
    {0x3b1f4b, 0xa8455f, 0xffa25e, 0xffe2a8, 0x9c4f62, 0x1d0f22, false}, /* sunset */
    {0x0e4d55, 0x5aa39a, 0xeef0cf, 0xffffee, 0x77aca4, 0x0b2a2c, false}, /* mist */
    {0x10132e, 0x3b2a66, 0xb5598f, 0xffe9f3, 0x5b3f7c, 0x0c0a1c, true},  /* violet dusk */
    {0x7ea6cf, 0xc3d9ea, 0xfdeee0, 0xffffff, 0xa9c0d6, 0x24394f, false}, /* winter */
    {0x3f5e3c, 0xa9b665, 0xf8e6a0, 0xfffbd8, 0x93a66d, 0x16240f, false}, /* late summer */
    {0x062a3a, 0x0f5e66, 0x64c2a0, 0xeafff2, 0x2b7478, 0x03141b, true},  /* northern night */
    {0x5a2a27, 0xc96f4a, 0xf7d08a, 0xfff3d0, 0xb9694d, 0x2a100d, false}, /* red rocks */
};

/* State of the drawing. */
struct scene {
    cairo_t *cr;
    const struct emu_image_spec *spec;
    double w, h, unit; /* unit: length of the shorter side */
    uint64_t random;
    const struct palette *palette;
    double light_x, light_y, light_r; /* sun or moon */
    double shore;                     /* y of the waterline; h: no water */
};

static struct colour rgb(uint32_t hex)
{
    struct colour c = {(hex >> 16 & 255) / 255.0, (hex >> 8 & 255) / 255.0, (hex & 255) / 255.0};
    return c;
}

static struct colour mix(struct colour a, struct colour b, double t)
{
    struct colour c = {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
    return c;
}

static double between(struct scene *s, double low, double high)
{
    return low + (high - low) * flux2_random_unit(&s->random);
}

static void stop(cairo_pattern_t *p, double at, struct colour c, double alpha)
{
    cairo_pattern_add_color_stop_rgba(p, at, c.r, c.g, c.b, alpha);
}

static bool is_cancelled(const struct scene *s)
{
    return s->spec->is_cancelled(s->spec->context);
}

/* Fills the current path and releases the pattern. Skips the fill, the most expensive step, if cancelled. */
static void fill_with(struct scene *s, cairo_pattern_t *p)
{
    cairo_set_source(s->cr, p);
    cairo_pattern_destroy(p);
    if (is_cancelled(s))
        cairo_new_path(s->cr);
    else
        cairo_fill(s->cr);
}

/* Fills a large box in bands of whole pixels, so that cancellation takes effect soon. */
static void fill_box(struct scene *s, cairo_pattern_t *p, double x, double y, double w, double h)
{
    const double band = 128;
    double top = fmax(floor(y), 0), bottom = fmin(ceil(y + h), s->h);
    for (; top < bottom; top += band) {
        cairo_rectangle(s->cr, x, top, w, fmin(band, bottom - top));
        fill_with(s, cairo_pattern_reference(p));
    }
    cairo_pattern_destroy(p);
}

static void draw_sky(struct scene *s)
{
    cairo_pattern_t *p = cairo_pattern_create_linear(0, 0, 0, s->h * 0.72);
    stop(p, 0, rgb(s->palette->zenith), 1);
    stop(p, 0.55, rgb(s->palette->sky), 1);
    stop(p, 0.95, rgb(s->palette->horizon), 1);
    fill_box(s, p, 0, 0, s->w, s->h);
}

static void draw_stars(struct scene *s)
{
    int i, n = (int)(420 * s->w * s->h / (s->unit * s->unit));
    if (!s->palette->night)
        return;
    for (i = 0; i < n; i++) {
        double x = between(s, 0, s->w), y = s->h * 0.62 * pow(between(s, 0, 1), 1.3);
        double size = s->unit * (0.0004 + 0.0011 * pow(between(s, 0, 1), 5));
        double glow = (1 - y / (s->h * 0.64)) * between(s, 0.25, 1);
        cairo_arc(s->cr, x, y, size, 0, 2 * PI);
        cairo_set_source_rgba(s->cr, 1, 1, between(s, 0.85, 1), glow);
        cairo_fill(s->cr);
    }
}

static void draw_halo(struct scene *s, double radius, double alpha)
{
    cairo_pattern_t *p = cairo_pattern_create_radial(s->light_x, s->light_y, 0, s->light_x, s->light_y, radius);
    struct colour c = rgb(s->palette->light);
    stop(p, 0, c, alpha);
    stop(p, 0.25, c, alpha * 0.5);
    stop(p, 0.6, c, alpha * 0.13);
    stop(p, 1, c, 0);
    fill_box(s, p, s->light_x - radius, s->light_y - radius, 2 * radius, 2 * radius);
}

static void draw_light(struct scene *s)
{
    cairo_pattern_t *p;
    struct colour light = rgb(s->palette->light);
    double r = s->light_r;
    draw_halo(s, s->unit * 0.85, 0.42);
    draw_halo(s, s->unit * 0.26, 0.55);
    p = cairo_pattern_create_radial(s->light_x, s->light_y, r * 0.92, s->light_x, s->light_y, r);
    stop(p, 0, light, 1);
    stop(p, 1, light, 0);
    cairo_arc(s->cr, s->light_x, s->light_y, r, 0, 2 * PI);
    fill_with(s, p);
    if (!s->palette->night)
        return;
    cairo_save(s->cr); /* the lunar maria */
    cairo_arc(s->cr, s->light_x, s->light_y, r * 0.93, 0, 2 * PI);
    cairo_clip(s->cr);
    for (int i = 0; i < 7; i++) {
        double a = between(s, 0, 2 * PI), d = r * between(s, 0.1, 0.75);
        cairo_arc(s->cr, s->light_x + cos(a) * d, s->light_y + sin(a) * d, r * between(s, 0.08, 0.3), 0, 2 * PI);
        cairo_set_source_rgba(s->cr, 0.45, 0.5, 0.62, 0.16);
        cairo_fill(s->cr);
    }
    cairo_restore(s->cr);
}

/* Draws a soft ellipse. */
static void draw_puff(struct scene *s, double x, double y, double w, double h, struct colour c, double alpha)
{
    cairo_pattern_t *p = cairo_pattern_create_radial(0, 0, 0, 0, 0, 1);
    stop(p, 0, c, alpha);
    stop(p, 0.5, c, alpha * 0.45);
    stop(p, 1, c, 0);
    cairo_save(s->cr);
    cairo_translate(s->cr, x, y);
    cairo_scale(s->cr, w, h);
    cairo_rectangle(s->cr, -1, -1, 2, 2);
    fill_with(s, p);
    cairo_restore(s->cr);
}

static void draw_clouds(struct scene *s)
{
    struct colour lit = mix(rgb(s->palette->horizon), rgb(s->palette->light), 0.5);
    int i, k, banks = 5 + (int)between(s, 0, 5);
    for (i = 0; i < banks; i++) {
        double x = between(s, -0.1, 1.1) * s->w, y = between(s, 0.08, 0.5) * s->h;
        double size = s->unit * between(s, 0.12, 0.34), alpha = s->palette->night ? 0.05 : 0.16;
        for (k = 0; k < 7; k++)
            draw_puff(s, x + between(s, -1.3, 1.3) * size, y + between(s, -0.05, 0.05) * size,
                      size * between(s, 0.4, 1.2), size * between(s, 0.03, 0.09), lit, alpha);
    }
}

static double lattice(uint64_t seed, double cell)
{
    uint64_t state = seed ^ ((uint64_t)(int64_t)cell * 0xd6e8feb86659fd93ull);
    return flux2_random_unit(&state) * 2 - 1;
}

/* Value noise between -1 and 1 with a feature size of about 1. */
static double value_noise(uint64_t seed, double x)
{
    double cell = floor(x), t = x - cell;
    double ease = t * t * t * (t * (t * 6 - 15) + 10);
    return lattice(seed, cell) * (1 - ease) + lattice(seed, cell + 1) * ease;
}

/* Fractal noise for hills: a sum of octaves, the first with a feature size of about 1. */
static double fractal_noise(uint64_t seed, double x, int octaves)
{
    double sum = 0, height = 0.5;
    int i;
    for (i = 0; i < octaves; i++, x *= 2.03, height *= 0.5)
        sum += value_noise(seed + (uint64_t)i, x) * height;
    return sum;
}

/* Fractal noise between 0 and 1 with sharp crests, for mountains. */
static double ridged_noise(uint64_t seed, double x, int octaves)
{
    double sum = 0, height = 0.5, total = 0;
    int i;
    for (i = 0; i < octaves; i++, x *= 2.07, height *= 0.47) {
        sum += (1 - fabs(value_noise(seed + (uint64_t)i, x))) * height;
        total += height;
    }
    return sum / total;
}

/* A layer of mountains. */
struct range {
    uint64_t seed;
    double base, height, stretch;
    bool sharp;
};

static double crest(const struct scene *s, const struct range *r, double x)
{
    double u = x / s->unit * r->stretch + 31;
    double rise = r->sharp ? pow(ridged_noise(r->seed, u, 7), 1.7) : fractal_noise(r->seed, u, 6) * 0.7 + 0.45;
    return r->base - r->height * rise;
}

static void trace_range(struct scene *s, const struct range *r, double bottom)
{
    double x, step = fmax(1, s->unit / 900);
    cairo_move_to(s->cr, -2, bottom);
    for (x = -2; x < s->w + 2 + step; x += step)
        cairo_line_to(s->cr, x, crest(s, r, x));
    cairo_line_to(s->cr, s->w + 2, bottom);
    cairo_close_path(s->cr);
}

/* Traces one side of a fir: downwards if SIDE is 1, upwards if -1. */
static void trace_branches(struct scene *s, double x, double top, double size, double wide, double side)
{
    int i, n = size > s->unit * 0.12 ? 17 : size > s->unit * 0.03 ? 10 : 6;
    for (i = 0; i < n; i++) {
        double t = (side > 0 ? i + 1.0 : n - i) / n, at = top + size * 0.94 * t;
        double reach = wide * (0.06 + 0.94 * pow(t, 0.85)) * between(s, 0.72, 1.12), droop = size * 0.035 * t;
        double outer_x = x + side * reach, inner_x = x + side * reach * between(s, 0.3, 0.45);
        if (side > 0)
            cairo_line_to(s->cr, outer_x, at + droop);
        cairo_line_to(s->cr, inner_x, at - size * 0.005);
        if (side < 0)
            cairo_line_to(s->cr, outer_x, at + droop);
    }
}

/* Traces a fir whose foot is at (x, y), with random variation. */
static void trace_fir(struct scene *s, double x, double y, double size)
{
    double wide = size * between(s, 0.15, 0.21), top = y - size, trunk = size * 0.012;
    cairo_move_to(s->cr, x, top - size * 0.03);
    trace_branches(s, x, top, size, wide, 1);
    cairo_line_to(s->cr, x + trunk, y - size * 0.05);
    cairo_line_to(s->cr, x + trunk, y + size * 0.05);
    cairo_line_to(s->cr, x - trunk, y + size * 0.05);
    cairo_line_to(s->cr, x - trunk, y - size * 0.05);
    trace_branches(s, x, top, size, wide, -1);
    cairo_close_path(s->cr);
}

/* Traces a forest with clearings along the crest of a range. */
static void trace_wood(struct scene *s, const struct range *r, double size)
{
    double x = -size;
    uint64_t density = flux2_random_next(&s->random);
    while (x < s->w + size) {
        double thick = fractal_noise(density, x / s->unit * 3, 3) + 0.28;
        double tall = size * between(s, 0.45, 1) * (0.55 + fmin(fmax(thick, 0), 0.45));
        if (thick > 0)
            trace_fir(s, x, crest(s, r, x) + size * 0.06, tall);
        x += size * between(s, 0.1, 0.26) * (thick > 0.25 ? 1 : 1.8);
    }
}

static void draw_mist(struct scene *s, double y, double alpha)
{
    struct colour c = mix(rgb(s->palette->horizon), rgb(s->palette->light), 0.25);
    int i;
    for (i = 0; i < 4; i++)
        draw_puff(s, between(s, -0.1, 1.1) * s->w, y + between(s, -0.03, 0.02) * s->h, s->w * between(s, 0.3, 0.65),
                  s->unit * between(s, 0.03, 0.07), c, alpha);
}

static void draw_mountains(struct scene *s)
{
    struct colour far = mix(rgb(s->palette->far), rgb(s->palette->horizon), 0.28), near = rgb(s->palette->near);
    bool lake = s->shore < s->h;
    int i, n = 6;
    for (i = 0; i < n && !is_cancelled(s); i++) {
        double t = (double)i / (n - 1), bottom = lake ? s->shore + 1 : s->h;
        struct range r = {flux2_random_next(&s->random), 0, 0, 1.3 + 1.5 * t, i < 4};
        struct colour c = mix(far, near, pow(t, 1.25) * 0.96);
        struct colour foot = mix(c, rgb(s->palette->horizon), 0.55 * (1 - t));
        cairo_pattern_t *p;
        r.base = lake ? s->shore - s->h * 0.005 * (n - 1 - i) : s->h * (0.62 + 0.3 * t * t);
        r.height = lake ? s->h * (0.36 - 0.315 * t) : s->h * (0.32 - 0.2 * t);
        r.height = fmin(r.height, s->unit * 0.5);
        p = cairo_pattern_create_linear(0, r.base - r.height, 0, lake ? s->shore : r.base + r.height * 0.5);
        stop(p, 0, c, 1);
        stop(p, 1, foot, 1);
        trace_range(s, &r, bottom);
        if (i >= 3)
            trace_wood(s, &r, s->unit * (i == 3 ? 0.022 : i == 4 ? 0.042 : 0.075) * (lake ? 0.75 : 1));
        cairo_set_fill_rule(s->cr, CAIRO_FILL_RULE_WINDING);
        fill_with(s, p);
        if (i < n - 1)
            draw_mist(s, lake ? s->shore - s->h * 0.012 : r.base, s->palette->night ? 0.1 : 0.22);
    }
}

/* Draws the mirrored upper part in horizontal strips; the ripples grow towards the viewer. */
static void draw_reflection(struct scene *s, cairo_surface_t *above)
{
    double y, deep = s->h - s->shore, strip = floor(fmax(1, s->unit / 640)); /* whole pixels avoid seams */
    uint64_t seed = flux2_random_next(&s->random);
    for (y = 0; y < deep && !is_cancelled(s); y += strip) {
        double t = y / deep, reach = s->unit * (0.0008 + 0.012 * t);
        double shift = reach * fractal_noise(seed, y / (s->unit * (0.004 + 0.012 * t)), 2) * 2;
        double from = fmax(s->shore - y * 1.25 - strip, 0);
        cairo_save(s->cr);
        cairo_rectangle(s->cr, 0, s->shore + y, s->w, strip);
        cairo_clip(s->cr);
        cairo_translate(s->cr, shift, s->shore + y + from + strip);
        cairo_scale(s->cr, 1, -1);
        cairo_set_source_surface(s->cr, above, 0, 0);
        cairo_pattern_set_extend(cairo_get_source(s->cr), CAIRO_EXTEND_PAD);
        cairo_pattern_set_filter(cairo_get_source(s->cr), CAIRO_FILTER_BILINEAR);
        cairo_paint(s->cr);
        cairo_restore(s->cr);
    }
}

static void draw_glitter(struct scene *s)
{
    struct colour c = rgb(s->palette->light);
    double deep = s->h - s->shore;
    int i;
    for (i = 0; i < 260; i++) {
        double t = pow(between(s, 0, 1), 1.4), spread = s->unit * (0.015 + 0.1 * t);
        double x = s->light_x + between(s, -1, 1) * between(s, 0, 1) * spread;
        double len = s->unit * between(s, 0.004, 0.03) * (0.35 + t);
        draw_puff(s, x, s->shore + t * deep, len, s->unit * 0.0016 * (0.5 + t), c,
                  between(s, 0.15, 0.7) * (1 - 0.5 * t));
    }
}

static void draw_water(struct scene *s)
{
    struct colour dark = mix(rgb(s->palette->near), rgb(s->palette->zenith), 0.5);
    cairo_surface_t *above;
    cairo_pattern_t *p;
    cairo_t *copy;
    if (s->shore >= s->h)
        return;
    above = cairo_surface_create_similar(cairo_get_target(s->cr), CAIRO_CONTENT_COLOR, (int)s->w, (int)s->shore + 1);
    copy = cairo_create(above);
    cairo_set_source_surface(copy, cairo_get_target(s->cr), 0, 0);
    cairo_paint(copy);
    cairo_destroy(copy);
    draw_reflection(s, above);
    cairo_surface_destroy(above);
    p = cairo_pattern_create_linear(0, s->shore, 0, s->h);
    stop(p, 0, mix(dark, rgb(s->palette->horizon), 0.4), 0.18);
    stop(p, 0.35, dark, 0.22);
    stop(p, 1, dark, 0.72);
    cairo_rectangle(s->cr, 0, s->shore, s->w, s->h - s->shore);
    fill_with(s, p);
    draw_glitter(s);
    draw_puff(s, s->w * 0.5, s->shore, s->w * 0.7, s->unit * 0.008, rgb(s->palette->light), 0.5);
}

static void draw_birds(struct scene *s)
{
    struct colour c = mix(rgb(s->palette->near), rgb(s->palette->sky), 0.25);
    double x = between(s, 0.2, 0.8) * s->w, y = between(s, 0.16, 0.34) * s->h;
    int i, n = s->palette->night ? 0 : 4 + (int)between(s, 0, 6);
    cairo_set_source_rgba(s->cr, c.r, c.g, c.b, 0.75);
    cairo_set_line_cap(s->cr, CAIRO_LINE_CAP_ROUND);
    for (i = 0; i < n; i++) {
        double size = s->unit * between(s, 0.006, 0.012), lift = size * between(s, 0.3, 0.7);
        double bx = x + between(s, -0.14, 0.14) * s->unit, by = y + between(s, -0.05, 0.05) * s->unit;
        cairo_set_line_width(s->cr, size * 0.16);
        cairo_move_to(s->cr, bx - size, by - lift * 0.4);
        cairo_curve_to(s->cr, bx - size * 0.6, by - lift, bx - size * 0.2, by - lift * 0.6, bx, by);
        cairo_curve_to(s->cr, bx + size * 0.2, by - lift * 0.6, bx + size * 0.6, by - lift, bx + size, by - lift * 0.4);
        cairo_stroke(s->cr);
    }
}

/* Draws a dark foreground with tall firs on one side. */
static void draw_foreground(struct scene *s)
{
    struct colour dark = mix(rgb(s->palette->near), rgb(0x000000), 0.35);
    struct range bank = {flux2_random_next(&s->random), s->h * 0.985, s->unit * 0.1, 1.1, false};
    double side = s->light_x < s->w / 2 ? 1 : -1;
    double edge = side > 0 ? s->w : 0;
    int i, n = 7 + (int)between(s, 0, 4);
    trace_range(s, &bank, s->h + 2);
    for (i = 0; i < n; i++) {
        double far = pow(between(s, 0, 1), 1.5), x = edge - side * far * fmin(s->w * 0.42, s->unit * 0.55);
        trace_fir(s, x, fmax(crest(s, &bank, x), s->h * 0.9) + s->unit * 0.03,
                  s->unit * (0.62 - 0.4 * far) * between(s, 0.75, 1.1));
    }
    cairo_set_source_rgb(s->cr, dark.r, dark.g, dark.b);
    cairo_fill(s->cr);
}

static void draw_vignette(struct scene *s)
{
    double r = hypot(s->w, s->h) / 2;
    cairo_pattern_t *p = cairo_pattern_create_radial(s->w / 2, s->h * 0.46, r * 0.55, s->w / 2, s->h * 0.46, r * 1.08);
    stop(p, 0, rgb(0x000000), 0);
    stop(p, 1, rgb(0x000000), 0.34);
    fill_box(s, p, 0, 0, s->w, s->h);
}

void flux2_emu_landscape_draw(cairo_t *cr, const struct emu_image_spec *spec)
{
    static void (*const steps[])(struct scene *) = {
        draw_sky,   draw_stars, draw_light,      draw_clouds,   draw_mountains,
        draw_birds, draw_water, draw_foreground, draw_vignette,
    };
    struct scene s = {0};
    size_t i;
    s.cr = cr;
    s.spec = spec;
    s.w = spec->width;
    s.h = spec->height;
    s.unit = fmin(s.w, s.h);
    s.random = spec->seed;
    s.palette = &palettes[flux2_random_next(&s.random) % (sizeof(palettes) / sizeof(palettes[0]))];
    s.light_x = s.w * between(&s, 0.24, 0.76);
    s.light_y = s.h * between(&s, 0.2, 0.42);
    s.light_r = s.unit * between(&s, 0.035, 0.062);
    s.shore = between(&s, 0, 1) < 0.72 ? floor(s.h * between(&s, 0.62, 0.68)) : s.h;
    for (i = 0; i < sizeof(steps) / sizeof(steps[0]) && !is_cancelled(&s); i++)
        steps[i](&s);
}
