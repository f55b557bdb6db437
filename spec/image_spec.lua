-- Image downloads to memory and to files.
local bound = require "support.bound"
local errors = require "flux2.errors"
local core = require "flux2.core"
local flux2 = require "flux2"
local png = require "support.png"
local program = require "support.program"
local service = require "support.service"

local PNG = "\137PNG\r\n\26\n"

describe("an image", function()
    local emu, client, dir
    setup(function()
        emu = service.start()
        client = service.client(emu, { poll = { interval = 0.02, patience = bound(20) } })
    end)
    before_each(function()
        emu:clear_faults()
        dir = service.directory()
    end)
    after_each(function() service.remove(dir) end)
    teardown(service.stop_all)

    local function finished(c)
        return assert(assert((c or client):submit "an image to fetch"):wait()).images[1]
    end

    it("is downloaded on first use, and once", function()
        local image = finished()
        local before = emu:stats().downloads
        assert.equal(image:bytes(), image:bytes())
        assert.equal(before + 1, emu:stats().downloads)
        assert(image:save(dir .. "/a.png"))
        assert.equal(before + 1, emu:stats().downloads, "from memory")
        assert.equal(image:bytes(), service.read(dir .. "/a.png"))
    end)

    it("is returned as a buffer without a copy", function()
        local image = finished()
        local before = emu:stats().downloads
        local buffer = assert(image:buffer())
        assert.equal(buffer, image:buffer())
        assert.equal("userdata", type(buffer:pointer()))
        assert.equal(PNG, buffer:string():sub(1, 8))
        assert.equal(#buffer, #buffer:string())
        assert.matches("^flux2.Buffer %(%d+ bytes%)$", tostring(buffer))
        assert(image:save(dir .. "/a.png"))
        assert.equal(buffer:string(), service.read(dir .. "/a.png"))
        assert.equal(buffer:string(), image:bytes())
        assert.equal(before + 1, emu:stats().downloads)
        -- The image holds its own string now; the caller's buffer is unchanged.
        assert.equal(image:bytes(), buffer:string())
        assert.equal(image:bytes(), image:buffer():string())
    end)

    it("is generated into memory as a buffer", function()
        local image = assert(client:generate "an image to hold")
        local before = emu:stats().downloads
        assert.equal(PNG, image:buffer():string():sub(1, 8))
        assert.equal(before, emu:stats().downloads)
    end)

    -- Creates MIB buffers of 1 MiB, drops each after a while, and returns the number still in memory.
    local function pile_up(mib)
        local text, alive, held, n = ("x"):rep(2 ^ 20), setmetatable({}, { __mode = "v" }), {}, 0
        local last
        for i = 1, mib do
            held[i % 40 + 1], last = last, core.buffer(text)
            alive[i] = last
            flux2.update()
        end
        assert.equal(40, #held)
        for _ in pairs(alive) do n = n + 1 end
        return n
    end

    if _VERSION == "Lua 5.1" then -- and LuaJIT: their collectors charge large objects step by step, as for strings
        it("counts as memory for Lua's collector", function()
            collectgarbage()
            collectgarbage "stop"
            local before = collectgarbage "count"
            local buffer = core.buffer(("x"):rep(2 ^ 20))
            local grown = collectgarbage "count" - before
            collectgarbage "restart"
            assert.is_true(grown > 2 * 1024, grown .. " KiB")
            assert.equal(2 ^ 20, #buffer:string())
        end)
    else
        it("is freed in time although Lua's collector sees only a small object", function()
            finished():buffer()
            local n = pile_up(600)
            assert.is_true(n < 300, n .. " MiB are left of 600")
        end)
    end

    it("is freed in the collector's generational mode", function()
        local ok, before = pcall(collectgarbage, "generational")
        if not ok or _VERSION ~= "Lua 5.4" then return end
        local n = pile_up(600)
        collectgarbage(before)
        assert.is_true(n < 300, n .. " MiB are left of 600")
    end)

    it("stays in memory while the host has stopped the collector", function()
        collectgarbage()
        collectgarbage "stop" -- LuaJIT restarts the collector after a full collection
        local n = pile_up(100)
        collectgarbage "restart"
        assert.equal(100, n)
    end)

    it("is saved completely, and no other file remains", function()
        local image = finished()
        assert.equal(dir .. "/a.png", assert(image:save(dir .. "/a.png")))
        assert.same({ "a.png" }, service.list(dir))
        assert.equal(PNG, service.read(dir .. "/a.png"):sub(1, 8))
        assert.equal("image/png", image.content_type)
    end)

    it("replaces a file only when complete", function()
        local path = dir .. "/a.png"
        service.write(path, "precious")
        emu:fault { method = "GET", path = "/images/*", times = 20, cut = 100 }
        local small = service.client(emu, { max_retries = 0 })
        local saved, err = finished(small):save(path)
        assert.is_nil(saved)
        assert.equal("network", err.kind)
        assert.equal("precious", service.read(path))
        assert.same({ "a.png" }, service.list(dir))
        emu:clear_faults()
        assert(finished():save(path))
        assert.equal(PNG, service.read(path):sub(1, 8))
    end)

    it("is downloaded again after an interrupted download", function()
        emu:fault { method = "GET", path = "/images/*", nth = 1, cut = 100 }
        emu:fault { method = "GET", path = "/images/*", nth = 2, status = 503, body = "later" }
        local image = finished()
        assert(image:save(dir .. "/a.png"))
        assert.equal(PNG, service.read(dir .. "/a.png"):sub(1, 8))
    end)

    it("with a body that is not an image fails and leaves no file", function()
        for _, body in ipairs { "<!DOCTYPE html><html>sorry</html>", "", "\137PN", "BM......" } do
            emu:clear_faults()
            emu:fault { method = "GET", path = "/images/*", times = 100, status = 200, body = body }
            local image = finished(service.client(emu, { poll = { interval = 0.02, patience = 0.1 } }))
            local saved, err = image:save(dir .. "/a.png")
            assert.is_nil(saved)
            assert.equal("not_an_image", err.kind)
            local bytes
            bytes, err = image:bytes()
            assert.is_nil(bytes)
            assert.equal("not_an_image", err.kind)
            assert.same({}, service.list(dir))
        end
    end)

    it("that is too large fails, and the error names the option that raises the limit", function()
        local narrow = service.client(emu, { max_image_bytes = 100 })
        local image = finished(narrow)
        for _, fetch in ipairs { function() return image:bytes() end,
            function() return image:save(dir .. "/a.png") end } do
            local value, err = fetch()
            assert.is_nil(value)
            assert.equal("too_large", err.kind)
            assert.matches("max_image_bytes", tostring(err), nil, true)
        end
        assert.same({}, service.list(dir))
    end)

    it("that is truncated in a complete body is downloaded again", function()
        local whole = png.holding(("whole "):rep(100))
        for _, keep in ipairs { 9, 40, #whole - 1 } do
            emu:clear_faults()
            emu:fault { method = "GET", path = "/images/*", nth = 1, body = whole:sub(1, keep) }
            emu:fault { method = "GET", path = "/images/*", times = 9, body = whole }
            local image = finished()
            local before = emu:stats()
            assert(image:save(dir .. "/a.png"))
            assert.equal(whole, service.read(dir .. "/a.png"))
            assert.same({ 3, 1 }, { emu:stats().requests - before.requests, emu:stats().polls - before.polls })
        end
        os.remove(dir .. "/a.png")
        emu:clear_faults()
        emu:fault { method = "GET", path = "/images/*", times = 1000, body = whole:sub(1, 100) }
        local saved, err
        service.with_enough_time(0.1, function(patience)
            local hasty = service.client(emu, { poll = { interval = 0.02, patience = patience } })
            saved, err = finished(hasty):save(dir .. "/a.png")
            assert.is_nil(saved)
            return err.attempts > 1
        end)
        assert.matches("^not_an_image: the data from 127.0.0.1 is not a whole image: the image is truncated after 100 bytes",
            tostring(err))
        assert.is_true(err.attempts > 1)
        assert.same({}, service.list(dir))
    end)

    it("of endless length is aborted at the limit", function()
        emu:fault { method = "GET", path = "/images/*", times = 1000, endless = true, body = PNG }
        local narrow = service.client(emu, { max_image_bytes = 100000 })
        local saved, err = finished(narrow):save(dir .. "/a.png")
        assert.is_nil(saved)
        assert.is_true(err.kind == "too_large" or err.kind == "not_an_image", tostring(err))
        assert.same({}, service.list(dir))
    end)

    for name, fault in pairs {
        ["403"] = { status = 403, body = "<Error>AccessDenied</Error>" }, ["404"] = { status = 404, body = "" },
        ["202"] = { status = 202, body = '{"status":"uploading"}' }, ["204"] = { status = 204 },
        ["an empty 200"] = { body = "" }, ["an HTML page"] = { body = "<html>please wait</html>" },
        ["425"] = { status = 425, body = "early" },
        ["the beginning of an image"] = { body = PNG .. "\0\0\0\rIHDR" }, ["503"] = { status = 503, body = "" },
        ["no response"] = { reset = "before" }, ["half of its body"] = { cut = 50 },
    } do
        it("whose URL first returns " .. name .. " is downloaded when it becomes available", function()
            for _, in_memory in ipairs { true, false } do
                emu:clear_faults()
                local before = #emu:ledger()
                fault.method, fault.path, fault.nth = "GET", "/images/*", { 1, 2 }
                emu:fault(fault)
                local image = finished(service.client(emu, { max_retries = 0,
                    poll = { interval = 0.02, patience = bound(30) } }))
                local path = dir .. "/a.png"
                local bytes = in_memory and assert(image:bytes()) or service.read(assert(image:save(path)))
                assert.equal(PNG, bytes:sub(1, 8))
                assert.equal(before + 1, #emu:ledger(), "paid once")
            end
        end)
    end

    it("is waited for by flux2.run between two attempts", function()
        emu:fault { method = "GET", path = "/images/*", nth = { 1, 2 }, status = 404, body = "" }
        local patient = service.client(emu, { max_retries = 0, poll = { interval = 0.02, patience = bound(30) } })
        local saved
        flux2.spawn(function() saved = assert(patient:generate("a fox", { save = dir .. "/later.png" })) end)
        flux2.run()
        assert.equal(dir .. "/later.png", saved.path)
        assert.equal(0, flux2.pending())
    end)

    it("whose URL is renewed with each poll is not polled without a pause", function()
        emu:fault { method = "GET", path = "/images/*", times = 1000, status = 404, body = "" }
        for i = 1, 50 do
            emu:fault { path = "/api/v1/tasks/*", nth = i,
                body = ('{"data":{"status":"SUCCESS","url":"%s/images/x/%d.png"}}'):format(emu.url, i) }
        end
        local image = finished(service.client(emu, { poll = { interval = 0.02, patience = 0.7 } }))
        local polls = emu:stats().polls
        local err = select(2, image:bytes())
        assert.equal("not_found", err.kind)
        -- The second attempt follows at once, then the pauses grow: 0.02 s, 0.04 s, ...
        assert.is_true(emu:stats().polls - polls <= 20, emu:stats().polls - polls)
    end)

    it("with a relative URL is resolved against the task's URL", function()
        local address = finished().url
        local path = address:sub(#emu.url + 1)
        for _, link in ipairs { path, "../../.." .. path, " " .. path .. "\\n", address:match "^http:(.*)" } do
            emu:clear_faults()
            emu:fault { path = "/api/v1/tasks/*", times = 1000, body = '{"data":{"status":"SUCCESS","url":"' .. link ..
                '"}}' }
            local image = finished()
            assert.equal(address, image.url)
            assert.equal(PNG, assert(image:bytes()):sub(1, 8))
        end
    end)

    it("whose URL has expired is polled for once more", function()
        for _, status in ipairs { 403, 404, 410 } do
            emu:clear_faults()
            emu:fault { method = "GET", path = "/images/*", nth = 1, status = status, body = "gone" }
            local image = finished()
            local polls = emu:stats().polls
            assert(image:save(dir .. "/" .. status .. ".png"))
            assert.equal(polls + 1, emu:stats().polls)
        end
    end)

    it("keeps its index among several when the URL is renewed", function()
        local several = service.start { images_per_task = 3, shape = "result_images" }
        local images = assert(assert(service.client(several):submit "three of them"):wait()).images
        assert.equal(3, #images)
        local before = {}
        for i, image in ipairs(images) do before[i] = assert(image:bytes()) end
        assert.is_true(before[1] ~= before[2] and before[2] ~= before[3])
        several:expire_images()
        local again = assert(assert(service.client(several):task(several:ledger()[1].task_id)):wait()).images
        several:expire_images()
        for i = 3, 1, -1 do
            local expired = again[i].url
            assert.equal(before[i], assert(again[i]:bytes()), i)
            assert.not_equal(expired, again[i].url)
        end
        several:stop()
    end)

    it("may take longer than the timeout of one request", function()
        local hasty = service.client(emu, { request_timeout = 0.2, max_retries = 0 })
        -- Of another client: to submit may take longer than that on a busy machine.
        finished()
        local ledger = emu:ledger()
        local image = assert(assert(hasty:task(ledger[#ledger].task_id)):wait()).images[1]
        emu:fault { method = "GET", path = "/images/*", nth = 1, trickle = { bytes = 100, interval = 0.08 } }
        local before = core.now()
        assert.equal(600, #assert(image:bytes()))
        assert.is_true(core.now() - before > 0.3, "it was no longer than an request may take")
        emu:clear_faults()
        emu:fault { path = "/api/v1/tasks/*", times = 1000, hang = true }
        local found, err = hasty:status(emu:ledger()[1].task_id)
        assert.is_nil(found)
        assert.equal("timeout", err.kind)
    end)

    it("whose URL stays expired fails", function()
        emu:fault { method = "GET", path = "/images/*", times = 20, status = 410, body = "gone" }
        local image = finished(service.client(emu, { poll = { interval = 0.02, patience = 0.1 } }))
        local downloads = emu:stats().downloads
        local saved, err = image:save(dir .. "/a.png")
        assert.is_nil(saved)
        assert.equal("not_found", err.kind)
        assert.equal(410, err.status)
        assert.is_true(emu:stats().downloads <= downloads + 2)
        assert.same({}, service.list(dir))
    end)

    it("follows a limited number of redirects", function()
        local image = finished()
        emu:fault { method = "GET", path = "/images/*", nth = 1, redirect = image.url }
        assert(image:save(dir .. "/a.png"))
        emu:clear_faults()
        image = finished()
        emu:fault { method = "GET", path = "/images/*", times = 100, redirect = image.url }
        local saved, err = image:save(dir .. "/b.png")
        assert.is_nil(saved)
        assert.equal("protocol", err.kind)
        assert.same({ "a.png" }, service.list(dir))
    end)

    it("follows redirects to http and https only", function()
        local image = finished()
        for _, to in ipairs { "file:///etc/passwd", "ftp://127.0.0.1/x.png", "gopher://127.0.0.1/" } do
            emu:clear_faults()
            emu:fault { method = "GET", path = "/images/*", times = 5, redirect = to }
            local saved, err = image:save(dir .. "/a.png")
            assert.is_nil(saved)
            assert.is_true(err.kind == "protocol" or err.kind == "network", tostring(err))
        end
        assert.same({}, service.list(dir))
    end)

    it("reports why a destination file is invalid", function()
        local image = finished()
        for path, reason in pairs {
            [dir .. "/no/such/dir/a.png"] = "No such file", [dir] = "directory", [dir .. "/"] = "directory",
        } do
            local saved, err = image:save(path)
            assert.is_nil(saved)
            assert.equal("io", err.kind)
            assert.matches(reason, tostring(err), nil, true)
        end
        assert.has_error(function() image:save(42) end)
        assert.has_error(function() image:save "" end)
        assert.has_error(function() image:save "a\0b" end)
    end)

    it("aborts the download at the deadline and leaves no file", function()
        local image = finished()
        emu:fault { method = "GET", path = "/images/*", times = 9, trickle = { bytes = 1, interval = 0.05 } }
        for _, seconds in ipairs { 0.2, 0, -1 } do -- 0 and less do not mean no limit
            local saved, err = image:save(dir .. "/a.png", seconds)
            assert.is_nil(saved)
            assert.equal("timeout", err.kind)
        end
        assert.same({}, service.list(dir))
    end)

    it("of 8 MB is written to a file with constant memory", function()
        -- In another process, to exclude the memory of the emulator.
        local big = service.start { image_bytes = 8 * 2 ^ 20 }
        local code, printed = service.run_lua([[
            local flux2 = require "flux2"
            local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = arg[1],
                poll = { interval = 0.02 } })
            local function peak()
                for line in io.lines "/proc/self/status" do
                    local kb = line:match "^VmHWM:%s*(%d+)"
                    if kb then return tonumber(kb) end
                end
            end
            local task = assert(client:submit "a large one")
            local image = assert(task:wait()).images[1]
            local before = peak()
            for i = 1, 3 do assert(image:save(arg[2] .. "/" .. i .. ".png")) end
            print("grew by " .. peak() - before .. " KiB")
        ]], ("'%s' '%s'"):format(big.url, dir))
        assert.equal(0, code, printed)
        assert.equal(8 * 2 ^ 20, #service.read(dir .. "/1.png"))
        assert.is_true(tonumber(printed:match "grew by (%d+)") < 4096, printed)
    end)

    it("has the task id in its errors", function()
        emu:fault { method = "GET", path = "/images/*", times = 20, status = 404, body = "" }
        local hasty = service.client(emu, { poll = { interval = 0.02, patience = 0.1 } })
        local value, err = hasty:generate "an image that is gone"
        assert.is_nil(value)
        local ledger = emu:ledger()
        assert.equal(ledger[#ledger].task_id, err.task_id)
    end)

    it("is the same in every form and order of access, and is downloaded once", function()
        local forms = {
            bytes = function(image) return image:bytes() end,
            buffer = function(image) return image:buffer():string() end,
            base64 = function(image) return core.unbase64(image:base64()) end,
            file = function(image) return service.read(assert(image:save(dir .. "/a.png"))) end,
        }
        for _, way in ipairs { "none", "b64_json" } do
            emu:set { sync = way }
            for first, one in pairs(forms) do
                for second, other in pairs(forms) do
                    local image = finished()
                    local before = emu:stats().downloads
                    local bytes = one(image)
                    assert.equal(600, #bytes, first)
                    assert.equal("image/png", image.content_type)
                    assert.equal(bytes, other(image), first .. ", " .. second)
                    local downloads = way == "none" and (first == "file" and 2 or 1) or 0
                    assert.equal(downloads, emu:stats().downloads - before, way .. ": " .. first .. ", " .. second)
                    if first == "file" then assert.equal(dir .. "/a.png", image.path) end
                end
            end
        end
        emu:set { sync = false }
    end)

    it("that is not downloaded in time reports the last response", function()
        local busy = service.start() -- its own: the pause lasts beyond the spec
        busy:fault { method = "GET", path = "/images/*", times = 1000, status = 503, retry_after = 600, body = "busy" }
        local bytes, err = finished(service.client(busy)):bytes(bound(0.3))
        assert.is_nil(bytes)
        assert.matches("^timeout: 127.0.0.1 took too long: last response: HTTP 503, %d+ s ago; the service asked to " ..
            "wait 600 s %(HTTP 503, task ", tostring(err))
    end)

    it("embedded in the response is checked before it is returned", function()
        for body, line in pairs {
            ["iVBORw0KGgo*"] = "protocol: the service answered",
            ["PGh0bWw+"] = "not_an_image: the data in the response is not an image (PNG, JPEG, WEBP, GIF or AVIF by " ..
                "its first bytes)",
            [core.base64(png.holding("whole"):sub(1, -2))] = "not_an_image: the image in the response is truncated " ..
                "after 36 bytes",
        } do
            emu:clear_faults()
            emu:fault { method = "POST", times = 1, body = '{"created":1,"data":[{"b64_json":"' .. body .. '"}]}' }
            local result, err = assert(client:submit "inside"):wait()
            if result then
                for _, ask in ipairs { "bytes", "buffer", "base64", "save" } do
                    local value
                    value, err = result.images[1][ask](result.images[1], ask == "save" and dir .. "/a.png" or nil)
                    assert.is_nil(value)
                    assert.equal(line, tostring(err):sub(1, #line))
                    assert.is_true(err.paid)
                end
            else
                assert.equal("unknown_outcome", err.kind)
            end
        end
        assert.same({}, service.list(dir))
    end)

    it("that cannot be written reports the path, the reason and the task", function()
        for _, way in ipairs { "none", "b64_json" } do
            emu:set { sync = way }
            local image = finished()
            local saved, err = image:save(dir .. "/no/a.png")
            assert.is_nil(saved)
            assert.equal("cannot write '" .. dir .. "/no/a.png': No such file or directory", err.message)
            if way == "none" then
                local ledger = emu:ledger()
                assert.equal(ledger[#ledger].task_id, err.task_id)
            end
            assert.is_nil(image.path)
            assert(image:save(dir .. "/" .. way .. ".png"))
        end
        emu:set { sync = false }
    end)

    it("is written to an open file, and counts as collected after a complete flush", function()
        local spool = dir .. "/spool"
        local keeper = service.client(emu, { spool = spool })
        local task = assert(keeper:submit "a red fox")
        local image = assert(task:wait()).images[1]
        local full = assert(io.open("/dev/full", "wb"))
        local written, err = image:write(full)
        full:close()
        assert.is_nil(written)
        assert.same({ "io", true, task.id }, { err.kind, err.paid, err.task_id })
        assert.matches("^io: cannot write the image: No space left on device %(task [%w_]+%); the image is paid for: "
            .. "client:task%(err.task_id%) fetches it$", tostring(err))
        assert.equal(1, #program.records(spool))
        local file = assert(io.open(dir .. "/fox.png", "wb"))
        assert.is_true(image:write(file))
        file:close()
        assert.equal(600, #service.read(dir .. "/fox.png"))
        assert.same({}, program.records(spool))
        assert.has_error(function() image:write(file) end, "image:write: an open file is needed, not a closed one")
        assert.has_error(function() image:write "fox.png" end, "image:write: an open file is needed, not 'fox.png'")
    end)

    it("stops downloading when the waiting coroutine is cancelled, and the coroutine gets the error", function()
        local image = finished()
        emu:fault { path = "/images/*", times = 9, hang = true }
        emu:fault { path = "/api/v1/tasks/*", times = 1000, hang = true }
        local id = emu:ledger()[#emu:ledger()].task_id
        for _, ask in ipairs {
            function() return image:bytes() end, function() return image:buffer() end,
            function() return image:base64() end,
            function() return image:save(dir .. "/a.png") end, function() return client:status(id) end,
        } do
            local value, err
            local waits = flux2.spawn(function() value, err = ask() end)
            assert.equal(1, flux2.pending())
            waits:cancel()
            assert.equal("cancelled", waits.state)
            assert.is_nil(value)
            assert.equal("cancelled: the waiting coroutine was cancelled, and its request with it (task " .. id ..
                ")", errors.line(err))
            assert.equal(0, flux2.pending())
        end
        assert.same({}, service.list(dir))
        emu:clear_faults()
        assert.equal(600, #image:bytes())
    end)

    it("whose URL cannot be renewed reports the first error", function()
        local hasty = service.client(emu, { poll = { interval = 0.02, patience = 0.1 } })
        for _, fault in ipairs { { status = 500, retry_after = 0, body = "no" },
            { body = '{"data":{"status":"running"}}' }, { body = '{"data":{"status":"SUCCESS","url":"x"}}' } } do
            local image = finished(hasty)
            emu:fault { path = "/images/*", times = 1000, status = 404, body = "gone" }
            fault.path, fault.times = "/api/v1/tasks/*", 9
            emu:fault(fault)
            local bytes, err = image:bytes()
            emu:clear_faults()
            assert.is_nil(bytes)
            assert.same({ "not_found", 404 }, { err.kind, err.status })
            assert.matches("^the image host answered 404 Not Found with text: 'gone'; links to results expire$",
                err.message)
            assert.equal(600, #image:bytes(), "and it can be asked for again")
        end
    end)

    it("from a host that echoes the key never exposes it", function()
        local image = finished()
        assert(image:bytes())
        for _, request in ipairs(emu:requests()) do
            if request.path:find "^/images/" then assert.is_nil(request.headers.authorization) end
        end
    end)
end)
