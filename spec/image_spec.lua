-- Pictures on their way to memory and to files.
local core = require "flux2.core"
local flux2 = require "flux2"
local service = require "support.service"

local PNG = "\137PNG\r\n\26\n"

describe("an image", function()
    local emu, client, dir
    setup(function()
        emu = service.start()
        client = service.client(emu)
    end)
    before_each(function()
        emu:clear_faults()
        dir = service.directory()
    end)
    after_each(function() service.remove(dir) end)
    teardown(service.stop_all)

    local function finished(c)
        return assert(assert((c or client):submit "a picture to fetch"):wait()).images[1]
    end

    it("is fetched only when asked for, and once", function()
        local image = finished()
        local before = emu:stats().downloads
        assert.equal(image:bytes(), image:bytes())
        assert.equal(before + 1, emu:stats().downloads)
        assert(image:save(dir .. "/a.png"))
        assert.equal(before + 1, emu:stats().downloads, "from memory")
        assert.equal(image:bytes(), service.read(dir .. "/a.png"))
    end)

    it("is handed over without a copy, as a buffer", function()
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
        -- The image has its string now; the caller's buffer stays what it was.
        assert.equal(image:bytes(), buffer:string())
        assert.equal(image:bytes(), image:buffer():string())
    end)

    it("is generated into memory as a buffer", function()
        local image = assert(client:generate "a picture to hold")
        local before = emu:stats().downloads
        assert.equal(PNG, image:buffer():string():sub(1, 8))
        assert.equal(before, emu:stats().downloads)
    end)

    -- MiB of buffers that are there after so many were made and let go of, each after a while, with the pump running.
    local function pile_up(mib)
        local text, alive, held, n = ("x"):rep(2 ^ 20), setmetatable({}, { __mode = "v" }), {}, 0
        for i = 1, mib do
            alive[i], held[i % 40 + 1] = core.buffer(text), alive[i - 1]
            flux2.update()
        end
        assert.equal(40, #held)
        for _ in pairs(alive) do n = n + 1 end
        return n
    end

    if _VERSION == "Lua 5.1" then -- and LuaJIT, whose collectors pay for what is large bit by bit, as they do for a string
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
        it("is let go of in time, however little Lua's collector sees of it", function()
            finished():buffer()
            local n = pile_up(600)
            assert.is_true(n < 300, n .. " MiB are left of 600")
        end)
    end

    it("is let go of in the collector's generational mode as well", function()
        local ok, before = pcall(collectgarbage, "generational")
        if not ok or _VERSION ~= "Lua 5.4" then return end
        local n = pile_up(600)
        collectgarbage(before)
        assert.is_true(n < 300, n .. " MiB are left of 600")
    end)

    it("is kept while the host has stopped the collector", function()
        collectgarbage()
        collectgarbage "stop" -- LuaJIT's goes on after a full collection
        local n = pile_up(100)
        collectgarbage "restart"
        assert.equal(100, n)
    end)

    it("is saved whole, under its name alone", function()
        local image = finished()
        assert.equal(dir .. "/a.png", assert(image:save(dir .. "/a.png")))
        assert.same({ "a.png" }, service.list(dir))
        assert.equal(PNG, service.read(dir .. "/a.png"):sub(1, 8))
        assert.equal("image/png", image.content_type)
    end)

    it("replaces a file only when it is whole", function()
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

    it("is fetched again after a broken download", function()
        emu:fault { method = "GET", path = "/images/*", nth = 1, cut = 100 }
        emu:fault { method = "GET", path = "/images/*", nth = 2, status = 503, body = "later" }
        local image = finished()
        assert(image:save(dir .. "/a.png"))
        assert.equal(PNG, service.read(dir .. "/a.png"):sub(1, 8))
    end)

    it("that is no image is refused and leaves no file", function()
        for _, body in ipairs { "<!DOCTYPE html><html>sorry</html>", "", "\137PN", "BM......" } do
            emu:clear_faults()
            emu:fault { method = "GET", path = "/images/*", nth = 1, status = 200, body = body }
            emu:fault { method = "GET", path = "/images/*", nth = 2, status = 200, body = body }
            local image = finished()
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

    it("that is too large is refused, with the option that raises the limit", function()
        local narrow = service.client(emu, { max_image_bytes = 100 })
        local image = finished(narrow)
        for _, fetch in ipairs { function() return image:bytes() end, function() return image:save(dir .. "/a.png") end } do
            local value, err = fetch()
            assert.is_nil(value)
            assert.equal("too_large", err.kind)
            assert.matches("max_image_bytes", tostring(err), nil, true)
        end
        assert.same({}, service.list(dir))
    end)

    it("that never ends is cut off at the limit", function()
        emu:fault { method = "GET", path = "/images/*", nth = 1, endless = true, body = PNG }
        local narrow = service.client(emu, { max_image_bytes = 100000 })
        local saved, err = finished(narrow):save(dir .. "/a.png")
        assert.is_nil(saved)
        assert.is_true(err.kind == "too_large" or err.kind == "not_an_image", tostring(err))
        assert.same({}, service.list(dir))
    end)

    it("whose link has expired is asked for once more through its task", function()
        for _, status in ipairs { 403, 404, 410 } do
            emu:clear_faults()
            emu:fault { method = "GET", path = "/images/*", nth = 1, status = status, body = "gone" }
            local image = finished()
            local polls = emu:stats().polls
            assert(image:save(dir .. "/" .. status .. ".png"))
            assert.equal(polls + 1, emu:stats().polls)
        end
    end)

    it("whose link stays expired is given up", function()
        emu:fault { method = "GET", path = "/images/*", times = 20, status = 410, body = "gone" }
        local image = finished()
        local downloads = emu:stats().downloads
        local saved, err = image:save(dir .. "/a.png")
        assert.is_nil(saved)
        assert.equal("not_found", err.kind)
        assert.equal(410, err.status)
        assert.is_true(emu:stats().downloads <= downloads + 2)
        assert.same({}, service.list(dir))
    end)

    it("follows redirects, but not for ever", function()
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

    it("follows a redirect to nothing but http and https", function()
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

    it("says what is wrong with the place it should go to", function()
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

    it("gives up a download when its time is over, and leaves nothing", function()
        local image = finished()
        emu:fault { method = "GET", path = "/images/*", times = 9, trickle = { bytes = 1, interval = 0.05 } }
        local saved, err = image:save(dir .. "/a.png", 0.2)
        assert.is_nil(saved)
        assert.equal("timeout", err.kind)
        assert.same({}, service.list(dir))
    end)

    it("of 8 MB goes to a file without the process growing by it", function()
        -- In another process: the emulator's own memory must not be counted.
        local big = service.start { image_bytes = 8 * 2 ^ 20 }
        local code, printed = service.run_lua([[
            local flux2 = require "flux2"
            local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = arg[1], poll = { interval = 0.02 } })
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

    it("carries the task's name in its errors", function()
        emu:fault { method = "GET", path = "/images/*", times = 20, status = 404, body = "" }
        local value, err = client:generate "a picture that is gone"
        assert.is_nil(value)
        local ledger = emu:ledger()
        assert.equal(ledger[#ledger].task_id, err.task_id)
    end)

    it("of a host that shows its key nowhere", function()
        local image = finished()
        assert(image:bytes())
        for _, request in ipairs(emu:requests()) do
            if request.path:find "^/images/" then assert.is_nil(request.headers.authorization) end
        end
    end)
end)
