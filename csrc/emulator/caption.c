/* caption.c - draws the caption, a panel with the prompt and the request parameters, and a badge. See image.h. */
#include "emulator/image.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_LINES 4
#define LINE_BYTES 512
#define ELLIPSIS "\xe2\x80\xa6"
#define DOT " \xc2\xb7 "

static double text_width(cairo_t *cr, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(cr, text, &extents);
    return extents.x_advance;
}

/* Returns the start of the code point before P. P is greater than START. */
static const char *step_back(const char *start, const char *p)
{
    do
        p--;
    while (p > start && ((unsigned char)*p & 0xc0) == 0x80);
    return p;
}

static const char *step_on(const char *p)
{
    do
        p++;
    while (((unsigned char)*p & 0xc0) == 0x80);
    return p;
}

static const char *skip_blanks(const char *p)
{
    while (*p == ' ')
        p++;
    return p;
}

static void copy(char *out, const char *from, const char *to)
{
    size_t len = (size_t)(to - from);
    memcpy(out, from, len);
    out[len] = '\0';
}

/* Copies the next line of TEXT, broken at a space if possible, to LINE. Returns the start of the following line. */
static const char *break_line(cairo_t *cr, const char *text, double width, char *line)
{
    const char *p = text, *fits = text, *blank = NULL;
    while (*p) {
        const char *next = step_on(p);
        if (next - text >= LINE_BYTES - 8)
            break;
        copy(line, text, next);
        if (text_width(cr, line) > width)
            break;
        if (*p == ' ')
            blank = p;
        fits = p = next;
    }
    if (*p && *p != ' ' && blank)
        fits = blank;
    if (fits == text) /* takes at least one character, so that the loop of the caller ends */
        fits = *text ? step_on(text) : text;
    copy(line, text, fits);
    return skip_blanks(fits);
}

/* Shortens LINE until it fits with an ellipsis. */
static void end_with_ellipsis(cairo_t *cr, char *line, double width)
{
    char *end = line + strlen(line);
    for (;;) {
        memcpy(end, ELLIPSIS, sizeof(ELLIPSIS));
        if (text_width(cr, line) <= width || end == line)
            return;
        end = line + (step_back(line, end) - line);
        while (end > line && end[-1] == ' ')
            end--;
    }
}

/* Splits PROMPT into lines, with control characters as spaces. Returns the number of lines. */
static int wrap(cairo_t *cr, const char *prompt, double width, char lines[MAX_LINES][LINE_BYTES])
{
    char text[MAX_LINES * LINE_BYTES];
    const char *rest = text;
    size_t i, len = strlen(prompt);
    int n = 0;
    if (len >= sizeof(text))
        len = (size_t)(step_back(prompt, prompt + sizeof(text) - 1) - prompt);
    for (i = 0; i < len; i++)
        text[i] = (unsigned char)prompt[i] < ' ' || prompt[i] == 0x7f ? ' ' : prompt[i];
    text[len] = '\0';
    rest = skip_blanks(rest);
    while (*rest && n < MAX_LINES)
        rest = break_line(cr, rest, width, lines[n++]);
    if (*rest && n)
        end_with_ellipsis(cr, lines[n - 1], width);
    return n;
}

static void rounded(cairo_t *cr, double x, double y, double w, double h, double r)
{
    const double turn = 3.14159265358979323846 / 2;
    cairo_new_sub_path(cr);
    cairo_arc(cr, x + w - r, y + r, r, -turn, 0);
    cairo_arc(cr, x + w - r, y + h - r, r, 0, turn);
    cairo_arc(cr, x + r, y + h - r, r, turn, 2 * turn);
    cairo_arc(cr, x + r, y + r, r, 2 * turn, 3 * turn);
    cairo_close_path(cr);
}

static void draw_panel(cairo_t *cr, double x, double y, double w, double h, double unit)
{
    rounded(cr, x, y, w, h, unit * 0.7);
    cairo_set_source_rgba(cr, 0.03, 0.04, 0.07, 0.58);
    cairo_fill_preserve(cr);
    cairo_set_source_rgba(cr, 1, 1, 1, 0.16);
    cairo_set_line_width(cr, fmax(1, unit * 0.05));
    cairo_stroke(cr);
}

/* Large enough for a thumbnail, so that nobody takes the image for the model's. */
static void draw_badge(cairo_t *cr, double margin, double unit)
{
    static const char text[] = "EMULATOR";
    double size = unit * 1.6, pad = unit * 0.7;
    cairo_set_font_size(cr, size);
    draw_panel(cr, margin, margin, text_width(cr, text) + 2 * pad, size * 0.75 + 2 * pad, unit);
    cairo_set_source_rgba(cr, 1, 1, 1, 0.95);
    cairo_move_to(cr, margin + pad, margin + pad + size * 0.75);
    cairo_show_text(cr, text);
}

/* Draws the parameters of the request, smaller if WIDTH needs it. */
static void draw_parameters(cairo_t *cr, const struct emu_image_spec *s, double x, double y, double size, double width)
{
    char line[160];
    snprintf(line, sizeof(line), "%s" DOT "%s" DOT "%s" DOT "%dx%d", s->type, s->resolution, s->aspect_ratio, s->width,
             s->height);
    cairo_set_font_size(cr, size);
    if (text_width(cr, line) > width)
        cairo_set_font_size(cr, size * width / text_width(cr, line));
    cairo_set_source_rgba(cr, 1, 1, 1, 0.62);
    cairo_move_to(cr, x, y);
    cairo_show_text(cr, line);
}

void flux2_emu_caption_draw(cairo_t *cr, const struct emu_image_spec *s)
{
    char lines[MAX_LINES][LINE_BYTES];
    double unit = fmin(s->width, s->height) / 34.0, margin = unit * 1.2, pad = unit * 0.9;
    double w = s->width - 2 * margin, inner = w - 2 * pad, h, y, small_size = unit * 0.72;
    int i, n;
    cairo_select_font_face(cr, "sans", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    draw_badge(cr, margin, unit);
    cairo_set_font_size(cr, unit);
    n = wrap(cr, s->prompt, inner, lines);
    h = 2 * pad + n * unit * 1.32 + small_size * 1.25;
    y = s->height - margin - h;
    draw_panel(cr, margin, y, w, h, unit);
    cairo_set_source_rgba(cr, 1, 1, 1, 0.95);
    for (i = 0; i < n; i++) {
        cairo_move_to(cr, margin + pad, y + pad + unit * (0.9 + i * 1.32));
        cairo_show_text(cr, lines[i]);
    }
    draw_parameters(cr, s, margin + pad, y + h - pad - small_size * 0.05, small_size, inner);
}
