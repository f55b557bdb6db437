--- The configuration of a client: checks options and environment, and makes the two profiles of the engine. Only the
-- profile for the service contains the API key; the one for images does not.

local core = require "flux2.core"
local errors = require "flux2.errors"
local providers = require "flux2.provider"
local request = require "flux2.request"
local request_log = require "flux2.request_log"
local validate = require "flux2.validate"
local image_signature = require "flux2.image_signature"
local spool = require "flux2.spool"
local tables = require "flux2.tables"
local text = require "flux2.text"
local url = require "flux2.url"
local version = require "flux2.version"

local config = {}

local DEFAULT_PORTS = { http = "80", https = "443" }
local MIB = 2 ^ 20

---@class flux2.Options Options of flux2.new. All are optional, but a key is required.
---@field provider? string|flux2.Provider the service: the name of a known provider or a table that describes one;
---  default FLUX2_PROVIDER in the environment, or API in One
---@field api_key? string default FLUX2_API_KEY in the environment, or the variable of the provider
---@field base_url? string default FLUX2_BASE_URL in the environment, or the variable of the provider, or its base URL
---@field timeout? number seconds for a whole task, default 600
---@field connect_timeout? number seconds, default 15
---@field silence_timeout? number seconds without a byte after which a request fails, default 60
---@field request_timeout? number seconds for one request that is not a download, default 180
---@field max_retries? integer the number of repetitions of a refused submission or of client:status, default 2
---@field max_connections? integer the number of concurrent requests of this client, default 8
---@field max_tasks? integer the number of unfinished tasks of this client, default 10,000
---@field max_submissions_per_second? number submissions per second, after a burst of as many; further ones wait;
---  default 20
---@field max_redirects? integer the number of redirects of an image download, default 5; other requests follow none
---@field max_event_bytes? integer bytes of events that wait for flux2.update, default 256 MiB; beyond it no request is
---  started
---@field max_response_bytes? integer bytes of one response, default 32 MiB
---@field max_image_bytes? integer bytes of one image, default 64 MiB
---@field max_header_bytes? integer bytes of all headers of one response, default 64 KiB
---@field poll? flux2.PollOptions when tasks are polled
---@field budget? number credits that the submissions of this client may cost; default unlimited
---@field prices? table[] instead of the prices of the provider: rows of fields and their values, and `credits`, as in
---  flux2.Provider
---@field spool? string a directory for the records of paid tasks, for client:recover; created if missing; default none
---@field proxy? string a URL; default from the environment (https_proxy, no_proxy); never used for this machine
---@field ca_file? string trusted certificates; default SSL_CERT_FILE in the environment, or the system's
---@field insecure_http? boolean allows plain http to another machine, which reveals the key on the network
---@field log? (fun(line: string))|boolean receives a line for each HTTP request: method, URL, status, duration, sizes
---  and request id, without the key; true: stderr, false: none. Default: true with FLUX2_LOG=debug in the environment
---@field headers? table<string, string> further headers of requests to the service, for a proxy or gateway; images are
---  requested without them. Not those that flux2 sets itself
---@field metadata? boolean saved images say how they were made: prompt, parameters, provider, task, time, and "made by
---  AI"; in the file or, where it cannot hold that, beside it in NAME.json; default false
---@field upload? fun(file: flux2.InputFile): string?, string? publishes a local input image for a provider that takes
---  URLs only: returns its URL, or nil and the reason. Called once per content, in the coroutine that submits
---@field user_agent? string default "flux2-lua/VERSION"

---@class flux2.PollOptions When running tasks are polled.
---@field interval? number seconds between two polls; default: polls at the likely end of a task, by the durations of
---  earlier tasks in this process. Also the longest pause before the first repetition of a failed request, if it is
---  less than 0.5
---@field patience? number seconds for which all polls, or all attempts of a download, may fail before the wait ends
---  with an error, default 120. A task from client:task that the service never reported fails after 3 s
---@field per_second? number polls per second of all tasks of the client, default 20; unlimited with an interval

-- The largest values that the engine accepts.
local MAX, MAX_BYTES = 1e6, 1e15
local SECONDS, COUNT, BYTES = { "seconds", most = MAX }, { "count", most = MAX }, { "bytes", most = MAX_BYTES }

--- Every option of flux2.new, with the kind of its value. Options without `most` are used in Lua, or capped below.
config.known = {
    api_key = "string", base_url = "string", budget = "credits", ca_file = "string", connect_timeout = SECONDS,
    headers = "table",
    request_timeout = SECONDS, insecure_http = "boolean", log = "log", max_connections = COUNT, max_event_bytes = BYTES,
    max_header_bytes = BYTES, max_image_bytes = BYTES, max_redirects = "count", max_response_bytes = BYTES,
    max_retries = { "count", most = MAX - 1 }, max_submissions_per_second = "rate", metadata = "boolean",
    max_tasks = "positive", poll = "table", prices = "table", provider = "provider", proxy = "string",
    silence_timeout = SECONDS, spool = "string", timeout = "seconds", upload = "function", user_agent = "string",
}

config.known_of_poll = { interval = SECONDS, patience = SECONDS, per_second = "rate" }

local PATIENCE, POLL_RATE = 120, 20 -- defaults of poll.patience and poll.per_second

--- The other defaults, in seconds and bytes.
config.defaults = {
    timeout = 600, -- a task takes 14 s at the median and 40 s at the 95th percentile
    connect_timeout = 15,
    silence_timeout = 60,
    request_timeout = 180,
    max_retries = 2,
    max_connections = 8,
    max_tasks = 10000,
    max_submissions_per_second = 20,
    max_redirects = 5,
    max_event_bytes = 256 * MIB,
    max_header_bytes = 64 * 1024,
    max_response_bytes = 32 * MIB, -- a response may contain the image in Base64
    max_image_bytes = 64 * MIB,
}

--- A variable of the environment in UTF-8, which os.getenv does not read on Windows.
---@param name string
---@return string?
function config.getenv(name)
    local value = os.getenv(name)
    return value and value:find "[?\128-\255]" and core.getenv(name) or value
end

local function from_environment(name)
    local value = name and config.getenv(name)
    if value == "" then return nil end
    return value
end

local function check_text(what, value)
    local at = value:find("[%c\127]")
    if at then
        return nil, errors.new("invalid_request", what .. " holds a control character (byte " .. at .. ")" ..
            (value:find("^[^%c]*[\r\n]+$") and ": a line break at its end?" or ""))
    end
    return true
end

local function check_key(key, provider)
    if not key then
        local variable, example = provider.environment.api_key, (provider.key_prefix or "") .. "..."
        local set = variable and "set " .. variable .. " in the environment, or " or ""
        return nil, errors.new("auth", "no API key: " .. set .. "give flux2.new { api_key = \"" .. example .. "\" }")
    end
    if key:find("[^\33-\126]") then
        return nil, errors.new("auth", "the API key holds a space, a line break or another character that no key has")
    end
    return key
end

--- Whether a host is certainly this machine: libcurl does not resolve these names.
local function is_loopback(host)
    if host == "localhost" or host == "[::1]" then return true end
    local a, b, c = host:match "^127%.(%d+)%.(%d+)%.(%d+)$"
    return a ~= nil and tonumber(a) <= 255 and tonumber(b) <= 255 and tonumber(c) <= 255
end

local function refuse(what, value, reason)
    return nil, errors.new("invalid_request", what .. " " .. text.show(url.mask(value)) .. " was refused: " .. reason)
end

--- Returns the base URL without the root of the provider, and its parts, including `origin`.
local function check_base_url(value, root, insecure)
    local ok, reason = url.check(value)
    if not ok then return refuse("base_url", value, reason) end
    local parts, why = core.url(value)
    if not parts then return refuse("base_url", value, why) end
    if parts.user then return refuse("base_url", value, "it holds a user name") end
    if value:find("[?#]") then return refuse("base_url", value, "it has a query or a fragment") end
    parts.host = parts.host:lower()
    if parts.scheme == "http" and not insecure and not is_loopback(parts.host) then
        return refuse("base_url", value, "plain http would reveal the API key on the network; use https, " ..
            "or insecure_http = true if you are sure")
    end
    local path = parts.path:gsub("/+$", "")
    if root ~= "" and path:sub(-#root) == root then path = path:sub(1, -#root - 1) end
    local port = parts.port ~= DEFAULT_PORTS[parts.scheme] and ":" .. parts.port or ""
    parts.origin = parts.scheme .. "://" .. parts.host .. port
    return parts.origin .. path, parts
end

--- The environment variables in which libcurl looks for a proxy, by the scheme of the URL.
local PROXY_VARIABLES = {
    http = { "http_proxy", "all_proxy", "ALL_PROXY" },
    https = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" },
}

--- Returns the proxy for the service, and the option or variable that names it.
local function find_proxy(o, parts)
    if o.proxy then return o.proxy, "proxy" end
    local except = os.getenv "no_proxy" or os.getenv "NO_PROXY"
    if except == "*" or is_loopback(parts.host) then return nil end
    for _, name in ipairs(PROXY_VARIABLES[parts.scheme]) do
        local value = from_environment(name)
        if value then return value, name .. " in the environment" end
    end
end

--- Checks the proxy. Returns its user name and password, as a list of texts that must not be shown.
local function check_proxy(o, parts)
    local address, what = find_proxy(o, parts)
    if not address then return {} end
    local ok, reason = url.check_proxy(address)
    if not ok then return refuse(what, address, reason) end
    return url.secrets(address)
end

--- Returns the CA bundle. libcurl parses a named one once, and not for every connection.
local function find_ca_file(given)
    return given or from_environment "SSL_CERT_FILE" or core.ca_file()
end

--- The members of both profiles. `service`: see read_service.
local function common(o, service)
    return {
        secrets = service.secrets,
        observed = service.log and true or false,
        user_agent = o.user_agent or ("flux2-lua/" .. version._VERSION),
        proxy = o.proxy,
        ca_file = service.ca_file,
        connect_timeout = o.connect_timeout,
        silence_timeout = o.silence_timeout,
        request_timeout = o.request_timeout,
        max_headers = o.max_header_bytes,
        max_attempts = o.max_retries + 1,
        patience = o.poll and o.poll.patience or PATIENCE,
        poll_interval = o.poll and o.poll.interval,
        max_in_flight = math.max(1, o.max_connections),
        max_queued = o.max_event_bytes,
        response = service.provider.schema,
        traces = service.provider.trace_headers,
    }
end

--- Headers that flux2 or libcurl sets. In lower case.
local OWN_HEADERS = {
    accept = true, ["accept-encoding"] = true, connection = true, ["content-length"] = true, ["content-type"] = true,
    expect = true, host = true, ["proxy-authorization"] = true, te = true, ["transfer-encoding"] = true,
    upgrade = true, ["user-agent"] = true,
}

local function sets_header(provider, name)
    for _, line in ipairs(provider.headers) do
        if line:match("^[^:]+"):lower() == name then return true end
    end
    return OWN_HEADERS[name] or false
end

--- Checks the option `headers`. Returns them as lines, sorted, and the values that must not be shown.
local function read_headers(given, provider)
    local lines, secrets = {}, {}
    for name, value in pairs(given or {}) do
        local shown = "headers[" .. text.show(name) .. "]"
        if type(name) ~= "string" or not name:find "^[%w!#$&'*+.^_`|~-]+$" then
            return nil, errors.new("invalid_request", shown .. ": this is not the name of a header")
        elseif sets_header(provider, name:lower()) then
            return nil, errors.new("invalid_request", shown .. ": flux2 sets this header itself")
        elseif type(value) ~= "string" or value == "" then
            return nil, errors.new("invalid_request", shown .. " must be a string that is not empty")
        end
        local ok, err = check_text(shown, value)
        if not ok then return nil, err end
        lines[#lines + 1] = name .. ": " .. value
        if errors.is_secret_name(name) then secrets[#secrets + 1] = value end
    end
    table.sort(lines)
    return lines, secrets
end

--- Returns the headers of a request without a body, and of one with a body.
local function headers_of(provider, key, more, content_type)
    local headers = { "Accept: application/json" }
    for _, line in ipairs(more) do headers[#headers + 1] = line end
    for _, line in ipairs(provider.headers) do
        headers[#headers + 1] = line:gsub("{key}", function() return key end)
    end
    -- "Expect:" without a value disables 100-continue: libcurl would repeat a request that was refused with 417.
    local body_headers = { "Content-Type: " .. content_type, "Expect:" }
    for _, line in ipairs(headers) do body_headers[#body_headers + 1] = line end
    return headers, body_headers
end

local function service_profile(o, service, content_type)
    local p, key = common(o, service), service.key
    -- The service counts by key: all clients with the same key share the limits.
    p.limit_group = service.base .. "\n" .. key
    p.headers, p.body_headers = headers_of(service.provider, key, service.headers, content_type)
    p.compressed = true
    p.max_body = o.max_response_bytes
    p.poll_rate = math.min(o.poll and (o.poll.per_second or o.poll.interval and 0) or POLL_RATE, MAX)
    p.submission_rate = math.min(o.max_submissions_per_second, MAX)
    p.origins = service.origins
    p.max_redirects = 0 -- a redirect must not receive the key
    return core.profile(p)
end

local function image_profile(o, service)
    local p = common(o, service)
    p.headers = { "Accept: image/*" }
    p.max_body = o.max_image_bytes
    p.max_redirects = math.min(o.max_redirects, MAX)
    p.durable = o.spool ~= nil -- a record is removed only after its image is flushed to the disk
    p.request_timeout = 0 -- a large image may take long; silence_timeout detects a dead connection
    p.signatures = {}
    for i, signature in ipairs(image_signature.list) do p.signatures[i] = signature.pattern end
    return core.profile(p)
end

local function check_texts(o)
    for _, name in ipairs { "user_agent", "proxy", "ca_file", "spool" } do
        if o[name] then
            local ok, err = check_text(name, o[name])
            if not ok then return nil, err end
        end
    end
    return true
end

--- The service of a client: key, address, the origins that may receive the key, the texts to redact, the CA bundle.
local function read_service(o, provider)
    local key, err = check_key(o.api_key or from_environment(provider.environment.api_key), provider)
    if not key then return nil, err end
    local address = o.base_url or from_environment(provider.environment.base_url) or provider.base_url
    local base, parts = check_base_url(address, provider.root, o.insecure_http)
    if not base then return nil, parts end
    local ok
    ok, err = check_texts(o)
    if not ok then return nil, err end
    local secrets, log
    secrets, err = check_proxy(o, parts)
    if not secrets then return nil, err end
    log, err = request_log.find(o.log, from_environment "FLUX2_LOG")
    if err then return nil, err end
    local headers, hidden = read_headers(o.headers, provider)
    if not headers then return nil, hidden end
    for _, value in ipairs(hidden) do secrets[#secrets + 1] = value end
    secrets[#secrets + 1] = key
    local origins = { parts.origin }
    for i, origin in ipairs(provider.origins) do origins[i + 1] = origin end
    return {
        provider = provider, key = key, base = base, host = parts.host, secrets = secrets, origins = origins,
        ca_file = find_ca_file(o.ca_file), log = log, headers = headers,
    }
end

local function complete(o, service, submit_url, opened)
    local provider, base = service.provider, service.base
    return {
        get_key = function() return service.key end, -- a function, so that no dump of a table shows the key
        budget = o.budget,
        spool = opened,
        log = service.log,
        upload = o.upload,
        metadata = o.metadata or false,
        uploads = {}, -- digest of an image -> the URL from `upload`, or an upload of flux2.transport
        reported_prices = {}, -- the lines of request_log.write_price, as keys
        base_url = base,
        host = service.host,
        origins = service.origins,
        provider = provider,
        submit_url = submit_url, -- a function of the payload
        -- With {id} in it; nil if only the response to a submission contains the poll URL.
        task_url = provider.routes.task and base .. provider.root .. provider.routes.task,
        timeout = o.timeout,
        max_response_bytes = o.max_response_bytes,
        max_image_bytes = o.max_image_bytes,
        max_redirects = o.max_redirects,
        limits = { -- that delay a submission
            max_submissions_per_second = o.max_submissions_per_second, max_connections = o.max_connections,
            max_event_bytes = o.max_event_bytes,
        },
        max_tasks = o.max_tasks,
        tasks = 0, -- the number of unfinished tasks of this client
        service = service_profile(o, service, "application/json"),
        -- Of a service that takes input images.
        upload_url = provider.upload and base .. provider.upload.path,
        uploader = provider.upload and service_profile(o, service, "application/octet-stream"),
        images = image_profile(o, service),
    }
end

--- Reads the options of flux2.new.
---@param given table?
---@param level integer the level of `error` for an invalid option
---@return table? config
---@return flux2.Error?
function config.read(given, level)
    given = validate.options("flux2.new", given, config.known, level + 1)
    if given.poll then
        given.poll = validate.options("flux2.new: poll", given.poll, config.known_of_poll, level + 1)
    end
    local o = tables.merge({}, config.defaults, given)
    if o.provider == nil and providers.unknown then
        local name, known = text.show(providers.unknown), table.concat(providers.names, ", ")
        local message = "FLUX2_PROVIDER names no provider: " .. name .. "; known are " .. known
        return nil, errors.new("invalid_request", message)
    end
    local provider, wrong = providers.resolve(o.provider)
    if not provider then error("flux2.new: " .. wrong, level + 1) end
    if not provider.schema then
        local ok, schema = pcall(core.response_schema, provider.response)
        if not ok then error("flux2.new: provider.response: " .. (schema:match "%((.*)%)$" or schema), level + 1) end
        provider.schema = schema
    end
    if o.prices then provider, wrong = providers.with_prices(provider, o.prices) end
    if not provider then error("flux2.new: " .. wrong, level + 1) end
    local service, err = read_service(o, provider)
    if not service then return nil, err end
    local function submit_url(payload) return service.base .. provider.root .. request.path(provider, payload) end
    local opened
    if o.spool then
        opened, err = spool.open(o.spool, provider.schema, submit_url)
        if not opened then return nil, err end
    end
    return complete(o, service, submit_url, opened)
end

return config
