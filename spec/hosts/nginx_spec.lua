-- flux2 in nginx, started with the configuration of examples/nginx: it generates 50 images concurrently while it
-- responds to other requests, continues when clients disconnect, and stops cleanly.
-- nginx uses LuaJIT: the specs run with a Lua that has the same ABI.

local BOUND = require "support.bound"(60) -- seconds until a command counts as hanging

local function lines_of(command)
    local pipe = assert(io.popen(command))
    local found, any = {}, false
    for line in pipe:lines() do
        local name, value = line:match "^(%w+)=(.*)$"
        if name then found[name], any = value, true end
    end
    pipe:close()
    return any and found
end

local nginx = lines_of "tools/nginx-lua"
local reason = _VERSION ~= "Lua 5.1" and "is for LuaJIT and Lua 5.1, whose build nginx can load"
    or require "support.build".flavour ~= "" and "is for the build that is not instrumented"
    or not nginx and "needs nginx with Lua (tools/deps hosts)"
if reason then
    describe("the host for nginx", function() pending(reason) end)
    return
end

local flux2 = require "flux2"
local service = require "support.service"

local function now() return require("flux2.core").now() end

describe("the host for nginx", function()
    local emulator, folder, root, jobs

    local function wait_until(what, condition)
        local until_ = now() + BOUND
        while not condition() do
            if now() > until_ then error("still not after " .. BOUND .. " s: " .. what, 2) end
            flux2.sleep(0.02)
        end
    end

    --- Starts a shell command in the background, limited by BOUND. `timeout` passes signals on to it.
    local function start(name, command)
        local job = { out = folder .. "/" .. name .. ".out", ended = folder .. "/" .. name .. ".ended" }
        local script = folder .. "/" .. name .. ".sh"
        service.write(script, ("timeout -k 30 %d %s >%s 2>&1 </dev/null &\necho $! >%s/%s.pid\nwait $!\n"):format(
            BOUND, command, job.out, folder, name)
            .. ("echo $? >%s.new; mv %s.new %s\n"):format(job.ended, job.ended, job.ended))
        os.execute("sh " .. script .. " 2>/dev/null &")
        wait_until(name .. " starts", function() return service.exists(folder .. "/" .. name .. ".pid") end)
        function job.output() return service.read_if_there(job.out) or "" end
        function job.signal(signal)
            os.execute(("kill -%s $(cat %s/%s.pid) 2>/dev/null"):format(signal, folder, name))
        end
        function job.has_ended() return service.exists(job.ended) end
        function job.status()
            wait_until(name .. " ends: " .. command, job.has_ended)
            return tonumber((service.read(job.ended)))
        end
        jobs[#jobs + 1] = job
        return job
    end

    local function curl(arguments)
        return ("curl -sS -m %d --unix-socket %s/nginx.sock %s"):format(BOUND - 5, folder, arguments)
    end

    local function get(path)
        local pipe = assert(io.popen(curl("'http://nginx" .. path .. "' 2>&1")))
        return pipe:read "*a", pipe:close()
    end

    local function pending_is(n)
        return function() return get "/status" == n .. "\n" end
    end

    --- Runs Lua code in a request to the location that `configure` adds. Returns the response.
    local function inside(code)
        service.write(folder .. "/code", code)
        local pipe = assert(io.popen(curl("--data-binary @" .. folder .. "/code http://nginx/inside 2>&1")))
        return pipe:read "*a", pipe:close()
    end

    local INSIDE = [[location = /inside {
        client_body_buffer_size 64k;
        content_by_lua_block {
            ngx.req.read_body()
            local ok, err = pcall(assert(loadstring(ngx.req.get_body_data())))
            ngx.say(ok and "ok" or tostring(err))
        }
    }
    location = /filter {
        content_by_lua_block { ngx.say "filtered" }
        header_filter_by_lua_block {
            local flux2 = require "flux2"
            local handle
            local function begin()
                handle = flux2.spawn(function() return select("#", assert(flux2.sleep(0.01))) end)
            end
            coroutine.wrap(begin)()
            assert(handle.state == "done")
            begin()
            ngx.header["X-State"], ngx.header["X-Result"] = handle.state, tostring(handle:join())
        }
    }
    location = /status {]]

    --- Writes the example's configuration with the test's paths. Each replaced text must occur.
    local function configure(more)
        local conf = service.read "examples/nginx/nginx.conf"
        local modules = nginx.module == "" and ""
            or ("load_module %s/ndk_http_module.so;\nload_module %s/ngx_http_lua_module.so;")
            :format(nginx.module, nginx.module)
        local user = io.popen("id -u"):read "*l" == "0" and "\nuser root;" or ""
        local changes = {
            { "include /etc/nginx/modules-enabled/*.conf;", modules .. user }, { "$prefix", root },
            { "build/nginx/", folder .. "/" }, { "listen 127.0.0.1:8080;", "listen unix:" .. folder .. "/nginx.sock;" },
            { "/lua/?/init.lua;;", "/lua/?/init.lua;" .. nginx.path .. ";;" }, { "location = /status {", INSIDE },
            { "init_by_lua_block {", "init_by_lua_block {" .. (more or "") },
        }
        for _, change in ipairs(changes) do
            local n
            conf, n = conf:gsub(change[1]:gsub("%p", "%%%0"), (change[2]:gsub("%%", "%%%%")))
            assert(n > 0, "examples/nginx/nginx.conf has no " .. change[1])
        end
        service.write(folder .. "/nginx.conf", conf)
    end

    local function start_nginx()
        local environment = ("env FLUX2_API_KEY=%s FLUX2_BASE_URL=%s"):format(emulator.api_key, emulator.url)
        if nginx.lib ~= "" then environment = environment .. " LD_LIBRARY_PATH=" .. nginx.lib end
        local job = start("nginx", ("%s nginx -p %s -c %s/nginx.conf -e %s/error.log"):format(environment,
            root, folder, folder))
        wait_until("nginx answers", function()
            if job.has_ended() then error("nginx ended: " .. job.output(), 0) end
            return pending_is(0)()
        end)
        return job
    end

    local function is_png(bytes)
        if bytes:sub(1, 8) ~= "\137PNG\r\n\26\n" then return false end
        local at = 9
        while at <= #bytes do
            local a, b, c, d = bytes:byte(at, at + 3)
            local size = d and ((a * 256 + b) * 256 + c) * 256 + d
            if not size or at + size + 11 > #bytes then return false end
            local name = bytes:sub(at + 4, at + 7)
            at = at + size + 12
            if name == "IEND" then return at == #bytes + 1 end
        end
        return false
    end

    --- Asserts that nginx logged no [error].
    local function check_log()
        local log = service.read(folder .. "/error.log")
        assert.is_nil(log:match "[^\n]*%[%l+%][^\n]*", log)
    end

    before_each(function()
        jobs = {}
        emulator = service.start { duration = 0.2, image_bytes = 20000 }
        folder = service.directory()
        local pipe = assert(io.popen "pwd")
        root = pipe:read "*l"
        pipe:close()
        configure()
    end)

    after_each(function()
        for i = #jobs, 1, -1 do
            if not jobs[i].has_ended() then
                jobs[i].signal "TERM"
                jobs[i].status()
            end
        end
        service.stop_all()
        service.remove(folder)
    end)

    it("generates 50 images concurrently while it responds to other requests", function()
        local server = start_nginx()
        emulator:set { duration = 600 }
        local generating = start("generating",
            curl(("-Z --no-progress-meter --parallel-immediate --parallel-max 50 -w '%%{http_code}\\n' -o '%s/#1.png' "
            .. "'http://nginx/generate?prompt=picture+[1-50]'"):format(folder)))
        wait_until("all 50 are under way", pending_is(50))
        wait_until("all 50 are submitted", function() return #emulator:ledger() == 50 end)
        for _ = 1, 20 do assert.equal("50\n", get "/status") end
        local polling = start("polling",
            ("sh -c 'while [ ! -e %s/stop ]; do %s; sleep 0.02; done'"):format(folder, curl "http://nginx/status"))
        wait_until("nginx has responded", function() return #polling.output() > 0 end)
        emulator:finish()
        assert.equal(0, generating.status())
        os.execute("touch " .. folder .. "/stop")
        assert.equal(0, polling.status())
        assert.equal(50, select(2, generating.output():gsub("%f[^%z\n]200\n", "")))
        for line in polling.output():gmatch "[^\n]+" do assert.truthy(tonumber(line), line) end
        for i = 1, 50 do assert.is_true(is_png(service.read(folder .. "/" .. i .. ".png")), "picture " .. i) end
        assert.equal(50, #emulator:ledger())
        assert.is_true(pending_is(0)())
        server.signal "QUIT"
        assert.equal(0, server.status())
        check_log()
    end)

    it("continues for other clients when a client disconnects", function()
        local server = start_nginx()
        emulator:set { duration = 600 }
        local leaving = start("leaving", curl("-o /dev/null 'http://nginx/generate?prompt=never'"))
        wait_until("it waits", function() return #emulator:ledger() == 1 end)
        local staying = start("staying", curl("-o " .. folder .. "/stays.png 'http://nginx/generate?prompt=stays'"))
        wait_until("both wait", function() return #emulator:ledger() == 2 end)
        leaving.signal "TERM"
        wait_until("the one is cancelled", pending_is(1))
        emulator:finish()
        assert.equal(0, staying.status())
        assert.is_true(is_png(service.read(folder .. "/stays.png")))
        assert.is_true(pending_is(0)())
        server.signal "QUIT"
        assert.equal(0, server.status())
        check_log()
    end)

    it("resumes waiters promptly, in light threads and in coroutines of spawn", function()
        local server = start_nginx()
        local before = now()
        assert.equal("ok\n", inside [[
            local flux2 = require "flux2"
            for _ = 1, 20 do assert(flux2.sleep(0.01)) end
            local threads, most = {}, 0
            for i = 1, 3 do
                threads[i] = ngx.thread.spawn(function()
                    assert(pcall(flux2.sleep, 0.2))
                    return "light"
                end)
                most = math.max(most, flux2.pending())
            end
            for i = 1, 3 do assert(select(2, ngx.thread.wait(threads[i])) == "light") end
            assert(most == 3, most)
            local handles = {}
            for i = 1, 3 do handles[i] = flux2.spawn(function() return i, assert(flux2.sleep(0.05)) end) end
            for i = 1, 3 do assert(handles[i].state == "running") end
            for i = 1, 3 do assert(handles[i]:join() == i) end
            local _, e = flux2.spawn(function() flux2.sleep(0.01) error "mine" end):join()
            assert(tostring(e):find "mine")
            local sleeper = flux2.spawn(function() return select(2, flux2.sleep(60)).kind end)
            assert(sleeper:cancel().state == "cancelled")
        ]])
        assert.is_true(now() - before < BOUND)
        server.signal "QUIT"
        assert.equal(0, server.status())
        check_log()
    end)

    it("blocks in phases without yielding, and can spawn there", function()
        local server = start_nginx()
        local pipe = assert(io.popen(curl "-i http://nginx/filter 2>&1"))
        local response = pipe:read "*a"
        pipe:close()
        assert.matches("\nX%-State: done\r\n", response)
        assert.matches("\nX%-Result: 1\r\n", response)
        assert.matches("\r\n\r\nfiltered\n$", response)
        server.signal "QUIT"
        assert.equal(0, server.status())
        check_log()
    end)

    it("yields in every phase that can, and in no other", function()
        local server = start_nginx()
        assert.equal("ok\n", inside [[
            local flux2, get_phase = require "flux2", ngx.get_phase
            local yields = {
                access = true, content = true, rewrite = true, server_rewrite = true, ssl_cert = true,
                ssl_client_hello = true, ssl_session_fetch = true, timer = true, balancer = false, body_filter = false,
                exit_worker = false, header_filter = false, init_worker = false, log = false, set = false,
                ssl_session_store = false,
            }
            for phase, expected in pairs(yields) do
                local has_slept = false
                ngx.get_phase = function() return phase end
                local thread = ngx.thread.spawn(function()
                    flux2.sleep(0.001)
                    has_slept = true
                end)
                ngx.get_phase = get_phase
                assert(has_slept ~= expected, phase)
                ngx.thread.wait(thread)
            end
        ]])
        server.signal "QUIT"
        assert.equal(0, server.status())
        check_log()
    end)

    it("calls callbacks without a waiting request, including callbacks that wait", function()
        local server = start_nginx()
        local before = now()
        emulator:set { duration = 0.02 }
        assert.equal("ok\n", inside [[
            local flux2 = require "flux2"
            local client = assert(flux2.new { poll = { interval = 0.05 } })
            local left = 15
            local function submit()
                assert(client:submit "a callback"):on("done", function(task)
                    assert(flux2.sleep(0.01))
                    left = left - 1
                    if left > 0 then submit() else _G.state = task.state end
                end)
            end
            submit()
        ]])
        wait_until("the callback has run", function() return inside "assert(_G.state)" == "ok\n" end)
        assert.equal("ok\n", inside "assert(_G.state == 'succeeded')")
        assert.is_true(now() - before < BOUND)
        server.signal "QUIT"
        assert.equal(0, server.status())
    end)

    it("polls at least fifty times a second", function()
        local server = start_nginx()
        assert.equal("ok\n", inside [[
            local sleep, flux2, shortest, least, most = ngx.sleep, require "flux2", 0, math.huge, 0
            function ngx.sleep(seconds)
                least, most = math.min(least, seconds), math.max(most, seconds)
                if seconds == 0.001 then shortest = shortest + 1 end
                return sleep(seconds)
            end
            local longer = flux2.spawn(flux2.sleep, 1)
            local ok, err = flux2.sleep(0.5)
            longer:join()
            ngx.sleep = sleep
            assert(ok, err)
            assert(least == 0.001 and most == 0.02, least .. " to " .. most)
            assert(shortest >= 2, "after an event it looks as often as at first")
        ]])
        server.signal "QUIT"
        assert.equal(0, server.status())
    end)

    it("continues after nginx drops its timer", function()
        local server = start_nginx()
        local before = now()
        assert.equal("ok\n", inside [[
            local flux2 = require "flux2"
            local at = ngx.timer.at
            function ngx.timer.at()
                ngx.timer.at = at
                return true
            end
            assert(flux2.sleep(0.01))
            assert(ngx.timer.at == at)
        ]])
        assert.is_true(now() - before < BOUND)
        server.signal "QUIT"
        assert.equal(0, server.status())
    end)

    it("works without semaphores", function()
        configure "package.preload['ngx.semaphore'] = error;"
        local server = start_nginx()
        assert.equal("ok\n", inside "for _ = 1, 5 do assert(require('flux2').sleep(0.01)) end")
        local generating = start("generating", curl("-o " .. folder .. "/a.png 'http://nginx/generate?prompt=a+fox'"))
        assert.equal(0, generating.status())
        assert.is_true(is_png(service.read(folder .. "/a.png")))
        server.signal "QUIT"
        assert.equal(0, server.status())
    end)

    it("logs the error of a coroutine without a join", function()
        local server = start_nginx()
        assert.equal("ok\n", inside "require('flux2').spawn(function() error 'an unjoined error' end)")
        wait_until("it is in the log", function()
            return service.read(folder .. "/error.log"):find "%[error%][^\n]*an unjoined error"
        end)
        server.signal "QUIT"
        assert.equal(0, server.status())
    end)

    it("reports why a request is invalid", function()
        local server = start_nginx()
        local body = get "/generate?prompt="
        assert.truthy(body:find "invalid_request", body)
        body = get "/generate?prompt=%5Bfail%5D"
        assert.truthy(body:find "task_failed", body)
        server.signal "QUIT"
        assert.equal(0, server.status())
        check_log()
    end)

    it("finishes pending requests on quit, and stops immediately on stop", function()
        local server = start_nginx()
        emulator:set { duration = 600 }
        local last = start("last", curl("-o " .. folder .. "/last.png 'http://nginx/generate?prompt=last'"))
        wait_until("it waits", function() return #emulator:ledger() == 1 end)
        server.signal "QUIT"
        wait_until("new connections are refused",
            function() return not service.exists(folder .. "/nginx.sock") or get "/status" ~= "1\n" end)
        emulator:finish()
        assert.equal(0, last.status())
        assert.is_true(is_png(service.read(folder .. "/last.png")))
        assert.equal(0, server.status())
        check_log()

        os.remove(folder .. "/nginx.pid")
        os.remove(folder .. "/nginx.ended")
        os.remove(folder .. "/nginx.sock")
        server = start_nginx()
        start("lost", curl("-o /dev/null 'http://nginx/generate?prompt=lost'"))
        wait_until("it waits", function() return #emulator:ledger() == 2 end)
        local before = now()
        server.signal "TERM"
        assert.equal(0, server.status())
        assert.is_true(now() - before < BOUND)
    end)
end)
