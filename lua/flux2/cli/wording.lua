--- Messages of the module in the words of the command line. The module names its Lua options; a user of a command has
-- options, environment variables and a configuration file.

local settings = require "flux2.cli.settings"

local wording = {}

--- Lua patterns, and what replaces them.
local REPLACEMENTS = {
    { "use https, or insecure_http = true if you are sure", "use https, or --insecure-http if you are sure" },
    { "; give poll_url = task%.poll_url", "; flux2 recover downloads tasks that were recorded" },
    { ": poll%.per_second and max_event_bytes limit how often this client asks", "" },
    { ": max_submissions_per_second.*limit submissions", ": submissions are limited to 20 per second and 8 at once" },
    { "; max_[%w_]+_bytes raises it", "" },
    { "; max_redirects %((%d+)%) raises how many are", "; at most %1 redirects are followed" },
    { "say what it costs with the option price = credits", "say what one image costs with --price" },
    { "what must be sent anyway goes in extra = { %.%.%. }", "other fields go into extra (--extra)" },
    { "it is a documented field, set it in the request itself", "it has an option or a field of its own" },
    { "publish it and give its URL, let flux2%.new.*do that, or use a gateway: flux2 serve",
        "publish it and give its URL with --input-url, or use a gateway: flux2 serve" },
    { "see provider%.origins", "it belongs to another origin than the base URL" },
}

--- Fields and options that begin a message, other than settings.
local OPTIONS = { input_urls = "--input-url", input_images = "--input", extra = "--extra", prompt = "the prompt" }

local LISTS = { input_urls = true, input_images = true } -- options that are given several times

--- Returns what a user calls an option of the module: where its value comes from, or its option.
---@param name string
---@return string? label nil for another word
local function label(name)
    local source = settings.sources[name]
    if source and source:find ":%d+$" then return source .. ": " .. name end
    if source then return source end
    if OPTIONS[name] then return OPTIONS[name] end
    for _, setting in ipairs(settings.list) do
        if setting.name == name then return settings.option(name) end
    end
end

--- Rewrites the message of an error. A second call changes nothing. Texts of the service are left as they are.
---@param err flux2.Error
---@return flux2.Error err
-- Example: "base_url 'x' was refused: ..." becomes "--base-url 'x' was refused: ..."
function wording.translate(err)
    local message = err.message
    if (err.kind == "invalid_request" or err.field) and not err.status then
        message = message:gsub("^([%l_]+)(%[?%d*%]?) ", function(name, index)
            local words = label(name)
            return words and words .. (LISTS[name] and "" or index) .. " "
        end)
    end
    for _, pair in ipairs(REPLACEMENTS) do message = message:gsub(pair[1], pair[2]) end
    err.message = message
    return err
end

return wording
