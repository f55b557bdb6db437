-- The emulator in the host's process: config, start and stop, threads, descriptors, signals, log.

local bound = require "support.bound"
local build = require "support.build"
local curl = require "emulator_curl"
local emulator = require "flux2.emulator"
local service = require "support.service"
local shell = require "support.shell"

local function output_of(command) return (select(2, shell.run(command))) end

describe("the emulator's config", function()
    for _, row in ipairs {
        { "unknown setting durations, did you mean duration?", { durations = 3 } },
        { "unknown setting xyzzy", { xyzzy = 3 } },
        { "unknown setting 1", { "port" } },
        { "unknown shape output_strin, did you mean output_string?", { shape = "output_strin" } },
        { "unknown failure_shape failmessage", { failure_shape = "failmessage" } },
        { "shape must be the text of a JSON object", { shape = "{" } },
        { "port must be a whole number from 0 to 65535", { port = 70000 } },
        { "port must be a whole number from 0 to 65535", { port = "80" } },
        { "credits must be a number from 0 to 1000000000000000", { credits = -1 } },
        { "duration must be a number of seconds, or {least, most}", { duration = { 3, 1 } } },
        { "duration must be a number of seconds, or {least, most}", { duration = "long" } },
        { "failure_rate must be a number from 0 to 1", { failure_rate = 2 } },
        { "progress must be one of none|percent|fraction|string", { progress = "perc" } },
        { "api_key must be a single-line string", { api_key = "a\nb" } },
        { "rate_limit must be { requests = n, per_seconds = s }, both above 0", { rate_limit = { requests = 1 } } },
        { "status_words must be { running, succeeded, failed, moderated = strings }",
            { status_words = { ready = "x" } } },
        { "a value must not be a function", { credits = print } },
    } do
        it("raises at the caller's line: " .. row[1], function()
            local ok, err = pcall(function()
                emulator.start(row[2])
            end)
            assert.is_false(ok)
            assert.truthy(err:find("flux2.emulator: " .. row[1], 1, true), err)
            assert.truthy(err:find "^%S*emulator_life_spec.lua:%d+: ", err)
        end)
    end

    it("raises if it is not a table", function()
        assert.has_error(function()
            emulator.start(8080)
        end, "flux2.emulator: a table of settings expected, got number")
    end)

    it("of a running emulator raises the same errors, and is unchanged then", function()
        local emu = assert(emulator.start { credits = 30, duration = 60 })
        for message, settings in pairs {
            ["unknown setting credit, did you mean credits?"] = { credit = 3 },
            ["port can only be set at the start"] = { port = 3, credits = 5 },
            ["image_expired_status must be a whole number from 400 to 599"] = { image_expired_status = 200 },
        } do
            local ok, err = pcall(function()
                emu:set(settings)
            end)
            assert.is_false(ok)
            assert.truthy(err:find("^%S*emulator_life_spec.lua:%d+: ") and err:find(message, 1, true), err)
        end
        assert.equal(30, emu:stats().credits_left)
        emu:set { credits = false }
        assert.equal(1000000, emu:stats().credits_left)
        emu:stop()
    end)

    it("is not changed: the table belongs to the caller", function()
        local settings = { shape = "url", credits = 7 }
        assert(emulator.start(settings)):stop()
        assert.same({ shape = "url", credits = 7 }, settings)
    end)

    for _, row in ipairs {
        { "unknown fault field statu, did you mean status?", { statu = 500 } },
        { "fault: status must be a whole number from 200 to 999", { status = 99 } },
        { 'fault: reset must be "before" or "after"', { reset = true } },
        { "fault: nth must be a number from 1, or { first, last }", { nth = 0, status = 500 } },
        { "fault: headers must be { name = value } without line breaks", { headers = { ["X-A"] = "b\r\nX-C: d" } } },
        { "fault: trickle.bytes must be a number of at least 1", { trickle = { interval = 1 } } },
        { "fault: hang must be true or false", { hang = "yes" } },
        { "fault: body must be a string", { body = 5 } },
    } do
        it("of a fault raises at the caller's line: " .. row[1], function()
            local emu = assert(emulator.start())
            local ok, err = pcall(function()
                emu:fault(row[2])
            end)
            assert.is_false(ok)
            assert.truthy(err:find("^%S*emulator_life_spec.lua:%d+: ") and err:find(row[1], 1, true), err)
            assert.same({}, emu:faults())
            emu:stop()
        end)
    end
end)

describe("the emulator", function()
    it("listens on a port picked by the kernel, on 127.0.0.1 only", function()
        local emu = assert(emulator.start())
        assert.equal("http://127.0.0.1:" .. emu.port, emu.url)
        assert.equal("aio_emulator_key", emu.api_key)
        assert.equal("flux2.Emulator(" .. emu.url .. ")", tostring(emu))
        local sockets = service.read_if_there "/proc/net/tcp"
        if sockets then
            local address = sockets:match(("(%%x+):%04X %%x+:0000 0A"):format(emu.port))
            assert.equal("0100007F", address)
        end
        emu:stop()
    end)

    it("returns an error when the port is taken", function()
        local emu = assert(emulator.start())
        local other, err = emulator.start { port = emu.port }
        assert.is_nil(other)
        assert.equal(("flux2.emulator: 127.0.0.1:%d: Address already in use"):format(emu.port), err)
        emu:stop()
        other = assert(emulator.start { port = emu.port })
        assert.equal(404, curl.request(other.url).status)
        other:stop()
    end)

    it("has its own key, tasks and faults", function()
        local one, two = assert(emulator.start { api_key = "one" }), assert(emulator.start { api_key = "two" })
        curl.accepted(one)
        one:fault { status = 500, times = 9 }
        assert.equal(404, curl.poll(two, one:ledger()[1].task_id).status)
        assert.same({ 1, 0 }, { #one:ledger(), #two:ledger() })
        one:stop()
        assert.equal(404, curl.request(two.url).status)
        two:stop()
    end)

    it("stops once, and its results remain readable", function()
        local emu = assert(emulator.start { duration = 60 })
        local id = curl.accepted(emu)
        emu:stop()
        emu:stop()
        assert.equal(7, curl.request(emu.url).exit) -- connection refused
        assert.equal(id, emu:ledger()[1].task_id)
        assert.equal(1, emu:stats().submissions)
        assert.equal(0, emu:stats().open_connections)
        assert.equal("running", emu:task(id).state)
    end)

    it("stops when it is garbage collected", function()
        local emu = assert(emulator.start())
        local port = emu.port
        emu = nil -- luacheck: ignore 311
        collectgarbage()
        collectgarbage()
        assert(emulator.start { port = port }):stop()
    end)

    it("stops at the end of its scope, in a Lua with to-be-closed variables", function()
        local load_text = loadstring or load -- luacheck: ignore 113
        local scope = load_text "local emu <close> = ...; return emu.url"
        if not scope then return end
        local url = scope(assert(emulator.start()))
        assert.equal(7, curl.request(url).exit)
    end)

    -- At the end of each program, clients wait for images in progress and for the rest of responses.
    local busy = [[
        local emu = assert(require("flux2.emulator").start { sync = "b64_json" })
        for i = 1, 4 do
            os.execute("curl -q -s --noproxy '*' -m 40 -o /dev/null -H 'Content-Type: application/json' -d '" ..
                '{"model":"flux-2","prompt":"picture ' .. i .. '","resolution":"2K"}' ..
                "' -H 'Authorization: Bearer aio_emulator_key' " .. emu.url ..
                "/api/v1/images/generations >/dev/null 2>&1 &")
        end
        emu:fault { path = "/hang", hang = true }
        emu:fault { path = "/late", delay = 60 }
        emu:fault { path = "/slow", body = "0123456789", trickle = { bytes = 1, interval = 60 } }
        emu:fault { path = "/more", endless = true }
        emu:fault { path = "/head", endless_headers = true }
        for _, path in ipairs { "hang", "late", "slow", "more", "head" } do
            os.execute("curl -q -s --noproxy '*' -m 40 --limit-rate 1k -o /dev/null " ..
                emu.url .. "/" .. path .. " >/dev/null 2>&1 &")
        end
        while emu:stats().submissions < 4 do emu:wait(0.005) end
        assert(emu:wait(30, 5))
    ]]
    for name, ending in pairs {
        ["the end of the program"] = "",
        ["os.exit"] = "os.exit(0)",
        ["os.exit that closes the state"] = "os.exit(0, true)",
        ["stop, at once,"] = [[
            local now = require("flux2.core").now
            local before = now()
            emu:stop()
            local took = now() - before
            io.write(took < 8 and "quick" or took) -- each pending operation takes at least 30 s
            io.stdout:flush()
            os.exit(0)
        ]],
        ["an error"] = "error 'wanted'",
    } do
        it("is stopped by " .. name .. " during requests", function()
            local exit, output = service.run_lua(busy .. ending)
            if name == "an error" then
                assert.equal(1, exit)
                assert.truthy(output:find "wanted", output)
            else
                assert.equal(0, exit, output)
                assert.equal(name:find "^stop" and "quick" or "", output)
            end
        end)
    end

    it("runs while the host is blocked, with 200 concurrent connections", function()
        local emu = assert(emulator.start())
        emu:fault { path = "/late*", status = 200, body = "x", delay = 2, times = 200 }
        local output, exit = curl.run("-Z", "--parallel-max", "200", "--parallel-immediate", "-o", "/dev/null", "-w",
            "%{http_code}\n", emu.url .. "/late[1-200]")
        assert.equal(0, exit)
        local _, count = output:gsub("200\n", "")
        assert.equal(200, count)
        assert.equal(200, emu:stats().connections)
        emu:stop()
    end)

    it("blocks all signals in its threads, and its descriptors are not inherited", function()
        local own = service.read_if_there "/proc/self/status"
        if not own then return end
        if build.is_in_valgrind then return pending "valgrind blocks the signals of threads in its own way" end
        -- Sockets of other libraries in this process may be inherited.
        local function inherited_sockets() return select(2, output_of("ls -l /proc/self/fd"):gsub("socket:", "")) end
        local before = inherited_sockets()
        local emu = assert(emulator.start())
        emu:fault { path = "/hang", hang = true }
        os.execute("curl -q -s --noproxy '*' -m 30 -o /dev/null " .. emu.url .. "/hang &")
        assert.is_true(emu:wait(bound(20), 1))
        local pid = own:match "\nPid:%s*(%d+)"
        local threads, blocked = 0, 0
        for thread in output_of("ls /proc/" .. pid .. "/task"):gmatch "%d+" do
            local mask = (service.read_if_there("/proc/" .. pid .. "/task/" .. thread .. "/status")
                or ""):match "\nSigBlk:%s*(%x+)"
            if thread ~= pid and mask then
                threads = threads + 1
                -- All signals except KILL, STOP, and those reserved by the C library.
                if mask == "fffffffe7ffbfeff" or mask == "fffffffc7ffbfeff" then blocked = blocked + 1 end
            end
        end
        assert.is_true(threads >= 2)
        assert.equal(threads, blocked)
        assert.equal(before, inherited_sockets())
        emu:stop()
    end)
end)

describe("the emulator's log", function()
    it("contains each request as received", function()
        local emu = assert(emulator.start { duration = 0 })
        local id = curl.accepted(emu, '{"model":"flux-2","prompt":"a red fox"}')
        curl.request(emu.url .. "/images/" .. id .. "/1.png?a=%20", { headers = { "X-Mixed: Case" } })
        local first, second = emu:requests()[1], emu:requests()[2]
        assert.same({ "POST", "/api/v1/images/generations", 200 }, { first.method, first.path, first.status })
        assert.equal("Bearer aio_emulator_key", first.headers.authorization)
        assert.equal('{"model":"flux-2","prompt":"a red fox"}', first.body)
        assert.same({ "GET", "/images/" .. id .. "/1.png?a=%20", 404 }, { second.method, second.path, second.status })
        assert.equal("Case", second.headers["x-mixed"])
        assert.is_nil(second.headers.authorization)
        assert.same({ 1, 2 }, { first.connection, second.connection })
        assert.is_true(second.at >= first.at)
        emu:stop()
    end)

    it("keeps a limited number of requests, and a limited part of each body", function()
        local emu = assert(emulator.start { log_requests = 2, log_body_bytes = 4, duration = 60 })
        for i = 1, 5 do curl.request(emu.url .. "/" .. i) end
        curl.accepted(emu)
        local log = emu:requests()
        assert.same({ 2, "/5", '{"mo' }, { #log, log[1].path, log[2].body })
        assert.equal('{"mo', emu:ledger()[1].body)
        assert.equal(6, emu:stats().requests)
        emu:stop()
    end)

    it("counts requests and bytes", function()
        local emu = assert(emulator.start { duration = 0, image_bytes = 500 })
        local id = curl.accepted(emu)
        local url = curl.image_url(emu, id)
        curl.run(url, url)
        curl.request(emu.url .. "/nothing")
        local stats = emu:stats()
        assert.same({ 5, 1, 1, 2, 4, 999990, 0 }, {
            stats.requests, stats.submissions, stats.polls, stats.downloads, stats.connections, stats.credits_left,
            stats.faults_fired,
        })
        assert.same({ [200] = 4, [404] = 1 }, stats.by_status)
        assert.is_true(stats.bytes_out > 1000)
        emu:stop()
    end)

    it("counts connections that were closed by the server or while idle", function()
        local emu = assert(emulator.start { max_requests_per_connection = 2 })
        curl.run(emu.url .. "/1", emu.url .. "/2", emu.url .. "/3")
        assert.equal(2, emu:stats().connections)
        emu:set { max_requests_per_connection = 0, idle_close = 1 }
        local other = assert(emulator.start())
        other:fault { delay = 2.2 }
        curl.run(emu.url .. "/4", other.url, emu.url .. "/5")
        assert.equal(4, emu:stats().connections)
        emu:fault { delay = 1.5 } -- a slow response does not make the connection idle
        assert.equal(404, curl.request(emu.url .. "/6").status)
        emu:stop()
        other:stop()
    end)
end)

describe("the emulator as a program", function()
    it("prints its address, serves requests, and exits with status 0 on Ctrl-C", function()
        local output = output_of(([[
            cd /; dir=$(mktemp -d)
            env -u LUA_PATH -u LUA_CPATH sh -c 'exec "$@"' sh %s '%s/bin/flux2' emulator --port 0 >$dir/out 2>&1 & pid=$!
            for i in $(seq 1500); do grep -q 'Ctrl-C' $dir/out && break; sleep 0.02; done
            curl -q -s --noproxy '*' $(sed -n 's/^export FLUX2_BASE_URL=//p' $dir/out)/nothing
            kill -INT $pid; wait $pid; echo " exit $?"; cat $dir/out; rm -r $dir]]):format(shell.interpreter(),
            output_of("pwd"):gsub("\n", "")))
        assert.truthy(output:find('"code":404', 1, true), output)
        assert.truthy(output:find(" exit 0\n", 1, true), output)
        assert.matches("export FLUX2_BASE_URL=http://127.0.0.1:%d+\nexport FLUX2_API_KEY=aio_emulator_key\n", output)
        assert.truthy(output:find("/api/v1/images/generations", 1, true))
    end)
end)
