--- The options that several commands share, and the environment variables that stand in for them.
-- Owns their names, descriptions and defaults. Makes no request and no client.

local core = require "flux2.core"
local errors = require "flux2.errors"
local request = require "flux2.request"
local settings = require "flux2.settings"
local text = require "flux2.text"
local values = require "flux2.cli.values"

local arguments = {}

local FIELD = {}
for _, field in ipairs(request.fields) do FIELD[field.name] = field end

--- Each variable, the value that it stands in for, what it is for, and how its word is read.
arguments.variables = {
    { "FLUX2_API_KEY", nil, "the API key (an option would show it to everybody)" },
    { "FLUX2_BASE_URL", "base_url", "--base-url" },
    { "FLUX2_TYPE", "type", "--type" },
    { "FLUX2_RESOLUTION", "resolution", "--resolution" },
    { "FLUX2_ASPECT_RATIO", "aspect_ratio", "--aspect-ratio" },
    { "FLUX2_CONCURRENCY", "concurrency", "--concurrency", values.count },
    { "FLUX2_BUDGET", "budget", "--budget", values.credits },
    { "FLUX2_TIMEOUT", "timeout", "--timeout", values.seconds },
    { "FLUX2_POLL_INTERVAL", "poll_interval", "--poll-interval", values.seconds },
    { "FLUX2_PROXY", "proxy", "--proxy" },
    { "FLUX2_CA_FILE", "ca_file", "--ca-file" },
    { "FLUX2_SPOOL", "spool", "--spool" },
}

--- An option whose value `convert` reads.
---@param command table argparse's Command or Parser
---@param names string
---@param description string
---@param convert? fun(word: string): any, string?
---@return table option
function arguments.option(command, names, description, convert)
    local option = command:option(names):description(description)
    if not convert then return option end
    return option:convert(function(word)
        local value, reason = convert(word)
        if value == nil then return nil, names:match "%-%-[%w%-]+" .. " " .. reason end
        return value
    end)
end

--- Flags that every command has.
---@param command table
function arguments.output(command)
    command:flag("--json", "Results and errors as JSON, one object on a line, on stdout.")
    command:flag("-q --quiet", "Nothing but results and errors.")
end

--- What a picture may be told.
---@param command table
function arguments.request(command)
    local add = arguments.option
    add(command, "--type", FIELD.type.meaning .. " (FLUX2_TYPE; default pro)."):argname "<pro|flex>":choices(
        FIELD.type.allowed)
    add(command, "--aspect-ratio", "Width to height, such as 16:9 or 9:16 (FLUX2_ASPECT_RATIO; default 1:1).")
        :argname "<W:H>"
    add(command, "--resolution", "1K or 2K (FLUX2_RESOLUTION; default 1K)."):argname "<1K|2K>":choices(
        FIELD.resolution.allowed)
    add(command, "--input-url", "URL of an image to start from; up to 8 times."):argname "<url>":count "*"
        :target "input_urls"
    add(command, "--extra", "JSON object of further fields, sent as they are.", values.object):argname "<json>"
end

--- How the service is reached.
---@param command table
function arguments.connection(command)
    local add = arguments.option
    add(command, "--timeout", ("Seconds that a task may take (FLUX2_TIMEOUT; default %d)."):format(
        settings.defaults.timeout), values.seconds):argname "<seconds>"
    add(command, "--poll-interval", "Seconds between two looks at a task (FLUX2_POLL_INTERVAL); by default they " ..
        "follow how long tasks take.", values.seconds):argname "<seconds>"
    add(command, "--base-url", "Another address than the service's (FLUX2_BASE_URL)."):argname "<url>"
    add(command, "--proxy", "Proxy, as a URL (FLUX2_PROXY, or what libcurl reads: HTTPS_PROXY, NO_PROXY).")
        :argname "<url>"
    add(command, "--ca-file", "Certificates to trust (FLUX2_CA_FILE, SSL_CERT_FILE)."):argname "<file>"
    command:flag("--insecure-http", "Send the key over plain http to another machine.")
end

--- Puts environment variables in the place of options that were not given.
---@param args table
---@param getenv? fun(name: string): string?
---@return boolean? ok
---@return flux2.Error? err
function arguments.complete(args, getenv)
    for _, variable in ipairs(arguments.variables) do
        local name, target, convert = variable[1], variable[2], variable[4]
        local word = target and (getenv or os.getenv)(name)
        if word and word ~= "" and args[target] == nil then
            local value, reason = word, nil
            if convert then value, reason = convert(word) end
            if value == nil then return nil, errors.new("invalid_request", name .. " " .. reason) end
            args[target] = value
        end
    end
    return true
end

--- The request that the options describe.
---@param args table
---@param prompt string
---@return flux2.Request
function arguments.to_request(args, prompt)
    local urls = args.input_urls
    return {
        prompt = prompt, type = args.type, aspect_ratio = args.aspect_ratio, resolution = args.resolution,
        input_urls = urls and #urls > 0 and urls or nil, extra = args.extra,
    }
end

--- All of a file, or of stdin for "-"; who sits at a terminal is told that they are waited for.
---@param path string
---@param out? flux2.Terminal
---@return string? bytes
---@return flux2.Error? err
function arguments.read(path, out)
    if path == "-" and out and core.is_terminal(0) then out:say "Reading stdin; Ctrl-D ends it." end
    local file, reason = io.stdin, nil
    if path ~= "-" then file, reason = io.open(path, "rb") end
    local bytes
    if file then bytes, reason = file:read "*a" end
    if file and path ~= "-" then file:close() end
    if bytes then return bytes end
    return nil, errors.new("io", "cannot read " .. (path == "-" and "stdin" or text.show(path)) .. ": " ..
        tostring(reason or "it is no file"):gsub("^.*: ", ""))
end

return arguments
