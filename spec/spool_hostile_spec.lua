-- Spool records damaged by a crash, a bad disk or an edit: recover never raises, rejects invalid data, keeps
-- unreadable files, and finds intact records beside them. Seeded; HOSTILE_ROUNDS and HOSTILE_SEED for more.
local cjson = require "cjson"
local core = require "flux2.core"
local flux2 = require "flux2"
local seeded = require "support.seeded"
local service = require "support.service"
local text = require "flux2.text"

local ROUNDS = tonumber(os.getenv "HOSTILE_ROUNDS") or 25
local IN_A_ROUND = 30
local DEAD = "00000000000000aa"

local draw = seeded.new(os.getenv "HOSTILE_SEED")
local random, one_of = draw.random, draw.one_of

local VALUES = {
    "null", "true", "-1", "1e999", "NaN", '""', '"x"', "[]", "{}", "[[[[]]]]", '"\\u0000"', '"\255\254"', '"\\ud800"',
    '"../../x"', '"{id}"', '"' .. ("x"):rep(600) .. '"', '{"prompt":7}', "123456789012345678901234567890",
    '"\\u001b[31m"', '{"a":{"b":{"c":[1,2,{"d":null}]}}}', ("["):rep(3000), '"http://127.0.0.1:1"',
}
local NAMES = { "task_id", "submitted", "base_url", "request", "price", "prompt", "", "task_id\\u0000" }

local damage = {
    function(s) return s:sub(1, random(#s + 1) - 1) end,
    function(s) return s .. s end,
    function(s)
        local at = random(#s + 1)
        return s:sub(1, at - 1) .. string.char(random(256) - 1) .. s:sub(at + random(4) - 1)
    end,
    function(s) -- another value in place of an existing one
        local at, count = random(5), 0
        return (s:gsub("(\":%s*)(\"[^\"]*\")", function(before)
            count = count + 1
            if count == at then return before .. one_of(VALUES) end
        end))
    end,
    function(s) return (s:gsub("{", "{\"" .. one_of(NAMES) .. "\":" .. one_of(VALUES):gsub("%%", "%%%%") .. ",",
        1)) end,
    function(s) return ("\0"):rep(random(200)) .. s end,
    function(s) return s:gsub("\n", "\r\n") end,
    function() return ("\0"):rep(random(4096)) end, -- what a power failure leaves on some file systems
    function() return "" end,
}

describe("a damaged spool", function()
    local emu, dir, client, whole
    before_each(function()
        emu = service.start()
        dir = service.directory()
        whole = [[{
  "task_id": "%s",
  "submitted": "2026-01-31T12:00:00Z",
  "base_url": "]] .. emu.url .. [[",
  "price": 10,
  "request": {"model":"flux-2","prompt":"a red fox","extra":"{id}"}
}
]]
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)

    local function write(name, bytes) service.write(dir .. "/" .. name, bytes) end

    --- Counts the files with each content, under any name.
    local function contents()
        local found = {}
        for _, name in ipairs(service.list(dir)) do
            if not name:find "^owner" then
                local bytes = service.read(dir .. "/" .. name)
                found[bytes] = (found[bytes] or 0) + 1
            end
        end
        return found
    end

    local function check_task(task)
        assert.equal("string", type(task.id))
        assert.is_true(#task.id > 0 and #task.id <= 512)
        assert.equal("table", type(task.request))
        assert.equal("running", task.state)
        assert.truthy(text.length(tostring(task)))
        assert.is_nil(tostring(task):find "%c")
    end

    it("sends no submission again whose record cannot be written again", function()
        emu:fault { method = "POST", hang = true, accept = false, times = 100 }
        local own = dir .. "/own"
        local gateway = { provider = "gateway", spool = own }
        local task = assert(service.client(emu, gateway):submit "a red fox")
        service.pump_until(function() return emu:stats().requests > 0 end)
        local record
        for _, name in ipairs(core.list(own)) do
            record = name:find "^task" and service.read(own .. "/" .. name) or record
        end
        task:cancel()
        emu:clear_faults()
        for damaged, is_sent in pairs {
            [record] = true, [record:gsub("red fox", "r\255d fox")] = false,
            [record:gsub('"prompt":', '"deep":' .. ("["):rep(60) .. ("]"):rep(60) .. "," .. '"prompt":')] = false,
            [record:gsub('"price": 10', '"price": NaN')] = true,
            [record:gsub('("submitted": "%S-Z)"', '%1\\""')] = true,
        } do
            service.remove(dir .. "/other")
            os.execute("mkdir '" .. dir .. "/other'")
            write("other/task-" .. DEAD .. "-0001.json", damaged)
            local before = emu:stats().submissions
            local found, unknown = assert(service.client(emu, { provider = "gateway", spool = dir .. "/other" }):recover())
            assert.same({ is_sent and 1 or 0, is_sent and 0 or 1 }, { #found, #unknown })
            if is_sent then assert(assert(found[1]:wait()).images[1]:bytes()) end
            assert.equal(before + (is_sent and 1 or 0), emu:stats().submissions)
        end
    end)

    it("returns intact records, keeps damaged ones, and never raises", function()
        local counts = { found = 0, unknown = 0, damaged = 0, records = 0 }
        for round = 1, ROUNDS do
            local from = draw.seed()
            service.remove(dir)
            client = service.client(emu, { spool = dir })
            for i = 1, IN_A_ROUND do
                local bytes = whole:format(random(3) == 1 and "" or "task " .. i)
                for _ = 1, random(3) - 1 do bytes = one_of(damage)(bytes) end
                write(("task-%s-%04d.json"):format(DEAD, i), bytes)
            end
            write(("task-%s-9999.json"):format(DEAD), whole:format("the whole one"))
            -- Foreign files with similar names are not changed.
            write("task-zz-0001.json", "not ours")
            write(("task-%s-1.json.bak"):format(DEAD), "not ours either")
            local before = contents()
            local ran, tasks, unknown, damaged = pcall(client.recover, client)
            local where = ("HOSTILE_SEED=%d, round %d: %s"):format(from, round, tostring(tasks))
            assert.is_true(ran, where)
            assert.equal("table", type(tasks), where)
            local seen = false
            for _, task in ipairs(tasks) do
                check_task(task)
                seen = seen or task.id == "the whole one"
            end
            assert.is_true(seen, where)
            for _, record in ipairs(unknown) do
                assert.is_nil(record.id)
                assert.equal("table", type(record.request))
                assert.equal("string", type(record.submitted))
            end
            for _, entry in ipairs(damaged) do
                assert.truthy(entry.path:find "%.damaged$", where)
                assert.truthy(text.length(entry.reason) and not entry.reason:find "%c", where)
            end
            assert.same(before, contents(), where)
            assert.equal(#damaged, #(select(3, client:recover())), where)
            counts.found, counts.unknown = counts.found + #tasks, counts.unknown + #unknown
            counts.damaged, counts.records = counts.damaged + #damaged, counts.records + IN_A_ROUND + 1
        end
        -- The rounds must differ, or they test nothing.
        for kind, n in pairs(counts) do assert.is_true(n > ROUNDS, kind .. ": " .. n) end
        assert.equal(0, flux2.pending())
        assert.equal(0, emu:stats().requests)
    end)

    it("is read with memory in proportion to its records #ulimit", function()
        -- Sanitizers and valgrind need more memory themselves.
        if require "support.build".is_instrumented then return end
        write(("task-%s-0001.json"):format(DEAD), whole:format("the whole one"))
        local code, printed = service.run_lua([[
            local client = assert(require("flux2").new { api_key = "aio_emulator_key", base_url = arg[1],
                spool = arg[2] })
            local tasks = assert(client:recover())
            assert(#tasks == 1 and tasks[1].id == "the whole one")
        ]], ("'%s' '%s'"):format(emu.url, dir), "ulimit -v 250000;")
        assert.equal(0, code, printed)
    end)

    it("with partial files of a crash loses no complete id", function()
        for round = 1, ROUNDS do
            local from = draw.seed()
            service.remove(dir)
            client = service.client(emu, { spool = dir })
            local ids = {}
            for i = 1, IN_A_ROUND do
                local name = ("task-%s-%04d.json"):format(DEAD, i)
                local sound = random(2) == 1
                local bytes = whole:format("part " .. i)
                if not sound then bytes = damage[1](bytes:sub(1, -3)) end
                if random(2) == 1 then write(name, whole:format "") end
                write(("." .. name .. ".%016d.part"):format(i), bytes)
                if sound then ids["part " .. i] = true end
            end
            local tasks = assert(client:recover())
            for _, task in ipairs(tasks) do
                check_task(task)
                ids[task.id] = nil
            end
            assert.is_nil(next(ids), ("HOSTILE_SEED=%d, round %d: %s"):format(from, round, tostring(next(ids))))
            for _, name in ipairs(service.list(dir)) do assert.is_nil(name:find "%.part$", name) end
        end
    end)

    it("preserves any task id and any request", function()
        for _ = 1, 15 do
            service.remove(dir)
            client = service.client(emu, { spool = dir })
            emu:clear_faults()
            local bytes = {}
            for i = 1, random(40) do
                bytes[i] = one_of { "a", "\"", "\\", "/", "{id}", "%1", "\n", "\127", "\195\164", " ", "\1" }
            end
            local id = table.concat(bytes)
            local request = { prompt = "a fox " .. id, extra = { nested = { id, { [id] = 0.5 } } } }
            emu:fault {
                method = "POST", path = "/api/v1/images/generations", nth = 1,
                body = cjson.encode { code = 200, data = { task_id = id, status = "queued" } },
            }
            emu:fault { method = "GET", path = "*", times = 1000, hang = true }
            local task = assert(client:submit(request))
            service.pump_until(function() return task.id end)
            task:cancel()
            service.pump_until(function() return client._config.tasks == 0 end)
            task = nil
            assert.is_nil(task)
            client = nil
            -- The record is freed by the collector: LuaJIT may keep references of a trace for a while.
            local again, tasks = service.client(emu, { spool = dir }), nil
            service.pump_until(function()
                collectgarbage()
                tasks = assert(again:recover())
                return #tasks > 0
            end)
            assert.equal(1, #tasks)
            assert.equal(id, tasks[1].id)
            assert.equal(request.prompt, tasks[1].request.prompt)
            assert.same(request.extra.nested, tasks[1].request.nested)
        end
    end)
end)
