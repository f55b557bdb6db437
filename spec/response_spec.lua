local bound = require "support.bound"
local cjson = require "cjson"
local errors = require "flux2.errors"
local response = require "flux2.response"
local shapes = require "flux2.shapes"

local URL = "https://img.example/1.png"
local URL2 = "https://img.example/2.png"

local function has(whole, part)
    assert.is_truthy(tostring(whole):find(part, 1, true), ("%q lacks %q"):format(tostring(whole), part))
end

--- What the engine does with response.watch, in Lua: the event that ends the poll, or nil.
local function engine(body)
    local watch, answer = response.watch, cjson.decode(body)
    local function dig(path)
        local value = answer
        for step in path:gmatch("[^.]+") do
            if type(value) ~= "table" then return nil end
            local place = tonumber(step)
            if place then value = value[place + 1] else value = value[step] end
        end
        if value ~= cjson.null then return value end
    end
    local function first(paths, wanted)
        for _, path in ipairs(paths) do
            local value = dig(path)
            if type(value) == wanted and value ~= "" then return value end
        end
    end
    local refused = dig(watch.refused[1])
    if refused and refused ~= "" and not (type(refused) == "table" and not next(refused)) then return "refused" end
    local word = first(watch.status, "string")
    for _, done in ipairs(watch.done) do
        if word and word:lower() == done then return "done" end
    end
    if not word and first(watch.result, "string") then return "result" end
end

local function task(body, status, info)
    local out, err = response.task(status or 200, body, info)
    assert.is_true((out == nil) == errors.is(err))
    return out, err
end

describe("response.watch", function()
    it("is plain arrays of strings and numbers, in lower case where words are compared", function()
        for name, list in pairs(response.watch) do
            assert.is_true(#list > 0)
            for key, value in pairs(list) do
                assert.is_true(type(key) == "number" and key <= #list)
                assert.equal(name == "code_ok" and "number" or "string", type(value))
            end
        end
        for _, word in ipairs(response.watch.done) do assert.equal(word:lower(), word) end
    end)

    it("ends at no word for running", function()
        local done = {}
        for _, word in ipairs(response.watch.done) do done[word] = true end
        for _, word in ipairs(shapes.words.running) do
            assert.is_nil(done[word])
            assert.is_nil(done[(word:gsub(" ", "_"))])
        end
    end)
end)

describe("a finished task", function()
    for _, word in ipairs {
        "SUCCESS", "COMPLETED", "SUCCEEDED", "Ready", "done", "finished", "success", "Completed",
    } do
        for _, form in ipairs { '{"data":{"status":"%s","output":{"image_url":"%s"}}}',
            '{"status":"%s","data":{"output":{"image_url":"%s"}}}', '{"data":{"state":"%s","url":"%s"}}' } do
            it("says " .. word .. " in " .. form, function()
                local body = form:format(word, URL)
                local out = task(body)
                assert.equal("succeeded", out.state)
                assert.equal(word, out.status)
                assert.equal(1, out.progress)
                assert.same({ { url = URL } }, out.images)
                assert.equal("done", engine(body))
            end)
        end
    end

    -- $ stands for the picture. `false`: the engine needs a status to see the end.
    local places = {
        '"data":{%s"output":{"image_url":$}}', '"data":{%s"output":$}', '"data":{%s"output":[$]}',
        '"data":{%s"output":{"images":[{"url":$}]}}', '"data":{%s"output":{"image_urls":[$]}}',
        '"data":{%s"result":{"images":[{"url":$}]}}', '"data":{%s"result":{"images":[{"url":[$]}]}}',
        '"data":{%s"images":[{"url":$}]}', '"data":{%s"images":[$]}', '"data":{%s"image_url":$}', '"data":{%s"url":$}',
        '"data":{%s"result_urls":[$]}', '"data":{%s"response":{"result_urls":[$]}}',
        '"data":{%s"response":{"resultUrls":[$]}}', '"data":{%s"result":[$]}',
        '"data":{%s"result":[{"type":"image","url":$}]}', '"data":{%s"result":{"sample":$}}', '%s"result":{"sample":$}',
        '%s"output":[$]', '%s"images":[{"url":$}]', '%s"data":[{"url":$}]', '%s"data":[{"url":[$]}]',
        '"data":{%s"resultJson":"{\\"resultUrls\\":[\\"' .. URL .. '\\"]}"}',
        '"data":{%s"output":null,"images":[],"image_url":"","url":$}',
    }
    for _, place in ipairs(places) do
        it("has its picture in " .. place, function()
            local with = "{" .. place:gsub("%$", '"' .. URL .. '"'):gsub("%%s", '"status":"SUCCESS",') .. "}"
            local without = "{" .. place:gsub("%$", '"' .. URL .. '"'):gsub("%%s", "") .. "}"
            assert.same({ { url = URL } }, task(with).images)
            assert.equal("done", engine(with))
            local out = task(without)
            assert.equal("succeeded", out.state)
            assert.same({ { url = URL } }, out.images)
            assert.equal("result", engine(without))
            -- The same picture beside the word for running is a preview, or the input.
            local running = task((with:gsub("SUCCESS", "PROCESSING")))
            assert.equal("running", running.state)
            assert.same({}, running.images)
        end)
    end

    it("gives all pictures once, in order", function()
        local out = task(('{"data":{"status":"SUCCESS","result":{"images":[{"url":["%s","%s"]},{"url":"%s"}]}}}')
            :format(URL, URL2, URL))
        assert.same({ { url = URL }, { url = URL2 } }, out.images)
        out = task(('{"status":"done","data":{"image_url":"%s","images":["%s","%s"]}}'):format(URL, URL, URL2))
        assert.same({ { url = URL }, { url = URL2 } }, out.images)
    end)

    it("takes bytes: b64_json and data: URLs, and keeps the type that is named", function()
        assert.same({ { b64 = "iVBORw0KGgo=" } }, task('{"created":1,"data":[{"b64_json":"iVBORw0KGgo="}]}').images)
        assert.same({ { b64 = "iVBORw0KGgo=", content_type = "image/png" } },
            task('{"data":{"status":"SUCCESS","output":"data:image/png;base64,iVBORw0KGgo="}}').images)
        assert.same({ { url = URL, content_type = "image/webp" } },
            task('{"status":"done","data":{"images":[{"url":"' .. URL .. '","content_type":"image/webp"}]}}').images)
    end)

    it("takes no other thing for a picture", function()
        for _, value in ipairs { '"ftp://a/b.png"', '"/1.png"', '"https://"', '"https://a b/"',
            '"data:text/html;base64,AA=="',
            '"data:image/png,AA"', '"x"', "1", "true", "{}", "[]", "[[[[[[[[[[\"" .. URL .. "\"]]]]]]]]]]",
                '"javascript:x"',
            '{"b64_json":"<html>"}', '{"b64_json":""}', '{"b64_json":{}}', '"https://a/\255"' } do
            local out, err = task('{"data":{"status":"SUCCESS","output":' .. value .. '}}')
            assert.is_nil(out)
            assert.equal("protocol", err.kind)
        end
    end)

    it("without a picture is a protocol error that carries the body, bounded", function()
        local body = '{"data":{"status":"SUCCESS","output":null}}'
        local _, err = task(body, 200, { task_id = "t1", request_id = "r1" })
        assert.equal("protocol", err.kind)
        assert.equal(body, err.raw)
        assert.equal("t1", err.task_id)
        has(err, "no picture")
        _, err = task('{"data":{"status":"SUCCESS","x":"' .. ("y"):rep(100000) .. '"}}')
        assert.equal(64 * 1024, #err.raw)
    end)

    it("names its credits where the body does", function()
        local function credits(value)
            return task('{"data":{"status":"SUCCESS","output":"' .. URL .. '","credits_used":' .. value .. '}}').credits
        end
        assert.equal(10, credits("10"))
        assert.equal("10", tostring(credits("10")))
        assert.equal(6, credits('"6"'))
        for _, value in ipairs { "-1", "1e999", "null", '"x"', "[]", "NaN" } do assert.is_nil(credits(value)) end
    end)

    it("keeps the decoded answer", function()
        local out = task('{"data":{"status":"PENDING","output":null,"x":[1,2]}}')
        assert.equal(cjson.null, out.raw.data.output)
        assert.same({ 1, 2 }, out.raw.data.x)
    end)

    it("is not undone by a code or an error beside it", function()
        assert.equal("succeeded",
            task('{"code":500,"error":"x","data":{"status":"SUCCESS","url":"' .. URL .. '"}}').state)
    end)
end)

describe("a running task", function()
    for _, word in ipairs {
        "IN_PROGRESS", "PENDING", "QUEUED", "PROCESSING", "SUBMITTED", "NOT_START", "warming up", "", " SUCCESS",
    } do
        it("says " .. word, function()
            local body = '{"code":200,"data":{"status":"' .. word .. '"}}'
            assert.equal("running", task(body).state)
            assert.is_nil(engine(body))
        end)
    end

    it("has the task's own status before the envelope's", function()
        local out = task('{"status":"success","data":{"state":"processing"}}')
        assert.equal("running", out.state)
        assert.equal("processing", out.status)
    end)

    it("may have a status that is no string, or none", function()
        for _, body in ipairs { "{}", '{"data":{"status":1}}', '{"data":null}', '{"data":[]}', '{"data":"x"}',
            '{"status":200}' } do
            local out = task(body)
            assert.equal("running", out.state)
            assert.is_nil(out.status)
        end
    end)

    local progress = {
        { "50", 0.5 }, { "100", 1 }, { "0", 0 }, { "0.25", 0.25 }, { '"50%"', 0.5 }, { '"0.5%"', 0.005 }, { '"0.5"',
            0.5 },
        { '" 7 % "', 0.07 }, { "1", 0.01 }, { '"1%"', 0.01 }, { "-1" }, { "101" }, { "1e999" }, { "NaN" }, { '"x"' },
            { '""' },
        { '"."' }, { "{}" }, { "true" }, { "null" }, { '"' .. ("9"):rep(400) .. '"' },
    }
    for _, case in ipairs(progress) do
        it("reads progress " .. case[1]:sub(1, 20), function()
            assert.equal(case[2], task('{"data":{"status":"RUNNING","progress":' .. case[1] .. '}}').progress)
            assert.equal(case[2], task('{"status":"RUNNING","progress":' .. case[1] .. '}').progress)
        end)
    end
end)

describe("a failed task", function()
    for _, word in ipairs { "FAILED", "FAILURE", "ERROR", "CANCELLED", "TIMEOUT", "failed", "Canceled", "fail",
        "TIMED_OUT" } do
        it("says " .. word, function()
            local body = '{"data":{"task_id":"t1","status":"' .. word .. '"}}'
            local out = task(body)
            assert.equal("failed", out.state)
            assert.equal("task_failed", out.error.kind)
            assert.equal("t1", out.error.task_id)
            has(out.error, word)
            has(out.error, "gave no reason")
            assert.equal("done", engine(body))
        end)
    end

    local reasons = {
        '"data":{%s,"error":"out of memory"}', '"data":{%s,"error":{"message":"out of memory"}}',
        '"data":{%s,"fail_reason":"out of memory"}', '"data":{%s,"failMsg":"out of memory"}',
        '"data":{%s},"error":{"message":"out of memory"}', '"data":{%s},"error":"out of memory"',
        '"data":{%s,"error":null},"message":"out of memory"', '"code":500,"data":{%s},"message":"out of memory"',
        '"message":"success","data":{%s,"error":"","fail_reason":"out of memory"}',
    }
    for _, reason in ipairs(reasons) do
        it("has its reason in " .. reason, function()
            local out = task("{" .. reason:format('"status":"FAILED"') .. "}")
            assert.equal("failed", out.state)
            has(out.error, "task_failed: the task ended as 'FAILED': out of memory")
        end)
    end

    it("does not take the envelope's message for a reason", function()
        has(task('{"code":200,"message":"success","data":{"status":"FAILED"}}').error, "gave no reason")
    end)

    local kinds = {
        { '"status":"Request Moderated"', "moderated" }, { '"status":"CONTENT_MODERATED"', "moderated" },
        { '"status":"content-moderated"', "moderated" }, { '"status":"FAILED","error":"NSFW content detected"',
            "moderated" },
        { '"status":"FAILED","error":{"code":"moderation_blocked","message":"no"}', "moderated" },
        { '"status":"FAILED","fail_reason":"violates our content policy"', "rejected" },
        { '"status":"REJECTED","fail_reason":"no"', "rejected" },
        { '"status":"FAILED","error":"insufficient credits"', "task_failed" },
    }
    for _, case in ipairs(kinds) do
        it("is " .. case[2] .. ": " .. case[1], function()
            local out = task('{"data":{' .. case[1] .. '}}')
            assert.equal("failed", out.state)
            assert.equal(case[2], out.error.kind)
            assert.is_false(out.error.retryable)
            assert.equal("done", engine('{"data":{' .. case[1] .. '}}'))
        end)
    end

    it("carries the service's code and type", function()
        local err = task('{"data":{"status":"FAILED","error":{"code":1234,"type":"gpu","message":"x"}}}').error
        assert.equal("1234", tostring(err.code))
        assert.equal("gpu", err.type)
        assert.equal("E7", task('{"data":{"status":"FAILED","error":{"code":"E7"}}}').error.code)
    end)
end)

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

describe("response.task", function()
    it("makes every status that is not 2xx an error", function()
        for _, case in ipairs(http) do
            local out, err = task(case[2], case[1], case[3])
            assert.is_nil(out)
            assert.equal(case[4], err.kind)
        end
    end)

    local refused = {
        { '{"code":402,"message":"no credits"}', "credits" }, { '{"code":"402","message":"no credits"}', "credits" },
        { '{"code":404,"message":"x"}', "not_found" }, { '{"code":500,"message":"x"}', "server" },
        { '{"error":{"code":401,"message":"x"}}', "auth" }, { '{"error":"x"}', "task_failed" },
        { '{"error":{"type":"rate_limit_exceeded"}}', "rate_limited" }, { '{"code":1001,"msg":"nsfw"}', "moderated" },
        { '{"code":429,"data":{"status":"SUCCESS"}}', "rate_limited" },
        { '{"code":1,"msg":"x","data":{"status":"IN_PROGRESS"}}', "protocol" },
        { '{"error":{"code":401},"data":{"url":"' .. URL .. '"}}', "auth" },
        { "", "protocol" }, { "<html>", "protocol" }, { "42", "protocol" }, { '{"data":{"status":"SUCC', "protocol" },
        { "null", "protocol" }, { '"SUCCESS"', "protocol" },
    }
    for _, case in ipairs(refused) do
        it("sees through a 200 with " .. case[1], function()
            local out, err = task(case[1])
            assert.is_nil(out)
            assert.equal(case[2], err.kind)
            assert.equal(200, err.status)
        end)
    end

    it("takes an empty error for none", function()
        for _, empty in ipairs { "null", '""', "{}", "[]", "false", "0" } do
            assert.equal("running", task('{"error":' .. empty .. ',"data":{"status":"IN_PROGRESS"}}').state)
        end
        for _, code in ipairs { "0", "200", '"200"', "202", '"success"', "null", "{}" } do
            assert.equal("running", task('{"code":' .. code .. ',"data":{"status":"IN_PROGRESS"}}').state)
        end
    end)
end)

describe("response.submission", function()
    local function submission(body, status, info) return response.submission(status or 200, body, info) end

    it("reads the documented answer", function()
        assert.same({ task_id = "n41xxxx_flux2", status = "IN_PROGRESS" }, submission(
            '{"code":200,"message":"success","data":{"task_id":"n41xxxx_flux2","status":"IN_PROGRESS"}}'))
    end)

    for body, id in pairs {
        ['{"task_id":"t"}'] = "t", ['{"data":{"taskId":"t"}}'] = "t", ['{"data":{"id":"t"}}'] = "t",
            ['{"id":"t"}'] = "t",
        ['{"data":[{"status":"submitted","task_id":"t"}]}'] = "t",
            ['{"data":{"task_id":123456789012}}'] = "123456789012",
        ['{"data":{"task_id": 1712345678901234567 }}'] = "1712345678901234567",
        ['{"data":{"task_id":"","id":"t"}}'] = "t", ['{"data":{"task_id":{},"id":"t"}}'] = "t",
        ['{"data":{"task_id":"../x y"}}'] = "../x y",
    } do
        it("finds the id in " .. body, function() assert.equal(id, submission(body, 202).task_id) end)
    end

    it("takes a picture that is there at once", function()
        local out = submission('{"created":1,"data":[{"url":"' .. URL .. '"},{"b64_json":"iVBORw0KGgo="}]}')
        assert.is_nil(out.task_id)
        assert.equal("succeeded", out.finished.state)
        assert.same({ { url = URL }, { b64 = "iVBORw0KGgo=" } }, out.finished.images)
        out = submission('{"data":{"task_id":"t","status":"SUCCESS","url":"' .. URL .. '"}}')
        assert.equal("t", out.task_id)
        assert.same({ { url = URL } }, out.finished.images)
        assert.is_nil(submission('{"data":{"task_id":"t","status":"PENDING","url":"' .. URL .. '"}}').finished)
    end)

    local unknown = {
        { 500, "" }, { 500, '{"error":{"code":402,"message":"x"}}' }, { 502, "<html>" }, { 503, "" }, { 504, "" },
            { 408, "" },
        { 520, "" }, { 500, "", { retry_after = 3 } }, { 499, "" }, { 100, "" }, { 0, "" },
        { 200, "" }, { 200, "<html>" }, { 200, '{"code":200,"data":{"task_' }, { 204, "" }, { 200, "[]" }, { 200,
            "{}" },
        { 200, "null" }, { 200, '{"code":200,"message":"success","data":{}}' }, { 200,
            '{"data":{"status":"IN_PROGRESS"}}' },
        { 200, '{"data":{"status":"SUCCESS"}}' }, { 200, '{"code":500,"message":"x"}' }, { 200, '{"code":"504"}' },
        { 200, '{"error":{"code":503}}', { retry_after = 3 } }, { 200, '{"code":408}' }, { 200,
            '{"code":1,"data":{"task_id":"t"}}' },
        { 200, '{"data":{"task_id":""}}' }, { 200, '{"data":{"task_id":[]}}' }, { 200, '{"data":{"task_id":-1}}' },
        { 200, '{"data":{"task_id":1e300}}' }, { 200, '{"data":{"task_id":1.5}}' }, { 200, '{"code":"-1"}' },
    }
    for _, case in ipairs(unknown) do
        it("leaves the outcome open: " .. case[1] .. " " .. case[2], function()
            local out, err = submission(case[2], case[1], case[3])
            assert.is_nil(out)
            assert.equal("unknown_outcome", err.kind)
            assert.is_false(err.retryable)
            has(err, "the service may have accepted and charged it; it is not sent again")
        end)
    end

    it("knows the task in an answer that leaves it open", function()
        assert.equal("t", select(2, submission('{"code":500,"data":{"task_id":"t"}}')).task_id)
    end)

    local refused = {
        { 400, '{"error":{"message":"x"}}', "invalid_request" }, { 401, "", "auth" }, { 403, "", "auth" }, { 402, "",
            "credits" },
        { 404, "", "not_found" }, { 413, "", "invalid_request" }, { 415, "", "invalid_request" }, { 422, "",
            "rejected" },
        { 422, '{"error":"content moderated"}', "moderated" }, { 400, '{"error":"against our content policy"}',
            "rejected" },
        { 302, "", "protocol" }, { 200, '{"code":402,"message":"x"}', "credits" }, { 200, '{"code":"401"}', "auth" },
        { 200, '{"error":{"code":400,"type":"invalid_request","message":"x"}}', "invalid_request" },
        { 200, '{"error":"no"}', "rejected" }, { 200, '{"error":{"type":"insufficient_quota"}}', "credits" },
        { 200, '{"data":{"status":"FAILED","error":"no"}}', "task_failed" },
    }
    for _, case in ipairs(refused) do
        it("was refused: " .. case[1] .. " " .. case[2] .. " is " .. case[3], function()
            local out, err = submission(case[2], case[1])
            assert.is_nil(out)
            assert.equal(case[3], err.kind)
            assert.is_false(err.retryable)
        end)
    end

    it("may be sent again when the service says so", function()
        for _, case in ipairs { { 429, "rate_limited" }, { 429, "rate_limited", 3 }, { 503, "server", 3 } } do
            local _, err = submission("", case[1], { retry_after = case[3] })
            assert.equal(case[2], err.kind)
            assert.is_true(err.retryable)
        end
        assert.equal("rate_limited", select(2, submission('{"code":429}')).kind)
    end)

    it("does not change the caller's info", function()
        local info = { request_id = "r" }
        submission('{"code":500,"data":{"task_id":"t"}}', 200, info)
        assert.same({ request_id = "r" }, info)
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

describe("response.image_type", function()
    local cases = {
        { "\137PNG\r\n\26\n....", "image/png", "png" }, { "\255\216\255\224", "image/jpeg", "jpg" },
        { "RIFF\0\1\2\3WEBPVP8 ", "image/webp", "webp" }, { "GIF87a", "image/gif", "gif" }, { "GIF89a..",
            "image/gif", "gif" },
        { "\0\0\0\32ftypavif", "image/avif", "avif" }, { "\0\0\0\32ftypavis", "image/avif", "avif" },
        { "\0\0\0\32ftypmif1", "image/avif", "avif" },
        { "" }, { "\137PNG" }, { "\255\216" }, { "RIFF\0\0\0\0WAVE" }, { "RIFFWEBP" }, { "GIF88a" }, { "<html>" },
        { "\0\0\0\32ftypmp42" }, { "{\"a\":1}" }, { " \137PNG\r\n\26\n" },
    }
    for i, case in ipairs(cases) do
        it("case " .. i .. ": " .. tostring(case[2]), function()
            local content_type, extension = response.image_type(case[1])
            assert.equal(case[2], content_type)
            assert.equal(case[3], extension)
        end)
    end
end)
