-- A gateway with many clients at once. GATEWAY_CLIENTS sets the number of long polls and of idle connections.
local has_gateway, gateway = pcall(require, "support.gateway")
if not has_gateway or not gateway.is_available then return end -- a checkout without the gateway
if not gateway.is_worth_load then
    return describe("a gateway with many clients", function() pending "runs on Lua 5.4 and LuaJIT, without instrumentation" end)
end

local bound = require "support.bound"
local program = require "support.program"
local service = require "support.service"
local shell = require "support.shell"

local CLIENTS = tonumber(os.getenv "GATEWAY_CLIENTS") or 250
local MOST_OF_CURL = 250 -- connections of one curl process

describe("a gateway with many clients", function()
    local emu, dir, gw
    before_each(function()
        dir = service.directory()
        emu = service.start { duration = 0.02, image_bytes = 600, seed = 7 }
        gw = gateway.start(emu, dir .. "/a", "--per-second", "1000", "--per-address", "10000")
    end)
    after_each(function()
        gateway.stop_all()
        service.stop_all()
        service.remove(dir)
    end)

    local function count(list)
        local counts = {}
        for _, response in ipairs(list) do counts[response.status] = (counts[response.status] or 0) + 1 end
        return counts
    end

    --- A number of /proc/PID/status.
    local function status(name)
        return tonumber(service.read(("/proc/%d/status"):format(gw.pid)):match(name .. ":%s*(%d+)"))
    end

    it("sells 20 images to 200 requests at once for a budget of 20 images", function()
        local token, rows = gw:token("arcade", { budget = 200 }), {}
        for i = 1, 200 do
            rows[i] = {
                method = "POST", path = "/api/v1/images/generations", token = token, body = '{"prompt":"fox ' .. i .. '"}',
            }
        end
        assert.same({ [200] = 20, [402] = 180 }, count(gateway.at_once(gw.url, rows, dir)))
        program.until_(function() return gw:metric 'tasks{state="done"}' == 20 end)
        assert.equal(20, #emu:ledger())
        assert.equal(200, gw:metric "credits_spent")
    end)

    it("submits once for 50 clients with one Idempotency-Key", function()
        local token, rows = gw:token "arcade", {}
        for i = 1, 50 do
            rows[i] = {
                method = "POST", path = "/api/v1/images/generations", token = token, body = '{"prompt":"a red fox"}',
                headers = { "Idempotency-Key: the-same" },
            }
        end
        local list = gateway.at_once(gw.url, rows, dir)
        assert.same({ [200] = 50 }, count(list))
        for _, response in ipairs(list) do
            assert.equal(list[1].json.data.task_id, response.json.data.task_id)
        end
        gw:finish(token, list[1].json.data.task_id)
        assert.equal(1, #emu:ledger())
    end)

    --- Starts long polls of a task in the background. Returns a function that counts those with a response.
    local function long_polls(token, id)
        local processes = math.ceil(CLIENTS / MOST_OF_CURL)
        for i = 1, processes do
            local n = math.min(MOST_OF_CURL, CLIENTS - (i - 1) * MOST_OF_CURL)
            os.execute(("{ ulimit -n 4096; timeout %d curl -q -sS -Z --no-progress-meter --parallel-immediate " ..
                "--parallel-max %d --noproxy '*' -H 'Authorization: Bearer %s' -w '%%{http_code} ' -o /dev/null " ..
                "'%s/api/v1/tasks/%s?wait=60&client=[1-%d]' >%s/polls-%d 2>&1; } &"):format(bound(100), n, token, gw.url,
                id, n, dir, i))
        end
        return function()
            local n = 0
            for i = 1, processes do
                n = n + select(2, (service.read_if_there(("%s/polls-%d"):format(dir, i)) or ""):gsub("200 ", ""))
            end
            return n
        end
    end

    it("keeps long polls without threads, and answers all of them at the end of the task", function()
        emu:set { duration = 600 }
        local token = gw:token "arcade"
        local id = gw:accepted(token, "a red fox")
        program.until_(function() return #emu:ledger() == 1 end)
        local threads, memory = status "Threads", status "VmRSS"
        local answered = long_polls(token, id)
        program.until_(function() return gw:metric "requests_waiting" >= CLIENTS end)
        assert.is_true(status "Threads" <= threads + 2)
        local each = (status "VmRSS" - memory) * 1024 / CLIENTS
        assert.is_true(each < 64 * 1024, each .. " bytes per client")
        emu:finish(emu:ledger()[1].task_id)
        program.until_(function() return answered() == CLIENTS end)
        if os.getenv "GATEWAY_CLIENTS" then
            print(("\n%d long polls: %d threads, %.0f bytes each"):format(CLIENTS, status "Threads", each))
        end
    end)

    it("serves others while many connections are idle", function()
        local hold = ("ulimit -n 4096; for i in $(seq %d); do exec {fd}<>/dev/tcp/127.0.0.1/%s; done; sleep 30"):format(
            math.min(CLIENTS, 1000), gw.url:match ":(%d+)$")
        os.execute(("timeout 30 bash -c %s >/dev/null 2>&1 & echo $! >%s/pid"):format(shell.quote(hold), dir))
        program.until_(function() return gw:metric "connections" >= math.min(CLIENTS, 1000) end)
        local token = gw:token "arcade"
        assert.equal("SUCCESS", gw:finish(token, gw:accepted(token, "a red fox")).status)
        os.execute("kill " .. service.read(dir .. "/pid"))
    end)
end)
