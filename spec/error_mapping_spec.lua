-- Maps the engine's result of a request to an error: its kind, its message, and whether a retry may help.
-- response_reader_spec.lua tests which facts are read from a body.

local bound = require "support.bound"
local core = require "flux2.core"
local error_mapping = require "flux2.error_mapping"
local errors = require "flux2.errors"
local seeded = require "support.seeded"
local text = require "flux2.text"

local schema = core.response_schema(require("flux2.provider").resolve().response)

local function has(whole, part) assert.matches(part, tostring(whole), 1, true) end

--- Returns the error for a response. `info` holds other fields of the event, and the context.
local function error_of(kind, status, body, info)
    info = info or {}
    local event = core.read_response(schema, info.download and "download" or kind, status, body,
        info.content_type, info.retry_after)
    event.http_status, event.body, event.attempts = status, body, info.attempts
    event.location, event.request_id = info.location, info.request_id or event.request_id
    return event.error and error_mapping.of(event, info) or nil, event
end

-- status, body, info, kind, retryable, part of the text
local http = {
    { 400, '{"error":{"code":400,"message":"Invalid parameters","type":"invalid_request"}}', nil, "invalid_request",
        false,
        "invalid_request: Invalid parameters (HTTP 400, code 400)" },
    { 401, '{"error":{"code":401,"message":"bad key"}}', nil, "auth", false, "bad key" },
    { 403, "", nil, "auth", false, "403 Forbidden with an empty body" },
    { 402, '{"error":"no credits left"}', nil, "credits", false, "no credits left" },
    { 404, '{"code":404,"message":"task not found"}', nil, "not_found", false, "task not found" },
    { 410, "", nil, "not_found", false, "410 Gone" },
    { 413, "", nil, "invalid_request", false, "413 Content Too Large" },
    { 415, '{"msg":"json please"}', nil, "invalid_request", false, "json please" },
    { 422, '{"detail":[{"loc":["body","prompt",0],"msg":"field required","type":"x"},{"msg":"y"}]}', nil, "rejected",
        false,
        "body.prompt.0: field required; y" },
    { 422, '{"detail":"too long"}', nil, "rejected", false, "too long" },
    { 422, '{"error":{"message":"Request moderated"}}', nil, "moderated", false, "Request moderated" },
    { 400, '{"error":{"message":"x","type":"content_policy_violation"}}', nil, "rejected", false, "x" },
    { 400, '{"error":{"message":"x","code":"insufficient_credits"}}', nil, "credits", false,
        "code insufficient_credits" },
    { 400, '{"error":{"message":"x","code":402}}', nil, "credits", false, "HTTP 400, code 402" },
    { 403, '{"error":{"message":"prompt flagged by moderation"}}', nil, "moderated", false, "flagged" },
    { 409, "", nil, "rejected", false, "409 Conflict" },
    { 429, "", { retry_after = 3 }, "rate_limited", true, "the service asks to wait 3 s (HTTP 429)" },
    { 429, '{"error":{"code":429,"message":"slow down"}}', { retry_after = 1800 }, "rate_limited", true,
        "slow down; the service asks to wait 1800 s" },
    { 429, '{"error":{"message":"quota","code":"insufficient_quota"}}', nil, "credits", false, "quota" },
    { 500, '{"error":{"message":"moderation service is down"}}', nil, "server", true, "is down" },
    { 501, "", nil, "server", false, "501 Not Implemented" },
    { 408, "", nil, "timeout", true, "408 Request Timeout" },
    { 502, "<html><head><TITLE>Bad\n gateway</TITLE></head><body>nginx</body></html>", nil, "server", true,
        "the service answered 502 Bad Gateway with an HTML page: 'Bad gateway' (HTTP 502)" },
    { 503, "<html><script>var x = '<b>'</script><body><h1>Down &amp; out</h1></body>", nil, "server", true,
        "'Down & out'" },
    { 504, "upstream timed out", nil, "server", true, "504 Gateway Timeout with text: 'upstream timed out'" },
    { 520, "{}", nil, "server", true, "the service answered 520 with JSON that gives no reason" },
    { 500, '{"error":{"message":{"a":1}}}', nil, "server", true, "gives no reason" },
    { 500, '"just a string"', nil, "server", true, "500 Internal Server Error" },
    { 302, "", { location = "https://elsewhere.example/" }, "protocol", false,
        "a redirect to https://elsewhere.example/" },
    { 304, "", nil, "protocol", false, "304" },
    { 100, "", nil, "protocol", false, "100" },
    { 999, "", nil, "protocol", false, "999" },
    { 403, "<Error><Code>AccessDenied</Code></Error>", { download = true }, "not_found", false,
        "the image host answered 403" },
    { 404, "", { download = true }, "not_found", false, "links to results expire" },
    { 503, "", { download = true }, "server", true, "the image host answered 503" },
}

describe("the error of a response", function()
    for i, case in ipairs(http) do
        it(i .. ": " .. case[1] .. " " .. case[2]:sub(1, 60), function()
            local err = error_of("task", case[1], case[2], case[3])
            assert.is_true(errors.is(err))
            assert.equal(case[4], err.kind)
            assert.equal(case[5], err.retryable)
            assert.equal(case[1], err.status)
            has(err, case[6])
        end)
    end

    it("has the known facts as fields", function()
        local err = error_of("task", 429, '{"error":{"code":429,"type":"rate_limit","message":"x"},"request_id":"r0"}',
            { retry_after = 3, attempts = 2, task_id = "t1" })
        assert.same({ 429, "429", "rate_limit", "r0", 3, 2, "t1" },
            { err.status, tostring(err.code), err.type, err.request_id, err.retry_after, err.attempts, err.task_id })
        assert.equal("r1", error_of("task", 500, '{"request_id":"r0"}', { request_id = "r1" }).request_id)
        -- A failed task.
        err = error_of("task", 200, '{"data":{"task_id":"t1","status":"FAILED","error":{"code":1234,"type":"gpu",'
            .. '"message":"x"}}}')
        assert.same({ "task_failed", "1234", "gpu", "t1", false },
            { err.kind, tostring(err.code), err.type, err.task_id, err.retryable })
        has(err, "task_failed: the task ended as 'FAILED': x")
        assert.equal("E7", error_of("task", 200, '{"data":{"status":"FAILED","error":{"code":"E7"}}}').code)
        -- A submission of unknown outcome.
        err = error_of("submission", 200, '{"code":500,"data":{"task_id":"t"}}')
        assert.equal("t", err.task_id)
        assert.is_false(err.retryable)
        has(err, "the service may have accepted and charged it; it is not sent again")
    end)

    it("of a failed task names its status", function()
        for _, word in ipairs { "FAILED", "FAILURE", "ERROR", "CANCELLED", "TIMEOUT", "failed", "Canceled",
            "fail", "TIMED_OUT" } do
            local err = error_of("task", 200, '{"data":{"task_id":"t1","status":"' .. word .. '"}}')
            assert.equal("t1", err.task_id)
            has(err, word)
            has(err, "gave no reason")
        end
        has(error_of("task", 200, '{"code":200,"message":"success","data":{"status":"FAILED"}}'), "gave no reason")
    end)

    it("of a success without an image has the body, up to a limit", function()
        local body = '{"data":{"status":"SUCCESS","output":null}}'
        local err = error_of("task", 200, body, { task_id = "t1", request_id = "r1" })
        assert.equal("protocol", err.kind)
        assert.equal(body, err.raw)
        assert.same({ "t1", "r1", 200 }, { err.task_id, err.request_id, err.status })
        has(err, "no image")
        err = error_of("task", 200, '{"data":{"status":"SUCCESS","x":"' .. ("y"):rep(100000) .. '"}}')
        assert.equal(64 * 1024, #err.raw)
    end)

    it("of an unreadable body names the cause", function()
        has(error_of("task", 200, ""), "not a JSON object: it is empty")
        has(error_of("task", 200, "<html>"), "not a JSON object: it is not JSON")
        has(error_of("task", 200, "{}"), "names neither a status nor an image")
        has(error_of("submission", 200, '{"data":['), "cannot be read: it is not JSON")
        has(error_of("submission", 200, '{"data":{"status":"queued"}}'), "names no task (status 'queued')")
        has(error_of("task", 200, "[" .. ("{},"):rep(200000) .. "1]"), "more than 100000 values")
    end)

    it("contains no key", function()
        local err = error_of("task", 401, '{"error":{"message":"bad key aio_secret123"}}')
        assert.is_nil((tostring(err) .. err.raw):find("secret", 1, true))
    end)

    it("for a hostile page takes little time", function()
        for _, unit in ipairs { "<", "<title", "<title>", "<script", "<style>", " ", "&lt;", "\0", "\255" } do
            local before = os.clock()
            local err = error_of("task", 502, unit:rep(500000), { content_type = "text/html" })
            assert.is_true(os.clock() - before < bound(1), unit)
            assert.is_true(#tostring(err) < 700)
        end
    end)

    it("is one line of UTF-8 for any body", function()
        local draw = seeded.new()
        local values = {
            "null", "0", "1e999", "NaN", '""', '"x"', '"FAILED"', '"\255\254"', '"\\u0000\\u001b[31m"', "[]",
            '{"message":{"a":[]}}',
            '{"code":{},"message":7,"type":[]}', '"' .. ("x\226\128\174"):rep(2000) .. '"', '"\\ud800"',
            '[{"loc":[1,{}],"msg":"\1"}]',
        }
        local names = { "status", "error", "code", "message", "data", "detail", "type", "request_id",
            "fail_reason", "task_id" }
        for _ = 1, 800 do
            local parts = {}
            for i = 1, draw.random(5) do parts[i] = ('"%s":%s'):format(draw.one_of(names), draw.one_of(values)) end
            local body = "{" .. table.concat(parts, ",") .. "}"
            if draw.random(3) == 1 then body = '{"data":' .. body .. "}" end
            for _, kind in ipairs { "task", "submission", "download" } do
                local info = { retry_after = 0 / 0, attempts = 2, request_id = "\27" }
                local err = error_of(kind, draw.one_of { 200, 200, 400, 422, 500, 302 }, body, info)
                if err then
                    assert.is_truthy(text.length(tostring(err)), body)
                    assert.is_nil(tostring(err):find("%c"), body)
                end
            end
        end
    end)
end)

-- The engine reports the failure. boundaries_spec.lua tests real failures.
describe("the error of a request without a response", function()
    local cases = {
        { "resolve", "network", true, "the name of apiin.one could not be resolved" }, { "connect", "network", true },
        { "network", "network", true },
        { "tls", "tls", false, "certificate has expired" }, { "timeout", "timeout", true },
        { "too_large", "too_large", false, "limit of 8 MiB; max_image_bytes raises it" },
        { "headers_too_large", "too_large", false, "headers" }, { "io", "io", false },
        { "cancelled", "cancelled", false },
        { "signature", "not_an_image", false, "PNG, JPEG, WEBP, GIF or AVIF" }, { "protocol", "protocol", false },
        { "redirect", "protocol", false }, { "memory", "io", false, "out of memory" },
    }
    local context = { url = "https://apiin.one/api", limit = 8 * 2 ^ 20, limit_name = "max_image_bytes" }

    --- Returns the engine's event for a failure.
    local function event_of(name, kind, sent)
        local event = core._pure.classify_failure(kind, name, sent)
        event.failure, event.message, event.attempts = name, "certificate has expired", 3
        return event
    end

    for _, case in ipairs(cases) do
        it("for " .. case[1] .. " is " .. case[2], function()
            for _, event in ipairs {
                event_of(case[1], "task", false), event_of(case[1], "submission", false),
                event_of(case[1], "download", true),
            } do
                local err = error_mapping.of(event, context)
                assert.equal(case[2], err.kind)
                assert.equal(case[3], err.retryable)
                assert.equal(3, err.attempts)
                if case[2] ~= "cancelled" then has(err, case[4] or "after 3 attempts") end
            end
            assert.equal("refused", event_of(case[1], "submission", false).acceptance)
            local event = event_of(case[1], "submission", true)
            assert.equal("unknown", event.acceptance)
            local err = error_mapping.of(event, context)
            if case[2] == "cancelled" then
                assert.equal("cancelled", err.kind)
                return has(err, "the service may still generate the image and charge for it")
            end
            assert.equal("unknown_outcome", err.kind)
            assert.is_false(err.retryable)
            has(err, "may have accepted and charged it; it is not sent again")
        end)
    end

    it("needs no context", function()
        assert.equal("network", error_mapping.of({ failure = "connect", error = "network" }, {}).kind)
        has(error_mapping.of({ failure = "timeout", error = "timeout", message = 42 }, {}), "the server took too long")
        has(error_mapping.of({ failure = "news", error = "protocol" }, {}), "the request to the server failed")
    end)
end)
