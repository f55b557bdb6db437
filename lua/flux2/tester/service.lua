--- The tester's own Lua state: answers the page, and pumps flux2.
-- Owns the loop, the routes and the rule that nothing it says holds the key. Never: trusts a call. Who may call at all
-- was decided before (csrc/emulator/site.c).

local about = require "flux2.tester.about"
local core = require "flux2.core"
local errors = require "flux2.errors"
local files = require "flux2.tester.files"
local flux2 = require "flux2"
local json = require "flux2.json"
local pricing = require "flux2.pricing"
local request = require "flux2.request"
local scheduler = require "flux2.scheduler"
local session = require "flux2.tester.session"
local snippets = require "flux2.tester.snippets"
local Thumbnails = require "flux2.tester.thumbnails"

local PATIENCE = 15 -- seconds that a question for news waits for an answer
local HTTP_OF_KIND = { invalid_request = 422, not_found = 404, budget = 422 }

-- Saying --------------------------------------------------------------------------------------------------------------

local hide

local function holds(value, key)
    if type(value) == "string" then return value:find(key, 1, true) ~= nil end
    if type(value) ~= "table" then return false end
    for name, member in pairs(value) do
        if holds(name, key) or holds(member, key) then return true end
    end
    return false
end

--- JSON can write each letter of a key in several ways. An answer that does is told as it reads without them; of one
--- that was cut, and cannot be read, the usual way is known.
local function hide_in_text(value, key)
    if value:find("\\", 1, true) then
        local decoded = json.decode(value)
        if holds(decoded, key) then value = json.encode(hide(decoded, key), "an answer") or "" end
        value = errors.redact(value, (key:gsub("[\"\\/]", "\\%0")))
    end
    return errors.redact(value, key)
end

--- The key is in nothing that the page is told.
function hide(value, key)
    if type(value) == "string" then return hide_in_text(value, key) end
    if type(value) ~= "table" then return value end
    local out = {}
    for name, member in pairs(value) do
        out[type(name) == "string" and errors.redact(name, key) or name] = hide(member, key)
    end
    return out
end

--- JSON holds UTF-8 only, and a raw answer may be anything.
local function readable(value)
    if type(value) == "string" and not json.encode(value, "text") then
        return (value:gsub("[\128-\255]", "\239\191\189"))
    end
    if type(value) ~= "table" then return value end
    local out = {}
    for name, member in pairs(value) do out[name] = readable(member) end
    return out
end

local function say(self, status, value)
    local told = hide(value, self.key)
    local body, reason = json.encode(told, "the answer")
    if not body then body, reason = json.encode(readable(told), "the answer") end
    if not body then error(reason) end
    return status, "application/json", body
end

local function say_error(self, err)
    return say(self, HTTP_OF_KIND[err.kind] or 502, { error = session.describe_error(err) })
end

-- What can be asked --------------------------------------------------------------------------------------------------

local posts, gets = {}, {}

--- The call's `request`, whatever the page made of it.
local function given_request(body)
    local decoded = json.decode(body)
    local given = type(decoded) == "table" and decoded.request
    if type(given) ~= "table" then
        return nil, errors.new("invalid_request", "the call holds no request")
    end
    return given
end

--- What the module says of a request, and the same request in other words.
function posts.check(self, _, body)
    local given, err = given_request(body)
    if not given then return say_error(self, err) end
    local payload
    payload, err = request.build(given)
    local credits, unpublished = pricing.estimate(payload or {})
    local answer = { price = credits, unpublished = unpublished }
    if not payload then
        answer.error = session.describe_error(err)
        answer.price, answer.unpublished = nil, nil
        return say(self, 200, answer)
    end
    answer.code = {
        json = snippets.json(payload), curl = snippets.curl(payload, self.base_url),
        lua = snippets.lua(payload, self.base_url),
    }
    return say(self, 200, answer)
end

function posts.tasks(self, _, body)
    local given, err = given_request(body)
    local id
    if given then id, err = self.session:submit(given) end
    if not id then return say_error(self, err) end
    return say(self, 200, { id = id })
end

local function on_task(verb)
    return function(self, id)
        local ok, err = self.session[verb](self.session, tonumber(id))
        if not ok then return say_error(self, err) end
        return say(self, 200, { ok = true })
    end
end

posts.cancel, posts.resume = on_task "cancel", on_task "resume"

function gets.about(self)
    return say(self, 200, self.about)
end

function gets.news(self, _, query)
    local after = tonumber(query.after)
    if not (after and after >= 0 and after < math.huge) then after = 0 end -- "nan" is a number to Lua 5.1
    return say(self, 200, self.session:news_after(after, PATIENCE))
end

function gets.pictures(self, name)
    local id, index = name:match "^(%d+)/(%d+)$"
    local bytes, content_type = nil, nil
    if id then bytes, content_type = self.session:picture(tonumber(id), tonumber(index)) end
    if not bytes then return say_error(self, errors.new("not_found", "the picture is not kept any more")) end
    return 200, content_type, bytes
end

function gets.thumbnail(self, _, query)
    local bytes, content_type = self.thumbnails:get(query.url)
    if not bytes then return say_error(self, content_type) end
    return 200, content_type, bytes
end

function gets.page(self, name)
    local file = self.files[name]
    if not file then return say_error(self, errors.new("not_found", "there is no such file")) end
    return 200, file.type, file.bytes
end

-- Routing -------------------------------------------------------------------------------------------------------------

local function unescape(s)
    s = s:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
    return s
end

local function parse_query(text)
    local query = {}
    for name, value in text:gmatch "([^&=]+)=([^&]*)" do query[unescape(name)] = unescape(value) end
    return query
end

--- status, content type, body of the answer to a call.
local function route(self, method, target, body)
    local path, query = target:match "^/([^?]*)%??(.*)$"
    if path == "" and method == "GET" then return gets.page(self, "index.html") end
    if method == "GET" then
        local name, rest = path:match "^([%l]+)/?(.*)$"
        local get = gets[name or ""]
        if get then return get(self, rest, parse_query(query)) end
    else
        local id, verb = path:match "^tasks/(%d+)/(%l+)$"
        local post = posts[verb or path]
        if post and (verb == nil) == (path == "check" or path == "tasks") then return post(self, id, body) end
    end
    return say_error(self, errors.new("not_found", "the tester has no such address"))
end

--- Answers one call, now or when there is something to say. Whatever goes wrong in it is that call's alone.
local function serve(self, id, method, target, body)
    local co = coroutine.create(function()
        self.site:answer(id, route(self, method, target, body))
    end)
    scheduler.own(co, function(e, traceback)
        io.stderr:write("flux2 tester: ", errors.redact(traceback or tostring(e), self.key), "\n")
        self.site:answer(id, 500, "application/json", '{"error":{"kind":"io","message":"the tester itself failed"}}')
    end)
    scheduler.resume(co)
end

local function new(site, config)
    local client = assert(flux2.new(config.client))
    local base_url = client._settings.base_url
    return {
        site = site, key = client._settings.key, base_url = base_url, files = files.load(),
        about = about.page(config, base_url), session = session.new(client, core.now),
        thumbnails = Thumbnails.new(config.client),
    }
end

--- Runs until the page is to go.
---@param site userdata next, answer, wait
---@param config string JSON: client (the options of flux2.new), emulator
return function(site, config)
    local self = new(site, assert(json.decode(config)))
    local descriptor = assert(flux2.fileno())
    while site:wait(descriptor, 60) do
        flux2.update()
        local id, method, target, body = site:next()
        while id do
            serve(self, id, method, target, body)
            id, method, target, body = site:next()
        end
    end
end
