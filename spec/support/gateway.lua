--- Starts `flux2 serve` like an operator, in its own process, and sends requests to it with curl.
local bound = require "support.bound"
local curl = require "emulator_curl"
local json = require "flux2.json"
local program = require "support.program"
local service = require "support.service"
local shell = require "support.shell"
local tls_front = require "support.tls_front"

local gateway = {}
local unpack = table.unpack or unpack -- luacheck: ignore 143

--- Whether all that a gateway needs is installed.
gateway.is_available = pcall(require, "flux2.gateway.core") and pcall(require, "dbd.sqlite3") and
    pcall(require, "openssl.digest")

local is_plain = not require "support.build".is_instrumented

--- Specs with many processes run on two Luas, without instrumentation; the contract on 5.1 as well, whose coroutines
--- cannot yield everywhere.
gateway.is_worth_load = is_plain and (_VERSION == "Lua 5.4" or rawget(_G, "jit") ~= nil)
gateway.is_worth_running = is_plain and (_VERSION == "Lua 5.4" or _VERSION == "Lua 5.1" and rawget(_G, "jit") == nil)

---@class Gateway of the specs
local Gateway = {}
Gateway.__index = Gateway

local running = {}

local function wait_for_line(self)
    local line, looks = nil, 0
    program.until_(function()
        line, looks = (service.read_if_there(self.dir .. "/.stderr") or ""):match "listening on (http://%S+)\n", looks + 1
        -- Not at each look: that is a process.
        assert(line or looks % 50 ~= 0 or shell.run("kill -0 " .. self.pid) == 0, "the gateway ended: " ..
            (service.read_if_there(self.dir .. "/.stderr") or ""))
        return line
    end)
    return line
end

--- Starts a gateway before EMU in DIR, a directory of its own, with further words of the command line. Its database may
--- be another one: "--db", URL. A table at the end has variables of the environment.
function gateway.start(emu, dir, ...)
    os.execute("mkdir -p " .. shell.quote(dir))
    local self = setmetatable({ emu = emu, dir = dir, state = dir .. "/gateway", words = { ... } }, Gateway)
    if type(self.words[#self.words]) == "table" then self.env = table.remove(self.words) end
    for i, word in ipairs(self.words) do
        if word == "--db" then self.db = self.words[i + 1] end
    end
    self:restart()
    running[#running + 1] = self
    return self
end

--- Starts it again, on the same port.
function Gateway:restart()
    os.remove(self.dir .. "/.stderr")
    self.port = self.port or tls_front.free_port()
    local words = { "serve", "--state", self.state, "--listen", "127.0.0.1:" .. self.port }
    for _, word in ipairs(self.words) do words[#words + 1] = word end
    self.pid = program.start(self.emu, self.dir, words, self.env)
    self.url = wait_for_line(self)
end

--- Ends it, by default with SIGTERM.
function Gateway:stop(signal)
    if self.pid then program.stop(self.pid, signal or "TERM") end
    self.pid = nil
end

--- Ends all gateways. For after_each.
function gateway.stop_all()
    for i = #running, 1, -1 do
        running[i]:stop "KILL"
        running[i] = nil
    end
end

--- Like service.around_each, and ends the gateways, which use the emulator.
function gateway.around_each(before_each, after_each, set)
    service.around_each(before_each, function(stop)
        after_each(function()
            gateway.stop_all()
            stop()
        end)
    end, {}, set)
end

--- Runs `flux2 WORDS` with the gateway's state directory. Returns status, stdout, stderr.
function Gateway:run(...)
    local words, target = { ... }, self.db and { "--db", self.db } or {}
    for _, word in ipairs { "--state", self.state, unpack(target) } do words[#words + 1] = word end
    -- In a folder of its own: the output of the gateway is in `dir`.
    os.execute("mkdir -p " .. shell.quote(self.dir .. "/run"))
    return program.run(self.emu, self.dir .. "/run", words)
end

--- Creates a token. Returns it.
function Gateway:token(name, limits)
    local given = { name = name }
    for key, value in pairs(limits or {}) do given[key] = value end
    local db = assert(require("flux2.gateway.place").database(self.state, self.db))
    local token = assert(require("flux2.gateway.tokens").create(db, given))
    db:close()
    return token
end

--- Sends a request. Returns the response, with `json`.
function Gateway:request(method, path, token, options)
    options = options or {}
    local headers = {}
    if token then headers[1] = "Authorization: Bearer " .. token end
    for _, line in ipairs(options.headers or {}) do headers[#headers + 1] = line end
    local body = options.body
    if type(body) == "table" then body = assert(json.encode(body, "body")) end
    local response = curl.request((options.url or self.url) .. path, {
        method = method, headers = headers, body = body, args = options.args,
    })
    response.json = response.body and json.decode(response.body) or nil
    return response
end

--- Submits a request: a prompt, or a table.
function Gateway:submit(token, request, ...)
    if type(request) == "string" then request = { prompt = request } end
    return self:request("POST", "/api/v1/images/generations", token, { body = request, headers = { ... } })
end

--- Submits a request that is accepted. Returns the id of the task.
function Gateway:accepted(token, request, ...)
    local response = self:submit(token, request, ...)
    assert(response.status == 200, response.body)
    return response.json.data.task_id
end

--- Returns the response to a poll that waits.
function Gateway:poll(token, id, wait)
    return self:request("GET", "/api/v1/tasks/" .. id .. (wait and "?wait=" .. wait or ""), token)
end

--- The task as it ends.
function Gateway:finish(token, id)
    local response
    program.until_(function()
        response = self:poll(token, id, 10)
        local word = response.json and response.json.data and response.json.data.status
        return word == "SUCCESS" or word == "FAILED"
    end)
    return response.json.data
end

--- The lines of the access log.
function Gateway:log()
    local list = {}
    -- A response arrives before its line is written.
    program.until_(function() return service.read(self.dir .. "/.stdout"):find "\n" end)
    for line in service.read(self.dir .. "/.stdout"):gmatch "[^\n]+" do list[#list + 1] = assert(json.decode(line)) end
    return list
end

--- A figure of /metrics.
function Gateway:metric(name)
    local body = self:request("GET", "/metrics").body or ""
    return tonumber(body:match("\nflux2_gateway_" .. name:gsub("%W", "%%%0") .. " ([%d.e+]+)"))
end

--- Sends many requests at once: rows of { method, path, token, body, headers }. Returns the responses in any order, with
--- `row`, the place in the list.
function gateway.at_once(url, rows, dir)
    local lines = {}
    for i, row in ipairs(rows) do
        local function add(line, ...) lines[#lines + 1] = line:format(...) end
        if i > 1 then add "next" end
        add('url = "%s%s"', url, row.path)
        add('request = "%s"', row.method or "GET")
        if row.token then add('header = "Authorization: Bearer %s"', row.token) end
        for _, header in ipairs(row.headers or {}) do add('header = "%s"', header) end
        if row.body then add('data = "%s"', (row.body:gsub('[\\"]', "\\%0"))) end
        add('output = "%s/%d.body"', dir, i)
        add('write-out = "%s %s\\n"', "%{http_code}", "%{filename_effective}")
        add 'noproxy = "*"'
    end
    service.write(dir .. "/curl.config", table.concat(lines, "\n") .. "\n")
    local _, printed = shell.run(("curl -q -sS --no-progress-meter -Z --parallel-immediate --parallel-max 300 " ..
        "--max-time %d -K %s/curl.config"):format(bound(90), dir))
    local list = {}
    for status, i in printed:gmatch "(%d+) %S*/(%d+)%.body\n" do
        local body = service.read_if_there(("%s/%s.body"):format(dir, i)) or ""
        list[#list + 1] = { status = tonumber(status), body = body, json = json.decode(body), row = tonumber(i) }
    end
    return list
end

return gateway
