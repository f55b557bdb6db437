--- Black Forest Labs, the makers of Flux 2; see flux2.provider. One credit is 0.01 US dollars.
--
-- Sources, read on 2026-11-28:
--   docs.bfl.ml, with the OpenAPI description of https://api.bfl.ai/openapi.json for FLUX.2 [flex] and get_result:
--     routes, x-key, fields, `cost`, statuses, the body of 422; polling at polling_url, regions; 402, 403 and 429;
--     links that expire after 10 minutes; up to 4 MP; 24 active tasks
--   github.com/black-forest-labs/skills, version 1.0.0 of 2026-02-03: the other routes, multiples of 16, at least
--     64 x 64, 4 images for [klein], 32,000 tokens, keys that begin with bfl_, prices and their formula, bodies of 402
--     and 429
-- Not published: how many pixels a megapixel has (here 1024 x 1024, as in known values of `output_mp`), how a part of
-- one is charged (here as a whole), the largest seed, the length of a prompt in characters, the body of 403.

local MEGAPIXEL = 1024 * 1024
local PIXELS = { ["1K"] = MEGAPIXEL, ["2K"] = 4 * MEGAPIXEL }
local STEP, LEAST, MOST = 16, 64, 4 * MEGAPIXEL
local KLEIN_INPUTS = 4

--- Returns width and height of the output; nil if the service derives them from the input images.
local function size_of(request)
    local width, height = request.width, request.height
    if width or height then return width, height end
    local ratio = request.aspect_ratio or request.input_urls and not request.resolution and "auto" or "1:1"
    if ratio == "auto" then return nil end
    local w, h = ratio:match "^(%d+):(%d+)$"
    local pixels, shape = PIXELS[request.resolution or "1K"], w / h
    -- 1e-6 compensates for rounding errors of integral results.
    local function side(length) return math.floor(length / STEP + 1e-6) * STEP end
    return side(math.sqrt(pixels * shape)), side(math.sqrt(pixels / shape))
end

local function check_given_size(request)
    local other = request.aspect_ratio and "aspect_ratio" or request.resolution and "resolution"
    if not (request.width or request.height) then return nil end
    if other then return "give either width and height, or " .. other, other end
    if not request.width then return "height needs width", "width" end
    if not request.height then return "width needs height", "height" end
end

local function check(request)
    local reason, field = check_given_size(request)
    if reason then return reason, field end
    local width, height = size_of(request)
    local from = request.width and "width" or "aspect_ratio"
    if width and math.min(width, height) < LEAST then
        return ("%s %s gives %d x %d pixels, each side must have at least %d"):format(from, tostring(request[from]),
            width, height, LEAST), from
    end
    if width and width * height > MOST then
        return ("width x height is %d pixels, at most %d (4 MP) are allowed"):format(width * height, MOST), from
    end
    local inputs = request.input_urls and #request.input_urls or 0
    if (request.type or ""):find "^klein" and inputs > KLEIN_INPUTS then
        return ("input_urls holds %d URLs, type '%s' takes at most %d"):format(inputs, request.type, KLEIN_INPUTS),
            "input_urls"
    end
end

local function body(request)
    local width, height = size_of(request)
    local out = {
        prompt = request.prompt, width = width, height = height, seed = request.seed,
        output_format = request.output_format, safety_tolerance = request.safety_tolerance,
    }
    for i, input in ipairs(request.input_urls or {}) do
        out["input_image" .. (i > 1 and "_" .. i or "")] = input
    end
    return out
end

--- Returns the price by megapixels of the output: of the first one, and of each further one.
local function by_megapixels(first, further)
    return function(request)
        if request.input_urls then return nil, "the price depends on the sizes of the input images" end
        local wrong, width, height = check(request), size_of(request)
        if wrong or not width then return nil, wrong or "the size of the output is unknown" end
        return first + further * (math.max(math.ceil(width * height / MEGAPIXEL), 1) - 1)
    end
end

return {
    name = "bfl",
    base_url = "https://api.bfl.ai",
    root = "/v1",
    environment = { api_key = "BFL_API_KEY", base_url = "BFL_BASE_URL" },
    key_prefix = "bfl_",
    headers = { "x-key: {key}" },
    routes = { submit = "/flux-2-{type}", task = "/get_result?id={id}" },
    origins = { "https://*.bfl.ai" }, -- regions: api.eu.bfl.ai
    fields = {
        {
            name = "model", type = "word", allowed = { "flux-2" }, default = "flux-2",
            meaning = "the model; `type` is its variant",
        },
        {
            name = "prompt", type = "text", required = true, min = 1, max = 128000,
            meaning = "the description of the image: at most 32,000 tokens", also = { "text", "description" },
        },
        {
            name = "aspect_ratio", type = "ratio", default = "1:1", auto = "input_urls",
            meaning = "width to height, such as 1:1, 16:9 or 9:16; auto: that of the first input image",
            also = { "ratio", "aspect", "size" },
        },
        {
            name = "type", type = "word", allowed = { "pro", "flex", "max", "klein-4b", "klein-9b" }, default = "pro",
            meaning = "pro: production; flex: typography; max: highest quality; klein: fast and cheap",
            also = { "mode", "quality" },
        },
        { name = "resolution", type = "word", allowed = { "1K", "2K" }, default = "1K", meaning = "1K or 2K" },
        {
            name = "width", type = "integer", min = LEAST, max = MOST / LEAST, multiple = STEP,
            meaning = "pixels, a multiple of 16, with height: instead of aspect_ratio and resolution",
        },
        {
            name = "height", type = "integer", min = LEAST, max = MOST / LEAST, multiple = STEP,
            meaning = "pixels, a multiple of 16, with width",
        },
        {
            name = "input_urls", type = "urls", max = 8, base64 = true,
            meaning = "URLs of images to start from, at most 8; at most 4 for klein",
            also = { "image_url", "image_urls", "images", "image", "input_image", "urls", "url" },
        },
        { name = "seed", type = "integer", min = 0, max = 2 ^ 32 - 1, meaning = "the same seed gives a similar image" },
        {
            name = "output_format", type = "word", allowed = { "jpeg", "png", "webp" }, default = "jpeg",
            meaning = "the format of the image", also = { "format" },
        },
        {
            name = "safety_tolerance", type = "integer", min = 0, max = 5, default = 2,
            meaning = "0: strictest moderation, 5: least strict",
        },
    },
    check = check,
    body = body,
    qualities = {
        auto = {},
        hd = { type = "max" }, high = { type = "max" },
        standard = { type = "pro" }, medium = { type = "pro" },
        low = { type = "klein-9b" },
    },
    prices_source = "Black Forest Labs, github.com/black-forest-labs/skills of 2026-02-03",
    prices = {
        { type = "pro", credits = by_megapixels(3, 1.5) },
        { type = "flex", credits = by_megapixels(5, 5) },
        { type = "max", credits = by_megapixels(7, 3) },
        { type = "klein-4b", credits = by_megapixels(1.4, 0.1) },
        { type = "klein-9b", credits = by_megapixels(1.5, 0.2) },
    },
    response = {
        task_id = { "id" },
        poll_url = { "polling_url" },
        status = { "status" },
        credits = { "cost" },
        reason = { "details.Moderation Reasons.0", "message", "details.message", "details.error", "error" },
        reason_code = { "error" },
        error_text = { "details.Moderation Reasons.0", "message", "detail", "error" },
        error_code = { "error" },
    },
}
