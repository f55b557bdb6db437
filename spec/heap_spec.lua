-- Memory leaks: each action runs about a hundred times, and the heap size afterwards equals the size before. Memory is
-- released after a burst of jobs.
local core = require "flux2.core"
local jobs = require "support.jobs"
local service = require "support.service"
local shell = require "support.shell"

local heap_bytes = assert(package.loadlib(service.library "heap", "heap_bytes"))

local COUNT = 100 -- runs, a multiple of 20: malloc takes 24 bytes or more for a short text
local NOISE = 2200 -- bytes

local function heap()
    collectgarbage()
    collectgarbage()
    jobs.settle()
    -- Lua's own memory is subtracted; LuaJIT does not use malloc for it.
    local lua = rawget(_G, "jit") and 0 or collectgarbage "count" * 1024
    return heap_bytes() - lua
end

--- Fails if each call of `once` leaks memory. The first round fills caches, and a single round may grow by chance:
--- a leak grows in all rounds.
local function leaves_nothing(once, count, noise)
    count, noise = count or COUNT, noise or NOISE
    for i = 1, count do once(i) end
    local least = math.huge
    for _ = 1, 12 do
        local before = heap()
        for i = 1, count do once(i) end
        least = math.min(least, heap() - before)
        if least < noise then return end
    end
    error(("%.1f bytes each time"):format(least / count), 2)
end

describe("there is no leak in", function()
    local url, dir, p

    -- The service runs in a separate process, so that its heap is not measured.
    local SERVICE = [[
        local dir = arg[1]
        local emu = assert(require("flux2.emulator").start { log_requests = 1 })
        local function respond(path, fault)
            fault.path, fault.times = path, 1000000
            emu:fault(fault)
        end
        respond("/good", { body = ("g"):rep(3000), headers = { ["Content-Type"] = "a/b", ["X-Id"] = "trace" } })
        respond("/bad", { status = 404, body = "bad" })
        respond("/busy", { status = 500, body = "busy" })
        respond("/cut", { body = require "support.png".holding(("c"):rep(3000)), cut = 1000 })
        respond("/hang", { hang = true })
        respond("/image", { body = require "support.png".holding(("p"):rep(3000)) })
        respond("/open", { body = '{"id":"an-id","status":"queued"}' })
        respond("/refused", { body = '{"error":"no"}' })
        respond("/running", { body = '{"status":"running","progress":5}' })
        emu:fault { path = "/flips", every = 2, body = '{"status":"one"}' }
        respond("/flips", { body = '{"status":"other"}' })
        respond("/done*", { body = '{"status":"done","output":["{url}/image","http://h/2"],"credits":1}' })
        local file = assert(io.open(dir .. "/url.new", "w"))
        file:write(emu.url)
        file:close()
        os.rename(dir .. "/url.new", dir .. "/url")
        for _ = 1, require "support.bound"(6000) do
            local here = io.open(dir .. "/url")
            if not here then break end
            here:close()
            emu:wait(0.05)
        end
        emu:stop()
    ]]

    setup(function()
        dir = service.directory()
        service.write(dir .. "/service.lua", SERVICE)
        os.execute(("'%s' '%s/service.lua' '%s' >/dev/null 2>&1 &"):format(shell.interpreter(), dir, dir))
        jobs.wait_until(function() return service.exists(dir .. "/url") end)
        url = service.read(dir .. "/url")
        p = core.profile {
            max_attempts = 2, poll_interval = 1e-6, max_in_flight = 100, signatures = { "\137PNG\r\n\26\n" },
            traces = { "x-id" }, patience = 0.001, response = core.response_schema {
                task_id = { "id" }, status = { "status" }, progress = { "progress" }, succeeded = { "done" },
                image_places = { "output" }, bytes_keys = { "b64_json" }, refused = { "error" },
            },
        }
    end)
    teardown(function() service.remove(dir) end)

    --- Like leaves_nothing, for jobs that are started in groups and joined.
    local function of_jobs(start, noise)
        local ids = {}
        leaves_nothing(function(i)
            if i == 1 then ids = {} end
            ids[#ids + 1] = start(i)
            if #ids == 20 then
                for _, id in ipairs(ids) do
                    local ended = jobs.join(id)
                    if ended.fetch then jobs.join(ended.fetch) end
                    jobs.forget(id)
                    jobs.forget(ended.fetch)
                end
                ids = {}
            end
        end, nil, noise)
    end

    it("timers", function() of_jobs(function() return jobs.timer(0) end) end)
    it("timers that are cancelled", function()
        of_jobs(function()
            local id = jobs.timer(100)
            jobs.cancel(id)
            return id
        end)
    end)
    it("cancelling unknown jobs", function() leaves_nothing(function() jobs.cancel(2 ^ 50) end) end)
    it("transfers into memory", function() of_jobs(function() return jobs.transfer(p, url .. "/good") end) end)
    it("transfers with a body", function()
        of_jobs(function()
            return jobs.transfer(p, { url = url .. "/good", body = ("b"):rep(500), kind = "submission" })
        end)
    end)
    it("transfers as Base64", function()
        of_jobs(function() return jobs.transfer(p, { url = url .. "/good", base64 = true }) end)
    end)
    it("transfers of images", function()
        of_jobs(function() return jobs.transfer(p, { url = url .. "/image", check = true }) end)
    end)
    it("transfers to files", function()
        of_jobs(function(i) return jobs.transfer(p, { url = url .. "/good", file = dir .. "/" .. i % 20 }) end)
    end)
    it("transfers that fail", function()
        local paths = { "/bad", "/busy", "/cut", "/good" }
        of_jobs(function(i)
            -- The body of the last path is not an image, in memory and in a file.
            return jobs.transfer(p, {
                url = url .. paths[i % 4 + 1], check = true, file = i % 8 > 3 and dir .. "/failed" or nil,
            })
        end, 3 * NOISE)
    end)
    it("transfers to a place that cannot be written", function()
        -- Each costs a connection, and libcurl releases its data late.
        of_jobs(function() return jobs.transfer(p, { url = url .. "/good", file = dir .. "/no/such/f" }) end, 3 * NOISE)
    end)
    it("transfers that are cancelled, in flight or in the queue", function()
        local narrow = core.profile { max_in_flight = 3, max_attempts = 1 }
        of_jobs(function(i)
            local id = jobs.transfer(i % 2 == 0 and p or narrow,
                { url = url .. "/hang", body = "b", file = dir .. "/h" })
            if i % 20 == 0 then jobs.settle() end
            jobs.cancel(id)
            return id
        end, 3 * NOISE)
    end)
    it("transfers whose deadline passes", function()
        of_jobs(function() return jobs.transfer(p, { url = url .. "/hang", deadline = 0.001 }) end, 3 * NOISE)
    end)
    it("polls with downloads", function()
        of_jobs(function(i)
            return jobs.poll(p, {
                url = url .. "/done", fetch = p, check = true, observe = true,
                file = i % 2 == 0 and dir .. "/fetched" or nil,
            })
        end)
    end)
    it("submissions with a record", function()
        of_jobs(function(i)
            return jobs.poll(p, {
                url = url .. "/done/{id}", submission = url .. (i % 3 == 0 and "/refused" or "/open"), body = "{}",
                durations = "a kind",
                record_path = dir .. "/record" .. i % 20,
                record_text = '{"id":"{id}","answer":{answer}}', observe = true,
            })
        end)
    end)
    it("submissions with images", function()
        service.write(dir .. "/image", ("i"):rep(20000))
        of_jobs(function(i)
            return jobs.poll(p, {
                url = url .. "/done/{id}", submission = url .. (i % 3 == 0 and "/refused" or "/open"), body = "<",
                images = {
                    { bytes = ("b"):rep(2000), limit = 2000, after = "," },
                    { path = dir .. (i % 5 == 0 and "/none" or "/image"), limit = 20000, after = ">" },
                },
            })
        end, 3 * NOISE)
    end)
    it("accepted submissions, whose images are released before the task ends", function()
        local slow = core.profile {
            poll_interval = 60, response = core.response_schema { task_id = { "id" }, status = { "status" } },
        }
        local ids, before = {}, heap()
        for i = 1, 10 do
            ids[i] = jobs.poll(slow, {
                url = url .. "/running", submission = url .. "/open", body = "<",
                images = { { bytes = ("b"):rep(2 ^ 20), limit = 2 ^ 20, after = ">" } },
            })
        end
        jobs.wait_until(function()
            local accepted = 0
            for _, id in ipairs(ids) do accepted = accepted + #jobs.events(id, "accepted") end
            return accepted == 10
        end)
        local grown = heap() - before
        jobs.cancel_all(ids)
        assert.is_true(grown < 2 ^ 20, grown .. " bytes")
    end)
    it("submissions whose record cannot be written", function()
        of_jobs(function()
            return jobs.poll(p, {
                url = url .. "/done", submission = url .. "/open", body = "{}",
                record_path = dir .. "/no/such/record", record_text = "x",
            })
        end)
    end)
    it("polls that are cancelled, with pending changes", function()
        of_jobs(function(i)
            local id = jobs.poll(p, { url = url .. "/running" })
            if i % 20 == 0 then jobs.settle() end
            jobs.cancel(id)
            return id
        end)
    end)
    it("changes that are not read", function()
        local engine = jobs.engine
        leaves_nothing(function()
            local id = jobs.poll(p, url .. "/flips")
            local enough = engine:stats().requests + 12
            while engine:stats().requests < enough do engine:wait(0.001) end
            jobs.cancel(id)
            jobs.join(id)
            jobs.forget(id)
        end)
    end)
    it("polls that fail", function()
        of_jobs(function(i) return jobs.poll(p, url .. (i % 2 == 0 and "/busy" or "/bad")) end)
    end)
    it("more concurrent requests than kept handles", function()
        local wide = core.profile { max_in_flight = 170, max_attempts = 1 }
        leaves_nothing(function()
            local ids = {}
            for i = 1, 170 do ids[i] = jobs.transfer(wide, url .. "/hang") end
            jobs.wait_until(function() return jobs.engine:stats().in_flight == 170 end)
            for i = 1, 170 do jobs.cancel(ids[i]) end
            for i = 1, 170 do
                jobs.join(ids[i])
                jobs.forget(ids[i])
            end
        end, 20, 10 * NOISE) -- the kept handles still grow a little; a leak in each other one would be 41 KB
    end)
    it("profiles, including invalid ones", function()
        local words = { "first", "second" }
        local schema = core.response_schema { status = words }
        leaves_nothing(function(i)
            pcall(core.profile, {
                headers = words, body_headers = words, user_agent = "me", proxy = "http://127.0.0.1:1",
                ca_file = "/f", traces = words,
                signatures = words, response = schema, compressed = true, colour = i % 2 == 0 and "red" or nil,
            })
        end)
    end)
    it("a profile that a transfer used", function()
        leaves_nothing(function()
            local own = core.profile { max_attempts = 1, headers = { "A: b" } }
            local id = jobs.transfer(own, url .. "/good")
            jobs.join(id)
            jobs.forget(id)
        end, 40)
    end)
    it("reading responses", function()
        local schema = core.response_schema(require("flux2.provider").resolve().response)
        local done = '{"status":"done","output":["http:\\/\\/h/1",{"url":"http://h/2"},{"b64_json":"QUJD"}],"id":"x"}'
        leaves_nothing(function()
            for _, kind in ipairs { "submission", "task", "download" } do
                for _, body in ipairs { done, "<html>", "{}", '{"error":"no","code":"x"}',
                    '{"status":"failed","error":"no"}' } do
                    core.read_response(schema, kind, 200, body)
                    core.read_response(schema, kind, 500, body)
                end
            end
        end)
        leaves_nothing(function(i)
            pcall(core.response_schema, {
                status = { "a" }, hints = { { kind = "auth", words = { "a" } } }, code_ok = { 1 },
                succeeded = i % 2 == 0 and 1 or nil,
            })
        end)
    end)
    it("histograms of durations", function()
        leaves_nothing(function()
            local histogram = core._pure.histogram()
            core._pure.learn(histogram, 1, 2)
            core._pure.gap(p, 1, 1, histogram)
        end, 60)
    end)
    it("file, URL and lock functions", function()
        leaves_nothing(function()
            core.url "https://me@h:1/x?y"
            core.url "http://["
            core.list(dir)
            core.list "/no/such/folder"
            core.write_file(dir .. "/f", "x", false, true)
            core.write_file(dir .. "/no/such/f", "x")
            core.check_file(dir .. "/f")
            core.check_file "/no/such/f"
            local lock = core.lock(dir .. "/lock", true)
            core.lock(dir .. "/lock", true)
            core.lock(dir .. "/lock", false)
            lock:release()
            core.buffer(("x"):rep(1000))
        end, 60, 2 * NOISE)
    end)
    it("large buffers that the engine's thread frees", function()
        leaves_nothing(function()
            core.buffer(("x"):rep(2 ^ 18))
            collectgarbage()
        end, 20)
    end)
end)

describe("a burst of jobs", function()
    it("releases its tables", function()
        local function burst(count)
            local ids = {}
            for i = 1, count do ids[i] = jobs.timer(1000) end
            for i = 1, count do jobs.cancel(ids[i]) end
            for i = 1, count do
                jobs.join(ids[i])
                jobs.forget(ids[i])
            end
        end
        burst(2000)
        local before = heap()
        burst(20000)
        local grown = heap() - before
        -- A table of ids and a heap for 20,000 take 0.8 MB.
        assert.is_true(grown < 150000, grown .. " bytes")
    end)
end)
