--- The main loop of the tester's Lua state: responds to requests of the page and runs flux2.update().
-- Redacts the API key from every response. csrc/tester/tester_server.c has already checked the origin of each request.

local core = require "flux2.core"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local json = require "flux2.json"
local request = require "flux2.request"
local session = require "flux2.tester.session"
local snippets = require "flux2.tester.snippets"
local text = require "flux2.text"
local Thumbnails = require "flux2.tester.thumbnails"
local url = require "flux2.url"
local version = require "flux2.version"
local waits = require "flux2.waits"

local LONG_POLL = 15 -- seconds that a request for events waits for an event
local HTTP_OF_KIND = { invalid_request = 422, not_found = 404, budget = 422 }

-- The page ------------------------------------------------------------------------------------------------------------

local TYPES = {
    css = "text/css; charset=utf-8", html = "text/html; charset=utf-8", js = "text/javascript; charset=utf-8",
    svg = "image/svg+xml",
}

--- The files in the folder "page" that are served.
local FILES = {
    "index.html", "style.css", "icon.svg", "main.js", "api.js", "dom.js", "form.js", "ratios.js", "inputs.js",
    "code.js", "task-view.js", "gallery.js", "failure.js",
}

--- Reads all files. Raises an error if one is missing (an incomplete installation).
local function read_files()
    local folder = (debug.getinfo(1, "S").source:match "^@(.*)service%.lua$" or "") .. "page/"
    local files = {}
    for _, name in ipairs(FILES) do
        local file = assert(io.open(folder .. name, "rb"))
        files[name] = { type = TYPES[name:match "%.(%w+)$"], bytes = file:read "*a" }
        file:close()
    end
    return files
end

local function describe_fields(provider)
    local list = {}
    for i, field in ipairs(provider.fields) do
        list[i] = {
            name = field.name, type = field.type, required = field.required or false, default = field.default,
            allowed = field.allowed, min = field.min, max = field.max, meaning = field.meaning,
        }
    end
    return list
end

--- The price of each combination of type and resolution; `credits` is nil if the service publishes none.
local function list_prices(provider)
    local list = {}
    for _, kind in ipairs(provider.by_name.type.allowed) do
        for _, resolution in ipairs(provider.by_name.resolution.allowed) do
            local priced = { type = kind, resolution = resolution }
            priced.credits = request.price(provider, priced)
            list[#list + 1] = priced
        end
    end
    return list
end

-- Responses -----------------------------------------------------------------------------------------------------------

local redact

local function contains(value, key)
    if type(value) == "string" then return value:find(key, 1, true) ~= nil end
    if type(value) ~= "table" then return false end
    for name, member in pairs(value) do
        if contains(name, key) or contains(member, key) then return true end
    end
    return false
end

--- Redacts a string that may contain JSON, in which characters of the key may be escaped. Complete JSON is decoded
--- first; in truncated JSON the usual escapes are redacted.
local function redact_text(value, key)
    if value:find("\\", 1, true) then
        local decoded = json.decode(value)
        if contains(decoded, key) then value = json.encode(redact(decoded, key), "a response") or "" end
        value = errors.redact(value, (key:gsub("[\"\\/]", "\\%0")))
    end
    return errors.redact(value, key)
end

--- Redacts the API key in all strings of a value.
function redact(value, key)
    if type(value) == "string" then return redact_text(value, key) end
    if type(value) ~= "table" then return value end
    local out = {}
    for name, member in pairs(value) do
        out[type(name) == "string" and errors.redact(name, key) or name] = redact(member, key)
    end
    return out
end

--- Replaces bytes that JSON cannot encode: a raw response may hold any bytes.
local function make_utf8(value)
    if type(value) == "string" and not json.encode(value, "text") then
        return (value:gsub("[\128-\255]", "\239\191\189"))
    end
    if type(value) ~= "table" then return value end
    local out = {}
    for name, member in pairs(value) do out[name] = make_utf8(member) end
    return out
end

--- `unredacted` has further members, which may contain the key of an emulator.
local function respond(self, status, value, unredacted)
    local redacted = redact(value, self.key)
    for name, member in pairs(unredacted or {}) do redacted[name] = member end
    local body, reason = json.encode(redacted, "the response")
    if not body then body, reason = json.encode(make_utf8(redacted), "the response") end
    if not body then error(reason) end
    return status, "application/json", body
end

local function respond_error(self, err)
    return respond(self, HTTP_OF_KIND[err.kind] or 502, { error = session.describe_error(err) })
end

-- Routes -------------------------------------------------------------------------------------------------------------

local posts, gets, actions = {}, {}, {} -- actions: POST to tasks/ID/ACTION

--- Returns the unchecked `request` of the body.
local function given_request(body)
    local decoded = json.decode(body)
    local given = type(decoded) == "table" and decoded.request
    if type(given) ~= "table" then
        return nil, errors.new("invalid_request", "the body contains no request")
    end
    return given
end

--- Validates a request; returns its price and its code snippets.
function posts.check(self, _, body)
    local given, err = given_request(body)
    if not given then return respond_error(self, err) end
    local payload
    payload, err = request.build(self.provider, given)
    local credits, unpublished = request.price(self.provider, payload or {})
    local result = { price = credits, unpublished = unpublished }
    if not payload then
        result.error, result.errors = session.describe_error(err), {}
        for i, problem in ipairs(request.problems(self.provider, given)) do
            result.errors[i] = session.describe_error(problem)
        end
        result.price, result.unpublished = nil, nil
        return respond(self, 200, result)
    end
    local code = {
        json = snippets.json(self.provider, payload),
        curl = snippets.curl(self.provider, payload, self.base_url, self.shown_key),
        lua = snippets.lua(self.provider, payload, self.base_url, self.shown_key),
    }
    if self.shown_key then return respond(self, 200, result, { code = code }) end
    result.code = code
    return respond(self, 200, result)
end

function posts.tasks(self, _, body)
    local given, err = given_request(body)
    local id
    if given then id, err = self.session:submit(given) end
    if not id then return respond_error(self, err) end
    return respond(self, 200, { id = id })
end

local function task_action(action)
    return function(self, id)
        local ok, err = self.session[action](self.session, tonumber(id))
        if not ok then return respond_error(self, err) end
        return respond(self, 200, { ok = true })
    end
end

actions.cancel, actions.resume = task_action "cancel", task_action "resume"

function gets.about(self)
    return respond(self, 200, self.about)
end

function gets.events(self, _, query)
    local after = tonumber(query.after)
    if not (after and after >= 0 and after < math.huge) then after = 0 end -- Lua 5.1 parses "nan"
    return respond(self, 200, self.session:events_after(after, LONG_POLL))
end

function gets.images(self, name)
    local id, index = name:match "^(%d+)/(%d+)$"
    local bytes, content_type = nil, nil
    if id then bytes, content_type = self.session:image(tonumber(id), tonumber(index)) end
    if not bytes then return respond_error(self, errors.new("not_found", "the image is no longer available")) end
    return 200, content_type, bytes
end

function gets.thumbnail(self, _, query)
    local bytes, content_type = self.thumbnails:get(query.url)
    if not bytes then return respond_error(self, content_type) end
    return 200, content_type, bytes
end

function gets.page(self, name)
    local file = self.files[name]
    if not file then return respond_error(self, errors.new("not_found", "unknown file")) end
    return 200, file.type, file.bytes
end

-- Dispatch ------------------------------------------------------------------------------------------------------------

--- Returns status, content type and body of the response.
local function route(self, method, target, body)
    local path, query = target:match "^/([^?]*)%??(.*)$"
    if path == "" and method == "GET" then return gets.page(self, "index.html") end
    if method == "GET" then
        local name, rest = path:match "^([%l]+)/?(.*)$"
        local get = gets[name or ""]
        if get then return get(self, rest, url.parse_query(query)) end
    else
        local id, action = path:match "^tasks/(%d+)/(%l+)$"
        local post = action and actions[action] or not action and posts[path]
        if post then return post(self, id, body) end
    end
    return respond_error(self, errors.new("not_found", "unknown path"))
end

--- Responds to a request, possibly later. An error affects only this request.
local function serve(self, id, method, target, body)
    local co = coroutine.create(function()
        self.server:respond(id, route(self, method, target, body))
    end)
    waits.own(co, function(e, traceback)
        local fault = text.clean(errors.redact(traceback or tostring(e), self.key), 4000)
        io.stderr:write("flux2 tester: ", fault, "\n")
        self.server:respond(id, 500, "application/json",
            '{"error":{"kind":"io","message":"internal error of the tester"}}')
    end)
    waits.resume(co)
end

local function new(server, config)
    local client = assert(flux2.new(config.client))
    local base_url, provider = client._config.base_url, client._config.provider
    local key = client._config.get_key()
    -- The key of an emulator is no secret: with it the code runs as copied.
    local is_emulator = config.emulator and base_url:find "^http://127%.0%.0%.1:%d+$"
    return {
        server = server, provider = provider, key = key, shown_key = is_emulator and key or nil,
        base_url = base_url, files = read_files(), session = session.new(client, core.now),
        thumbnails = Thumbnails.new(config.client),
        about = {
            base_url = base_url, emulator = config.emulator, version = version._VERSION,
            fields = describe_fields(provider), prices = list_prices(provider),
        },
    }
end

---@param server userdata next, respond, wait
---@param config string JSON: client (the options of flux2.new), emulator
---@return fun() run responds until the tester is stopped
return function(server, config)
    local self = new(server, assert(json.decode(config)))
    local descriptor = assert(flux2.fileno())
    return function()
        while server:wait(descriptor, 60) do
            flux2.update()
            local id, method, target, body = server:next()
            while id do
                serve(self, id, method, target, body)
                id, method, target, body = server:next()
            end
        end
    end
end
