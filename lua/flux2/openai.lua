--- The shape of OpenAI's Images API, for programs that come with code for it.
--
--     local openai = assert(require("flux2.openai").new())
--     local answer = assert(openai.images:generate { prompt = "a red fox", size = "1792x1024", n = 2 })
--     print(answer.data[1].url)
--
-- Owns the translation of its requests and answers: what each field becomes, and why others are refused. Sends nothing
-- by itself: each picture is a task of a flux2 client.

local Client = require "flux2.client"
local core = require "flux2.core"
local errors = require "flux2.errors"
local json = require "flux2.json"
local options = require "flux2.options"
local pricing = require "flux2.pricing"
local spawn = require "flux2.spawn"
local suggest = require "flux2.suggest"
local text = require "flux2.text"

local openai = {}

local MOST = 10 -- pictures in one call, as OpenAI has it
local CALL_OPTIONS = { price = "credits", timeout = "seconds" }

--- What each `size` becomes: the ratio, and of the two resolutions the one with the nearest number of dots.
openai.sizes = {
    auto = {},
    ["1024x1024"] = { aspect_ratio = "1:1", resolution = "1K" },
    ["1536x1024"] = { aspect_ratio = "3:2", resolution = "1K" },
    ["1024x1536"] = { aspect_ratio = "2:3", resolution = "1K" },
    ["1792x1024"] = { aspect_ratio = "16:9", resolution = "1K" },
    ["1024x1792"] = { aspect_ratio = "9:16", resolution = "1K" },
    ["2048x2048"] = { aspect_ratio = "1:1", resolution = "2K" },
}

--- What each `quality` becomes. There are two types for OpenAI's three or more words: what is not the best is the
--- cheaper one, so that nobody pays for more than was asked for.
openai.qualities = {
    auto = {},
    hd = { type = "pro" }, high = { type = "pro" },
    standard = { type = "flex" }, medium = { type = "flex" }, low = { type = "flex" },
}

local FORMATS = { url = true, b64_json = true }
local OURS = { "aspect_ratio", "extra", "input_urls", "model", "prompt", "resolution", "type" }
local THEIRS = { "n", "quality", "response_format", "size", "user" }

--- What has no counterpart: why, and the value that asks for nothing beyond what there is.
local REFUSED = {
    background = { "the service knows no backgrounds: say it in the prompt", "auto" },
    image = { "pictures to start from are given by their addresses, in input_urls" },
    input_fidelity = { "the service has no such setting" },
    mask = { "the service knows no masks" },
    moderation = { "the service moderates by its own rules", "auto" },
    output_compression = { "the service decides how it packs its pictures" },
    output_format = { "the service decides which kind of image it sends; image.content_type tells" },
    partial_images = { "pictures come whole, never in part", 0 },
    stream = { "an answer is not streamed: wait in a coroutine, or use client:submit and task:on", false },
    style = { "the service has no styles: say it in the prompt" },
}

local IS_KNOWN, NAMES = {}, {}
for _, list in ipairs { OURS, THEIRS } do
    for _, name in ipairs(list) do
        IS_KNOWN[name] = true
        NAMES[#NAMES + 1] = name
    end
end

-- From their request to ours ------------------------------------------------------------------------------------------

local function invalid(field, message)
    return nil, errors.new("invalid_request", message, { field = field })
end

local function words_of(map)
    local words = {}
    for word in pairs(map) do words[#words + 1] = word end
    table.sort(words)
    return "'" .. table.concat(words, "', '", 1, #words - 1) .. "' or '" .. words[#words] .. "'"
end

local function check_name(name, value)
    if IS_KNOWN[name] then return true end
    local refused = REFUSED[name]
    if refused and value == refused[2] then return true end
    if refused then return invalid(name, name .. " is not possible here: " .. refused[1]) end
    local near = type(name) == "string" and suggest.nearest(name, NAMES)
    local hint = near and ": did you mean " .. near .. "?" or "; what must be sent anyway goes in extra = { ... }"
    return invalid(name, "unknown field " .. text.show(name) .. hint)
end

--- The request without what a JSON null stands for; an error for a name that means nothing here.
local function check_names(given)
    local request, names = {}, {}
    for name, value in pairs(given) do
        if value ~= json.null then
            request[name] = value
            names[#names + 1] = name
        end
    end
    -- In an order that does not change from run to run.
    table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
    for _, name in ipairs(names) do
        local ok, err = check_name(name, request[name])
        if not ok then return nil, err end
    end
    return request
end

--- Puts into `payload` what a word of theirs becomes.
local function map_word(payload, request, field, map)
    local word = request[field]
    if word == nil then return true end
    local meaning = type(word) == "string" and map[word]
    if not meaning then
        local why = field == "size" and "; other shapes: aspect_ratio and resolution" or ""
        return invalid(field, field .. " must be " .. words_of(map) .. ", got " .. text.show(word) .. why)
    end
    for name, value in pairs(meaning) do
        if payload[name] ~= nil then
            return invalid(field, field .. " and " .. name .. " say the same: give one of them")
        end
        payload[name] = value
    end
    return true
end

local function check_count(n)
    if n == nil then return 1 end
    if type(n) ~= "number" or n % 1 ~= 0 or n < 1 or n > MOST then
        return invalid("n", "n must be a whole number from 1 to " .. MOST .. ", got " .. text.show(n))
    end
    return n
end

--- What to ask the client for: the payload, how many times, and in which format.
local function translate(given)
    local request, err = check_names(given)
    if not request then return nil, err end
    local payload = {}
    for _, name in ipairs(OURS) do payload[name] = request[name] end
    local ok, count
    ok, err = map_word(payload, request, "size", openai.sizes)
    if ok then ok, err = map_word(payload, request, "quality", openai.qualities) end
    if ok then count, err = check_count(request.n) end
    if not count then return nil, err end
    local format = request.response_format
    if format == nil then format = "url" end
    if not FORMATS[format] then
        return invalid("response_format", "response_format must be 'url' or 'b64_json', got " .. text.show(format))
    end
    if request.user ~= nil and type(request.user) ~= "string" then
        return invalid("user", "user must be a string, got " .. text.show(request.user))
    end
    return { payload = payload, count = count, as_base64 = format == "b64_json" }
end

-- From our results to their answer ------------------------------------------------------------------------------------

--- One picture as they have it. One without a link came inside the service's answer, and can only come as Base64.
local function entry_of(image, as_base64, timeout)
    if not as_base64 and image.url then return { url = image.url } end
    local encoded, err = image:base64(timeout)
    if not encoded then return nil, err end
    return { b64_json = encoded }
end

--- Waits for one task. What it brought goes into `part`: entries, images, and the first error.
local function collect(part, task, as_base64, until_)
    local result, err = task:wait()
    if not result then
        part.error = err
        return
    end
    part.credits = result.credits
    for _, image in ipairs(result.images) do
        local entry, reason = entry_of(image, as_base64, math.max(until_ - core.now(), 0.001))
        part.entries[#part.entries + 1] = entry
        part.images[#part.images + 1] = image
        if not entry then
            reason.task_id = reason.task_id or task.id
            part.error = part.error or reason
        end
    end
end

--- Submits them all, then waits for all, each in a coroutine of its own.
local function run(client, ask, opts)
    local parts, handles = {}, {}
    local until_ = core.now() + (opts.timeout or client._settings.timeout)
    for i = 1, ask.count do
        local part = { entries = {}, images = {} }
        parts[i] = part
        part.task, part.error = client:submit(ask.payload, opts)
        if not part.task then break end
    end
    for i, part in ipairs(parts) do
        if part.task then handles[i] = spawn.spawn(collect, part, part.task, ask.as_base64, until_) end
    end
    for i = 1, #handles do
        local _, err = handles[i]:join()
        if err and not errors.is(err) then error(err, 0) end
        if err and not parts[i].error then
            -- The coroutine that waits here was cancelled; nobody else knows these tasks.
            parts[i].error = err
            handles[i]:cancel()
            parts[i].task:cancel()
        end
    end
    return parts
end

--- All parts together, in their order.
local function gather(parts)
    local all = { data = {}, images = {}, task_ids = {}, errors = {}, credits = 0 }
    for _, part in ipairs(parts) do
        for _, entry in ipairs(part.entries) do all.data[#all.data + 1] = entry end
        for _, image in ipairs(part.images) do all.images[#all.images + 1] = image end
        if part.task and part.task.id then all.task_ids[#all.task_ids + 1] = part.task.id end
        if part.error then all.errors[#all.errors + 1] = part.error end
        all.credits = all.credits and part.credits and all.credits + part.credits
    end
    return all
end

--- The error of the first that failed, with all that the others brought.
local function failed(all, count)
    local first, fields = all.errors[1], {}
    for name, value in pairs(first) do fields[name] = value end
    fields.data, fields.images, fields.task_ids, fields.errors = all.data, all.images, all.task_ids, all.errors
    local message = first.message
    if count > 1 then
        message = ("%d of %d pictures are here, in err.data; of the others: %s"):format(#all.data, count, message)
    end
    return errors.new(first.kind, message, fields)
end

local function generate(client, given, opts)
    local ask, err = translate(given)
    if not ask then return nil, err end
    local price, unpublished = opts.price, nil
    if not price then price, unpublished = pricing.estimate(ask.payload) end
    -- All or none, as far as that can be known before anything is sent.
    local ok
    ok, err = client._budget:affords(ask.count, price, unpublished)
    if not ok then return nil, err end
    local parts = run(client, ask, opts)
    if not parts[1].task then return nil, parts[1].error end -- nothing was sent
    local all = gather(parts)
    if #all.errors > 0 then return nil, failed(all, ask.count) end
    local answer = { created = os.time(), data = all.data }
    -- Beside their shape, and out of the way of whoever encodes it.
    return setmetatable(answer, {
        __index = { images = all.images, task_ids = all.task_ids, credits = all.credits },
    })
end

-- Public --------------------------------------------------------------------------------------------------------------

---@class flux2.OpenAIImages The methods of `openai.images`.
local Images = {}
Images.__index = Images
Images.__name = "flux2.OpenAIImages"

---@class flux2.OpenAIRequest What images:generate takes.
---@field prompt string 3 to 5000 characters
---@field model? "flux-2"
---@field n? integer pictures, 1 to 10: each is a task with a price of its own
---@field size? string one of `openai.sizes`
---@field quality? string one of `openai.qualities`
---@field response_format? "url"|"b64_json"
---@field user? string taken, and not sent: the service has no such field
---@field input_urls? string[] this and aspect_ratio, type, resolution, extra as for client:submit

---@class flux2.OpenAIAnswer What images:generate brings.
---@field created integer seconds since 1970
---@field data { url: string?, b64_json: string? }[] in the order of the tasks
---@field images flux2.Image[] the same pictures, to save: this and what follows is not seen by `pairs` or an encoder
---@field task_ids string[] of the tasks that have an id
---@field credits? number credits that it cost, where that is known

--- Generates n pictures at once, waits for all of them, and answers as OpenAI's Images API does. Yields in a
--- coroutine, blocks outside one. With a spool, a picture stays in it until it was handed over as Base64 or
--- collected through `answer.images`: a link alone does not last.
---@param request string|flux2.OpenAIRequest a prompt, or a table as OpenAI's SDK takes it
---@param opts? { timeout: number?, price: number? } timeout in seconds for all together; price in credits for each
---@return flux2.OpenAIAnswer? answer
---@return flux2.Error? err of the first that failed, of any kind. Nothing that was paid for is lost: `err.data` and
---  `err.images` hold the pictures that are there, `err.task_ids` every task that was accepted, `err.errors` all
-- Example: `local answer = assert(openai.images:generate { prompt = "a red fox", response_format = "b64_json" })`
function Images:generate(request, opts)
    if getmetatable(self) ~= Images then error("images:generate is a method: it is called with a colon", 2) end
    opts = options.check("images:generate", opts, CALL_OPTIONS, 2)
    if type(request) == "string" then request = { prompt = request } end
    if type(request) ~= "table" then
        error("images:generate: a request (table) is needed, not " .. text.show(request), 2)
    end
    local answer, err = generate(self._client, request, opts)
    return answer, err
end

--- Is refused: the service changes pictures by `input_urls` alone.
---@return nil image
---@return flux2.Error err kind "invalid_request"
-- Example: `openai.images:generate { prompt = "the same fox, in winter", input_urls = { url } }`
function Images:edit()
    local message = "images:edit is not possible here: give images:generate the addresses of up to 8 pictures to " ..
        "start from, as input_urls"
    return invalid(nil, message)
end

--- Is refused as `edit` is.
---@return nil image
---@return flux2.Error err kind "invalid_request"
-- Example: `openai.images:generate { prompt = "another one like it", input_urls = { url } }`
function Images:create_variation()
    local message = "variations are not possible here: give images:generate a picture to start from, as input_urls"
    return invalid(nil, message)
end
Images.createVariation = Images.create_variation

local ABSENT = {
    audio = true, chat = true, completions = true, embeddings = true, files = true, models = true, moderations = true,
    responses = true, videos = true,
}

---@class flux2.OpenAI A client of OpenAI's shape.
---@field images flux2.OpenAIImages what makes pictures
---@field client flux2.Client the client beneath
local OpenAI = { __name = "flux2.OpenAI" }

function OpenAI.__index(_, name)
    if ABSENT[name] then error("flux2.openai makes images only: there is no '" .. name .. "'", 2) end
end

--- Makes a client of OpenAI's shape.
---@param given? flux2.Client|table a client of flux2, or the options of flux2.new
---@return flux2.OpenAI? openai
---@return flux2.Error? err as flux2.new gives it: "auth", "invalid_request", "io"
-- Example: `local openai = assert(require("flux2.openai").new { api_key = "aio_..." })`
function openai.new(given)
    local client, err = given, nil
    if getmetatable(given) ~= Client then client, err = Client.new(given, 2) end
    if not client then return nil, err end
    return setmetatable({ images = setmetatable({ _client = client }, Images), client = client }, OpenAI)
end

return openai
