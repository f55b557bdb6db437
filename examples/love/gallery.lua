-- The model of the gallery: the prompt and the cards with their images.

local host = require "flux2.host.love"
local utf8 = require "utf8"

local Gallery = {}
Gallery.__index = Gallery

-- Minimum pixels after halving by the decoding thread: on a card, and enlarged.
local SMALL, LARGE = 384, 1024
local FADE = 0.7 -- seconds

local SUGGESTIONS = {
    "A serene Japanese garden at dawn, a red bridge over still water",
    "A lighthouse in a storm, oil on canvas",
    "A red fox asleep in fresh snow, watercolour",
    "The last train of the night, neon and rain",
    "A greenhouse on Mars, morning light",
    "An astronomer's desk in 1609, by candlelight",
    "A whale above the clouds, golden hour",
    "A paper city, cut and folded by hand",
}

---@param client flux2.Client
---@param request table the fields of each request besides the prompt
function Gallery.new(client, request)
    return setmetatable({
        client = client, request = request, cards = {}, text = "", message = nil, opened = nil, suggestion = 0,
        clock = 0,
    }, Gallery)
end

function Gallery:type(text)
    self.text, self.message = self.text .. text:gsub("%c", " "), nil
end

function Gallery:erase()
    local last = utf8.offset(self.text, -1)
    if last then self.text = self.text:sub(1, last - 1) end
end

function Gallery:placeholder()
    return SUGGESTIONS[self.suggestion % #SUGGESTIONS + 1]
end

function Gallery:suggest()
    self.text, self.suggestion = self:placeholder(), self.suggestion + 1
end

--- Submits the prompt. The image appears on a new card.
function Gallery:submit()
    local request = { prompt = self.text }
    for name, value in pairs(self.request) do request[name] = value end
    local task, err = self.client:submit(request)
    if not task then
        self.message = err.message
        return
    end
    local card = { prompt = self.text, task = task, born = self.clock, fade = 0, state = "working" }
    card.handle = host.texture(task, { size = SMALL }, function(texture, failure)
        card.texture, card.error = texture, failure
        card.state = texture and "image" or "failed"
        card.elapsed = self.clock - card.born
    end)
    self.cards[#self.cards + 1] = card
    self.text, self.message = "", nil
end

function Gallery:update(dt)
    self.clock = self.clock + dt
    for _, card in ipairs(self.cards) do
        if card.texture then card.fade = math.min(1, card.fade + dt / FADE) end
    end
end

--- Returns the number of cards in a state: "working", "image" or "failed".
function Gallery:count(state)
    local n = 0
    for _, card in ipairs(self.cards) do
        if card.state == state then n = n + 1 end
    end
    return n
end

--- Returns the elapsed seconds of a card.
function Gallery:elapsed(card)
    return card.elapsed or self.clock - card.born
end

--- Enlarges an image, and replaces it by a sharper one after the download.
function Gallery:open(card)
    if not card.texture then return end
    self.opened = card
    if card.asked then return end
    card.asked = true
    host.texture(card.task, { size = LARGE }, function(texture) card.large = texture end)
end

--- Closes the enlarged image. Returns false if there is none.
function Gallery:close()
    local opened = self.opened
    self.opened = nil
    return opened ~= nil
end

--- Cancels the task of a card.
function Gallery:cancel(card)
    if card.state ~= "working" then return end
    card.task:cancel()
end

return Gallery
