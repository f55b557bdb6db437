-- Draws the gallery. Reads the model; its own state is the animation.

local view = {}

local INK, MUTED, FAINT = { 0.93, 0.94, 0.96 }, { 0.62, 0.66, 0.74 }, { 0.38, 0.42, 0.5 }
local CARD, ACCENT, WRONG = { 0.105, 0.118, 0.15 }, { 1, 0.62, 0.25 }, { 0.95, 0.42, 0.36 }
local MARGIN, GAP, CAPTION = 28, 20, 26
local HEADER, FOOTER = 124, 96
local LARGEST, RADIUS = 420, 14

local fonts, rounded, round, white, backdrop, service
local places = setmetatable({}, { __mode = "k" }) -- card -> animated position: x, y, size
local zoom = { card = nil, at = 0 } -- the enlarged image: 0 on its card, 1 enlarged

local SHADER = [[
    extern vec2 size;   // of the rectangle, in pixels
    extern vec4 part;   // of the texture: x, y, width, height
    extern float radius;
    vec4 effect(vec4 colour, Image texture, vec2 at, vec2 screen)
    {
        vec2 p = abs((at - part.xy) / part.zw - 0.5) * size - size * 0.5 + radius;
        float edge = length(max(p, 0.0)) + min(max(p.x, p.y), 0.0) - radius;
        vec4 pixel = Texel(texture, at) * colour;
        return vec4(pixel.rgb, pixel.a * clamp(0.5 - edge, 0.0, 1.0));
    }
]]

-- A ring with an arc and a rotating highlight: angles in turns from the top, clockwise.
local RING = [[
    extern number outer;   // radius in pixels
    extern number thick;
    extern vec2 arc;       // start and length
    extern number light;   // position of the highlight
    extern vec4 accent;
    const float TURN = 6.2831853;

    float piece(vec2 p, float from, float span, float middle, float width)
    {
        float at = fract(atan(p.x, -p.y) / TURN - from);
        float d = abs(length(p) - middle) - width * 0.5;
        if (at > span) {
            vec2 a = vec2(sin(from * TURN), -cos(from * TURN)) * middle;
            vec2 b = vec2(sin((from + span) * TURN), -cos((from + span) * TURN)) * middle;
            d = min(distance(p, a), distance(p, b)) - width * 0.5;
        }
        return clamp(0.5 - d, 0.0, 1.0);
    }

    vec4 effect(vec4 colour, Image texture, vec2 at, vec2 screen)
    {
        vec2 p = (at - 0.5) * 2.0 * (outer + 2.0);
        float middle = outer - thick * 0.5;
        float track = clamp(0.5 - (abs(length(p) - middle) - thick * 0.5), 0.0, 1.0);
        float bar = piece(p, arc.x, arc.y, middle, thick);
        float glint = piece(p, light, 0.1, middle, thick * 0.4);
        vec4 over = mix(vec4(1.0, 1.0, 1.0, 0.07 * track), accent, bar);
        return mix(over, vec4(1.0, 1.0, 1.0, max(over.a, 0.6)), glint * 0.5);
    }
]]

local function gradient(top, bottom)
    return love.graphics.newMesh({
        { 0, 0, 0, 0, top[1], top[2], top[3], 1 }, { 1, 0, 1, 0, top[1], top[2], top[3], 1 },
        { 1, 1, 1, 1, bottom[1], bottom[2], bottom[3], 1 }, { 0, 1, 0, 1, bottom[1], bottom[2], bottom[3], 1 },
    }, "fan", "static")
end

---@param name string name of the service
function view.load(name)
    fonts = {}
    for _, size in ipairs { 12, 13, 15, 18, 34 } do fonts[size] = love.graphics.newFont(size) end
    rounded, round = love.graphics.newShader(SHADER), love.graphics.newShader(RING)
    white = love.graphics.newImage(love.image.newImageData(1, 1, "rgba8", "\255\255\255\255"))
    backdrop = gradient({ 0.085, 0.095, 0.125 }, { 0.045, 0.05, 0.068 })
    service = name
    love.graphics.setLineStyle "smooth"
end

local function set(colour, alpha)
    love.graphics.setColor(colour[1], colour[2], colour[3], alpha or 1)
end

local function smooth(t) return t * t * (3 - 2 * t) end

local function shorten(text, font, width)
    if font:getWidth(text) <= width then return text end
    while #text > 0 and font:getWidth(text .. "...") > width do
        text = text:sub(1, -2):gsub("[\192-\255]?[\128-\191]*$", function(tail)
            return #tail > 0 and tail:byte() >= 192 and tail or ""
        end)
    end
    return text .. "..."
end

-- Layout ------------------------------------------------------------------------------------------------------------

--- Returns the card size and the number of columns that maximize the size of `n` cards.
local function layout(n, width, height)
    local best, columns = 0, 1
    for c = 1, math.max(n, 1) do
        local rows = math.ceil(n / c)
        local size = math.min((width - (c - 1) * GAP) / c, (height - (rows - 1) * GAP) / rows - CAPTION, LARGEST)
        if size > best then best, columns = size, c end
    end
    return math.floor(best), columns
end

local function target(index, n, size, columns, width, height)
    local rows = math.ceil(n / columns)
    local row, column = math.floor((index - 1) / columns), (index - 1) % columns
    local in_row = math.min(columns, n - row * columns)
    local left = MARGIN + (width - in_row * size - (in_row - 1) * GAP) / 2
    local top = HEADER + (height - rows * (size + CAPTION) - (rows - 1) * GAP) / 2
    return left + column * (size + GAP), top + row * (size + CAPTION + GAP)
end

function view.update(gallery, dt)
    local width = love.graphics.getWidth() - 2 * MARGIN
    local height = love.graphics.getHeight() - HEADER - FOOTER
    local n = #gallery.cards
    local size, columns = layout(n, width, height)
    local pull = 1 - math.exp(-dt * 12)
    for i, card in ipairs(gallery.cards) do
        local x, y = target(i, n, size, columns, width, height)
        local place = places[card]
        if not place then
            place = { x = x + size * 0.05, y = y + size * 0.05 + 12, size = size * 0.9 }
            places[card] = place
        end
        place.x, place.y = place.x + (x - place.x) * pull, place.y + (y - place.y) * pull
        place.size = place.size + (size - place.size) * pull
    end
    if gallery.opened then zoom.card = gallery.opened end
    local goal = gallery.opened and 1 or 0
    zoom.at = math.max(0, math.min(1, zoom.at + (goal > 0 and dt or -dt) * 5))
    if zoom.at == 0 and goal == 0 then zoom.card = nil end
end

--- Returns the state of the enlargement, 0 to 1.
function view.zoomed() return zoom.at end

--- Returns the bounds of a card: x, y, width, height.
function view.bounds(card)
    local place = places[card]
    return place.x, place.y, place.size, place.size
end

function view.card_at(gallery, x, y)
    for _, card in ipairs(gallery.cards) do
        local left, top, w, h = view.bounds(card)
        if x >= left and x < left + w and y >= top and y < top + h then return card end
    end
end

-- Cards -------------------------------------------------------------------------------------------------------------

--- Draws a texture into a rectangle with rounded corners, cropped to its centre.
local function draw_image(texture, x, y, w, h, alpha, near)
    local tw, th = texture:getDimensions()
    local scale = math.max(w / tw, h / th) * near
    local pw, ph = w / scale, h / scale
    local quad = love.graphics.newQuad((tw - pw) / 2, (th - ph) / 2, pw, ph, tw, th)
    rounded:send("size", { w, h })
    rounded:send("part", { (tw - pw) / 2 / tw, (th - ph) / 2 / th, pw / tw, ph / th })
    rounded:send("radius", RADIUS)
    love.graphics.setShader(rounded)
    love.graphics.setColor(1, 1, 1, alpha)
    love.graphics.draw(texture, quad, x, y, 0, scale, scale)
    love.graphics.setShader()
end

local function ring(card, clock, elapsed, x, y, radius)
    local known = card.task.progress
    card.shown = (card.shown or 0) + ((known or 0) - (card.shown or 0)) * 0.12
    local turn = clock * 0.45 + card.born * 0.37
    round:send("outer", radius)
    round:send("thick", math.max(4, radius * 0.13))
    round:send("arc", { known and 0 or turn, math.max(0.04, card.shown) })
    -- The highlight also rotates without a reported progress.
    round:send("light", turn)
    round:send("accent", { ACCENT[1], ACCENT[2], ACCENT[3], 1 })
    local side = 2 * (radius + 2)
    love.graphics.setShader(round)
    love.graphics.setColor(1, 1, 1)
    love.graphics.draw(white, x - side / 2, y - side / 2, 0, side, side)
    love.graphics.setShader()
    local font = fonts[radius > 34 and 18 or 12]
    love.graphics.setFont(font)
    set(INK)
    love.graphics.printf(("%.1f s"):format(elapsed), x - radius, y - font:getHeight() / 2, radius * 2, "center")
end

local function working(gallery, card, x, y, size)
    local radius = size * 0.2
    ring(card, gallery.clock, gallery:elapsed(card), x + size / 2, y + size * 0.46, radius)
    love.graphics.setFont(fonts[12])
    set(FAINT)
    local word = card.task.state == "succeeded" and "fetching" or (card.task.status or "submitting")
    love.graphics.printf(word:lower():gsub("_", " "), x, y + size * 0.46 + radius + 16, size, "center")
end

local function failed(card, x, y, size)
    set(WRONG)
    love.graphics.setFont(fonts[15])
    love.graphics.printf((card.error.kind:gsub("_", " ")), x + 16, y + size * 0.36, size - 32, "center")
    set(MUTED)
    love.graphics.setFont(fonts[12])
    love.graphics.printf(card.error.message, x + 18, y + size * 0.36 + 26, size - 36, "center")
end

local function caption(gallery, card, x, y, size)
    local font = fonts[13]
    love.graphics.setFont(font)
    local took = ("%.1f s"):format(gallery:elapsed(card))
    local room = font:getWidth(took) + 14
    if not card.label or card.label_size ~= math.floor(size) then
        card.label, card.label_size = shorten(card.prompt, font, size - room), math.floor(size)
    end
    set(MUTED)
    love.graphics.print(card.label, x + 2, y + size + 7)
    set(FAINT)
    love.graphics.print(took, x + size - font:getWidth(took) - 2, y + size + 7)
end

local function draw_card(gallery, card, hover)
    local x, y, size = view.bounds(card)
    set(CARD)
    love.graphics.rectangle("fill", x, y, size, size, RADIUS)
    if card.state == "working" then working(gallery, card, x, y, size) end
    if card.state == "failed" then failed(card, x, y, size) end
    if card.texture then
        local t = smooth(card.fade)
        draw_image(card.texture, x, y, size, size, t, 1.08 - 0.08 * t + (hover and 0.03 or 0))
    end
    love.graphics.setColor(1, 1, 1, hover and 0.22 or 0.06)
    love.graphics.rectangle("line", x + 0.5, y + 0.5, size - 1, size - 1, RADIUS)
    caption(gallery, card, x, y, size)
end

local function draw_zoom(width, height)
    local card, t = zoom.card, smooth(zoom.at)
    if not card or t == 0 then return end
    love.graphics.setColor(0.02, 0.025, 0.035, 0.86 * t)
    love.graphics.rectangle("fill", 0, 0, width, height)
    local texture = card.large or card.texture
    local tw, th = texture:getDimensions()
    local scale = math.min((width - 2 * MARGIN) / tw, (height - 2 * MARGIN - 40) / th)
    local x, y, w, h = view.bounds(card)
    local goal_w, goal_h = tw * scale, th * scale
    local goal_x, goal_y = (width - goal_w) / 2, (height - 40 - goal_h) / 2
    draw_image(texture, x + (goal_x - x) * t, y + (goal_y - y) * t, w + (goal_w - w) * t, h + (goal_h - h) * t, 1, 1)
    love.graphics.setFont(fonts[15])
    set(INK, t)
    love.graphics.printf(shorten(card.prompt, fonts[15], width - 2 * MARGIN), 0, height - 46, width, "center")
end

-- Around the cards ----------------------------------------------------------------------------------------------------

local function header(gallery)
    love.graphics.setFont(fonts[34])
    set(INK)
    love.graphics.print("flux2", MARGIN, 20)
    set(ACCENT)
    love.graphics.print(".", MARGIN + fonts[34]:getWidth "flux2" + 1, 20)
    love.graphics.setFont(fonts[13])
    set(MUTED)
    love.graphics.print("images from prompts, by " .. service, MARGIN + 2, 64)
    set(FAINT)
    local line = ("%d finished, %d running"):format(gallery:count "image", gallery:count "working")
    local wrong = gallery:count "failed"
    if wrong > 0 then line = line .. (", %d failed"):format(wrong) end
    love.graphics.print(line, MARGIN + 2, 84)
end

local function prompt_line(gallery, width, height)
    local x, y, w, h = MARGIN, height - FOOTER + 16, width - 2 * MARGIN, 48
    love.graphics.setColor(1, 1, 1, 0.055)
    love.graphics.rectangle("fill", x, y, w, h, 12)
    set(ACCENT, #gallery.text > 0 and 0.7 or 0.25)
    love.graphics.rectangle("line", x + 0.5, y + 0.5, w - 1, h - 1, 12)
    local font = fonts[18]
    love.graphics.setFont(font)
    local ty, room = y + (h - font:getHeight()) / 2, w - 150
    local length = font:getWidth(gallery.text)
    love.graphics.setScissor(x + 16, y, room, h)
    local tx = x + 18 - math.max(0, length - room + 8)
    if gallery.text == "" then
        set(FAINT)
        love.graphics.print(gallery:placeholder(), tx + 6, ty)
    else
        set(INK)
        love.graphics.print(gallery.text, tx, ty)
    end
    if gallery.clock % 1.06 < 0.6 then
        set(ACCENT)
        love.graphics.rectangle("fill", tx + length + 1, ty, 2, font:getHeight())
    end
    love.graphics.setScissor()
    love.graphics.setFont(fonts[12])
    set(FAINT)
    love.graphics.printf("Enter: generate", x, y + h / 2 - 7, w - 18, "right")
    love.graphics.print("Tab: a suggestion    click: enlarge    right click: cancel", x + 2, y + h + 9)
    if gallery.message then
        set(WRONG)
        love.graphics.printf(shorten(gallery.message, fonts[12], w - 420), x, y + h + 9, w, "right")
    end
end

function view.draw(gallery)
    local width, height = love.graphics.getDimensions()
    love.graphics.setColor(1, 1, 1)
    love.graphics.draw(backdrop, 0, 0, 0, width, height)
    header(gallery)
    local mx, my = love.mouse.getPosition()
    local hovered = not gallery.opened and view.card_at(gallery, mx, my)
    for _, card in ipairs(gallery.cards) do
        if zoom.card ~= card then draw_card(gallery, card, hovered == card) end
    end
    if #gallery.cards == 0 then
        love.graphics.setFont(fonts[18])
        set(FAINT)
        love.graphics.printf("Type a prompt.", 0, height / 2 - 20, width, "center")
    end
    prompt_line(gallery, width, height)
    draw_zoom(width, height)
end

return view
