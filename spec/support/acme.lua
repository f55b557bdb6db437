--- A fictitious service for specs: it differs from the default one in everything that a provider describes.
-- `acme.provider` describes it; `acme.serve` makes an emulator respond like it.

local acme = {}

--- An image of one pixel.
acme.IMAGE = "\137\80\78\71\13\10\26\10\0\0\0\13\73\72\68\82\0\0\0\1\0\0\0\1\8\0\0\0\0\58\126\155\85" ..
    "\0\0\0\10\73\68\65\84\120\218\99\104\0\0\0\130\0\129\218\69\8\59\0\0\0\0\73\69\78\68\174\66\96\130"

--- Returns a new provider, which a spec may change.
function acme.provider()
    return {
        name = "acme", base_url = "https://acme.example", root = "/api", key_prefix = "ak-",
        environment = { api_key = "ACME_KEY", base_url = "ACME_URL" },
        headers = { "x-key: {key}", "x-client: spec" },
        trace_headers = { "x-acme-id" },
        routes = { submit = function(request) return "/draw/" .. (request.size or "small") end },
        origins = { "https://*.acme.example" },
        fields = {
            { name = "prompt", type = "text", required = true, min = 1, max = 20, meaning = "what it shows" },
            { name = "size", type = "word", allowed = { "small", "large" }, default = "small", meaning = "how large" },
            { name = "luck", type = "integer", min = 0, max = 99, meaning = "what chance begins with" },
            { name = "lucid", type = "boolean", default = true, always = true, meaning = "whether it dreams" },
        },
        body = function(request) return { caption = request.prompt, luck = request.luck, lucid = request.lucid } end,
        prices = { { size = "small", credits = 1 }, { size = "large", credits = function(r) return r.luck or 4 end } },
        response = {
            task_id = { "ticket.no" }, poll_url = { "ticket.watch" }, status = { "phase" }, succeeded = { "dried" },
            failed = { "ruined" }, image_places = { "canvas" }, image_keys = { "href" }, reason = { "because" },
            credits = { "bill" }, error_text = { "trouble" },
        },
    }
end

local TICKET = '{"ticket":{"no":"t/1","watch":"%s/watch/one?sig=s"},"phase":"queued"}'

--- Makes EMU respond like the service: submissions, polls at a URL given in the response, images.
---@param emu flux2.Emulator
---@param at? string the origin of that URL; by default the emulator
function acme.serve(emu, at)
    emu:fault { method = "POST", path = "/api/draw/*", times = 1000, body = TICKET:format(at or "{url}") }
    acme.paint(emu)
end

--- The requests for polls and images.
function acme.paint(emu)
    emu:fault { method = "GET", path = "/watch/one", nth = 1, body = '{"phase":"painting"}' }
    emu:fault {
        method = "GET", path = "/watch/one", times = 1000,
        body = '{"phase":"dried","bill":3,"canvas":{"href":"{url}/img"}}',
    }
    emu:fault { method = "GET", path = "/img", times = 1000, body = acme.IMAGE,
        headers = { ["Content-Type"] = "image/png" } }
end

return acme
