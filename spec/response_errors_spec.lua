-- What an answer that is no task, or an exchange without one, becomes: an error, its kind, and whether to try again.

local bound = require "support.bound"
local errors = require "flux2.errors"
local response = require "flux2.response"

local function has(whole, part) assert.matches(part, tostring(whole), 1, true) end

-- status, body, info, kind, retryable, parts of the text
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

describe("response.http_error", function()
    for i, case in ipairs(http) do
        it(i .. ": " .. case[1] .. " " .. case[2]:sub(1, 60), function()
            local err = response.http_error(case[1], case[2], case[3])
            assert.equal(case[4], err.kind)
            assert.equal(case[5], err.retryable)
            assert.equal(case[1], err.status)
            has(err, case[6])
        end)
    end

    it("is what response.task makes of every status that is not 2xx", function()
        for _, case in ipairs(http) do
            local out, err = response.task(case[1], case[2], case[3])
            assert.is_nil(out)
            assert.is_true(errors.is(err))
            assert.equal(case[4], err.kind)
        end
    end)

    it("carries what is known", function()
        local err = response.http_error(429,
            '{"error":{"code":429,"type":"rate_limit","message":"x"},"request_id":"r0"}',
            { retry_after = 3, attempts = 2, task_id = "t1" })
        assert.same({ 429, "429", "rate_limit", "r0", 3, 2, "t1" },
            { err.status, tostring(err.code), err.type, err.request_id, err.retry_after, err.attempts, err.task_id })
        assert.equal("r1", response.http_error(500, '{"request_id":"r0"}', { request_id = "r1" }).request_id)
    end)

    it("never shows a key", function()
        local err = response.http_error(401, '{"error":{"message":"bad key aio_secret123"}}')
        assert.is_nil((tostring(err) .. err.raw):find("secret", 1, true))
    end)

    it("reads a hostile page quickly", function()
        for _, unit in ipairs { "<", "<title", "<title>", "<script", "<style>", " ", "&lt;", "\0", "\255" } do
            local before = os.clock()
            local err = response.http_error(502, unit:rep(1000000), { content_type = "text/html" })
            assert.is_true(os.clock() - before < bound(1), unit)
            assert.is_true(#tostring(err) < 700)
        end
    end)
end)

describe("response.failure", function()
    local cases = {
        { "resolve", "network", true, "the name of apiin.one could not be resolved" }, { "connect", "network", true },
        { "network", "network", true }, { "closed", "network", true, "apiin.one closed the connection" },
        { "tls", "tls", false, "certificate has expired" }, { "timeout", "timeout", true },
        { "too_large", "too_large", false, "limit of 8 MiB; max_image_bytes raises it" },
        { "headers_too_large", "too_large", false, "headers" }, { "io", "io", false }, { "cancelled", "cancelled",
            false },
        { "signature", "not_an_image", false, "PNG, JPEG, WEBP, GIF or AVIF" }, { "protocol", "protocol", false },
        { "redirect", "protocol", false }, { "what is this", "protocol", false }, { {}, "protocol", false },
    }
    local function info(more)
        local out = {
            message = "certificate has expired", attempts = 3, url_host = "apiin.one", limit = 8 * 2 ^ 20,
            limit_name = "max_image_bytes",
        }
        for name, value in pairs(more or {}) do out[name] = value end
        return out
    end
    for _, case in ipairs(cases) do
        it("makes " .. tostring(case[1]):sub(1, 20) .. " " .. case[2], function()
            for _, more in ipairs { {}, { once = true }, { sent = true } } do
                local err = response.failure(case[1], info(more))
                assert.equal(case[2], err.kind)
                assert.equal(case[3], err.retryable)
                assert.equal(3, err.attempts)
                has(err, case[4] or "after 3 attempts")
            end
            local err = response.failure(case[1], info { once = true, sent = true })
            if case[2] == "cancelled" then
                assert.equal("cancelled", err.kind)
                return has(err, "the service may still make the picture and charge for it")
            end
            assert.equal("unknown_outcome", err.kind)
            assert.is_false(err.retryable)
            has(err, "may have accepted and charged it; it is not sent again")
        end)
    end

    it("does without any information", function()
        assert.equal("network", response.failure("connect").kind)
        has(response.failure("timeout", { url_host = "%s%1", message = 42 }), "%s%1 took too long")
    end)
end)
