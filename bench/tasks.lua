--- Compares flux2 with a tuned libcurl program in C and with other clients that are installed.
--   BENCH_TASKS=1000 BENCH_RUNS=5 BENCH_CONCURRENCY=100 BENCH_ONLY=flux2,tuned lua bench/tasks.lua MODE
-- plain: small tasks over plain HTTP, all clients. http2: the same over TLS and HTTP/2. large: 8 MB files over TLS.
-- Each round runs each program once, so that other load affects all of them.

local support = require "support"

local function setting(name, otherwise) return tonumber(os.getenv("BENCH_" .. name) or "") or otherwise end

local MODE = arg[1] or "plain"
local RUNS = setting("RUNS", 5)
local KINDS = {
    plain = { tasks = 1000, concurrency = 100, interval = 10, bytes = 102400, polls = 6 },
    http2 = { tasks = 1000, concurrency = 200, interval = 50, bytes = 102400, polls = 6, tls = true },
    large = { tasks = 100, concurrency = 4, interval = 10, bytes = 8 * 2 ^ 20, polls = 2, tls = true },
}
local kind = assert(KINDS[MODE], "no such mode")
kind.tasks = setting("TASKS", kind.tasks)
kind.concurrency = setting("CONCURRENCY", kind.concurrency)

local OPENAI = "build/openai-sdk/node_modules/openai"
local PROGRAMS = {
    { name = "tuned libcurl in C", id = "tuned", tls = true, command = "%s" .. support.build .. "/tuned" },
    { name = "flux2, Lua 5.4", id = "flux2", tls = true, lua = "5.4", script = "flux2.lua" },
    { name = "flux2, LuaJIT", id = "flux2", tls = true, lua = "luajit", script = "flux2.lua" },
    {
        name = "lua-http, LuaJIT", id = "lua-http", lua = "luajit", script = "peer_lua_http.lua",
        needs = "luajit -e 'require \"http.client\"'",
    },
    {
        name = "Node's fetch", id = "node", needs = "node -e 'process.exit(typeof fetch === \"function\" ? 0 : 1)'",
        command = "%snode bench/peer_node.mjs",
    },
    {
        name = "OpenAI's SDK for Node", id = "openai", needs = "node --version && test -d " .. OPENAI,
        command = "BENCH_OPENAI=$PWD/" .. OPENAI .. " %snode bench/peer_openai.mjs",
    },
}

local function chosen()
    local only, list = os.getenv "BENCH_ONLY", {}
    for _, program in ipairs(PROGRAMS) do
        local wanted = not only or ("," .. only .. ","):find("," .. program.id .. ",", 1, true)
        local fits = not kind.tls or program.tls
        local _, missing = support.run(program.needs or "true")
        if wanted and fits and missing == 0 then
            program.command = program.command or support.lua(program.lua, program.script)
            list[#list + 1] = program
        elseif wanted and fits then
            print("Skipped, not installed: " .. program.name)
        end
    end
    return list
end

--- Runs a program once and verifies the result against the service's counters and the files.
local function run(program, service, proxy, tasks, what)
    local dir = support.directory()
    service:reset(what.reset)
    local before = proxy and proxy:connections()
    local command = ("%s%s %s %d %d %g %s %s"):format(support.clean,
        program.command:format(support.build .. "/measure "), proxy and proxy.url or service.url, tasks,
        what.concurrency, what.interval, dir, proxy and proxy.ca_file or "")
    local printed = support.run("timeout 120 sh -c \"" .. command:gsub("[\"$`\\]", "\\%0") .. "\"")
    local stats = service:stats()
    -- Excludes the statistics request. With a proxy the service only sees the connections of the proxy.
    stats.connections = (proxy and proxy:connections() - before or stats.connections) - 1
    local files = tonumber(support.run(("find %s -name '*.png' -size %dc | wc -l"):format(dir, what.bytes)):match "%d+")
    support.run("rm -rf " .. dir)
    local user, system, wall, peak, faults, status = printed:match "cost: (%S+) (%S+) (%S+) (%S+) (%d+) (%d+)"
    if status ~= "0" then error(program.name .. " failed:\n" .. printed:sub(1, 2000)) end
    local verified = math.min(files, stats.finished, stats.images)
    if verified ~= tasks then error(("%s: %d of %d tasks are verified"):format(program.name, verified, tasks)) end
    return {
        cpu = (user + system) / tasks * 1000, user = user / tasks * 1000, wall = wall / tasks * 1000,
        peak = peak / 2 ^ 20, faults = faults / tasks, requests = stats.requests, connections = stats.connections,
        p50 = stats.delay_p50_ms, p99 = stats.delay_p99_ms,
        service = stats.cpu_seconds / stats.requests * 1e6, busy = stats.cpu_seconds / wall * 100,
    }
end

local function collect(runs, result)
    for name, value in pairs(result) do
        runs[name] = runs[name] or {}
        runs[name][#runs[name] + 1] = value
    end
end

local function what(bytes, polls, extra)
    return {
        reset = ("polls=%d&bytes=%d%s"):format(polls, bytes, extra or ""), bytes = bytes,
        concurrency = kind.concurrency, interval = kind.interval,
    }
end

local function print_results(programs, all, delays)
    local rows = {
        {
            "program", "CPU ms/task", "spread", "of C", "wall ms/task", "spread", "peak MB", "faults/task", "requests",
            "connections", "found after p50", "p99 ms",
        },
    }
    local limit = all[1] and programs[1].id == "tuned" and all[1].cpu
    for i, program in ipairs(programs) do
        local r, d = all[i], delays and delays[i]
        local ratios = {}
        for k, cpu in ipairs(r.cpu) do ratios[k] = limit and cpu / limit[k] or 0 end
        rows[#rows + 1] = {
            program.name, ("%.3f"):format(support.median(r.cpu)), ("± %.0f %%"):format(support.spread(r.cpu)),
            limit and ("%.2f"):format(support.median(ratios)) or "", ("%.3f"):format(support.median(r.wall)),
            ("± %.0f %%"):format(support.spread(r.wall)), ("%.1f"):format(support.median(r.peak)),
            ("%.1f"):format(support.median(r.faults)), ("%d"):format(support.median(r.requests)),
            ("%d"):format(support.median(r.connections)),
            d and ("%.1f"):format(support.median(d.p50)) or "", d and ("%.1f"):format(support.median(d.p99)) or "",
        }
    end
    support.print_table(rows)
end

local function compare(programs, service, proxy)
    local all, delays, costs, busy = {}, not kind.tls and {} or nil, {}, {}
    local work, watch = what(kind.bytes, kind.polls), what(20480, 0, "&min_ms=300&max_ms=800")
    watch.interval = 100
    for round = 1, RUNS do
        for i, program in ipairs(programs) do
            io.stderr:write(("\rround %d of %d: %-30s"):format(round, RUNS, program.name))
            all[i] = all[i] or {}
            local result = run(program, service, proxy, kind.tasks, work)
            collect(all[i], result)
            costs[#costs + 1], busy[#busy + 1] = result.service, result.busy
            if delays and round <= 2 then
                delays[i] = delays[i] or {}
                collect(delays[i], run(program, service, proxy, 100, watch))
            end
        end
    end
    io.stderr:write "\r"
    print(("%d tasks, %d at once: a submission, %d polls %g ms apart, a file of %d bytes; %d interleaved runs, medians")
        :format(kind.tasks, kind.concurrency, kind.polls, kind.interval, kind.bytes, RUNS))
    print_results(programs, all, delays)
    print(("The service itself: %.0f requests/s on one core, %.0f %% busy at most.")
        :format(1e6 / support.median(costs), support.quantile(busy, 1)))
end

local service = support.service()
local proxy = kind.tls and support.proxy(service, MODE == "http2")
support.finally(function()
    local programs = chosen()
    compare(programs, service, proxy)
end, function()
    if proxy then proxy:stop() end
    service:stop()
end)
