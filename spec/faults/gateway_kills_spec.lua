-- Gateways that are killed at random under load: no submission is sent twice, no paid image is lost, no budget is exceeded,
-- and each submission of unknown outcome is listed. GATEWAY_KILLS sets the number of kills.
local has_gateway, gateway = pcall(require, "support.gateway")
if not has_gateway or not gateway.is_available then return end -- a checkout without the gateway
if not gateway.is_worth_load then
    return describe("gateways that are killed", function() pending "runs on Lua 5.4 and LuaJIT, without instrumentation" end)
end

local json = require "flux2.json"
local postgres = require "support.postgres"
local program = require "support.program"
local service = require "support.service"

local KILLS = tonumber(os.getenv "GATEWAY_KILLS") or 4
local AT_ONCE = 8 -- submissions between two kills
local SEED = tonumber(os.getenv "GATEWAY_SEED") or os.time()

describe("gateways that are killed", function()
    local emu, dir
    before_each(function()
        dir = service.directory()
        emu = service.start { duration = { 0, 0.3 }, latency = { 0, 0.06 }, image_bytes = 600, seed = 7 }
    end)
    after_each(function()
        gateway.stop_all()
        service.stop_all()
        service.remove(dir)
    end)

    --- Sends the submissions of a round to a gateway, in the background.
    local function submit(gw, token, round)
        local lines = {}
        for i = 1, AT_ONCE do
            lines[i] = (i > 1 and "next\n" or "") .. ([[
url = "%s/api/v1/images/generations"
header = "Authorization: Bearer %s"
header = "Idempotency-Key: %d-%d"
data = "{\"prompt\":\"fox %d-%d\"}"
output = "/dev/null"
noproxy = "*"]]):format(gw.url, token, round, i, round, i)
        end
        local file = ("%s/round-%d"):format(dir, round)
        service.write(file, table.concat(lines, "\n"))
        os.execute(("timeout 20 curl -q -sS -Z --no-progress-meter -K %s >/dev/null 2>&1 &"):format(file))
    end

    --- Kills one of the gateways at a random time after a round of submissions, and starts it again; so many times.
    local function torment(gateways, token)
        math.randomseed(SEED)
        for round = 1, KILLS do
            local gw = gateways[math.random(#gateways)]
            submit(gw, token, round)
            os.execute(("sleep %.3f"):format(math.random() * 0.35))
            gw:stop "KILL"
            gw:restart()
        end
    end

    --- Repeats all submissions, as a client would, and waits for the end of their tasks. Returns them by prompt.
    local function finish(gateways, token)
        local tasks, rows = {}, {}
        for round = 1, KILLS do
            for i = 1, AT_ONCE do
                local name = ("%d-%d"):format(round, i)
                rows[#rows + 1] = {
                    method = "POST", path = "/api/v1/images/generations", token = token,
                    headers = { "Idempotency-Key: " .. name }, body = '{"prompt":"fox ' .. name .. '"}', name = name,
                }
            end
        end
        local polls = {}
        for _, response in ipairs(gateway.at_once(gateways[1].url, rows, dir)) do
            assert.equal(200, response.status, response.body)
            local id = response.json.data.task_id
            tasks[rows[response.row].name] = { id = id }
            polls[#polls + 1] = { path = "/api/v1/tasks/" .. id .. "?wait=60", token = token,
                name = rows[response.row].name }
        end
        assert.equal(#rows, #polls)
        for _, response in ipairs(gateway.at_once(gateways[#gateways].url, polls, dir)) do
            tasks[polls[response.row].name].data = response.json.data
        end
        return tasks
    end

    local function unknown(gw)
        local status, printed = gw:run("serve", "--unknown", "--json")
        assert.equal(0, status)
        local set, n = {}, 0
        for _, line in ipairs(program.json_lines(printed)) do
            set[line.task] = true
            n = n + 1
        end
        return set, n
    end

    --- Compares the gateway's ledger with the emulator's.
    local function compare(gateways, tasks, token)
        local gw, bought, is_unknown, unknowns = gateways[1], {}, unknown(gateways[1])
        for _, entry in ipairs(emu:ledger()) do
            local name = entry.prompt:match "fox (.*)"
            assert.is_nil(bought[name], "submitted twice: " .. entry.prompt)
            bought[name] = true
        end
        local counts = { SUCCESS = 0, FAILED = 0 }
        for name, task in pairs(tasks) do
            local word = task.data.status
            counts[word] = counts[word] + 1
            if word == "SUCCESS" then
                assert.is_true(bought[name])
                local image = gw:request("GET", task.data.output.image_url:match "(/images/.*)$")
                assert.equal(200, image.status)
                assert.equal("\137PNG", image.body:sub(1, 4))
            else
                assert.equal("unknown_outcome", task.data.error.type, json.encode(task.data, "task"))
                assert.is_true(is_unknown[task.id], "unknown, but not listed: " .. task.id)
            end
        end
        assert.equal(KILLS * AT_ONCE, counts.SUCCESS + counts.FAILED)
        assert.equal(unknowns, counts.FAILED)
        assert.equal(10 * KILLS * AT_ONCE, gw:metric "credits_spent")
        assert.equal(402, gw:submit(token, "one too many").status)
        assert.equal(404, gw:request("GET", "/api/v1/tasks/\255", token).status)
        if os.getenv "GATEWAY_KILLS" then
            print(("\n%d kills, seed %d: %d images, %d of unknown outcome, %d submissions at the service"):format(KILLS, SEED,
                counts.SUCCESS, counts.FAILED, #emu:ledger()))
        end
    end

    local function try(gateways)
        local token = gateways[1]:token("arcade", { budget = 10 * KILLS * AT_ONCE })
        torment(gateways, token)
        compare(gateways, finish(gateways, token), token)
    end

    it("lose nothing and buy nothing twice: one gateway on SQLite", function()
        try { gateway.start(emu, dir .. "/a", "--per-second", "1000", "--per-address", "10000") }
    end)

    describe("on PostgreSQL", function()
        local missing, server = postgres.missing() or _VERSION ~= "Lua 5.4" and "runs on Lua 5.4" or nil, nil
        before_each(function()
            if not missing then server = postgres.start() end
        end)
        after_each(function()
            gateway.stop_all()
            if server then server:stop() end
            server = nil
        end)

        local function start(name, ...)
            return gateway.start(emu, dir .. "/" .. name, "--db", server.url, "--images", dir .. "/images", ...)
        end

        it("lose nothing and buy nothing twice: two gateways", function()
            if missing then return pending(missing) end
            try { start("a", "--per-second", "1000", "--per-address", "10000"), start("b", "--per-second", "1000", "--per-address", "10000") }
        end)

        it("connect again after the connection was lost, also for a statement that is new", function()
            if missing then return pending(missing) end
            local database = require "flux2.gateway.database"
            local db, other = assert(database.open(server.url)), assert(database.open(server.url))
            other:query("SELECT pg_terminate_backend(CAST(? AS integer))", db:first("SELECT pg_backend_pid() AS pid").pid)
            assert.is_false((pcall(db.first, db, "SELECT 1 AS n")))
            assert.equal("2", tostring(db:first("SELECT 2 AS n").n))
            db:close()
            other:close()
        end)

        it("take over the work of one that does not come back", function()
            if missing then return pending(missing) end
            emu:set { duration = 60 }
            local a, b = start("a", "--lease", "4", "--active", "2"), start("b", "--lease", "4", "--active", "2")
            local token = a:token "arcade"
            local accepted = a:accepted(token, "an accepted fox")
            program.until_(function() return #emu:ledger() == 1 and a:poll(token, accepted).json.data.status ~= "QUEUED" end)
            emu:fault { method = "POST", hang = true, accept = true, times = 1000 }
            local submitting = a:accepted(token, "a fox that hangs")
            program.until_(function() return #emu:ledger() == 2 end)
            local db = assert(require("flux2.gateway.place").database(a.state, server.url))
            local owner = db:first("SELECT gateway FROM tasks WHERE id = ?", submitting).gateway
            db:close()
            if service.read(b.state .. "/gateway.id") == owner then a, b = b, a end
            local queued = a:accepted(token, "a queued fox")
            a:stop "KILL"
            emu:clear_faults()
            emu:set { duration = 0.02 }
            emu:finish(emu:ledger()[1].task_id)
            assert.equal("SUCCESS", b:finish(token, accepted).status)
            assert.equal("SUCCESS", b:finish(token, queued).status)
            assert.equal("unknown_outcome", b:finish(token, submitting).error.type)
            local _, n = unknown(b)
            assert.equal(1, n)
            assert.equal(3, #emu:ledger())
        end)
    end)
end)
