--- flux2 in nginx (ngx_http_lua_module, OpenResty): a request that waits lets nginx go on.
--
--     content_by_lua_block {
--         require "flux2.host.nginx"
--         local image, err = client:generate(ngx.var.arg_prompt)
--         ...
--     }
--
-- Owns one timer of nginx, the pump, which exists only while somebody waits or flux2 has work. nginx cannot be given a
-- descriptor to watch, so the pump looks, and sleeps in between: 1 ms after something happened, then longer and longer,
-- at most 20 ms. So an event is noticed up to 20 ms late, three times or so in a generation of many seconds; and 50
-- looks a second at an atomic counter are what it costs, however many requests wait. Whoever waits does so on a
-- semaphore (ngx.semaphore) of his own; where there is none, by looking as often himself.
--
-- Each worker process has an engine of its own, made by the first job: requiring this file, and making clients, in
-- init_by_lua is right; submitting there is not (flux2 would be refused in the workers, which are forks).
--
-- A wait yields in rewrite, access, content, ssl_certificate and timer handlers, and in light threads; elsewhere nginx
-- allows none, and it blocks the whole worker. Callbacks of tasks run in the pump's timer: no request is there to be
-- answered. nginx does not return from coroutine.resume before the coroutine has ended; flux2.spawn and client:map use
-- its light threads, which run side by side and belong to the request that began them.
--
-- A request that nginx ends while it waits hurts nobody else. What it was waiting for goes on: see task:cancel.

local reports = require "flux2.reports"
local scheduler = require "flux2.scheduler"

local ngx = ngx -- luacheck: read_globals ngx
local has_semaphore, semaphore = pcall(require, "ngx.semaphore")

local host = {}

local SHORTEST, LONGEST = 0.001, 0.02 -- seconds between two looks
local SLICE = 1 -- seconds after which somebody who waits makes sure that there is a pump
local YIELDING = {
    access = true, content = true, rewrite = true, server_rewrite = true, ssl_cert = true, ssl_client_hello = true,
    ssl_session_fetch = true, timer = true,
}

local waiting = setmetatable({}, { __mode = "k" }) -- tokens of those who are suspended; their requests may be gone
local pump -- the number of the pump that is alive
local pumps = 0 -- how many there have been
local pump_thread -- its coroutine
local last_look = 0 -- when it looked last

local function has_work()
    return next(waiting) ~= nil or scheduler.pending() > 0
end

-- The pump --------------------------------------------------------------------------------------------------------

--- Until there is nothing to do, or another one has taken over.
local function run(_, number)
    local pause = SHORTEST
    if pump == number then pump_thread = coroutine.running() end
    while pump == number and has_work() do
        if scheduler.update() > 0 then pause = SHORTEST end
        ngx.update_time()
        last_look = ngx.now()
        if has_work() then ngx.sleep(pause) end
        pause = math.min(pause * 1.5, LONGEST)
    end
    -- nginx may use the coroutine again, for a request.
    if pump == number then pump, pump_thread = nil, nil end
end

--- nginx may refuse a timer, and may drop one unseen (lua_max_running_timers): a pump that has not looked for long is
--- taken for dead.
local function ensure_pump()
    if pump and ngx.now() - last_look < SLICE then return end
    pumps = pumps + 1
    local ok, reason = ngx.timer.at(0, run, pumps)
    if not ok then
        ngx.log(ngx.ERR, "flux2: no timer to wait with: ", reason)
        return
    end
    pump, pump_thread, last_look = pumps, nil, ngx.now()
end

-- Waiting, for the scheduler --------------------------------------------------------------------------------------

local BLOCKING = {} -- the token of a coroutine where nginx allows no waiting

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
    -- A callback: while it waits, another one has to pump.
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

--- For errors of coroutines that nobody joins.
local function at_next_turn(fn)
    ngx.timer.at(0, function() fn() end)
end

local function start(fn)
    if not YIELDING[ngx.get_phase()] then return coroutine.wrap(fn)() end
    assert(ngx.thread.spawn(fn))
end

scheduler.add_host { running = running, start = start, suspend = suspend, wake = wake }
scheduler.on_work(on_work)
reports.tell_by(at_next_turn, function(message) ngx.log(ngx.ERR, message) end)

return host
