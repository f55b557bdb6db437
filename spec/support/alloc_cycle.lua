-- alloc_cycle.lua - the generation that alloc_host.c runs with a failing allocator. Loads its modules before that.

local flux2 = require "flux2"
assert(flux2.new) -- loads the lazily loaded modules
local errors = require "flux2.errors"
local map = require "flux2.map"

-- Every waiter gets an out-of-memory error, at the latest after this timeout.
local TIMEOUT = 5
local OPTIONS = { on_done = function() end, on_status = function() end }

local function show(err)
    if type(err) ~= "table" or not errors.is(err) then return "not an error of flux2: " .. tostring(err) end
    return err.kind .. ": " .. tostring(err)
end

local function submit(client)
    local begun, task, err = pcall(client.submit, client, { prompt = "a fox", aspect_ratio = "16:9" }, OPTIONS)
    if not begun then
        -- A submission in flight would be paid for, and its image could not be collected.
        if flux2.stats().jobs > 0 then return nil, "lost: it raised, and the submission is in flight" end
        error(task, 0)
    end
    return task, err
end

-- Step by step, on the main coroutine: blocks.
local function in_steps(client, path)
    local statuses = 0
    local task, err = submit(client)
    if not task then return nil, show(err) end
    task:on("status", function() statuses = statuses + 1 end)
    local result
    result, err = task:wait(TIMEOUT)
    if not result then return nil, show(err) end
    local image = result.images[1]
    local ok
    ok, err = image:save(path, TIMEOUT)
    if not ok then return nil, show(err) end
    local bytes
    bytes, err = image:bytes(TIMEOUT)
    if not bytes then return nil, show(err) end
    return true
end

-- Runs fn in a coroutine, to its end. A coroutine still suspended when no job is pending would wait for ever.
local function run(fn)
    local co
    flux2.run(function()
        co = coroutine.running()
        fn()
    end)
    if coroutine.status(co) == "suspended" then return "lost: a waiting coroutine was never resumed" end
end

-- Concurrently, in coroutines: yields.
local function in_coroutines(client, path)
    local function generate(save)
        local image, err = client:generate("a fox", { save = save, timeout = TIMEOUT })
        if not image then return nil, show(err) end
        return true
    end
    local ok, err
    local lost = run(function()
        local one, two = flux2.spawn(generate, path), flux2.spawn(generate)
        ok, err = one:join(TIMEOUT)
        if ok then ok, err = two:join(TIMEOUT) end
    end)
    return ok, lost or type(err) == "table" and show(err) or err
end

-- Coroutines that wait for each other: a wait that fails to allocate must not last for ever. Memory freed by a
-- collection, including Lua's call frames, is allocated again at once.
local function waits()
    local function sleep(seconds)
        flux2.sleep(seconds)
        collectgarbage()
        return seconds
    end
    local ok, err = true, nil
    local lost = run(function()
        local handles = {}
        for i = 1, 3 do handles[i] = flux2.spawn(sleep, 0.001 * i) end
        local results, why = flux2.all(handles)
        if not results then ok, err = nil, show(why) end
        for i = 1, 3 do
            local value, reason = flux2.spawn(function() return handles[i]:join() end):join(TIMEOUT)
            if not value then ok, err = nil, type(reason) == "table" and show(reason) or reason end
        end
        local each = map.new({ 0.001, 0.002, 0.003 }, { concurrency = 2 }, sleep)
        for _ = 1, 3 do
            local i, value, reason = each()
            if not value then ok, err = nil, i and show(reason) or "lost: an item of map" end
        end
    end)
    if lost then return nil, lost end
    return ok, err
end

return function(base_url, api_key, path, only)
    local reported
    flux2.on_error = function(message) reported = message end
    local client, err = flux2.new { base_url = base_url, api_key = api_key, poll = { interval = 0.02 },
        timeout = TIMEOUT }
    if not client then return nil, show(err) end
    if only == "wait" then
        local ok, why = waits()
        if reported and not tostring(why):find "^lost" then return nil, "reported: " .. tostring(reported) end
        return ok, why
    end
    if only == "submit" then
        local task, why = submit(client)
        return task ~= nil, task and "fine" or show(why)
    end
    local ok
    ok, err = in_steps(client, path)
    if ok then ok, err = in_coroutines(client, path) end
    -- The error was not returned to the caller, so the caller waited in vain.
    if not ok and tostring(err):find "^lost" then return nil, err end
    if reported and not ok and tostring(err):find("^timeout") then return nil, "lost: " .. err end
    if reported then return nil, "reported: " .. tostring(reported) .. "; " .. tostring(err or "it went on") end
    return ok, err
end
