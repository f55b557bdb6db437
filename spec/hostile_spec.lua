-- Damaged, absurd and endless responses to every request of a generation. Each generation ends in time with an image or
-- an error of a known kind, and no submission is sent twice. HOSTILE_ROUNDS sets the number of rounds, HOSTILE_SEED the
-- seed.
-- Takes about 10 seconds: ten cases end by the time-out of a task.

local bound = require "support.bound"
local core = require "flux2.core"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local seeded = require "support.seeded"
local service = require "support.service"
local text = require "flux2.text"

local ROUNDS = tonumber(os.getenv "HOSTILE_ROUNDS") or 10
local CONCURRENT = 12
local SUBMIT, TASKS, IMAGES = "/api/v1/images/generations", "/api/v1/tasks/*", "/images/*"

local draw = seeded.new(os.getenv "HOSTILE_SEED")
local random, one_of = draw.random, draw.one_of

-- Responses -------------------------------------------------------------------------------------------------------

local BODIES = {
    '{"code":200,"message":"success","data":{"task_id":"{task_id}","status":"IN_PROGRESS","progress":"50%"}}',
    '{"code":200,"data":{"task_id":"{task_id}","status":"SUCCESS","output":{"image_url":"{url}/images/x.png"}}}',
    '{"code":200,"data":{"task_id":"other","status":"IN_PROGRESS"}}',
    '{"data":{"status":"FAILED","error":{"code":"task_failed","message":"no"}}}',
    '{"data":{"status":"SUCCESS","result":{"images":[{"url":["{url}/images/y.png"]}]}}}',
    '{"created":1,"data":[{"b64_json":"iVBORw0KGgoAAAANSUhEUg=="}]}',
    '{"error":{"code":402,"message":"not enough credits","type":"insufficient_credits"}}',
    '{"code":200,"data":{"state":"success","resultJson":"{\\"resultUrls\\":[\\"{url}/images/z.png\\"]}"}}',
    "<html><body>502 Bad Gateway</body></html>", "", "null", "[]", "{}", '"SUCCESS"',
}
local VALUES = {
    "null", "true", "-1", "1e999", "99999999999999999999", "0.1", '""', '"SUCCESS"', '"\\u0000"', '"\255\254"', "[]",
    "{}", "[[[[[[]]]]]]", '{"url":{"url":1}}', '"../../x"', '"http://[::1"', '"file:///etc/passwd"',
    '"gopher://127.0.0.1/"', '"http://127.0.0.1:1/x.png"', '"' .. ("x"):rep(3000) .. '"',
    '"data:image/png;base64,AAAA"',
}

local damage = {
    function(s) return s:sub(1, random(#s + 1) - 1) end,
    function(s) return s .. s end,
    function(s)
        local at = random(#s + 1)
        return s:sub(1, at - 1) .. string.char(random(256) - 1) .. s:sub(at + random(3) - 1)
    end,
    -- Replaces one value.
    function(s)
        local at, count = random(6), 0
        return (s:gsub("(:)(%s*\"?[%w_%%{}/.]+\"?)", function(colon)
            count = count + 1
            if count == at then return colon .. one_of(VALUES) end
        end))
    end,
    function(s) return (s:gsub("\"data\":", "\"" .. one_of { "date", "output", "", "data\\u0000" } .. "\":", 1)) end,
    function(s) return ("["):rep(random(3000)) .. s end,
}

local function make_body()
    local body = one_of(BODIES)
    for _ = 1, random(3) - 1 do body = one_of(damage)(body) end
    return body
end

local STATUSES = { 200, 200, 200, 201, 204, 301, 400, 401, 402, 404, 422, 429, 500, 503, 599 }

local function make_fault(path)
    local fault = { path = path, chance = 0.2 + random(6) / 10, times = 1000, status = one_of(STATUSES),
        body = make_body() }
    local headers = {
        ["Retry-After"] = { "0", "1", "-1", "1e9", "999999999999999999999", "soon", "Wed, 21 Oct 2099 07:28:00 GMT" },
        ["Content-Type"] = { "application/json", "image/png", ("x"):rep(500), "text/html; charset=\"" },
        Location = { "/", "file:///etc/passwd", "http://", "//", ("/x"):rep(600) },
        Date = { "Thu, 01 Jan 1970 00:00:00 GMT", "yesterday" },
    }
    fault.headers = {}
    for name, values in pairs(headers) do
        if random(4) == 1 then fault.headers[name] = one_of(values) end
    end
    fault.accept = path == SUBMIT and random(2) == 1 or nil
    return fault
end

-- Running ---------------------------------------------------------------------------------------------------------

local TIMEOUT = 0.5 + bound(0.5) -- seconds until the cases with a time-out end

local function new_client(emu, more)
    local options = { timeout = TIMEOUT, max_retries = 1, max_response_bytes = 2 ^ 16, max_image_bytes = 2 ^ 17 }
    for name, value in pairs(more or {}) do options[name] = value end
    return service.client(emu, options)
end

--- Checks the result of a generation.
local function check(image, err, key)
    if image then return assert.equal("string", type(image:bytes())) end
    assert.is_true(errors.is(err), tostring(err))
    assert.is_truthy(flux2.errors.kinds[err.kind], "unknown kind " .. tostring(err.kind))
    local shown = tostring(err)
    assert.is_truthy(text.length(shown), "not UTF-8")
    assert.is_nil(shown:find "%c", shown)
    assert.is_nil(shown:find(key, 1, true), "the key is in it")
end

local function assert_no_double(emu)
    local seen = {}
    for _, entry in ipairs(emu:ledger()) do
        assert.is_nil(seen[entry.prompt], "sold twice: " .. entry.prompt)
        seen[entry.prompt] = true
    end
end

--- Adds to FIRED, by the name of a path, how often the faults of the emulator were used.
local function count_fired(fired, emu, paths)
    for i, fault in ipairs(emu:faults()) do fired[paths[i]] = fired[paths[i]] + fault.fired end
end

describe("a response of millions of values", function()
    -- 3 MB here; 32 MiB would take 2.5 GB when parsed, and arrive as 32 kB of gzip.
    local body = '{"data":{"task_id":"x","status":"SUCCESS"},"x":[' .. ("{},"):rep(1000000) .. "1]}"
    local schema = core.response_schema(require("flux2.provider").resolve().response)
    local function read(kind, sent) return core.read_response(schema, kind, 200, sent) end

    it("is not parsed by the engine", function()
        assert.equal("unreadable", read("task", body).verdict)
        assert.equal("protocol", read("task", body).error)
        assert.is_truthy(read("task", body).fault:find("more than 100000 values", 1, true))
        assert.equal("unreadable", read("submission", body).verdict)
        assert.equal("unknown_outcome", read("submission", body).error)
    end)
    it("is not decoded in Lua", function()
        local decoded, reason = require("flux2.json").decode(body)
        assert.is_nil(decoded)
        assert.is_truthy(reason:find("more than 100000 values", 1, true))
    end)
    it("is distinguished from one long text with commas and quotes", function()
        local long = '{"data":{"task_id":"x","status":"SUCCESS","output":"' .. ("A,{\\\""):rep(50000) .. '"}}'
        assert.equal("succeeded", read("task", long).verdict)
        assert.equal("x", read("submission", (long:gsub(",{", ""))).id)
    end)
end)

describe("a service that responds", function()
    local emu
    before_each(function() emu = service.start() end)
    after_each(service.stop_all)

    it("with damaged and absurd texts", function()
        local fired, raised = { [SUBMIT] = 0, [TASKS] = 0, [IMAGES] = 0 }, nil
        flux2.on_error = function(e) raised = raised or e end
        for round = 1, ROUNDS do
            local client, began, from = new_client(emu), core.now(), draw.seed()
            local paths = {}
            emu:clear_faults()
            for _, path in ipairs { SUBMIT, TASKS, IMAGES } do
                if random(3) > 1 then
                    emu:fault(make_fault(path))
                    paths[#paths + 1] = path
                end
            end
            local handles = {}
            for i = 1, CONCURRENT do
                handles[i] = flux2.spawn(function() return client:generate(("round %d, %d"):format(round, i)) end)
            end
            for _, handle in ipairs(handles) do
                local image, err = handle:join(bound(45))
                assert.equal("done", handle.state, ("HOSTILE_SEED=%d: %s"):format(from, tostring(err)))
                check(image, err, emu.api_key)
            end
            count_fired(fired, emu, paths)
            assert.is_true(core.now() - began < bound(45))
        end
        flux2.on_error = nil
        assert.is_nil(raised)
        assert_no_double(emu)
        -- What is tested above happened: a damaged response to each of the three requests. Which errors follow depends on
        -- the speed of the machine; the cases below say which one each fault must cause.
        for path, times in pairs(fired) do assert.is_true(times > 0, "no fault for " .. path) end
        assert.equal(0, flux2.pending())
    end)

    it("as a proxy, with an endless body to CONNECT, which libcurl reads without a pause", function()
        emu:fault { method = "CONNECT", times = 1000, status = 407, endless = true }
        local client = service.client(emu, { base_url = "https://service.example", proxy = emu.url, max_retries = 0 })
        local task = assert(client:submit "a fox")
        local _, err = task:wait(bound(10))
        assert.equal("too_large", err.kind, tostring(err))
        assert.equal(0, flux2.pending())
    end)

    -- The fault, and the error kinds when it affects the submission, the polls, the image. A poll response without a
    -- task status does not end polling before the time-out.
    local faults = {
        { "noise instead of HTTP", { garbage = true }, "unknown_outcome", "timeout", "network" },
        { "an endless body", { endless = true }, "unknown_outcome", "too_large", "not_an_image" },
        { "an endless JSON text", { endless = true, body = '{"data":"' }, "unknown_outcome",
            "too_large", "not_an_image" },
        { "an endless PNG", { endless = true, body = "\137PNG\r\n\26\n" }, "unknown_outcome",
            "too_large", "too_large" },
        { "endless headers", { endless_headers = true }, "unknown_outcome", "too_large", "too_large" },
        { "a gzip bomb", { bomb = 2 ^ 24 }, "unknown_outcome", "too_large", "not_an_image" },
        { "fewer bytes than announced", { cut = 20 }, "unknown_outcome", "timeout", "network" },
        { "a reset", { reset = "after" }, "unknown_outcome", "timeout", "network" },
        { "silence", { hang = true }, "unknown_outcome", "timeout", "timeout" },
        { "a body that drips", { trickle = { bytes = 1, interval = 0.2 } }, "unknown_outcome", "timeout", "timeout" },
        { "nesting without end", { body = ("["):rep(60000) }, "unknown_outcome", "timeout", "not_an_image" },
        { "a redirect to itself", { redirect = "/images/x" }, "unknown_outcome", "protocol", "protocol" },
        { "a redirect to a file", { redirect = "file:///etc/passwd" }, "unknown_outcome", "protocol", "protocol" },
    }
    for _, row in ipairs(faults) do
        for stage, path in ipairs { SUBMIT, TASKS, IMAGES } do
            it(("with %s to %s"):format(row[1], path), function()
                local fault, expected, err = { path = path, times = 1000 }, row[2 + stage], nil
                for name, value in pairs(row[2]) do fault[name] = value end
                emu:fault(fault)

                local function fails(seconds)
                    local began = core.now()
                    err = select(2, new_client(emu, { timeout = seconds }):generate(("a fox in %g s"):format(seconds)))
                    check(nil, err, emu.api_key)
                    assert.is_true(core.now() - began < seconds + bound(15))
                    return err.kind == expected
                end

                -- Cases that do not depend on the time-out get a longer one.
                if fault.hang or fault.trickle or expected == "timeout" then
                    service.with_enough_time(0.5, fails)
                else
                    fails(bound(60))
                end
                assert.equal(expected, err.kind, tostring(err))
                assert_no_double(emu)
                assert.equal(0, flux2.pending())
                -- A later generation succeeds.
                emu:clear_faults()
                assert(new_client(emu, { timeout = bound(60) }):generate "another fox")
            end)
        end
    end
end)
