-- The body of a submission with local images, as the engine sends it: text and images in Base64, which are read and
-- encoded while they are sent. What arrives is compared byte by byte; no descriptor stays open.
local core = require "flux2.core"
local jobs = require "support.jobs"
local service = require "support.service"

local SCHEMA = core.response_schema {
    task_id = { "id" }, status = { "status" }, succeeded = { "done" }, image_places = { "output" },
    refused = { "error" },
}
local DONE = '{"status":"done","output":"http://a/1.png"}'
local is_windows = package.config:sub(1, 1) == "\\"
local PIECE = 12 * 1024 -- bytes that the engine encodes at once
local ROOM = 48 * 1024 -- bytes whose Base64 fills libcurl's buffer

local function profile(options)
    local p = { max_attempts = 3, response = SCHEMA, poll_interval = 0.002 }
    for name, value in pairs(options or {}) do p[name] = value end
    return core.profile(p)
end

--- Bytes that repeat only after 251.
local function bytes_of(size)
    local list = {}
    for i = 1, 251 do list[i] = string.char((i * 7) % 256) end
    return table.concat(list):rep(math.ceil(size / 251)):sub(1, size)
end

describe("the body of a submission with images", function()
    local emu, dir
    service.around_each(before_each, after_each, { log_body_bytes = 2 ^ 24, max_body_bytes = 2 ^ 25 }, function(...)
        emu, dir = ...
    end)

    --- The number of files in the folder that this process has open; nil if the system does not tell.
    local function open_files()
        if is_windows or not service.exists "/proc/self/stat" then return nil end
        local pipe, count = assert(io.popen "ls -l /proc/$PPID/fd 2>/dev/null"), 0
        for line in pipe:lines() do count = count + (line:find(dir, 1, true) and 1 or 0) end
        pipe:close()
        return count
    end

    after_each(function()
        local stats = jobs.engine:stats()
        assert.same({ 0, 0 }, { stats.jobs, stats.in_flight })
    end)

    local files = 0
    local function file_of(bytes)
        files = files + 1
        local path = dir .. "/" .. files
        service.write(path, bytes)
        return path
    end

    --- The parameters of a job with these images, and the body that has to arrive. A number is the size of a file, a
    --- negative one that of bytes, which may be given as well.
    local function submission(sizes, more)
        local spec = { submission = emu.url .. "/open", url = emu.url .. "/task", body = '{"a":"', images = {} }
        local parts = { spec.body }
        for i, size in ipairs(sizes) do
            local image = { limit = 2 ^ 24, after = i < #sizes and '","' .. i .. '":"' or '"}' }
            local bytes = type(size) == "string" and size or bytes_of(math.abs(size))
            if size == bytes or size < 0 then image.bytes = bytes else image.path = file_of(bytes) end
            spec.images[i] = image
            parts[#parts + 1] = core.base64(bytes) .. image.after
        end
        for name, value in pairs(more or {}) do spec[name] = value end
        return spec, table.concat(parts)
    end

    local function bodies()
        local list = {}
        for _, request in ipairs(emu:requests()) do
            if request.method == "POST" then list[#list + 1] = request.body end
        end
        return list
    end

    local function accept(...)
        for _, fault in ipairs { ... } do emu:fault(fault) end
        emu:fault { path = "/*", times = 1000, body = DONE }
    end

    local function arrives(sizes, more)
        local spec, want = submission(sizes, more)
        local ended = jobs.join(jobs.poll(profile(), spec))
        assert.equal("succeeded", ended.verdict)
        local list = bodies()
        -- The whole bodies would be an unreadable message.
        assert.equal(#want, #list[#list])
        assert.is_true(want == list[#list], "other bytes arrived")
        local request = emu:requests()
        assert.equal(tostring(#want), request[#request].headers["content-length"])
        assert.is_nil(request[#request].headers["transfer-encoding"])
    end

    for _, size in ipairs { 1, 2, 3, 4, 600, PIECE - 1, PIECE, PIECE + 1, ROOM - 1, ROOM, ROOM + 1, ROOM + 2, 3000001 } do
        it("arrives byte for byte, from a file and from bytes: " .. size, function()
            accept()
            arrives { size }
            arrives { -size }
        end)
    end

    it("arrives byte for byte with eight images, of files and bytes", function()
        accept()
        arrives { 2000000, -1, 1, -2000001, 2, -PIECE, 2000002, -600 }
        arrives { 0, "", 3 }
    end)

    it("is sent whole again after a refusal", function()
        accept({ path = "/open", nth = { 1, 2 }, status = 429, headers = { ["Retry-After"] = "0" } })
        arrives { 100000, -1000 }
        local list = bodies()
        assert.same({ 3, true, true }, { #list, list[1] == list[3], list[2] == list[3] })
    end)

    it("is sent whole again by libcurl, if that is allowed: after a redirect, or on a dead connection", function()
        local p = profile { max_redirects = 1, max_attempts = 1 }
        accept({ path = "/open", nth = 1, redirect = emu.url .. "/other", status = 307 },
            { path = "/open", nth = 2, body = DONE }, { path = "/open", nth = 3, close = "after" })
        local spec, want = submission({ 300000, -1000 }, { idempotency = "Idempotency-Key: 1" })
        for _ = 1, 3 do assert.equal("succeeded", jobs.join(jobs.poll(p, spec)).verdict) end
        local list, paths = {}, {}
        for i, request in ipairs(emu:requests()) do
            paths[i], list[i] = request.path, request.body == want
        end
        assert.same({ "/open", "/other", "/open", "/open", "/open" }, paths)
        assert.same({ true, true, true, true, true }, list)
    end)

    it("may follow and precede other requests on one connection", function()
        accept()
        local p = profile { max_in_flight = 1 }
        local spec, want = submission { 100000, -1 }
        local plain = { submission = emu.url .. "/open", url = emu.url .. "/task", body = "plain" }
        for _, one in ipairs { spec, { url = emu.url .. "/get" }, plain, spec, plain, { url = emu.url .. "/get" }, spec } do
            assert.equal("succeeded", jobs.join(jobs.poll(p, one)).verdict)
        end
        local list = {}
        for i, request in ipairs(emu:requests()) do
            local kind = request.body == want and "images" or request.body
            list[i] = request.method .. " " .. tostring(kind)
            assert.equal(emu:requests()[1].connection, request.connection)
        end
        assert.same({ "POST images", "GET ", "POST plain", "POST images", "POST plain", "GET ", "POST images" }, list)
    end)

    --- Each row: what is wrong with the second image, and the message.
    for _, row in ipairs {
        { "is missing", "No such file or directory", function(image) os.remove(image.path) end },
        { "is too large", "File too large", function(image) image.limit = 99 end },
        { "is a folder", "Is a directory", function(image) image.path = dir end },
    } do
        it("is not sent if a file " .. row[1], function()
            local spec = submission { 100, 100, 100 }
            row[3](spec.images[2])
            local ended = jobs.join(jobs.poll(profile(), spec))
            assert.same({ "input", "io", "io", "refused" },
                { ended.failed_step, ended.failure, ended.error, ended.acceptance })
            assert.matches(row[2], ended.message, 1, true)
            assert.is_nil(ended.sent)
            assert.same({}, emu:requests())
            assert.equal(open_files() and 0, open_files())
        end)
    end

    it("is not sent if a file is a FIFO, which does not block #special", function()
        local spec = submission { 100 }
        os.remove(spec.images[1].path)
        os.execute(("mkfifo '%s'"):format(spec.images[1].path))
        local ended = jobs.join(jobs.poll(profile(), spec))
        assert.same({ "input", "io" }, { ended.failed_step, ended.error })
        assert.same({}, emu:requests())
    end)

    --- Runs jobs with a file of three reads in a process in which read number `n` of the last job fails. Returns the end
    --- of that job as "failure error acceptance sent: message".
    local function fails_at(n, jobs_before, idempotency)
        service.write(dir .. "/fox", bytes_of(3 * PIECE))
        local code, printed = service.run_preloaded("disk_faults", ([[
            local core = require "flux2.core"
            local function load_c(name) return assert(package.loadlib(arg[3], name)) end
            local watch, plan = load_c "disk_watch", load_c "disk_plan"
            watch(arg[2])
            local engine = assert(core.engine())
            local p = core.profile { max_attempts = 1, response = core.response_schema {
                status = { "status" }, succeeded = { "done" }, image_places = { "output" },
            } }
            local function run()
                local kind, id, event
                assert(engine:poll(engine:next_id(), p, {
                    submission = arg[1] .. "/open", body = "<", idempotency = %s,
                    images = { { path = arg[2] .. "/fox", limit = 100000, after = ">" } },
                }))
                repeat
                    engine:wait(0.01)
                    id, kind, event = engine:next()
                until id and kind == "ended"
                return event
            end
            for _ = 1, %d do assert(run().verdict == "succeeded") end
            plan("fail", "read", %d, "fox")
            local event = run()
            print(("%%s %%s %%s %%s: %%s"):format(event.failure, event.error, event.acceptance, tostring(event.sent),
                event.message))
        ]]):format(idempotency and "'Idempotency-Key: 1'" or "nil", jobs_before, n), emu, dir)
        assert.equal(0, code, printed)
        return (printed:gsub("\n$", ""))
    end

    it("that cannot be read to its end was not accepted, and the message names the file", function()
        if is_windows then return pending "needs a preloaded library" end
        accept()
        for n = 1, 3 do
            assert.equal("input io refused nil: " .. dir .. "/fox: Disk quota exceeded", fails_at(n, 0))
        end
        assert.same({}, emu:requests())
    end)

    it("may have been accepted if it was sent whole before, on a connection that broke", function()
        if is_windows then return pending "needs a preloaded library" end
        -- The first two connect: one submission before it is known whether polls share connections, and one after that.
        accept({ path = "/open", nth = 3, close = "after" })
        assert.equal("input unknown_outcome unknown true: " .. dir .. "/fox: Disk quota exceeded", fails_at(4, 2, true))
        assert.equal(3, #emu:requests())
    end)

    it("leaves no file open, however it ends", function()
        if not open_files() then return pending "needs /proc" end
        accept({ path = "/refused", times = 1000, status = 400, body = '{"error":"no"}' },
            { path = "/later", times = 1000, status = 429, headers = { ["Retry-After"] = "1000" } },
            { path = "/hang", times = 1000, hang = true }, { path = "/reset", times = 1000, reset = "after" })
        local p = profile { max_attempts = 1 }
        local function ends(path, more)
            more = more or {}
            more.submission = emu.url .. path
            local id = jobs.poll(more.profile or p, (submission({ 100, 2000000 }, more)))
            if more.cancel then
                jobs.wait_until(function() return open_files() == 2 end)
                jobs.cancel(id)
            end
            local ended = jobs.join(id)
            assert.equal(0, open_files(), path)
            return ended.failure or ended.verdict
        end
        assert.equal("succeeded", ends "/open")
        assert.equal("refused", ends "/refused")
        assert.equal("network", ends "/reset")
        assert.equal("cancelled", ends("/hang", { cancel = true }))
        assert.equal("timeout", ends("/hang", { deadline = 0.05 }))
        assert.equal("timeout", ends("/hang", { profile = profile { request_timeout = 0.05, max_attempts = 1 } }))
        assert.equal("io", ends("/open", { record_path = dir .. "/none/record", record_text = "{id}" }))
        local spec = submission({ 100 }, { submission = emu.url .. "/later", observe = true })
        local id = jobs.poll(profile(), spec)
        jobs.wait_until(function() return #jobs.events(id, "request") > 0 end)
        assert.equal(0, open_files(), "between two attempts")
        jobs.cancel_all { id }
        emu:stop()
        assert.equal("connect", ends "/open")
    end)

    it("is closed with the engine", function()
        if not open_files() then return pending "needs /proc" end
        emu:fault { path = "/hang", times = 1000, hang = true }
        service.write(dir .. "/1", bytes_of(100))
        local code, printed = service.run_lua([[
            local core = require "flux2.core"
            local function open_files()
                -- Quiet, because a file of the engine's thread may be closed while it is listed.
                local pipe = assert(io.popen "ls -l /proc/$PPID/fd 2>/dev/null")
                local _, count = pipe:read "*a":gsub(arg[2], "")
                pipe:close()
                return count
            end
            local engine = assert(core.engine())
            assert(engine:poll(engine:next_id(), core.profile {}, {
                submission = arg[1] .. "/hang", body = "<", images = { { path = arg[2], limit = 1000, after = ">" } },
            }))
            while open_files() == 0 do end
            getmetatable(engine).__gc(engine)
            print(open_files() .. " files are open")
        ]], ("'%s' '%s/1'"):format(emu.url, dir))
        assert.same({ 0, "0 files are open\n" }, { code, printed })
    end)
end)
