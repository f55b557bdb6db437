--- The routes of a gateway: those of the service, OpenAI's, the images, and those of the operator.
-- A handler runs in a coroutine and returns a response; it may wait for a commit or for a task.

local core = require "flux2.core"
local json = require "flux2.json"
local ledger = require "flux2.gateway.ledger"
local openai_request = require "flux2.openai_request"
local policy = require "flux2.gateway.policy"
local flux2_request = require "flux2.request"
local http = require "flux2.gateway.http"
local image_signature = require "flux2.image_signature"
local input_images = require "flux2.input_images"
local responses = require "flux2.gateway.responses"
local secrets = require "flux2.gateway.secrets"
local tables = require "flux2.tables"
local text = require "flux2.text"
local tokens = require "flux2.gateway.tokens"
local uploads = require "flux2.gateway.uploads"

local routes = {}

local LONGEST_WAIT = 60 -- seconds of ?wait=
local OPENAI_WAIT = 540 -- seconds; OpenAI's SDK waits for 600, and repeats the request then
local OPENAI_ROUTE = "/v1/images/generations"
local KEY = "^[\33-\126]+$" -- of idempotency
local MAX_KEY = 255
local EXPIRED = "the images of this task have expired"

-- Requests ------------------------------------------------------------------------------------------------------------

--- Finds the token. Returns a response if there is no valid one.
local function authenticate(self, request)
    local token = tokens.find(self.db, request.headers.authorization)
    if not token then return nil, responses.error(401, "authentication_error", "the API key is missing or invalid") end
    request.token = token.name
    return token
end

--- Decodes the body, without nulls.
local function decode(request)
    local given = json.decode(request.body)
    if type(given) ~= "table" or not request.body:find "^%s*{" then
        return nil, responses.error(400, "invalid_request", "the body must be a JSON object")
    end
    for name, value in pairs(given) do
        if value == json.null then given[name] = nil end
    end
    return given
end

--- Whether the request contradicts the default of a field: other fields may take its place, such as width and height
--- that of a resolution.
local function replaces_default(provider, payload, field)
    local copy = tables.merge({}, payload)
    copy[field.name] = field.default
    return provider.check ~= nil and provider.check(copy) ~= nil
end

--- The values of a request that a token may not use.
local function check_allowed(provider, token, payload)
    for name, list in pairs(token.allowed) do
        local field = provider.by_name[name]
        local value, is_allowed = payload[name], false
        if value == nil and field and not replaces_default(provider, payload, field) then value = field.default end
        for _, one in ipairs(list) do is_allowed = is_allowed or one == value end
        if not is_allowed then
            return responses.error(403, "permission_error", "this token may use " .. name .. " " ..
                table.concat(list, " or ") .. " only")
        end
    end
end

--- Checks a request: the rules of the service, those of the token, and the operator's.
local function check(self, request, token, given)
    local err, payload = input_images.refuse(given), nil
    if not err then payload, err = flux2_request.build(self.provider, given) end
    if not payload then return nil, responses.error(400, "invalid_request", err.message) end
    request.prompt = payload.prompt
    local refused = check_allowed(self.provider, token, payload)
    if refused then return nil, refused end
    local allowed, reason = policy.ask(self.policy, json.copy(payload, "request"), { name = token.name, id = token.id },
        self.warn)
    if not allowed then return nil, responses.error(403, "permission_error", text.clean(reason, 300)) end
    return payload
end

local function key_of(request)
    local key = request.headers["idempotency-key"]
    if not key then return nil end
    if #key > MAX_KEY or not key:find(KEY) then
        return nil, responses.error(400, "invalid_request", "an Idempotency-Key has 1 to 255 visible characters")
    end
    return key
end

--- Runs a write that may be refused, and waits for its commit. Returns its result, or nil and a response.
local function commit(self, request, fn)
    if self.is_stopping then return nil, responses.error(503, "server_error", "the gateway is stopping", 5) end
    request.may_be_taken = true
    local ok, result = self:write(fn)
    if not ok then
        self.warn("the database failed: " .. tostring(result))
        return nil, responses.error(503, "server_error", "the ledger of the gateway is not available", 5)
    end
    request.may_be_taken = not result.refusal
    if result.refusal then return nil, responses.refusal(result.refusal) end
    return result
end

--- Whether the request has fields beside those of the provider, from `extra`. They may change the price.
local function has_more(provider, payload)
    for name in pairs(payload) do
        if not provider.by_name[name] then return true end
    end
    return false
end

--- Reserves and queues `count` tasks. Waits for the commit.
local function take(self, request, token, payload, count)
    local key, wrong = key_of(request)
    if wrong then return nil, wrong end
    local wanted = {
        ids = {}, count = count, request = assert(json.write(payload)), key = key, max_queued = self.max_queued,
        price = (flux2_request.price(self.provider, payload)), has_more = has_more(self.provider, payload),
        digest = secrets.hash(request.path .. "\n" .. request.body),
    }
    for i = 1, count do wanted.ids[i] = secrets.hex(16) end
    local result, refused = commit(self, request, function(db) return ledger.take(db, token.id, wanted) end)
    if not result then return nil, refused end
    self.may_claim = true
    return result.tasks
end

--- Does what all submissions have in common.
local function submission(self, request, translate)
    local token, payload, refused, count
    token, refused = authenticate(self, request)
    if not token then return nil, refused end
    local given
    given, refused = decode(request)
    if not given then return nil, refused end
    given, count = translate(given)
    if not given then return nil, count end
    payload, refused = check(self, request, token, given)
    if not payload then return nil, refused end
    local tasks
    tasks, refused = take(self, request, token, payload, count)
    return tasks, refused, token
end

-- Tasks ---------------------------------------------------------------------------------------------------------------

--- Waits until a task of the token has ended. Returns its row.
local function settled(self, id, token, until_)
    if not id:find "^%x+$" then return nil end -- PostgreSQL refuses a text that is not UTF-8
    local task = ledger.find(self.db, id, token.id)
    while task and (task.state == "queued" or task.state == "submitting" or task.state == "accepted") do
        if self.is_stopping or core.now() >= until_ then return task end
        self.waiters:wait(id, until_)
        task = ledger.find(self.db, id, token.id)
    end
    return task
end

--- The address of the gateway for its clients.
local function base_of(self, request)
    return self.public_url or http.own_url(request, self.trusted)
end

local function urls_of(self, request, task)
    local urls = {}
    local base = base_of(self, request)
    for i, image in ipairs(ledger.images(self.db, task.id)) do urls[i] = base .. "/images/" .. image.name end
    return urls
end

local function submit(self, request)
    local tasks, refused = submission(self, request, function(given) return given, 1 end)
    if not tasks then return refused end
    return responses.accepted(tasks[1])
end

local function show_task(self, request, id)
    local token, refused = authenticate(self, request)
    if not token then return refused end
    local wait = math.min(tonumber(request.query.wait) or 0, LONGEST_WAIT)
    local task = settled(self, id, token, core.now() + (wait > 0 and wait or 0))
    if not task then return responses.error(404, "not_found", "there is no such task") end
    local urls = task.state == "done" and urls_of(self, request, task) or {}
    if task.state == "done" and #urls == 0 then return responses.error(404, "not_found", EXPIRED) end
    return responses.task(task, urls, self.upstream.progress[id])
end

-- OpenAI --------------------------------------------------------------------------------------------------------------

--- Returns the images of a task in OpenAI's form, or nil and a response.
local function entries_of(self, request, task, as_base64)
    local entries = {}
    if task.state == "failed" or task.state == "unknown" then return nil, responses.failure(task) end
    if task.state ~= "done" then
        return nil, responses.error(503, "server_error", "task " .. task.id .. " has not ended; GET " ..
            self.task_route .. task.id .. " shows it, and the same Idempotency-Key continues", 5)
    end
    if not as_base64 then
        for i, url in ipairs(urls_of(self, request, task)) do entries[i] = { url = url } end
    end
    for i, image in ipairs(as_base64 and ledger.images(self.db, task.id) or {}) do
        local bytes, reason = self.store:read(image.sha256)
        if not bytes then
            self.warn("an image cannot be read: " .. reason)
            return nil, responses.error(500, "server_error", "an image cannot be read")
        end
        entries[i] = { b64_json = core.base64(bytes) }
    end
    if #entries == 0 then return nil, responses.error(404, "not_found", EXPIRED) end
    return entries
end

--- Waits for all tasks. Returns the response with their images. The first failure is the response, with the images of
--- the others.
local function collect(self, request, tasks, token, as_base64)
    local data, until_, failure = {}, core.now() + OPENAI_WAIT, nil
    for _, started in ipairs(tasks) do
        local entries, response = entries_of(self, request, settled(self, started.id, token, until_), as_base64)
        failure = failure or response
        for _, entry in ipairs(entries or {}) do data[#data + 1] = entry end
    end
    if failure and #data > 0 then responses.add_images(failure, data, #tasks) end
    return failure or responses.json(200, { created = os.time(), data = data })
end

local function generate(self, request)
    local wanted
    local tasks, refused, token = submission(self, request, function(given)
        local err
        wanted, err = openai_request.translate(given, self.provider)
        if not wanted then return nil, responses.error(400, "invalid_request", err.message) end
        return wanted.payload, wanted.count
    end)
    if not tasks then return refused end
    local response = collect(self, request, tasks, token, wanted.as_base64)
    response.task = response.task or tasks[1].id
    return response
end

-- Files -----------------------------------------------------------------------------------------------------------

--- Returns the handler for the files of a table: the name is looked up in the ledger; the path of the file is made of
--- the hash there.
local function show_files(files)
    local sql = "SELECT * FROM " .. files .. " WHERE name = ? AND expires > ?"
    return function(self, _, name)
        local file = name:find "^[%w_-]+$" and #name <= 64 and self.db:first(sql, name, self.db:now())
        if not file then return responses.error(404, "not_found", "there is no such image, or it has expired") end
        return {
            status = 200, path = self.store:path(file.sha256), headers = {
                ["Content-Type"] = file.content_type, ["Cache-Control"] = "private, max-age=86400, immutable",
                ["X-Content-Type-Options"] = "nosniff", ["Content-Security-Policy"] = "default-src 'none'",
            },
        }
    end
end

--- Stores an input image. The bytes determine its type; no name comes from the client.
local function upload(self, request)
    local token, refused = authenticate(self, request)
    if not token then return refused end
    local content_type = image_signature.type(request.body:sub(1, image_signature.size))
    if not content_type then
        return responses.error(415, "invalid_request", "the body must be an image: PNG, JPEG, WEBP, GIF or AVIF")
    end
    local wanted = {
        name = secrets.name(18), sha256 = secrets.hash(request.body), content_type = content_type, size = #request.body,
    }
    local result
    result, refused = commit(self, request, function(db) return uploads.take(db, token.id, wanted) end)
    if not result then return refused end
    local ok, reason = self.store:add(request.body, wanted.sha256)
    if not ok then
        self.warn("an upload cannot be stored: " .. reason)
        return responses.error(503, "server_error", "the upload cannot be stored", 5)
    end
    local url = base_of(self, request) .. self.contract.upload.path .. "/" .. result.name
    return responses.json(200, { code = 200, message = "success", data = { url = url } })
end

-- The operator -------------------------------------------------------------------------------------------------------

local function show_health(self)
    if self.is_stopping then return responses.json(503, { status = "stopping" }) end
    self.db:first "SELECT version FROM schema_version" -- a failure becomes a 503
    return responses.json(200, { status = "ok" })
end

--- Only for those who reach the gateway directly: a proxy must not publish the figures.
local function show_metrics(self, request)
    if request.is_proxied then return responses.error(404, "not_found", "unknown path") end
    local counts, credits = ledger.totals(self.db)
    local connections, waiting = self.server:counts()
    return {
        status = 200, headers = { ["Content-Type"] = "text/plain; version=0.0.4" },
        body = self.metrics:text { tasks = counts, credits = credits, connections = connections, waiting = waiting },
    }
end

--- Returns the routes of a gateway that speaks the contract of `provider`: rows of method, path, handler. A path that
--- ends in a slash takes one more segment.
---@param provider table prepared
---@return { method: string, path: string, handler: function }[]
---@return string task_route
function routes.list(provider)
    local task_route = provider.root .. provider.routes.task:gsub("{id}$", "")
    return {
        { method = "POST", path = provider.root .. provider.routes.submit, handler = submit },
        { method = "GET", path = task_route, handler = show_task },
        { method = "POST", path = OPENAI_ROUTE, handler = generate },
        { method = "POST", path = provider.upload.path, handler = upload },
        { method = "GET", path = "/images/", handler = show_files "images" },
        { method = "GET", path = provider.upload.path .. "/", handler = show_files "uploads" },
        { method = "GET", path = "/healthz", handler = show_health },
        { method = "GET", path = "/metrics", handler = show_metrics },
    }, task_route
end

--- Finds the route of a request.
---@param list table[] from routes.list
---@param request flux2.gateway.Request gets `route`
---@return function? handler
---@return string? rest the last segment; or, without a handler, the allowed method of this path
function routes.find(list, request)
    local method = request.method == "HEAD" and "GET" or request.method
    request.route = "none"
    for _, route in ipairs(list) do
        local is_prefix = route.path:sub(-1) == "/"
        local rest = is_prefix and request.path:sub(1, #route.path) == route.path and request.path:sub(#route.path + 1)
        if (is_prefix and rest and rest ~= "" and not rest:find "/") or request.path == route.path then
            request.route = is_prefix and route.path .. "{}" or route.path
            if route.method == method then return route.handler, rest or nil end
            return nil, route.method
        end
    end
end

return routes
