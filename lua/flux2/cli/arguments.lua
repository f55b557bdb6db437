--- Options that several commands share. Owns their descriptions; flux2.cli.settings has their defaults.

local core = require "flux2.core"
local errors = require "flux2.errors"
local providers = require "flux2.provider"
local config = require "flux2.config"
local settings = require "flux2.cli.settings"
local suggest = require "flux2.suggest"
local text = require "flux2.text"
local values = require "flux2.cli.values"

local arguments = {}

local MAX_BYTES = 2 ^ 27 -- of a list

local FIELD = providers.resolve().by_name

--- Adds an option whose value `convert` parses.
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

--- Adds the flags that every command has.
---@param command table
function arguments.output(command)
    command:flag("--json", "Print results and errors as JSON on stdout, one object per line.")
    command:flag("-q --quiet", "Print only results and errors.")
    command:option("--color", "Use colours and show images (NO_COLOR, CLICOLOR_FORCE; default auto: on a terminal).")
        :argname "<when>":choices { "auto", "always", "never" }
end

--- Adds the options for the fields of a request.
---@param command table
function arguments.request(command)
    local add = arguments.option
    add(command, "--type", FIELD.type.meaning .. " (FLUX2_TYPE; default pro)."):argname "<pro|flex>":choices(
        FIELD.type.allowed)
    add(command, "--aspect-ratio", "Aspect ratio, such as 16:9 or 9:16 (FLUX2_ASPECT_RATIO; default 1:1).",
        values.field "aspect_ratio"):argname "<W:H>"
    add(command, "--resolution", "Resolution (FLUX2_RESOLUTION; default 1K)."):argname "<1K|2K>":choices(
        FIELD.resolution.allowed)
    add(command, "--input-url", "URL of an input image; can be given up to 8 times.", values.input_url)
        :argname "<url>":count "*"
        :target "input_urls"
    add(command, "--input", "File of an input image, for a provider that takes files; can be given several times.")
        :argname "<file>":count "*":target "input_images"
    add(command, "--extra", "JSON object of additional request fields.", values.object):argname "<json>"
end

--- Adds the option of the commands that save images.
---@param command table
function arguments.metadata(command)
    command:flag("--no-metadata", "Do not write into images how they were made (FLUX2_METADATA=false). See flux2 show.")
        :target "metadata":action "store_false"
end

--- Adds the options of the connection.
---@param command table
function arguments.connection(command)
    local add = arguments.option
    add(command, "--timeout", ("Time limit of a task in seconds (FLUX2_TIMEOUT; default %d)."):format(
        config.defaults.timeout), values.seconds):argname "<seconds>"
    add(command, "--poll-interval", "Seconds between polls of a task (FLUX2_POLL_INTERVAL; by default derived " ..
        "from the durations of earlier tasks).", values.seconds):argname "<seconds>"
    add(command, "--patience", ("Seconds for which failing polls and downloads are retried (FLUX2_PATIENCE; " ..
        "default %d)."):format(settings.patience), values.seconds)
        :argname "<seconds>"
    add(command, "--base-url", "Base URL of the API (FLUX2_BASE_URL).", values.text):argname "<url>"
    add(command, "--proxy", "Proxy URL (FLUX2_PROXY; by default HTTPS_PROXY and NO_PROXY apply).",
        values.text):argname "<url>"
    add(command, "--ca-file", "PEM file of trusted certificates (FLUX2_CA_FILE, SSL_CERT_FILE).", values.text)
        :argname "<file>"
    command:flag("--insecure-http", "Allow sending the key over plain HTTP to another machine (FLUX2_INSECURE_HTTP).")
    command:flag("-v --verbose", "Print each HTTP request and its response on stderr (FLUX2_LOG=debug).")
end

-- Fields with an option of their own, or of flux2.
local HAS_OPTION = {
    aspect_ratio = true, input_urls = true, model = true, prompt = true, resolution = true, type = true,
}

--- Adds the object of --extra: fields of the provider without an option, such as a seed, and `extra`.
local function add_extra(request, extra)
    for name, value in pairs(extra or {}) do
        if FIELD[name] and not HAS_OPTION[name] then
            request[name] = value
        else
            request.extra = request.extra or {}
            request.extra[name] = value
        end
    end
end

--- Returns the request that the options describe.
---@param args table
---@param prompt string
---@return flux2.Request
function arguments.to_request(args, prompt)
    local urls, files = args.input_urls, args.input_images
    local request = {
        prompt = prompt, type = args.type, aspect_ratio = args.aspect_ratio, resolution = args.resolution,
        input_urls = urls and #urls > 0 and urls or nil, input_images = files and #files > 0 and files or nil,
    }
    add_extra(request, args.extra)
    return request
end

--- Reads a pipe or a device to its end, which may never come.
local function read_stream(file)
    local parts, size = {}, 0
    repeat
        local part, reason = file:read(2 ^ 20)
        if reason then return nil, reason end
        parts[#parts + 1] = part
        size = size + #(part or "")
    until not part or size > MAX_BYTES
    if size > MAX_BYTES then return nil, ("it holds more than %d bytes"):format(MAX_BYTES) end
    return table.concat(parts)
end

--- Returns advice about a file that cannot be read: a file with a similar name, or false.
local function read_advice(path, why)
    if path == "-" or why ~= "missing" then return false end
    local directory, name = path:match "^(.*/)([^/]*)$"
    local near = suggest.nearest(name or path, core.list(directory or ".") or {})
    return near and "Did you mean " .. text.clean((directory or "") .. near, 300) .. "?" or "Check the path."
end

--- Reads a file, or stdin for "-". If stdin is a terminal, a message says that input is expected.
---@param path string
---@param out? flux2.Terminal
---@return string? bytes
---@return flux2.Error? err
function arguments.read(path, out)
    if path == "-" and out and core.is_terminal(0) then out:say "Reading stdin; end it with Ctrl-D." end
    local file, bytes, reason, why = io.stdin, nil, nil, "special"
    if path ~= "-" then bytes, reason, why = core.read_file(path, MAX_BYTES) end
    if bytes then return bytes end
    -- A pipe, for example of the shell's <(...).
    if path ~= "-" and why == "special" then file, reason = io.open(path, "rb") end
    if file and why == "special" then bytes, reason = read_stream(file) end
    if file and path ~= "-" then file:close() end
    if bytes then return bytes end
    reason = tostring(reason or "it is not a file"):gsub("^.*: ", "")
    return nil, errors.new("io", "cannot read " .. (path == "-" and "stdin" or text.show(path)) .. ": " .. reason,
        { advice = read_advice(path, why) })
end

--- Checks the option --output. With -o - stdout contains only the bytes of the image.
---@param args table output, count
---@param out flux2.Terminal
---@return flux2.Error? err
function arguments.check_stdout(args, out)
    if args.output ~= "-" then return nil end
    if (args.count or 1) > 1 then return errors.new("invalid_request", "-o - writes one image, not " .. args.count) end
    if out.json then return errors.new("invalid_request", "-o - and --json cannot both write to stdout") end
    if out.shows then return errors.new("invalid_request", "-o - needs a pipe or a file: stdout is a terminal") end
    if core.is_writable(1) then return nil end
    return errors.new("io", "-o - writes to stdout, which is closed", { advice = false })
end

return arguments
