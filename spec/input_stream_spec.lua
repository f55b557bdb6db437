-- Local images are sent from their open files, a piece at a time: memory does not grow with them, and what happens to a
-- file meanwhile neither changes what arrives nor leaves a submission of unknown outcome. The service is in another
-- process, which is stopped while files change.
local bound = require "support.bound"
local build = require "support.build"
local cjson = require "cjson"
local core = require "flux2.core"
local program = require "support.program"
local service = require "support.service"
local shell = require "support.shell"
local tls_front = require "support.tls_front"

local SIZE = 10 * 2 ^ 20 -- of an image: more than sockets hold
local HEAD = "\137PNG\r\n\26\n"

if package.config:sub(1, 1) == "\\" or not service.exists "/proc/self/fdinfo/0" then
    return describe("a local image", function() pending "needs /proc" end)
end

local function write_image(path, size)
    local file = assert(io.open(path, "wb"))
    file:write(HEAD)
    local block, left = ("0123456789abcde"):rep(69999), size - #HEAD -- no divisor of what is read at once
    while left > 0 do
        file:write(block:sub(1, left))
        left = left - #block
    end
    file:close()
end

--- A provider that accepts a submission once, however often it is sent.
local function idempotent_bfl()
    local provider = {}
    for name, value in pairs(require "flux2.provider.bfl") do provider[name] = value end
    provider.idempotency_header = "Idempotency-Key"
    return provider
end

describe("a local image", function()
    local dir, url, pid

    -- Writes a line for each task: size and digest of its image in Base64.
    local SERVICE = [[
        local dir = arg[1]
        local core = require "flux2.core"
        local emu = assert(require("flux2.emulator").start {
            dialect = "bfl", duration = 0, image_bytes = 600, log_body_bytes = 2 ^ 26,
        })
        local function write(name, text)
            local file = assert(io.open(dir .. "/" .. name .. ".new", "w"))
            file:write(text)
            file:close()
            os.rename(dir .. "/" .. name .. ".new", dir .. "/" .. name)
        end
        write("url", emu.url)
        local seen = 0
        for _ = 1, 6000 do -- the spec kills this process
            emu:wait(0.02)
            if emu:stats().submissions > seen then
                local lines = {}
                for i, task in ipairs(emu:ledger()) do
                    local image = task.body:match '"input_image":"([^"]*)"'
                    lines[i] = #image .. " " .. core.digest(image)
                end
                seen = #lines
                write("ledger", table.concat(lines, "\n"))
            end
        end
    ]]

    before_each(function()
        dir = service.directory()
        service.write(dir .. "/service.lua", SERVICE)
        local pipe = assert(io.popen(("'%s' '%s/service.lua' '%s' >'%s/out' 2>&1 & echo $!"):format(
            shell.interpreter(), dir, dir, dir)))
        pid = pipe:read "*n"
        pipe:close()
        service.pump_until(function() return service.exists(dir .. "/url") end)
        url = service.read(dir .. "/url")
        write_image(dir .. "/fox.png", SIZE)
    end)
    after_each(function()
        program.stop(pid, "KILL")
        service.remove(dir)
    end)

    local function client(options)
        return service.client({ url = url, api_key = "aio_emulator_key" }, options)
    end

    --- The place up to which this process has read the file; nil: it is not open.
    local function place()
        local code, printed = shell.run(("for f in /proc/$PPID/fd/*; do case $(readlink $f) in '%s/fox.png'*) "
            .. "cat /proc/$PPID/fdinfo/${f##*/};; esac; done"):format(dir))
        return code == 0 and tonumber(printed:match "pos:%s*(%d+)")
    end

    --- Submits the image to the stopped service and returns once a part of it was read.
    local function begin(options)
        os.execute("kill -STOP " .. pid)
        options = options or {}
        options.provider = options.provider or "bfl"
        options.request_timeout, options.timeout = bound(30), bound(60)
        local c = client(options)
        local task = assert(c:submit({ prompt = "fox", input_images = { dir .. "/fox.png" } }, { price = 1 }))
        service.pump_until(function() return (place() or 0) > 0 end, 15)
        assert.is_true(place() < SIZE)
        return task, c
    end

    local function continue() os.execute("kill -CONT " .. pid) end

    --- Asserts that the service accepted one task, with these bytes as its image.
    local function has_arrived(bytes)
        service.pump_until(function() return service.exists(dir .. "/ledger") end, 15)
        local text = core.base64(bytes)
        assert.equal(#text .. " " .. core.digest(text), service.read(dir .. "/ledger"))
    end

    for what, change in pairs {
        ["is removed"] = function(path) assert(os.remove(path)) end,
        ["is replaced"] = function(path)
            service.write(path .. "2", "another one")
            assert(os.rename(path .. "2", path))
        end,
        ["grows"] = function(path) os.execute(("echo more >>'%s'"):format(path)) end,
    } do
        it("that " .. what .. " while it is sent arrives whole, as it was", function()
            local bytes, task = service.read(dir .. "/fox.png"), begin()
            change(dir .. "/fox.png")
            continue()
            assert(task:wait())
            has_arrived(bytes)
            assert.is_nil(place())
        end)
    end

    it("that becomes shorter while it is sent ends the submission, which was not accepted", function()
        local task, c = begin { spool = dir .. "/spool", budget = 100 }
        os.execute(("truncate -s 1000 '%s/fox.png'"):format(dir))
        continue()
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("io: an input image could not be read while it was sent to 127.0.0.1: " .. dir ..
            "/fox.png: it became shorter; the service got a part of the request, which it cannot accept", tostring(err))
        assert.same({ "input", 1, false }, { err.cause, err.attempts, err.retryable })
        assert.same({ 0, 0 }, { c:spent() })
        assert.is_nil(place())
        for _, name in ipairs(service.list(dir .. "/spool")) do assert.is_nil(name:find "^%.?task", name) end
        -- The next one is the first that the service accepts.
        assert(client { provider = "bfl" }:generate { prompt = "fox", input_images = { { bytes = HEAD .. "x" } } })
        has_arrived(HEAD .. "x")
    end)

    it("that is missing when its submission is sent again leaves the outcome unknown", function()
        local task, c = begin { provider = idempotent_bfl(), spool = dir .. "/spool" }
        os.remove(dir .. "/fox.png")
        program.stop(pid, "KILL")
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("unknown_outcome: it was not sent again, because an input image could not be read: No such file or " ..
            "directory; the service may have accepted and charged it (after 2 attempts)", tostring(err))
        assert.same({ 0, 1 }, { c:spent() })
        assert.equal(1, #program.records(dir .. "/spool"))
    end)

    it("whose submission is cancelled while it is sent is closed", function()
        local task = begin()
        task:cancel()
        service.pump_until(function() return not place() end)
    end)

    --- The KiB by which the peak of a process grows, in which `list` makes the input images of a task.
    local function growth(list)
        local emu = service.start { dialect = "bfl", duration = 0, max_body_bytes = 2 ^ 28, log_body_bytes = 1000 }
        write_image(dir .. "/small.png", 300000)
        write_image(dir .. "/large.png", 4 * 2 ^ 20)
        local code, printed = service.run_lua([[
            local flux2 = require "flux2"
            local client = assert(flux2.new { provider = "bfl", api_key = "aio_emulator_key", base_url = arg[1],
                poll = { interval = 0.02 } })
            local small, path = arg[2] .. "/small.png", arg[2] .. "/large.png"
            local function peak()
                return tonumber(assert(io.open "/proc/self/status"):read "*a":match "VmHWM:%s*(%d+)")
            end
            assert(client:generate { prompt = "warms up", input_images = { small } })
            local list = {}
            ]] .. list .. [[
            collectgarbage()
            local before = peak()
            assert(client:generate { prompt = "fox", input_images = list })
            print("grew by " .. peak() - before .. " KiB")
        ]], ("'%s' '%s'"):format(emu.url, dir), nil, 200)
        service.stop_all()
        assert.equal(0, code, printed)
        return tonumber(printed:match "grew by (%d+)")
    end

    it("takes no memory: eight files of 4 MB", function()
        if build.is_instrumented then return pending "a sanitizer has a heap of its own" end
        local grown = growth "for i = 1, 8 do list[i] = path end"
        assert.is_true(grown < 2048, grown)
    end)

    it("is copied once if it is given as bytes: eight of 4 MB", function()
        if build.is_instrumented then return pending "a sanitizer has a heap of its own" end
        local grown = growth [[
            for i = 1, 8 do
                local file = assert(io.open(path, "rb"))
                list[i] = { bytes = file:read "*a" }
                file:close()
            end]]
        assert.is_true(grown < (32 + 4) * 1024, grown)
    end)
end)

describe("local images over TLS", function()
    local emu, front, dir
    before_each(function()
        emu = service.start { dialect = "bfl", log_body_bytes = 2 ^ 20 }
        front = tls_front.start(emu)
        dir = service.directory()
    end)
    after_each(function()
        front:stop()
        service.stop_all()
        service.remove(dir)
    end)

    for protocol, provider in pairs { ["HTTP/1.1"] = "bfl", ["HTTP/2.0"] = idempotent_bfl() } do
        it("arrive byte for byte: " .. protocol, function()
            write_image(dir .. "/fox.png", 300001)
            local bytes = service.read(dir .. "/fox.png")
            local c = service.client(emu, { provider = provider, base_url = front.url, ca_file = front.ca_file })
            assert(c:generate { prompt = "fox", input_images = { dir .. "/fox.png", { bytes = bytes } } })
            local sent = cjson.decode(emu:ledger()[1].body)
            assert.same({ true, true }, { sent.input_image == core.base64(bytes), sent.input_image_2 == core.base64(bytes) })
            assert.same({ "POST", protocol }, { front:log()[1].method, front:log()[1].protocol })
        end)
    end
end)
