--- flux2 in nginx (ngx_http_lua_module, OpenResty): waiting requests do not block nginx.
--
--     content_by_lua_block {
--         require "flux2.host.nginx"
--         local image, err = client:generate(ngx.var.arg_prompt)
--         ...
--     }
--
-- Owns one timer of nginx, the pump, which exists only while flux2 has waits or work. nginx cannot watch a descriptor,
-- so the pump checks an atomic counter at intervals: 1 ms after an event, then longer, at most 20 ms. An event is
-- delivered up to 20 ms late, and the cost is at most 50 checks a second, for any number of requests. Each waiting
-- coroutine waits for a semaphore (ngx.semaphore) or, without that module, checks at the same interval.
--
-- Each worker process has an engine, which its first job creates. Load this module and make clients in init_by_lua, but
-- do not submit there: workers are forks, in which a used engine of the parent is refused.
--
-- A wait yields in rewrite, access, content, ssl_certificate and timer handlers, and in light threads. Elsewhere nginx
-- allows no yield, and a wait blocks the worker. Callbacks of tasks run in the pump's timer, without a request. nginx
-- returns from coroutine.resume only when the coroutine has ended; therefore flux2.spawn and client:map use light
-- threads, which belong to the request that started them.
--
-- If nginx ends a waiting request, its task goes on: see task:cancel.

local jit_off = require "flux2.jit_off"
local uncaught = require "flux2.uncaught"
local scheduler = require "flux2.scheduler"
local waits = require "flux2.waits"

local ngx = rawget(_G, "ngx") or error("flux2.host.nginx: this is not nginx", 0)
local has_semaphore, semaphore = pcall(require, "ngx.semaphore")

local host = {}

local SHORTEST, LONGEST = 0.001, 0.02 -- seconds between two checks
local SLICE = 1 -- seconds after which a waiting coroutine checks that there is a pump
local YIELDING = {
    access = true, content = true, rewrite = true, server_rewrite = true, ssl_cert = true, ssl_client_hello = true,
    ssl_session_fetch = true, timer = true,
}

local waiting = setmetatable({}, { __mode = "k" }) -- tokens of suspended coroutines; their requests may have ended
local pump -- the number of the current pump
local pumps = 0 -- the number of pumps so far
local pump_thread -- the coroutine of the current pump
local last_check = 0 -- the time of its last check

local function has_work()
    return next(waiting) ~= nil or scheduler.pending() > 0
end

-- The pump --------------------------------------------------------------------------------------------------------

--- The pump: runs until there is nothing to do, or another pump has replaced it.
local function run(_, number)
    local pause = SHORTEST
    if pump == number then pump_thread = coroutine.running() end
    while pump == number and has_work() do
        if scheduler.update() > 0 then pause = SHORTEST end
        ngx.update_time()
        last_check = ngx.now()
        if has_work() then ngx.sleep(pause) end
        pause = math.min(pause * 1.5, LONGEST)
    end
    -- nginx may reuse the coroutine for a request.
    if pump == number then pump, pump_thread = nil, nil end
end

--- Starts a pump unless one is alive. nginx may drop a timer silently (lua_max_running_timers), so a pump without a
--- recent check counts as dead.
local function ensure_pump()
    if pump and ngx.now() - last_check < SLICE then return end
    pumps = pumps + 1
    local ok, reason = ngx.timer.at(0, run, pumps)
    if not ok then
        ngx.log(ngx.ERR, "flux2: cannot start a timer: ", reason)
        return
    end
    pump, pump_thread, last_check = pumps, nil, ngx.now()
end

-- Waiting, for the scheduler --------------------------------------------------------------------------------------

local BLOCKING = {} -- the token of a coroutine that must not yield

local function running()
    local co = coroutine.running()
    if not co then return nil end
    if not YIELDING[ngx.get_phase()] then return BLOCKING end
    return { semaphore = has_semaphore and semaphore.new(0) or nil }
end

local function suspend(token)
    if token == BLOCKING then
        scheduler.block()
        scheduler.update()
        return
    end
    waiting[token] = not token.woken or nil
    -- A callback waits in the pump: another pump has to replace it.
    if pump_thread and coroutine.running() == pump_thread then pump = nil end
    ensure_pump()
    if token.semaphore then
        token.semaphore:wait(SLICE)
    else
        ngx.sleep(LONGEST)
    end
end

local function wake(token)
    if token == BLOCKING then return end
    token.woken = true
    waiting[token] = nil
    if token.semaphore then token.semaphore:post(1) end
end

local function on_work(busy)
    if busy and ngx.get_phase() ~= "init" then ensure_pump() end
end

--- For errors of coroutines that are not joined.
local function at_next_turn(fn)
    if not ngx.timer.at(0, function() fn() end) then fn() end -- too many timers, or nginx is exiting
end

local function start(fn)
    if not YIELDING[ngx.get_phase()] then return coroutine.wrap(fn)() end
    assert(ngx.thread.spawn(fn))
end

waits.add_host { running = running, start = start, suspend = suspend, wake = wake }
scheduler.on_work(on_work)
uncaught.print_by(at_next_turn, function(message) ngx.log(ngx.ERR, message) end)

jit_off { host, waits }

return host
