--- What a client was told: options and environment, checked and turned into what the engine needs.
-- Owns the defaults, the rule where the API key may go, and the two profiles: one for the service, with the key, and
-- one for images, without it. Starts nothing.

local core = require "flux2.core"
local errors = require "flux2.errors"
local learning = require "flux2.learning"
local options = require "flux2.options"
local response = require "flux2.response"
local slots = require "flux2.slots"
local spool = require "flux2.spool"
local text = require "flux2.text"
local url = require "flux2.url"
local version = require "flux2.version"

local settings = {}

local DEFAULT_BASE_URL = "https://apiin.one"
local API_ROOT = "/api/v1"
local DEFAULT_PORTS = { http = "80", https = "443" }
local MIB = 2 ^ 20

---@class flux2.Options What flux2.new takes. Everything is optional, but there must be a key.
---@field api_key? string default FLUX2_API_KEY in the environment
---@field base_url? string default FLUX2_BASE_URL in the environment, or else https://apiin.one
---@field timeout? number seconds for a whole task, default 600
---@field connect_timeout? number seconds, default 15
---@field silence_timeout? number seconds without a byte after which an exchange is given up, default 60
---@field exchange_timeout? number seconds for one exchange that is no download, default 180
---@field max_retries? integer how often a poll or a download is repeated after a fault, default 2
---@field max_connections? integer the number of exchanges that this client has under way at once, default 8
---@field max_tasks? integer how many tasks of this client may be alive at once, default 10,000
---@field max_submissions_per_second? number submissions per second, after as many at once; what is more waits for its
---  turn; default 20
---@field max_redirects? integer how many redirects a picture may take, default 5; nothing else follows any
---@field max_event_bytes? integer bytes of news that flux2.update has not taken, default 256 MiB; beyond it nothing
---  more is asked for
---@field max_response_bytes? integer bytes of one answer, default 32 MiB
---@field max_image_bytes? integer bytes of one picture, default 64 MiB
---@field max_header_bytes? integer bytes of all headers of one answer, default 64 KiB
---@field poll? flux2.PollOptions when to look at a task
---@field budget? number credits that the submissions of this client may cost; none
---@field spool? string a directory where paid tasks are kept for client:recover, made if it is not there; none
---@field proxy? string a URL; default as the environment says (https_proxy, no_proxy)
---@field ca_file? string certificates to trust; default SSL_CERT_FILE in the environment, or else the system's
---@field insecure_http? boolean plain http to another machine than this one, which shows the key on the way
---@field user_agent? string default "flux2-lua/VERSION"

---@class flux2.PollOptions When to look at a task that runs.
---@field interval? number seconds between two looks; without it they come when an end is likely, as was learnt
---@field per_second? number polls per second of all tasks of the client together, default 20; with an interval none
---@field memory? string a file that keeps how long tasks took, for later runs; none

--- What a poll waits for is paid: it may fail so many times as often as anything else before it is given up.
local POLL_PATIENCE = 4

-- The largest values that the engine takes: eleven days, a million, a thousand terabytes.
local MOST, MOST_BYTES = 1e6, 1e15
local SECONDS, COUNT, BYTES = { "seconds", most = MOST }, { "count", most = MOST }, { "bytes", most = MOST_BYTES }

--- Every option of flux2.new, with the kind of its value. What has no bound here is the Lua side's, or taken for "no
--- limit" where it is large.
settings.known = {
    api_key = "string", base_url = "string", budget = "credits", ca_file = "string", connect_timeout = SECONDS,
    exchange_timeout = SECONDS, insecure_http = "boolean", max_connections = COUNT, max_event_bytes = BYTES,
    max_header_bytes = BYTES, max_image_bytes = BYTES, max_redirects = "count", max_response_bytes = BYTES,
    max_retries = { "count", most = MOST / POLL_PATIENCE - 1 }, max_submissions_per_second = "rate",
    max_tasks = "positive", poll = "table", proxy = "string", silence_timeout = SECONDS, spool = "string",
    timeout = "seconds", user_agent = "string",
}

settings.known_of_poll = { interval = SECONDS, memory = "string", per_second = "rate" }

--- Polls per second of one client, unless it fixes the interval.
local POLL_RATE = 20

--- The defaults, all of which `flux2.new` can change. Seconds and bytes.
settings.defaults = {
    timeout = 600, -- a task takes 14 s at the median and 40 s at the 95th percentile
    connect_timeout = 15,
    silence_timeout = 60,
    exchange_timeout = 180,
    max_retries = 2,
    max_connections = 8,
    max_tasks = 10000, -- alive at once
    max_submissions_per_second = 20, -- a second's worth of it at once; what is more waits for its turn
    max_redirects = 5, -- of a picture; nothing else follows any
    max_event_bytes = 256 * MIB, -- that flux2.update has not taken; beyond it nothing more is asked for
    max_header_bytes = 64 * 1024, -- of all the headers of one answer
    max_response_bytes = 32 * MIB, -- an answer may hold its picture in Base64
    max_image_bytes = 64 * MIB,
}

local function from_environment(name)
    local value = os.getenv(name)
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

local function check_key(key)
    if not key then
        return nil, errors.new("auth", "no API key: set FLUX2_API_KEY in the environment, or give " ..
            "flux2.new { api_key = \"aio_...\" }")
    end
    if key:find("[^\33-\126]") then
        return nil, errors.new("auth", "the API key holds a space, a line break or another character that no key has")
    end
    return key
end

local function is_loopback(host)
    return host == "localhost" or host == "[::1]" or host:find("^127%.%d+%.%d+%.%d+$") ~= nil
end

local function bad_url(what, value, reason)
    return nil, errors.new("invalid_request", what .. " " .. text.show(value) .. " was refused: " .. reason)
end

--- The base URL without what is added to it, and its parts.
local function check_base_url(value, insecure)
    local ok, reason = url.check(value)
    if not ok then return bad_url("base_url", value, reason) end
    local parts, why = core.url(value)
    if not parts then return bad_url("base_url", value, why) end
    if parts.user then return bad_url("base_url", value:gsub("//[^@]*@", "//***@"), "it holds a user name") end
    if value:find("[?#]") then return bad_url("base_url", value, "it has a query or a fragment") end
    parts.host = parts.host:lower()
    if parts.scheme == "http" and not insecure and not is_loopback(parts.host) then
        return bad_url("base_url", value, "plain http would show the API key to everyone on the way; use https, " ..
            "or insecure_http = true if you are sure")
    end
    local path = parts.path:gsub("/+$", ""):gsub("/api/v1$", "")
    local port = parts.port ~= DEFAULT_PORTS[parts.scheme] and ":" .. parts.port or ""
    return parts.scheme .. "://" .. parts.host .. port .. path, parts
end

--- The CA bundle: ours to name, so that libcurl parses it once and not for every connection.
local function find_ca_file(given)
    return given or from_environment "SSL_CERT_FILE" or core.ca_file()
end

local function common(o)
    return {
        user_agent = o.user_agent or ("flux2-lua/" .. version._VERSION),
        proxy = o.proxy,
        ca_file = find_ca_file(o.ca_file),
        connect_timeout = o.connect_timeout,
        silence_timeout = o.silence_timeout,
        exchange_timeout = o.exchange_timeout,
        max_headers = o.max_header_bytes,
        max_attempts = o.max_retries + 1,
        poll_failures = POLL_PATIENCE * (o.max_retries + 1),
        max_in_flight = math.max(1, o.max_connections),
        max_queued = o.max_event_bytes,
        traces = { "x-request-id", "request-id", "x-trace-id", "cf-ray" },
    }
end

local function service_profile(o, key)
    local p = common(o)
    p.headers = { "Authorization: Bearer " .. key, "Accept: application/json" }
    -- "Expect:" without a value keeps libcurl from asking first, and from repeating a request that was refused so.
    p.body_headers = { p.headers[1], p.headers[2], "Content-Type: application/json", "Expect:" }
    p.compressed = true
    p.max_body = o.max_response_bytes
    p.poll_interval = o.poll and o.poll.interval
    p.poll_rate = math.min(o.poll and (o.poll.per_second or o.poll.interval and 0) or POLL_RATE, MOST)
    p.opening_rate = math.min(o.max_submissions_per_second, MOST)
    p.watch = response.watch
    -- The key must not follow a redirect, so none is followed.
    p.max_redirects = 0
    return core.profile(p)
end

local function image_profile(o)
    local p = common(o)
    p.headers = { "Accept: image/*" }
    p.max_body = o.max_image_bytes
    p.max_redirects = math.min(o.max_redirects, MOST)
    -- A record in the spool may go once the file outlives a power cut.
    p.durable = o.spool ~= nil
    -- A slow line may take long over 64 MiB; silence is what tells a dead connection.
    p.exchange_timeout = 0
    p.signatures = {}
    for i, signature in ipairs(response.signatures) do p.signatures[i] = signature.pattern end
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

local function with_defaults(given)
    local o = {}
    for name, value in pairs(settings.defaults) do o[name] = value end
    for name, value in pairs(given) do o[name] = value end
    return o
end

--- Reads the options of flux2.new.
---@param given table?
---@param level integer whose line to blame for an option that no program should have
---@return table? settings
---@return flux2.Error?
function settings.read(given, level)
    given = options.check("flux2.new", given, settings.known, level + 1)
    if given.poll then options.check("flux2.new: poll", given.poll, settings.known_of_poll, level + 1) end
    local o = with_defaults(given)
    local key, err = check_key(o.api_key or from_environment "FLUX2_API_KEY")
    if not key then return nil, err end
    local address = o.base_url or from_environment "FLUX2_BASE_URL" or DEFAULT_BASE_URL
    local base, parts = check_base_url(address, o.insecure_http)
    if not base then return nil, parts end
    local ok
    ok, err = check_texts(o)
    if not ok then return nil, err end
    local memory = o.poll and o.poll.memory
    if memory then
        ok, err = check_text("poll.memory", memory)
        if not ok then return nil, err end
    end
    local tray
    if o.spool then
        tray, err = spool.open(o.spool)
        if not tray then return nil, err end
    end
    return {
        key = key,
        budget = o.budget,
        spool = tray,
        learning = learning.open(memory),
        base_url = base,
        host = parts.host,
        submit_url = base .. API_ROOT .. "/images/generations",
        task_url = base .. API_ROOT .. "/tasks/",
        timeout = o.timeout,
        max_response_bytes = o.max_response_bytes,
        max_image_bytes = o.max_image_bytes,
        max_redirects = o.max_redirects,
        turns = { -- what makes a request wait for its turn
            max_submissions_per_second = o.max_submissions_per_second, max_connections = o.max_connections,
            max_event_bytes = o.max_event_bytes,
        },
        slots = slots.new(o.max_tasks),
        service = service_profile(o, key),
        images = image_profile(o),
    }
end

return settings
