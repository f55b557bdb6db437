--- The interface of OpenAI's Images API, for existing programs.
--
--     local openai = assert(require("flux2.openai").new())
--     local response = assert(openai.images:generate { prompt = "a red fox", size = "1792x1024", n = 2 })
--     print(response.data[1].url)
--
-- Translates requests and responses. Each image is a task of a flux2 client.

local Client = require "flux2.client"
local core = require "flux2.core"
local errors = require "flux2.errors"
local jit_off = require "flux2.jit_off"
local openai_request = require "flux2.openai_request"
local validate = require "flux2.validate"
local spawn = require "flux2.spawn"
local tables = require "flux2.tables"
local text = require "flux2.text"

local openai = {}

local CALL_OPTIONS = { price = "credits", timeout = "seconds" }

--- The fields for each `size`: the ratio, and the resolution with the nearest number of pixels. A provider with the
--- fields `width` and `height` takes any size "WxH" exactly.
openai.sizes = openai_request.sizes

--- The fields for each `quality`, unless the provider has its own. All words but the best mean the cheaper type.
openai.qualities = openai_request.qualities

local function invalid(message)
    return nil, errors.new("invalid_request", message)
end

-- Responses -----------------------------------------------------------------------------------------------------------

--- Returns the entry of an image. An image without a URL came in the response of the service: it is returned as Base64.
local function entry_of(image, as_base64, timeout)
    if not as_base64 and image.url then return { url = image.url } end
    local encoded, err = image:base64(timeout)
    if not encoded then return nil, err end
    return { b64_json = encoded }
end

--- Waits for one task. Adds entries, images, and the first error to `part`.
local function collect(part, task, as_base64, until_)
    local result, err = task:wait()
    if not result then
        part.error = err
        return
    end
    part.credits = result.credits
    for _, image in ipairs(result.images) do
        local entry, reason = entry_of(image, as_base64, until_ - core.now())
        part.entries[#part.entries + 1] = entry
        part.images[#part.images + 1] = image
        if not entry then
            reason.task_id = reason.task_id or task.id
            part.error = part.error or reason
        end
    end
end

--- Submits all tasks, then waits for all of them, each in a separate coroutine.
local function run(client, wanted, opts)
    local parts, handles = {}, {}
    local until_ = core.now() + (opts.timeout or client._config.timeout)
    for i = 1, wanted.count do
        local part = { entries = {}, images = {} }
        parts[i] = part
        part.task, part.error = client:submit(wanted.payload, opts)
        if not part.task then break end
    end
    for i, part in ipairs(parts) do
        if part.task then handles[i] = spawn.spawn(collect, part, part.task, wanted.as_base64, until_) end
    end
    for i = 1, #handles do
        local _, err = handles[i]:join()
        if err and not errors.is(err) then error(err, 0) end
        if err and not parts[i].error then
            -- The waiting coroutine was cancelled; no other code has a reference to these tasks.
            parts[i].error = err
            handles[i]:cancel()
            parts[i].task:cancel()
        end
    end
    return parts
end

--- Joins the parts, in their order.
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

--- Returns the first error, with the results of the other tasks.
local function failed(all, count)
    local first = all.errors[1]
    local fields = tables.merge({}, first)
    fields.data, fields.images, fields.task_ids, fields.errors = all.data, all.images, all.task_ids, all.errors
    local message = first.message
    if count > 1 then
        message = ("%d of %d images are in err.data; first error: %s"):format(#all.data, count, message)
    end
    return errors.new(first.kind, message, fields)
end

local function generate(client, given, opts)
    local wanted, err = openai_request.translate(given, client._config.provider)
    if not wanted then return nil, err end
    local price, unpublished = opts.price, nil
    if not price then price, unpublished = client:estimate(wanted.payload) end
    local ok
    ok, err = client._budget:affords(wanted.count, price, unpublished) -- before anything is sent
    if not ok then return nil, err end
    local parts = run(client, wanted, opts)
    if not parts[1].task then return nil, parts[1].error end -- nothing was sent
    local all = gather(parts)
    if #all.errors > 0 then return nil, failed(all, wanted.count) end
    -- The other members are in the metatable, so that an encoder writes only those of OpenAI.
    return setmetatable({ created = os.time(), data = all.data }, {
        __index = { images = all.images, task_ids = all.task_ids, credits = all.credits },
    })
end

-- Public --------------------------------------------------------------------------------------------------------------

---@class flux2.OpenAIImages The methods of `openai.images`.
local Images = {}
Images.__index = Images
Images.__name = "flux2.OpenAIImages"

---@class flux2.OpenAIRequest A request of images:generate.
---@field prompt string 3 to 5000 characters
---@field model? "flux-2"
---@field n? integer the number of images, 1 to 10: each is a separate task with its price
---@field size? string one of `openai.sizes`; of a provider with the fields width and height any "WxH"
---@field quality? string one of `openai.qualities`, or of the provider's
---@field response_format? "url"|"b64_json"
---@field user? string ignored: the service has no such field
---@field input_urls? string[] this and extra and all other fields of the provider as for client:submit

---@class flux2.OpenAIResponse The response of images:generate.
---@field created integer seconds since 1970
---@field data { url: string?, b64_json: string? }[] in the order of the tasks
---@field images flux2.Image[] the same images, to save: `pairs` and encoders skip this field and the following ones
---@field task_ids string[] of the tasks with an id
---@field credits? number credits, if known

--- Generates n images at once, waits for all of them, and returns a response like OpenAI's Images API. Yields in a
--- coroutine, blocks outside one. With a spool, a record is kept until its image is returned as Base64 or collected
--- through `response.images`, because a URL expires.
---@param request string|flux2.OpenAIRequest a prompt, or a request of OpenAI's SDK
---@param opts? { timeout: number?, price: number? } timeout in seconds for all together; price in credits for each
---@return flux2.OpenAIResponse? response
---@return flux2.Error? err of the first that failed, of any kind. No paid image is lost: `err.data` and `err.images`
---  contain the images that succeeded, `err.task_ids` all accepted tasks, `err.errors` all errors
-- Example: `local response = assert(openai.images:generate { prompt = "a red fox", response_format = "b64_json" })`
function Images:generate(request, opts)
    validate.receiver(self, Images, "images:generate")
    opts = validate.options("images:generate", opts, CALL_OPTIONS, 2)
    if type(request) == "string" then request = { prompt = request } end
    if type(request) ~= "table" then
        error("images:generate: a request (table) is needed, not " .. text.show(request), 2)
    end
    local response, err = generate(self._client, request, opts)
    return response, err
end

--- Always returns an error: input images are passed to `generate`, as `input_urls`.
---@return nil image
---@return flux2.Error err kind "invalid_request"
-- Example: `openai.images:generate { prompt = "the same fox, in winter", input_urls = { url } }`
function Images:edit()
    validate.receiver(self, Images, "images:edit")
    return invalid("images:edit is not available: call images:generate with up to 8 image URLs in input_urls")
end

--- Always returns an error, like `edit`.
---@return nil image
---@return flux2.Error err kind "invalid_request"
-- Example: `openai.images:generate { prompt = "another one like it", input_urls = { url } }`
function Images:create_variation()
    validate.receiver(self, Images, "images:create_variation")
    return invalid("variations are not available: call images:generate with an image URL in input_urls")
end
Images.createVariation = Images.create_variation

local ABSENT = {
    audio = true, chat = true, completions = true, embeddings = true, files = true, models = true, moderations = true,
    responses = true, videos = true,
}

---@class flux2.OpenAI A client with the interface of OpenAI's SDK.
---@field images flux2.OpenAIImages the methods that generate images
---@field client flux2.Client the underlying client
local OpenAI = { __name = "flux2.OpenAI" }

function OpenAI.__index(_, name)
    if ABSENT[name] then error("flux2.openai makes images only: there is no '" .. name .. "'", 2) end
end

--- Makes a client with the interface of OpenAI's SDK.
---@param given? flux2.Client|table a client of flux2, or the options of flux2.new
---@return flux2.OpenAI? openai
---@return flux2.Error? err as of flux2.new: "auth", "invalid_request", "io"
-- Example: `local openai = assert(require("flux2.openai").new { api_key = "aio_..." })`
function openai.new(given)
    local client, err = given, nil
    if getmetatable(given) ~= Client then client, err = Client.new(given, 2) end
    if not client then return nil, err end
    return setmetatable({ images = setmetatable({ _client = client }, Images), client = client }, OpenAI)
end

jit_off(openai)

return openai
