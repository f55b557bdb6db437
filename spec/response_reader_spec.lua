-- How the engine reads a response: one table of cases, (kind, status, body) -> fields.
-- The derived messages are tested in error_mapping_spec.lua.

local bound = require "support.bound"
local cjson = require "cjson"
local core = require "flux2.core"
local schema_data = require("flux2.provider").resolve().response
local seeded = require "support.seeded"
local service = require "support.service"
local url = require "flux2.url"

local schema = core.response_schema(schema_data)
local A, B = "https://img.example/1.png", "https://img.example/2.png"
local PNG = "\137PNG\r\n\26\n"
local PNG64 = "iVBORw0KGgo="

--- Converts buffers to `bytes`, so that tables can be compared.
local function read(kind, status, body, content_type, retry_after, address)
    local out = core.read_response(schema, kind, status, body, content_type, retry_after, address)
    for _, image in ipairs(out.images or {}) do
        if image.buffer then image.buffer, image.bytes = nil, image.buffer:string() end
    end
    return out
end

--- Each row: kind, body, expected; in `expected`, false means "absent". The status is 200.
local function check(kind, rows)
    for _, row in ipairs(rows) do
        local body, expected = row[1], row[2]
        it(("%s: %s"):format(kind, (body:sub(1, 110):gsub("[%c\128-\255]", "?"))), function()
            local out = read(kind, expected.http or 200, body, nil, expected.header)
            for name, value in pairs(expected) do
                if name ~= "http" and name ~= "header" then
                    if value == false then value = nil end
                    assert.same(value, out[name], name)
                end
            end
        end)
    end
end

local function succeeded(images, more)
    local out = { verdict = "succeeded", images = images or { { url = A } }, error = false, progress = false }
    for name, value in pairs(more or {}) do out[name] = value end
    return out
end

local NO_IMAGE = { verdict = "succeeded", images = false, error = "protocol", retryable = false }
local UNREADABLE = { verdict = "unreadable", error = "protocol", retryable = true, status = false }

local function running(status) return { verdict = "running", status = status, error = false, images = false } end

describe("a finished task", function()
    local rows = {}
    local function add(body, expected) rows[#rows + 1] = { body, expected } end

    for _, word in ipairs {
        "SUCCESS", "COMPLETED", "SUCCEEDED", "Ready", "done", "finished", "success", "Completed",
    } do
        for _, form in ipairs { '{"data":{"status":"%s","output":{"image_url":"%s"}}}',
            '{"status":"%s","data":{"output":{"image_url":"%s"}}}', '{"data":{"state":"%s","url":"%s"}}' } do
            add(form:format(word, A), succeeded(nil, { status = word }))
        end
    end

    -- $ is replaced by the image.
    local places = {
        '"data":{%s"output":{"image_url":$}}', '"data":{%s"output":$}', '"data":{%s"output":[$]}',
        '"data":{%s"output":{"images":[{"url":$}]}}', '"data":{%s"output":{"image_urls":[$]}}',
        '"data":{%s"result":{"images":[{"url":$}]}}', '"data":{%s"result":{"images":[{"url":[$]}]}}',
        '"data":{%s"images":[{"url":$}]}', '"data":{%s"images":[$]}', '"data":{%s"image_url":$}', '"data":{%s"url":$}',
        '"data":{%s"result_urls":[$]}', '"data":{%s"response":{"result_urls":[$]}}',
        '"data":{%s"response":{"resultUrls":[$]}}', '"data":{%s"result":[$]}',
        '"data":{%s"result":[{"type":"image","url":$}]}', '"data":{%s"result":{"sample":$}}', '%s"result":{"sample":$}',
        '%s"output":[$]', '%s"images":[{"url":$}]', '%s"data":[{"url":$}]', '%s"data":[{"url":[$]}]',
        '"data":{%s"resultJson":"{\\"resultUrls\\":[\\"' .. A .. '\\"]}"}',
        '"data":{%s"output":null,"images":[],"image_url":"","url":$}',
    }
    for _, place in ipairs(places) do
        local with = "{" .. place:gsub("%$", '"' .. A .. '"'):gsub("%%s", '"status":"SUCCESS",') .. "}"
        add(with, succeeded(nil, { status = "SUCCESS" }))
        add("{" .. place:gsub("%$", '"' .. A .. '"'):gsub("%%s", "") .. "}", succeeded(nil, { status = false }))
        -- The same image with a running status is a preview, or the input.
        add((with:gsub("SUCCESS", "PROCESSING")), running "PROCESSING")
    end

    -- All images, once, in order.
    add(('{"data":{"status":"SUCCESS","result":{"images":[{"url":["%s","%s"]},{"url":"%s"}]}}}'):format(A, B, A),
        succeeded { { url = A }, { url = B } })
    add(('{"status":"done","data":{"image_url":"%s","images":["%s","%s"]}}'):format(A, A, B),
        succeeded { { url = A }, { url = B } })
    -- Bytes, and the declared type.
    add('{"created":1,"data":[{"b64_json":"' .. PNG64 .. '"}]}', succeeded { { bytes = PNG } })
    add('{"data":{"status":"SUCCESS","output":{"b64_json":"' .. PNG64 .. '","mime_type":"image/png"}}}',
        succeeded { { bytes = PNG, content_type = "image/png" } })
    add('{"data":{"status":"SUCCESS","output":"data:image/png;base64,' .. PNG64 .. '"}}',
        succeeded { { bytes = PNG, content_type = "image/png" } })
    add('{"data":{"status":"SUCCESS","output":"DATA:;base64,' .. PNG64 .. '"}}', succeeded { { bytes = PNG } })
    add('{"status":"done","data":{"images":[{"url":"' .. A .. '","content_type":"image/webp"}]}}',
        succeeded { { url = A, content_type = "image/webp" } })
    add('{"data":{"status":"SUCCESS","output":["' .. A .. '","data:image/png;base64,' .. PNG64 .. '"]}}',
        succeeded { { url = A }, { bytes = PNG, content_type = "image/png" } })
    add(('{"data":{"status":"SUCCESS","output":[{"url":"%s","content_type":"image/PNG"},{"image_url":"%s",' ..
        '"mime_type":"text/html"}]}}'):format(A, B), succeeded { { url = A, content_type = "image/png" }, { url = B } })

    -- Valid image URLs.
    for _, good in ipairs {
        "http://127.0.0.1:8080/a/2.webp?x=1&y=%20", "https://me@img.example/1.png", "HTTPS://img.example/1.png",
        "https://img.example/\195\164.png", "https://[::1]/1.png", "https://img.example", "https://img.example:1?x#y",
        "https://-._/", "http://a.example:/", "http://a.example:080/1",
    } do add('{"data":{"status":"SUCCESS","output":"' .. good .. '"}}', succeeded { { url = good } }) end
    for _, bad in ipairs {
        '"ftp://a/b.png"', '"/1.png"', '"https://"', '"https://a b/"', '"data:text/html;base64,AA=="',
        '"data:image/png,AA"', '"x"', "1", "true", "{}", "[]", '[[[[[[[[[["' .. A .. '"]]]]]]]]]]', '"javascript:x"',
        '{"b64_json":"<html>"}', '{"b64_json":""}', '{"b64_json":{}}', '{"b64_json":"iVBORw0KGgo=!"}', "null",
'"https://img.example:99999/1.png"', '"https://a.example/\\u0000"',
        '"http://a.example:0/"', '"https://[::1"', '"https://a:b/"', '"https://a\\\\b/"', '"data:;base64,"',
    } do add('{"data":{"status":"SUCCESS","output":' .. bad .. "}}", NO_IMAGE) end

    local many = {}
    for i = 1, 80 do many[i] = { url = ("https://img.example/%d.png"):format(i) } end
    local list = {}
    for i, image in ipairs(many) do list[i] = '"' .. image.url .. '"' end
    for i = 80, 65, -1 do many[i] = nil end
    add('{"status":"done","output":[' .. table.concat(list, ",") .. "]}", succeeded(many)) -- at most 64

    -- Credits.
    local function credits(value)
        return '{"data":{"status":"SUCCESS","output":"' .. A .. '","credits_used":' .. value .. "}}"
    end
    add(credits "10", succeeded(nil, { credits = 10 }))
    add(credits "1.5", succeeded(nil, { credits = 1.5 }))
    add(credits '"6"', succeeded(nil, { credits = 6 }))
    for _, value in ipairs { "-1", "1e999", "null", '"x"', "[]", "NaN" } do
        add(credits(value), succeeded(nil, { credits = false }))
    end
    add('{"credits":"15","status":"done","output":"' .. A .. '"}', succeeded(nil, { credits = 15 }))

    -- A code or an error beside an image does not turn a success into a failure.
    add('{"code":500,"error":"x","data":{"status":"SUCCESS","url":"' .. A .. '"}}', succeeded())
    add('{"code":402,"data":{"status":"SUCCESS","image_url":"' .. B .. '"}}', succeeded { { url = B } })
    -- The input is not a result; JSON in a string has precedence; object paths do not match arrays.
    add(('{"status":"succeeded","output":"%s","input":{"image_url":"%s"}}'):format(A, B), succeeded())
    add(('{"data":{"state":"success","resultJson":"{}","output":"%s"}}'):format(A), succeeded())
    add(('{"data":{"state":"success","resultJson":"{\\"url\\":\\"%s\\"}","output":"%s"}}'):format(B, A),
        succeeded { { url = B } })
    add(('{"data":{"state":"success","response":{"resultUrls":["%s"]},"resultJson":null}}'):format(A), succeeded())
    add(('{"data":{"status":"completed","output":["%s","%s","%s"]}}'):format(A, A, B),
        succeeded { { url = A }, { url = B } })
    add(('{"data":[{"status":"SUCCESS","url":"%s"}]}'):format(A), succeeded())
    add(('{"status":"done","data":{"0":{"output":"%s"}}}'):format(A), NO_IMAGE)
    add('{"data":{"status":"SUCCESS"}}', NO_IMAGE)
    add('{"data":{"status":"completed"}}', NO_IMAGE)
    add('{"data":{"state":"success","resultJson":"{}"}}', NO_IMAGE)
    add('{"status":"Ready"}', NO_IMAGE)
    add('{"a":1,"a":2,"data":{"status":"DONE"}}', NO_IMAGE)
    add(("{" .. '"data":{"status":"SUCCESS","output":%s}}'):format(("["):rep(9) .. '"' .. A .. '"' .. ("]"):rep(9)),
        NO_IMAGE)
    add(("{" .. '"data":{"status":"FAILED","output":"%s"}}'):format(A), { verdict = "failed", images = false })
    check("task", rows)
end)

describe("a running task", function()
    local rows = {}
    for _, word in ipairs {
        "IN_PROGRESS", "PENDING", "QUEUED", "PROCESSING", "SUBMITTED", "NOT_START", "warming up", " SUCCESS",
        "SOMETHING_NEW",
    } do
        rows[#rows + 1] = { '{"code":200,"data":{"status":"' .. word .. '"}}', running(word) }
    end
    for _, row in ipairs {
        { '{"status":"success","data":{"state":"processing"}}', running "processing" },
        { '{"status":"success","data":{"status":"processing"}}', running "processing" },
        { '{"status":200,"data":{"status":"QUEUED"}}', running "QUEUED" },
        { '{"data":{"status":"PENDING","output":null,"x":[1,2]}}', running "PENDING" },
        { '{"code":0,"data":{"status":"IN_PROGRESS"}}', running "IN_PROGRESS" },
        { '{"data":{"status":"a\\u0000b"}}', running "a" },
        { '{"data":{"status":"SUC\\nCESS"}}', running "SUC?CESS" },
        { '{"data":{"status":"' .. ("\195\164"):rep(100) .. '"}}', running(("\195\164"):rep(31)) },
    } do rows[#rows + 1] = row end
    for _, empty in ipairs { "null", '""', "{}", "[]", "false", "0" } do
        rows[#rows + 1] = { '{"error":' .. empty .. ',"data":{"status":"IN_PROGRESS"}}', running "IN_PROGRESS" }
    end
    for _, code in ipairs { "0", "200", '"200"', "202", '"success"', "null", "{}" } do
        rows[#rows + 1] = { '{"code":' .. code .. ',"data":{"status":"IN_PROGRESS"}}', running "IN_PROGRESS" }
    end
    for _, case in ipairs {
        { "50", 0.5 }, { "100", 1 }, { "0", 0 }, { "0.25", 0.25 }, { '"50%"', 0.5 }, { '"50 %"', 0.5 },
        { '"0.5%"', 0.005 },
        { '"0.5"', 0.5 }, { '"0.25"', 0.25 }, { '" 7 % "', 0.07 }, { "1", 0.01 }, { '"1%"', 0.01 }, { "-1" }, { "101" },
        { "1e999" }, { '"1e999"' }, { "NaN" }, { '"x"' }, { '"half"' }, { '""' }, { '"."' }, { "{}" }, { "[1]" },
        { "true" },
        { "null" }, { '"' .. ("9"):rep(400) .. '"' }, { '"-1"' },
    } do
        local expected = { verdict = "running", progress = case[2] or false }
        rows[#rows + 1] = { '{"data":{"status":"RUNNING","progress":' .. case[1] .. "}}", expected }
        rows[#rows + 1] = { '{"status":"RUNNING","progress":' .. case[1] .. "}", expected }
    end
    check("task", rows)
end)

describe("a failed task", function()
    local rows = {}
    for _, word in ipairs {
        "FAILED", "FAILURE", "ERROR", "CANCELLED", "TIMEOUT", "failed", "Canceled", "fail", "TIMED_OUT",
    } do
        rows[#rows + 1] = { '{"data":{"task_id":"t1","status":"' .. word .. '"}}',
            { verdict = "failed", error = "task_failed", status = word, id = "t1", reason = false, retryable = false } }
    end
    for _, form in ipairs {
        '"data":{%s,"error":"out of memory"}', '"data":{%s,"error":{"message":"out of memory"}}',
        '"data":{%s,"fail_reason":"out of memory"}', '"data":{%s,"failMsg":"out of memory"}',
        '"data":{%s},"error":{"message":"out of memory"}', '"data":{%s},"error":"out of memory"',
        '"data":{%s,"error":null},"message":"out of memory"', '"code":500,"data":{%s},"message":"out of memory"',
        '"message":"success","data":{%s,"error":"","fail_reason":"out of memory"}',
    } do
        rows[#rows + 1] = { "{" .. form:format '"status":"FAILED"' .. "}",
            { verdict = "failed", error = "task_failed", reason = "out of memory" } }
    end
    for _, row in ipairs {
        -- The envelope's message is not the reason of the failure.
        { '{"code":200,"message":"success","data":{"status":"FAILED"}}', { verdict = "failed", reason = false } },
        { '{"data":{"status":"Request Moderated"}}', { verdict = "moderated", error = "moderated" } },
        { '{"data":{"status":"CONTENT_MODERATED"}}', { verdict = "moderated", error = "moderated" } },
        { '{"data":{"status":"content-moderated"}}', { verdict = "moderated", error = "moderated" } },
        { '{"data":{"status":"FAILED","error":"NSFW content detected"}}',
            { verdict = "moderated", error = "moderated" } },
        { '{"data":{"status":"FAILED","error":{"code":"moderation_blocked","message":"no"}}}',
            { verdict = "moderated", error = "moderated", code = "moderation_blocked", reason = "no" } },
        { '{"data":{"status":"FAILED","fail_reason":"violates our content policy"}}',
            { verdict = "rejected", error = "rejected" } },
        { '{"data":{"status":"REJECTED","fail_reason":"no"}}',
            { verdict = "rejected", error = "rejected", reason = "no" } },
        { '{"data":{"status":"FAILED","error":"insufficient credits"}}',
            { verdict = "failed", error = "task_failed" } },
        { '{"data":{"status":"FAILED","error":{"code":1234,"type":"gpu","message":"x"}}}',
            { verdict = "failed", code = 1234, type = "gpu", reason = "x", retryable = false } },
        { '{"data":{"status":"FAILED","error":{"code":"E7"}}}', { verdict = "failed", code = "E7" } },
        { '{"data":{"status":"FAILED","error":" \\n\\t "}}', { verdict = "failed", reason = false } },
    } do rows[#rows + 1] = row end
    check("task", rows)
end)

-- The shapes of services that resemble the default one. They work by their base URL alone.
describe("a neighbour's response", function()
    local function moderated(reason) return { verdict = "moderated", error = "moderated", reason = reason } end
    local function flag(value, more)
        return ('{"code":200,"msg":"success","data":{"taskId":"t","successFlag":%s%s}}'):format(value, more or "")
    end
    check("task", {
        { '{"code":200,"data":{"status":"completed","outputs":["' .. A .. '","' .. B .. '"]}}',
            succeeded { { url = A }, { url = B } } },
        { '{"data":{"status":"created","outputs":[]}}', running "created" },
        { '{"data":{"task_id":"t","status":"COMPLETED","generated":["' .. A .. '"]}}', succeeded() },
        { '{"data":{"status":"CREATED","generated":[]}}', running "CREATED" },
        { '{"request_id":"r","output":{"task_id":"t","task_status":"SUCCEEDED","results":[{"url":"' .. A ..
            '"},{"code":"E","message":"x"}]}}', succeeded(nil, { status = "SUCCEEDED" }) },
        { '{"output":{"task_status":"RUNNING"}}', running "RUNNING" },
        { '{"output":{"task_id":"t","task_status":"FAILED","code":"InternalError","message":"out of memory"}}',
            { verdict = "failed", error = "task_failed", code = "InternalError", reason = "out of memory", id = "t" } },
        { '{"status":"completed","output":[{"type":"reasoning"},{"content":[{"type":"text","text":"a fox"},' ..
            '{"type":"image","url":"' .. A .. '"}]}]}', succeeded() },
        { '{"status":"completed","output":[{"content":[{"url":"' .. A .. '"}]},{"content":[{"url":"' .. B .. '"}]}]}',
            succeeded { { url = A }, { url = B } } },
        { '{"status":"completed","content":"a fox in the snow"}', NO_IMAGE },
        { '{"status":"success","response":{"data":[{"image_url":"' .. A .. '"},{"image_url":"' .. B .. '"}]}}',
            succeeded { { url = A }, { url = B } } },
        -- The status is a number. It precedes the envelope's status, and follows the task's.
        { flag "0", running "running" }, { flag '"0"', running "running" },
        { '{"status":"success","data":{"successFlag":0}}', running "running" },
        { flag("0", ',"status":"GENERATING"'), running "GENERATING" },
        { flag("1", ',"errorMessage":"","response":{"resultUrls":["' .. A .. '"]}'),
            succeeded(nil, { status = "success" }) },
        { flag "1", NO_IMAGE },
        { flag("2", ',"errorCode":"E1","errorMessage":"no worker"'),
            { verdict = "failed", error = "task_failed", reason = "no worker", code = "E1", id = "t" } },
        { flag("3", ',"errorMessage":"no image"'), { verdict = "failed", status = "failed", reason = "no image" } },
        { '{"successFlag":2,"errorMessage":"no worker"}', { verdict = "failed", reason = "no worker" } },
        { flag "4", UNREADABLE }, { flag "-1", UNREADABLE }, { flag "0.5", UNREADABLE }, { flag "true", UNREADABLE },
        { '{"task":{"task_id":"t","status":"TASK_STATUS_FAILED","reason":"out of memory"},"images":[]}',
            { verdict = "failed", error = "task_failed", reason = "out of memory", id = "t" } },
        { '{"task":{"status":"TASK_STATUS_SUCCEED","progress_percent":100},"images":[{"image_url":"' .. A .. '"}]}',
            succeeded() },
        { '{"task":{"status":"TASK_STATUS_QUEUED","progress_percent":0}}',
            { verdict = "running", status = "TASK_STATUS_QUEUED", progress = 0 } },
        { '{"task":{"status":"TASK_STATUS_PROCESSING","progress_percent":40},"images":[{"image_url":"' .. A .. '"}]}',
            { verdict = "running", progress = 0.4, images = false } },
        -- An unknown task, as with the HTTP status 404.
        { '{"id":"t","status":"Task not found","result":null,"progress":null,"details":null}',
            { verdict = "refused", error = "not_found", retryable = false, images = false,
                reason = "Task not found" } },
        { '{"data":{"status":"TASK_NOT_FOUND"}}', { verdict = "refused", error = "not_found" } },
        -- Moderation.
        { '{"id":"t","status":"Request Moderated","result":null,"details":{"Moderation Reasons":["Derivative Works"]}}',
            moderated "Derivative Works" },
        { '{"status":"Content Moderated","result":{"sample":"' .. A .. '"}}',
            { verdict = "moderated", images = false } },
        { '{"status":"Error","details":{"Moderation Reasons":["Derivative Works"]}}', moderated "Derivative Works" },
        { '{"status":"Error","details":{"Moderation Reasons":[]}}', { verdict = "failed", error = "task_failed" } },
        { '{"data":{"status":"failed","error":"Your prompt was flagged as violating content policies"}}',
            moderated "Your prompt was flagged as violating content policies" },
        { flag("3", ',"errorMessage":"The input was flagged as sensitive"'),
            moderated "The input was flagged as sensitive" },
        { '{"status":"failed","error":{"code":"OutputImageSensitiveContentDetected","message":"no"}}', moderated "no" },
        { '{"error":"rate_limit_exceeded","message":"Too many","retry_after":5}',
            { http = 429, error = "rate_limited", retryable = true, retry_after = 5 } },
        { '{"detail":"busy","details":{"retry_after":2}}', { http = 429, error = "rate_limited", retry_after = 2 } },
    })
    check("submission", {
        { '{"code":200,"data":{"id":"t","status":"created","outputs":[]}}',
            { id = "t", verdict = "running", acceptance = "accepted" } },
        { '{"task":{"task_id":"t","status":"TASK_STATUS_QUEUED"}}', { id = "t", acceptance = "accepted" } },
        { '{"output":{"task_id":"t","task_status":"PENDING"},"request_id":"r"}',
            { id = "t", acceptance = "accepted" } },
        { '{"error":{"code":"InputTextSensitiveContentDetected","message":"no"}}',
            { http = 400, error = "moderated", acceptance = "refused" } },
        { '{"message":"The prompt was flagged as sensitive"}',
            { http = 422, error = "moderated", acceptance = "refused" } },
        { '{"error":"invalid","details":{"Moderation Reasons":["Derivative Works"]}}',
            { http = 400, error = "moderated", acceptance = "refused", reason = "Derivative Works" } },
        { '{"error":"rate_limit_exceeded","message":"Too many","retry_after":5}',
            { http = 429, error = "rate_limited", acceptance = "refused", retryable = true, retry_after = 5 } },
    })
end)

describe("a success without a task is a refusal, or unreadable", function()
    local function refused(kind, more)
        local out = { verdict = "refused", error = kind, images = false }
        for name, value in pairs(more or {}) do out[name] = value end
        return out
    end
    check("task", {
        { '{"code":402,"message":"no credits"}', refused("credits", { reason = "no credits", code = 402 }) },
        { '{"code":"402","message":"no credits"}', refused "credits" },
        { '{"code":"402","message":"no"}', refused "credits" },
        { '{"code":402,"data":{"status":"IN_PROGRESS"}}', refused("credits", { status = "IN_PROGRESS" }) },
        { '{"code":404,"message":"x"}', refused("not_found", { retryable = false }) },
        { '{"code":500,"message":"x"}', refused("server", { retryable = true }) },
        { '{"error":{"code":500,"message":"x"}}', refused("server", { retryable = true }) },
        { '{"error":{"code":401,"message":"x"}}', refused "auth" },
        { '{"error":"x"}', refused("task_failed", { reason = "x" }) },
        { '{"error":{"type":"rate_limit_exceeded"}}', refused("rate_limited", { retryable = true }) },
        { '{"code":1001,"msg":"nsfw"}', refused "moderated" },
        { '{"code":429,"data":{"status":"SUCCESS"}}', refused("rate_limited", { retryable = true }) },
        { '{"code":429,"data":{"status":"IN_PROGRESS"}}', refused("rate_limited", { retryable = true }) },
        { '{"code":1,"msg":"x","data":{"status":"IN_PROGRESS"}}', refused "protocol" },
        { '{"error":{"code":401},"data":{"url":"' .. A .. '"}}', refused "auth" },
        -- The pause may be in the body; a header has precedence.
        { '{"code":429,"retry_after":7}', refused("rate_limited", { retry_after = 7 }) },
        { '{"error":{"code":429,"retry_after":"1.5"}}', refused("rate_limited", { retry_after = 1.5 }) },
        { '{"code":429,"retry_after":-1}', refused("rate_limited", { retry_after = false }) },
        { '{"code":429,"retry_after":7}', refused("rate_limited", { header = 3, retry_after = 3 }) },
        { '{"code":429,"retry_after":7}', refused("rate_limited", { header = 0, retry_after = 0 }) },
        { '{"code":404,"request_id":"r1"}', refused("not_found", { request_id = "r1" }) },
        -- None of the known fields.
        { "{}", UNREADABLE }, { '{"data":{}}', UNREADABLE }, { '{"data":null}', UNREADABLE },
        { '{"data":[]}', UNREADABLE },
        { '{"data":"x"}', UNREADABLE }, { '{"data":{"status":1}}', UNREADABLE }, { '{"status":200}', UNREADABLE },
        { '{"data":{"status":7}}', UNREADABLE }, { '{"data":{"status":""}}', UNREADABLE },
        { '{"code":200,"data":{"status":""}}', UNREADABLE }, { '{"data":{"status":["SUCCESS"]}}', UNREADABLE },
        { "[]", UNREADABLE }, { "null", UNREADABLE }, { '"SUCCESS"', UNREADABLE }, { "42", UNREADABLE },
        { "", UNREADABLE }, { "<html>", UNREADABLE }, { "SUCCESS", UNREADABLE }, { '{"data":{"status":', UNREADABLE },
        { '{"data":{"status":"SUCC', UNREADABLE },
        { '{"data":[{"b64_json":"AAAA"}]}', succeeded { { bytes = "\0\0\0" } } },
    })
end)

describe("tolerant JSON parsing accepts:", function()
    local running_x = running "x"
    -- The first and the last character that can be printed of each length, around the surrogates, too.
    local FIRST_AND_LAST = "\194\160\223\191\224\160\128\237\159\191\238\128\128\239\191\189" ..
        "\240\144\128\128\244\143\191\191"
    check("task", {
        { '\239\187\191{"data":{"status":"x"}}', running_x }, -- a byte order mark
        { '{"data":{"status":"x"}} trailing', running_x }, -- trailing data
        { '{"data":{"status":"IN_PROGRESS"}} trailing', running "IN_PROGRESS" },
        { '{"data":{"status":"x"}}{"data":{"status":"SUCCESS"}}', running_x },
        { '{"data":{"status":"x"}}\0\0', running_x },
        { ' \r\n\t{ "data" : { "status" : "x" } }', running_x },
        { '{"a":NaN,"b":[Infinity,-Infinity],"data":{"status":"x","progress":NaN}}',
            { verdict = "running", status = "x", progress = false } },
        { '{"error":NaN,"data":{"status":"x"}}', running_x },
        { '{"a":18446744073709551615,"b":-9223372036854775809,"c":1e999,"data":{"status":"x"}}', running_x },
        { '{"a":' .. ("9"):rep(5000) .. ',"data":{"status":"x"}}', running_x },
        { '{"data":{"status":"\\ud800x"}}', running "\239\191\189x" }, -- half of a surrogate pair
        { '{"data":{"status":"\\udc00\\ud800"}}', running "\239\191\189\239\191\189" },
        { '{"data":{"status":"\\ud83d\\ude00"}}', running "\240\159\152\128" },
        { '{"data":{"status":"x\\u00e4\\u20ac"}}', running "x\195\164\226\130\172" },
        { '{"data":{"status":"a\255\254b"}}', running "a\239\191\189b" }, -- invalid UTF-8
        { '{"data":{"status":"a\237\160\128b\192\175"}}', running "a\239\191\189b\239\191\189" },
        { '{"data":{"status":"' .. FIRST_AND_LAST .. '"}}', running(FIRST_AND_LAST) },
        { '{"data":{"status":"a\224\159\191b\240\143\191\191c\244\144\128\128d\193\191"}}', -- just beyond them
            running "a\239\191\189b\239\191\189c\239\191\189d\239\191\189" },
        { '{"\255":1,"data":{"status":"x"}}', running_x },
        { '{"data":{"status":"tab\there"}}', running "tab?here" }, -- control characters
        { '{"data":{"status":"a\\/b\\"\\\\"}}', running 'a/b"\\' },
        { '{"data":{"status":"done","status":"x"}}', running_x }, -- the last of two equal names
        { '{"data":{"status":"done","output":"https:\\/\\/img.example\\/1.png"}}', succeeded() },
    })
    check("submission", {
        { '\239\187\191{"data":{"task_id":"t"}} trailing', { id = "t", acceptance = "accepted" } },
        { '{"data":{"task_id":18446744073709551615,"eta":NaN}}', { id = "18446744073709551615" } },
        { '{"data":{"task_id":123456789012345678901234567890}}', { id = "123456789012345678901234567890" } },
        { '{"data":{"task_id":9007199254740993}}', { id = "9007199254740993" } },
        { '{"data":{"task_id":"\\ud83d\\ude00"}}', { id = "\240\159\152\128" } },
        { '{"msg":"\255","data":{"task_id":"t"}}', { id = "t" } },
    })
    check("task", {
        -- Invalid JSON is rejected.
        { '{"data":{"status":"x}', UNREADABLE }, { '{"data":{"status":"\\x"}}', UNREADABLE },
        { '{"data":{"status":"\\u12"}}', UNREADABLE }, { "{'data':{'status':'x'}}", UNREADABLE },
        { '{"data":{"status":"x",}}', UNREADABLE }, { '{"data":{"status":"x"', UNREADABLE },
        { '{"a":nul,"data":{"status":"x"}}', UNREADABLE }, { '{"a":-,"data":{"status":"x"}}', UNREADABLE },
        { "12", UNREADABLE }, { '{"a":12', UNREADABLE }, { '{"a" "b"}', UNREADABLE },
        { '{"data":{"status":"\\', UNREADABLE },
        { "\239\187\191", UNREADABLE }, { "\254\255", UNREADABLE },
    })
end)

describe("the response to a submission", function()
    local rows = {}
    for body, id in pairs {
        ['{"task_id":"t"}'] = "t", ['{"data":{"taskId":"t"}}'] = "t", ['{"data":{"id":"t"}}'] = "t",
        ['{"id":"t"}'] = "t",
        ['{"data":[{"status":"submitted","task_id":"t"}]}'] = "t", ['{"data":{"task_id":17}}'] = "17",
        ['{"data":{"task_id":123456789012}}'] = "123456789012",
        ['{"data":{"task_id": 1712345678901234567 }}'] = "1712345678901234567",
        ['{"data":{"task_id":"","id":"t"}}'] = "t", ['{"data":{"task_id":{},"id":"t"}}'] = "t",
        ['{"data":{"task_id":"../x y"}}'] = "../x y", ['{"task_id":"a/../b?c"}'] = "a/../b?c",
        ['{"code":200,"data":{"task_id":"n41_flux2","status":"IN_PROGRESS"}}'] = "n41_flux2",
        ['{"data":{"task_id":"x","status":"SUCCESS"}}'] = "x", -- often means "accepted"
        ['{"data":{"task_id":"x","status":"FAILED"}}'] = "x",
        ['{"data":{"task_id":"t","status":"PENDING","url":"' .. A .. '"}}'] = "t",
    } do rows[#rows + 1] = { body, { http = 202, id = id, verdict = "running", acceptance = "accepted",
        error = false } } end
    for _, row in ipairs {
        { '{"code":200,"message":"success","data":{"task_id":"n41xxxx_flux2","status":"IN_PROGRESS"}}',
            { id = "n41xxxx_flux2", status = "IN_PROGRESS", verdict = "running", images = false } },
        -- The response embeds the image.
        { '{"created":1,"data":[{"url":"' .. A .. '"},{"b64_json":"' .. PNG64 .. '"}]}',
            succeeded({ { url = A }, { bytes = PNG } }, { id = false, acceptance = "accepted" }) },
        { '{"data":[{"url":"' .. A .. '"}]}', succeeded(nil, { id = false, acceptance = "accepted" }) },
        { '{"data":{"task_id":"t","status":"SUCCESS","url":"' .. A .. '"}}',
            succeeded(nil, { id = "t", acceptance = "accepted" }) },
        { '{"data":{"task_id":"x","output":{"image_url":"' .. A .. '"}}}', succeeded(nil, { id = "x" }) },
    } do rows[#rows + 1] = row end

    -- The service may nevertheless have accepted the submission.
    for _, case in ipairs {
        { 500, "" }, { 500, '{"error":{"code":402,"message":"x"}}' }, { 502, "<html>" }, { 503, "" }, { 504, "" },
        { 408, "" }, { 520, "" }, { 500, "", 3 }, { 499, "" }, { 100, "" }, { 0, "" }, { 200, "" }, { 200, "<html>" },
        { 200, '{"code":200,"data":{"task_' }, { 204, "" }, { 200, "[]" }, { 200, "{}" }, { 200, "null" },
        { 200, '{"code":200,"message":"success","data":{}}' }, { 200, '{"data":{"status":"IN_PROGRESS"}}' },
        { 200, '{"data":{"status":"SUCCESS"}}' }, { 200, '{"code":500,"message":"x"}' }, { 200, '{"code":"504"}' },
        { 200, '{"error":{"code":503}}', 3 }, { 200, '{"code":408}' }, { 200, '{"code":1,"data":{"task_id":"t"}}' },
        { 200, '{"data":{"task_id":""}}' }, { 200, '{"data":{"task_id":[]}}' }, { 200, '{"data":{"task_id":-1}}' },
        { 200, '{"data":{"task_id":null}}' }, { 200, '{"data":{"task_id":1e300}}' },
        { 200, '{"data":{"task_id":1.5}}' },
        { 200, '{"data":{"task_id":0}}' }, { 200, '{"code":"-1"}' }, { 200, '{"data":{"task_id":"a\\u0000b"}}' },
        { 200, '{"data":{"task_id":"' .. ("x"):rep(513) .. '"}}' }, { 503, '{"retry_after":3}' }, { 302, "" },
        { 303, "" },
        { 200, '{"error":"no"}' }, { 200, '{"data":{"status":"FAILED","error":"no"}}' }, { 200, '{"status":"error"}' },
        { 200, '{"code":402,"data":{"task_id":"x"}}' }, { 200, '{"error":{"message":"no"},"data":{"task_id":"x"}}' },
        { 200, '{"code":500,"data":{"url":"' .. A .. '"}}' },
        -- Lines of JSON: a first attempt of the service was refused, the second one accepted.
        { 200, '{"code":429}\n{"code":200,"data":{"task_id":"x"}}' }, { 429, '{"code":429} {"task_id":"x"}' },
        { 200, '[{"code":429},{"code":200,"data":{"task_id":"x"}}]' },
        -- The name is repeated.
        { 200, '{"code":402,"data":{"task_id":"x"},"data":null}' },
    } do
        rows[#rows + 1] = { case[2],
            { http = case[1], header = case[3], error = "unknown_outcome", acceptance = "unknown", retryable = false } }
    end
    -- The task id is known.
    rows[#rows + 1] = { '{"code":500,"data":{"task_id":"t"}}',
        { error = "unknown_outcome", acceptance = "unknown", id = "t" } }

    -- The submission was certainly not accepted.
    for _, case in ipairs {
        { 400, '{"error":{"message":"x"}}', "invalid_request" }, { 401, "", "auth" }, { 403, "", "auth" },
        { 402, "", "credits" }, { 404, "", "not_found" }, { 413, "", "invalid_request" },
        { 415, "", "invalid_request" },
        { 422, "", "rejected" }, { 422, '{"error":"content moderated"}', "moderated" },
        { 400, '{"error":"against our content policy"}', "rejected" }, { 307, "", "protocol" },
        { 200, '{"code":402,"message":"x"}', "credits" }, { 200, '{"code":"401"}', "auth" },
        { 200, '{"error":{"code":400,"type":"invalid_request","message":"x"}}', "invalid_request" },
        { 200, '{"error":{"type":"insufficient_quota"}}', "credits" },
        { 200, '{"data":{"status":"request moderated"}}', "moderated" },
        { 429, '{"error":{"message":"quota","code":"insufficient_quota"}}', "credits" },
    } do
        rows[#rows + 1] = { case[2], { http = case[1], error = case[3], acceptance = "refused", retryable = false } }
    end
    -- An error without information, a warning beside a running task, and an image with any status.
    for _, row in ipairs {
        { '{"error":{"code":null,"message":null,"details":[]},"data":{"task_id":"t"}}', "running" },
        { '{"error":{"code":0,"message":"success"},"data":{"task_id":"t"}}', "running" },
        { '{"error":"use v2","code":410,"data":{"task_id":"t","status":"PENDING"}}', "running" },
        { '{"status":"ok","image_url":"' .. A .. '","error":{"code":null}}', "succeeded" },
        { '{"id":"t","status":"whatever","data":{"image_url":"' .. A .. '"}}', "succeeded" },
    } do rows[#rows + 1] = { row[1], { verdict = row[2], acceptance = "accepted", error = false } } end
    -- The submission may be sent again if the service says so.
    for _, case in ipairs { { 429, "", "rate_limited" }, { 429, "", "rate_limited", 3 }, { 503, "", "server", 3 },
        { 200, '{"code":429}', "rate_limited" }, { 400, '{"error":{"code":429}}', "rate_limited" },
        { 200, '{"error":{"type":"too_many_requests"}}', "rate_limited" } } do
        rows[#rows + 1] = { case[2],
            { http = case[1], header = case[4], error = case[3], acceptance = "refused", retryable = true } }
    end
    check("submission", rows)
end)

-- The whole table of classify.c: refused only with proof, and retried only with proof.
describe("the outcome of a submission", function()
    local STATUSES = {
        { "good", 200, 201, 202, 204, 299 }, { "moved", 301, 307, 308 }, { "redirect", 300, 302, 303, 304, 399 },
        { "refused", 400, 401, 402, 403, 404, 409, 410, 418, 422, 425, 429, 451, 498 }, { "busy", 503 },
        { "open", 0, 100, 199, 408, 499, 500, 501, 502, 503, 504, 520, 599, 600, 999 },
    }
    local CLAIMS = {
        { "none", "", "<html>", "{}", "[]", '{"error":"no"}', '{"error":{"message":"no"}}', '{"code":1001}',
            '{"code":-1}',
            '{"error":{"type":"server_error"}}', '{"code":1001,"msg":"nsfw"}', '{"code":500}', '{"error":{"code":503}}',
            '{"code":"504"}', '{"data":{"status":"x"}}', '{"data":{"status":"SUCCESS"}}', '{"error":null}' },
        { "task", '{"data":{"task_id":"t"}}', '{"id":"t","status":"FAILED"}',
            '{"error":{"code":null,"message":""},"data":{"task_id":"t"}}' },
        { "doubt", '{"code":408}', '{"error":{"code":499}}', '{"error":"no","data":{"task_id":"t"}}',
            '{"code":500,"data":{"task_id":"t"}}', '{"code":402,"id":"t"}',
            '{"code":429,"data":{"task_id":"t","status":"x"}}', '{"error":{"code":400},"id":"t","status":"error"}' },
        { "refusal", '{"code":402}', '{"error":{"code":"400"}}', '{"code":429}', '{"error":{"type":"invalid_request"}}',
            '{"error":{"message":"insufficient credits"}}', '{"error":"prompt was moderated"}' },
        -- In responses other than a success, a link may lead to an explanation.
        { "image", '{"data":{"url":"' .. A .. '"}}', '{"image_url":"' .. A .. '","status":"ok"}' },
    }
    local a, r, u = "accepted", "refused", "unknown"
    local TABLE = {
        good = { u, a, u, r, a }, moved = { r, u, u, r, r }, redirect = { u, u, u, u, u }, refused = { r, u, u, r, r },
        busy = { r, u, u, r, r }, open = { u, u, u, u, u },
    }
    for _, statuses in ipairs(STATUSES) do
        for i, claims in ipairs(CLAIMS) do
            local expected = TABLE[statuses[1]][i]
            it(("%s, %s: %s"):format(statuses[1], claims[1], expected), function()
                for s = 2, #statuses do
                    for c = 2, #claims do
                        local header = statuses[1] == "busy" and 1 or nil
                        local out = read("submission", statuses[s], claims[c], nil, header)
                        local case = statuses[s] .. " " .. claims[c]
                        assert.equal(expected, out.acceptance, case)
                        assert.equal(expected == u, out.error == "unknown_outcome", case)
                        assert.equal(expected == a, out.error == nil, case)
                        if out.retryable then assert.equal(r, expected, case) end
                        -- A response with a task id identifies the task.
                        if claims[c]:find '"t"' then assert.equal("t", out.id, case) end
                    end
                end
            end)
        end
    end
end)

describe("resolving a URL", function()
    local TASK = "https://api.example:8443/api/v1/tasks/t?x=/y"
    for link, address in pairs {
        [" https://img.example/1.png\\n"] = "https://img.example/1.png",
        ["https://a.example/a b.png"] = "https://a.example/a%20b.png",
        ["//img.example/1.png"] = "https://img.example/1.png", ["/img/1.png"] = "https://api.example:8443/img/1.png",
        ["/result/17"] = "https://api.example:8443/result/17",
        ["1.png"] = "https://api.example:8443/api/v1/tasks/1.png",
        ["a b/1.JPG?x=1"] = "https://api.example:8443/api/v1/tasks/a%20b/1.JPG?x=1",
        ["./1"] = "https://api.example:8443/api/v1/tasks/1",
        ["../images/1"] = "https://api.example:8443/api/v1/images/1",
        ["../../../../../1"] = "https://api.example:8443/1", ["?x"] = false, ["a fox"] = false,
        ["/9j/4AAQSkZJRg"] = false,
        ["//"] = false, ["// a/1.png"] = false, ["https://a b/1.png"] = false, ["ftp://a/1.png"] = false, ["x"] = false,
        ["../"] = false, ["/\\\\x"] = false, ["/a\\u0000"] = false, ["http://h:99999/1.png"] = false,
        ["a:1.png"] = false,
        ["javascript:alert(1)//a.png"] = false, [("/"):rep(3000)] = false, ["/\\tx"] = false,
    } do
        it(("%q gives %s"):format(link:sub(1, 60), tostring(address)), function()
            local out = read("task", 200, '{"data":{"status":"SUCCESS","output":"' .. link .. '"}}', nil, nil, TASK)
            assert.same(address and { { url = address } } or nil, out.images)
            assert.equal(not address, out.bad_link ~= nil)
            if address then return end
            assert.equal("protocol", out.error)
            assert.is_true(#out.bad_link <= 400)
        end)
    end
    it("fails for a relative URL without a base", function()
        local out = read("task", 200, '{"data":{"status":"SUCCESS","output":"/1.png"}}')
        assert.same({ nil, "/1.png" }, { out.images, out.bad_link })
        assert.same({ { url = A } }, read("task", 200, '{"data":{"status":"SUCCESS","output":[" ","' .. A ..
            '"]}}').images)
    end)
end)

describe("a status other than success", function()
    -- status, body, header, error, retryable, reason | form
    local rows = {
        { 400, '{"error":{"code":400,"message":"Invalid parameters","type":"invalid_request"}}', nil,
            "invalid_request", false,
            "Invalid parameters" },
        { 401, '{"error":{"code":401,"message":"bad key"}}', nil, "auth", false, "bad key" },
        { 403, "", nil, "auth", false, nil, "empty" },
        { 402, '{"error":"no credits left"}', nil, "credits", false, "no credits left" },
        { 404, '{"code":404,"message":"task not found"}', nil, "not_found", false, "task not found" },
        { 410, "", nil, "not_found", false }, { 413, "", nil, "invalid_request", false },
        { 415, '{"msg":"json please"}', nil, "invalid_request", false, "json please" },
        { 422, '{"detail":[{"loc":["body","prompt",0],"msg":"field required","type":"x"},{"msg":"y"}]}', nil,
            "rejected",
            false, "body.prompt.0: field required; y" },
        { 422, '{"detail":["a","b",3,"c"]}', nil, "rejected", false, "a; b" },
        { 422, '{"detail":"too long"}', nil, "rejected", false, "too long" },
        { 422, '{"error":{"message":"Request moderated"}}', nil, "moderated", false, "Request moderated" },
        { 400, '{"error":{"message":"x","type":"content_policy_violation"}}', nil, "rejected", false, "x" },
        { 400, '{"error":{"message":"x","code":"insufficient_credits"}}', nil, "credits", false, "x" },
        { 400, '{"error":{"message":"x","code":402}}', nil, "credits", false, "x" },
        { 403, '{"error":{"message":"prompt flagged by moderation"}}', nil, "moderated", false },
        { 409, "", nil, "rejected", false }, { 429, "", 3, "rate_limited", true },
        { 429, '{"error":{"code":429,"message":"slow down"}}', 1800, "rate_limited", true, "slow down" },
        { 429, '{"error":{"message":"quota","code":"insufficient_quota"}}', nil, "credits", false, "quota" },
        { 500, '{"error":{"message":"moderation service is down"}}', nil, "server", true,
            "moderation service is down" },
        { 501, "", nil, "server", false }, { 505, "", nil, "server", false }, { 408, "", nil, "timeout", true },
        { 425, "", nil, "server", true }, { 504, "upstream timed out", nil, "server", true, nil, "text" },
        { 520, "{}", nil, "server", true, nil, "json" },
        { 500, '{"error":{"message":{"a":1}}}', nil, "server", true, nil, "json" },
        { 500, '"just a string"', nil, "server", true, nil, "text" }, { 302, "", nil, "protocol", false },
        { 304, "", nil, "protocol", false }, { 100, "", nil, "protocol", false }, { 999, "", nil, "protocol", false },
        { 502, " \n<html>", nil, "server", true, nil, "html" }, { 502, " \r\n\t", nil, "server", true, nil, "empty" },
    }
    for i, row in ipairs(rows) do
        it(i .. ": " .. row[1] .. " " .. row[2]:sub(1, 60), function()
            local out = read("task", row[1], row[2], nil, row[3])
            assert.equal("refused", out.verdict)
            assert.equal(row[4], out.error)
            assert.equal(row[5], out.retryable or false)
            assert.equal(row[3], out.retry_after)
            if row[6] then assert.equal(row[6], out.reason) end
            if row[7] then assert.equal(row[7], out.form) end
            assert.is_nil(out.acceptance)
        end)
    end

    it("of a download is attributed to the image host", function()
        for _, status in ipairs { 401, 403, 404, 410 } do
            assert.equal("not_found", read("download", status, "<Error><Code>AccessDenied</Code></Error>").error)
        end
        assert.equal("server", read("download", 503, "").error)
        assert.is_true(read("download", 503, "").retryable)
    end)

    it("has the text of an HTML page as its reason", function()
        local function words(body, content_type)
            return (read("task", 502, body, content_type).excerpt:gsub("%s+", " "))
        end
        assert.equal("Bad gateway", words "<html><head><TITLE>Bad\n gateway</TITLE></head><body>nginx</body></html>")
        assert.matches("Down & out", words "<html><script>var x = '<b>'</script><body><h1>Down &amp; out</h1></body>",
            1, true)
        assert.equal("upstream timed out", words "upstream timed out")
        assert.equal("plain", words("plain", "text/html"))
        assert.equal("xml", read("task", 502, "<Error>x</Error>", "application/xml").form)
        assert.equal("html", read("task", 502, "x", "text/HTML; charset=x").form)
        assert.is_true(#words(("x"):rep(100000)) < 1000)
    end)
end)

describe("for any response", function()
    local draw = seeded.new()
    local random, one_of = draw.random, draw.one_of
    local VERDICTS = {
        unreadable = true, running = true, succeeded = true, failed = true, moderated = true, rejected = true,
        refused = true,
    }
    local values = {
        "null", "true", "false", "0", "-1", "1e999", "-1e999", "NaN", "1e308", "0.5", '""', '"x"', '"SUCCESS"',
        '"FAILED"',
        '"\255\254"', '"\\u0000"', "[]", "{}", "[null]", "[[[]]]", '{"url":{"url":{"url":1}}}', '{"0":1}',
        '[{"url":[[1]]}]',
        '"' .. A .. '"', '{"message":{"message":[]}}', '{"code":{},"message":7,"type":[]}', '"data:;base64,"', '"{"',
        '"50%"',
        ("["):rep(5000), ("["):rep(60) .. ("]"):rep(60), '{"a":1,"a":{"a":2}}', '{"":""}', "1,2", "}",
        '"' .. ("x"):rep(2000) .. '"',
    }
    local names, seen = { "a", "loc", "msg" }, {}
    for _, list in pairs(schema_data) do
        for _, path in ipairs(list) do
            for step in (type(path) == "string" and path or ""):gmatch("[^.]+") do
                if not seen[step] and not step:find("^%d") then
                    seen[step] = true
                    names[#names + 1] = step
                end
            end
        end
    end
    table.sort(names)

    local function make(depth)
        local roll = random(8)
        if depth > 4 or roll <= 3 then return one_of(values) end
        local parts = {}
        for i = 1, random(4) do
            local member = make(depth + 1)
            parts[i] = roll == 4 and member or '"' .. one_of(names) .. '":' .. member
        end
        if roll == 4 then return "[" .. table.concat(parts, ",") .. "]" end
        return "{" .. table.concat(parts, ",") .. "}"
    end

    --- Asserts the properties of every response.
    local function promise(status, body)
        for _, kind in ipairs { "task", "submission", "download" } do
            local out = core.read_response(schema, kind, status, body, "text/html", 0 / 0)
            assert.is_true(VERDICTS[out.verdict])
            local is_fine = out.verdict == "running" or (out.verdict == "succeeded" and out.images ~= nil)
            assert.equal(is_fine, out.error == nil)
            assert.equal(kind == "submission", out.acceptance ~= nil)
            if kind == "submission" then
                assert.equal(out.error == nil, out.acceptance == "accepted")
                assert.equal(out.error == "unknown_outcome", out.acceptance == "unknown")
                if out.verdict == "running" then assert.is_string(out.id) end
            elseif out.verdict == "running" then
                assert.is_string(out.status)
            end
        end
    end

    it("the verdict is known: made-up responses", function()
        for _ = 1, 1000 do
            local body
            repeat body = make(1) until body:find("^{")
            promise(one_of { 200, 200, 200, 400, 422, 500, 302 }, body)
        end
    end)

    it("the verdict is known: damaged responses", function()
        local good = '{"code":200,"message":"success","data":{"task_id":"n41_flux2","status":"SUCCESS",' ..
            '"progress":"50%",'
            .. '"output":{"image_url":"' .. A .. '"},"error":{"code":400,"message":"x","type":"y"}}}'
        for _ = 1, 1200 do
            local at, length = random(#good), random(6) - 1
            local junk = random(2) == 1 and one_of(values) or string.char(random(256) - 1)
            promise(200, good:sub(1, at) .. junk .. good:sub(at + length + 1))
            promise(200, good:sub(1, at))
        end
    end)

    it("reading takes bounded time", function()
        local before = os.clock()
        local list = ("\"x\","):rep(120000)
        promise(200, '{"data":[' .. list .. "1]}")
        promise(200, '{"data":{"status":"SUCCESS","output":[' .. list .. '1],"result":[' .. list .. "1]}}")
        promise(200, '{"data":{"status":"' .. ("S"):rep(300000) .. '","progress":"' .. ("1"):rep(300000) .. '"}}')
        promise(200, '{"data":{' .. ('"x":0,'):rep(90000) .. '"y":1}}')
        for _, unit in ipairs { "<", "<title", "<title>", "<script", "<style>", " ", "&lt;", "\0", "\255" } do
            promise(502, unit:rep(200000))
        end
        assert.is_true(os.clock() - before < bound(5))
    end)

    it("the number and the nesting of values are limited", function()
        local values_left = '{"data":{"status":"x"},"x":[' .. ("{},"):rep(200000) .. "1]}"
        for _, body in ipairs { ("["):rep(1000000), ('{"data":'):rep(100000), values_left } do
            local out = core.read_response(schema, "task", 200, body)
            assert.equal("unreadable", out.verdict)
            assert.matches("more than 100000 values", out.fault, 1, true)
        end
        local deep = '{"data":{"status":"x"},"x":' .. ("["):rep(98) .. ("]"):rep(98) .. "}"
        assert.equal("running", core.read_response(schema, "task", 200, deep).verdict)
    end)

    it("reading works with an empty schema", function()
        local empty = core.response_schema {}
        assert.equal("unreadable", core.read_response(empty, "task", 200, '{"status":"x"}').verdict)
        assert.equal("rate_limited", core.read_response(empty, "task", 429, "").error)
    end)
end)

describe("a response schema", function()
    it("consists of lists of strings, in lower case for compared words", function()
        for _, name in ipairs { "succeeded", "failed", "moderated", "rejected", "empty_words" } do
            for _, word in ipairs(schema_data[name]) do assert.equal(word:lower(), word) end
        end
        for _, word in ipairs { "in progress", "pending", "queued", "processing", "submitted", "not start",
            "NOT_START" } do
            local body = '{"data":{"status":"' .. word .. '"}}'
            assert.equal("running", core.read_response(schema, "task", 200, body).verdict)
        end
    end)

    it("is rejected if malformed", function()
        for _, bad in ipairs { { status = "x" }, { status = { 1 } }, { status = { {} } },
            { hints = { { kind = "x", words = {} } } },
            { hints = { 1 } }, { hints = { { kind = "auth" } } }, { code_ok = 1 }, 1, false } do
            assert.has_error(function() core.response_schema(bad) end)
        end
        assert.has_error(function() core.read_response(schema, "poll", 200, "") end)
        assert.has_error(function() core.read_response({}, "task", 200, "") end)
    end)
end)

describe("images of made-up responses", function()
    local seed = 20260229
    local function random(n)
        seed = (seed * 16807) % 2147483647
        return seed % n + 1
    end
    local function pick(list) return list[random(#list)] end
    local leaves = {
        '"' .. A .. '"', '"' .. B .. '"', '"https://img.example"', '"https://img.example:1?x#y"',
        '"https://a.example/\\u0000"',
        '"https://"', '"https://-._/"', '"http://a.example:/"', '"http://a.example:0/"', '"http://a.example:080/1"',
        '"ftp://a/b"',
        '"soon"', '"done"', '"image/png"', '"image/"', '"image/x y"', '"image/SVG+xml"', "null", "7", "-7", "0.5",
        "9007199254740992",
        '"7"', "true", "[]", "{}", "[null]", '""', '"data:image/png;base64,AAAA"', '"/1.png"', '"QUJD"',
    }
    local keys = {}
    for _, name in ipairs { "image_keys", "image_keys", "bytes_keys", "media_type_keys" } do
        for _, key in ipairs(schema_data[name]) do keys[#keys + 1] = key end
    end

    local function value(depth)
        local roll = random(6)
        if depth > 5 or roll <= 3 then return pick(leaves) end
        local parts = {}
        for i = 1, random(3) do
            parts[i] = roll == 4 and value(depth + 1) or ('"%s":%s'):format(pick(keys), value(depth + 1))
        end
        if roll == 4 then return "[" .. table.concat(parts, ",") .. "]" end
        return "{" .. table.concat(parts, ",") .. "}"
    end

    --- JSON with `member` at `path`; the remaining members on the path are random.
    local function place(path, member)
        for step in path:reverse():gmatch("[^.]+") do
            step = step:reverse()
            if step:find("^%d+$") then
                member = "[" .. (random(5) == 1 and value(3) .. "," or "") .. member .. "]"
            else
                local more = random(3) == 1 and (',"%s":%s'):format(pick(keys), value(3)) or ""
                member = ('{"%s":%s%s}'):format(step, member, more)
            end
        end
        return member
    end

    --- Merges the members of one object into another, at the top level, if both are objects.
    local function merge(a, b)
        if a:sub(1, 1) ~= "{" or b:sub(1, 1) ~= "{" or #a < 3 or #b < 3 then return a end
        return a:sub(1, -2) .. "," .. b:sub(2)
    end

    -- The same search as a simple reference implementation, over the values of another parser.
    local function dig(root, path)
        for step in path:gmatch("[^.]+") do
            local index = step:find("^%d+$") and tonumber(step) + 1
            if type(root) ~= "table" then return nil end
            if index then root = root[index] else root = root[step] end
        end
        return root
    end
    local function media_type(object)
        for _, key in ipairs(schema_data.media_type_keys) do
            local named = object[key]
            if type(named) == "string" and named:find("^image/[%w.+-]+$") then return named:lower() end
        end
    end
    local function image_of(s, is_bytes)
        local type_, data = s:match("^data:([^;,]*);base64,(.+)$")
        if type_ then return { bytes = core.unbase64(data), content_type = type_ } end
        local bytes = is_bytes and s ~= "" and core.unbase64(s)
        if bytes and bytes ~= "" then return { bytes = bytes } end
        return not is_bytes and url.check(s) and { url = s } or nil
    end
    local collect
    local function collect_object(object, found, depth, list, is_bytes)
        local before = #found
        for _, key in ipairs(list) do
            collect(object[key], found, depth + 1, is_bytes)
            for i = before + 1, #found do found[i].content_type = found[i].content_type or media_type(object) end
            if #found > before then return true end
        end
    end
    function collect(v, found, depth, is_bytes)
        if depth > 6 then return end
        if type(v) == "string" then
            local image = image_of(v, is_bytes)
            for _, known in ipairs(image and found or {}) do
                if image and known.url == image.url and known.bytes == image.bytes then image = nil end
            end
            found[#found + 1] = image
        elseif type(v) == "table" and v[1] ~= nil then
            for _, member in ipairs(v) do collect(member, found, depth + 1, is_bytes) end
        elseif type(v) == "table" then
            if not collect_object(v, found, depth, schema_data.image_keys, false) then
                collect_object(v, found, depth, schema_data.bytes_keys, true)
            end
        end
    end
    local function search(root)
        for _, path in ipairs(schema_data.packed_places) do
            local packed, found = dig(root, path), {}
            local ok, inner = pcall(cjson.decode, packed)
            if type(packed) == "string" and ok then collect(inner, found, 1) end
            if #found > 0 then return found end
        end
        for _, path in ipairs(schema_data.image_places) do
            local found = {}
            collect(dig(root, path), found, 1)
            if #found > 0 then return found end
        end
        return nil
    end

    it("equal those of a reference search, for 2,500 responses", function()
        local count = 0
        for _ = 1, 2500 do
            local body = merge('{"status":"SUCCESS"}', place(pick(schema_data.image_places), value(1)))
            if random(4) == 1 then body = merge(body, place(pick(schema_data.credits), pick(leaves))) end
            if random(8) == 1 then body = merge(body, place(pick(schema_data.packed_places), pick(leaves))) end
            if random(8) == 1 then body = merge(body, place(pick(schema_data.image_places), value(1))) end
            local root = cjson.decode(body)
            local out = read("task", 200, body)
            if out.verdict == "succeeded" then
                assert.same(search(root), out.images, body)
                if out.images then count = count + 1 end
            end
        end
        assert.is_true(count > 250, "only " .. count .. " held images")
    end)
end)

-- Synthetic paths and words: independent of the schema of a service.
describe("a schema", function()
    local own = core.response_schema {
        task_id = { "id", "data.id" }, status = { "status", "data.status" }, progress = { "progress", "data.progress" },
        running = { "busy" }, succeeded = { "done", "all gone" }, image_places = { "output", "list.1.url" },
        refused = { "error" },
        code = { "code", "data.code" }, code_ok = { 0, 200 },
    }
    local function read_own(body, kind) return core.read_response(own, kind or "task", 200, body) end
    local function shown(body, kind)
        local out = read_own(body, kind)
        return { out.verdict, out.status, out.progress, out.id }
    end
    local function verdict(body, kind) return read_own(body, kind).verdict end

    it("uses the first path with a value", function()
        assert.same({ "running", "a", 0.01 }, shown '{"status":"a","progress":1,"data":{"status":"b","progress":2}}')
        assert.same({ "running", "b", 0.02 }, shown '{"status":"","progress":"","data":{"status":"b","progress":2}}')
        assert.same({ "running", "b", 0.02 }, shown '{"status":5,"progress":null,"data":{"status":"b","progress":2}}')
        for body, id in pairs {
            ['{"id":"x","data":{"id":"y"}}'] = "x", ['{"id":"","data":{"id":"y"}}'] = "y",
            ['{"id":null,"data":{"id":"y"}}'] = "y",
            ['{"id":1.5,"data":{"id":"y"}}'] = "y",
        } do assert.same({ "running", nil, nil, id }, shown(body, "submission")) end
    end)
    it("has an id only for submissions", function()
        assert.same({ "running", "a" }, shown '{"id":"x","status":"a"}')
    end)
    for size, is_id in pairs { [511] = true, [512] = true, [513] = false } do
        it(("with an id of %d bytes: %s"):format(size, tostring(is_id)), function()
            local id = ("i"):rep(size)
            assert.equal(is_id and id or nil, read_own(('{"id":"%s"}'):format(id), "submission").id)
        end)
    end
    it("accepts positive integers as ids, with all digits", function()
        for _, id in ipairs { "17", "9007199254740993", "9223372036854775807", "18446744073709551616",
            ("9"):rep(512) } do
            assert.same({ "running", nil, nil, id }, shown(('{"id":%s}'):format(id), "submission"))
            assert.same({ "running", nil, nil, id }, shown(('{"id":%s.00}'):format(id), "submission"))
        end
        for _, id in ipairs { "0", "-1", "-9223372036854775808", "1e3", "1.01", "0.0", "1.0.0", ("9"):rep(513) } do
            assert.same({ "unreadable" }, shown(('{"id":%s}'):format(id), "submission"))
        end
    end)
    for size, read_size in pairs { [62] = 62, [63] = 63, [64] = 63, [500] = 63 } do
        it(("truncates a status of %d bytes to %d"):format(size, read_size), function()
            assert.equal(("s"):rep(read_size), read_own(('{"status":"%s"}'):format(("s"):rep(size))).status)
        end)
    end
    it("truncates a status before a character that does not fit, of any length", function()
        for _, character in ipairs { "\195\164", "\226\130\172", "\240\159\166\138" } do
            for before = 55, 64 do
                local whole = ("s"):rep(before) .. character .. ("t"):rep(20)
                local status = read_own(('{"status":"%s"}'):format(whole)).status
                assert.equal(status, whole:sub(1, #status))
                -- As many whole characters as fit.
                local next_size = #status == before and #character or 1
                assert.is_true(#status <= 63 and #status + next_size > 63, #status)
                assert.is_true(#status <= before or #status >= before + #character, #status)
            end
        end
    end)
    it("replaces control characters of a status", function()
        assert.equal("a?b?c?\194\128 ", read_own '{"status":"a\\u0001b\\u001fc\\u007f\\u0080 "}'.status)
    end)
    for value, counts in pairs {
        ["null"] = false, ["false"] = false, ["0"] = false, ["0.0"] = false, ["-0.0"] = false, ['""'] = false,
        ["[]"] = false,
        ["{}"] = false, ["true"] = true, ["1"] = true, ["-1"] = true, ["0.5"] = true, ['"x"'] = true, ["[0]"] = false,
        ['{"a":null}'] = false, ['{"a":[{"b":{"c":null}}]}'] = true, ['"0"'] = false, ['[0,1]'] = true,
        ['{"a":"x"}'] = true,
        ["200"] = false, ['{"a":"200","b":" "}'] = false,
    } do
        it(("treats %s as a refusal: %s"):format(value, tostring(counts)), function()
            local expected = counts and "refused" or "running"
            assert.equal(expected, verdict(('{"status":"busy","error":%s}'):format(value)))
            assert.equal(expected, verdict(('{"id":"x","error":%s}'):format(value), "submission"))
        end)
    end
    for value, ends in pairs {
        ['"http://h/1"'] = true, ['["http://h/1"]'] = true, ['"x"'] = false, ['""'] = false, ["5"] = false,
        ["true"] = false,
        ["[]"] = false, ['["x"]'] = false, ["null"] = false,
    } do
        it(("treats %s as a result: %s"):format(value, tostring(ends)), function()
            assert.equal(ends and "succeeded" or "unreadable", verdict(('{"output":%s}'):format(value)))
            assert.equal(ends and "succeeded" or "running", verdict(('{"id":"x","output":%s}'):format(value),
                "submission"))
            assert.equal(ends and "succeeded" or "unreadable", verdict(('{"list":[{},{"url":%s}]}'):format(value)))
            -- A running status has precedence over an apparent result; an unknown one has not.
            assert.equal("running", verdict(('{"status":"busy","output":%s}'):format(value)))
            assert.equal(ends and "succeeded" or "running", verdict(('{"status":"x","output":%s}'):format(value)))
        end)
    end
    for code, is_bad in pairs {
        ["0"] = false, ["200"] = false, ["200.0"] = false, ['"200"'] = false, ['" 200"'] = false, ["201"] = true,
        ["-1"] = true,
        ["0.5"] = true, ['"402"'] = true, ["null"] = false, ['"none"'] = false, ['""'] = false, ['"200x"'] = false,
        ["true"] = false,
        ["[402]"] = false,
    } do
        it(("treats a code of %s as an error: %s"):format(code, tostring(is_bad)), function()
            local expected = is_bad and "refused" or "running"
            assert.equal(expected, verdict(('{"status":"x","code":%s}'):format(code)))
            assert.equal(expected, verdict(('{"id":"x","data":{"code":%s}}'):format(code), "submission"))
        end)
    end
    it("uses the first valid code", function()
        assert.equal("running", verdict '{"status":"x","code":200,"data":{"code":402}}')
        assert.equal("refused", verdict '{"status":"x","code":402,"data":{"code":200}}')
        assert.equal("refused", verdict '{"status":"x","code":"?","data":{"code":402}}')
    end)
    for status, ends in pairs {
        done = true, DONE = true, Done = true, ["All Gone"] = true, ["all_gone"] = true, ["all-gone"] = true,
        allgone = true,
        don = false, donee = false, ["all gone "] = false, ["all  gone"] = false, xdone = false,
        ["d\195\182ne"] = false,
    } do
        it(("recognizes the word %q: %s"):format(status, tostring(ends)), function()
            assert.equal(ends and "succeeded" or "running", verdict(('{"status":"%s"}'):format(status)))
            assert.equal("running", verdict(('{"id":"x","status":"%s"}'):format(status), "submission"))
        end)
    end
    it("parses up to 100,000 values, and any number of separators within strings", function()
        -- The root, the status, the list and its members.
        local function body(members, rest)
            return '{"status":"x","l":[' .. ('"a,{[\\"",'):rep(members - 1) .. rest .. "]}"
        end
        assert.equal("running", verdict(body(99997, "0")))
        for _, rest in ipairs { "0,0", "[0]", '{"a":0}', "[[]]" } do
            assert.equal("unreadable", verdict(body(99997, rest)), rest)
        end
    end)
end)

describe("a JSON path", function()
    local function status(path, body)
        return core.read_response(core.response_schema { status = { path } }, "task", 200, body).status
    end
    for _, case in ipairs {
        { "a.b", '{"a":{"b":"x"}}', "x" }, { "a.b", '{"a":"x"}' }, { "a.b", '{"b":"x"}' },
        { "a.0", '{"a":["x","y"]}', "x" },
        { "a.1", '{"a":["x","y"]}', "y" }, { "a.2", '{"a":["x","y"]}' }, { "0.a", '[{"a":"x"}]', "x" },
        { "a.0", '{"a":{"0":"x"}}' },
        { "a.0b", '{"a":{"0b":"x"}}', "x" }, { "a.0.1.c", '{"a":[[1,{"c":"x"}]]}', "x" },
        { "a.10", '{"a":[0,1,2,3,4,5,6,7,8,9,"x"]}', "x" }, { "a.99999999999999999999", '{"a":["x"]}' },
        { "data.0.url", '{"data":[{"url":"x"},{"url":"y"}]}', "x" },
        { "data.1.url", '{"data":[{"url":"x"},{"url":"y"}]}', "y" },
        { "data.2", '{"data":["x","y"]}' }, { "data.2.url", '{"data":[{"url":"x"}]}' }, { "none", '{"none":null}' },
        { "none.x", '{"none":null}' }, { "data.0.url.x", '{"data":[{"url":"x"}]}' }, { "0", '{"0":"x"}' },
        { "no.x", '{"no":false}' },
        { "", '"x"', nil }, { "a.", '{"a":"x"}', "x" }, { ".a", '{"a":"x"}' }, { "a..b", '{"a":{"":{"b":"x"}}}' },
    } do
        it(("%q of %s"):format(case[1], case[2]), function() assert.equal(case[3], status(case[1], case[2])) end)
    end
    it("may have names of any length", function()
        for _, size in ipairs { 126, 127, 128, 300 } do
            local name = ("n"):rep(size)
            assert.equal("x", status(name, ('{"%s":"x"}'):format(name)))
            assert.equal("x", status("a." .. name .. ".b", ('{"a":{"%s":{"b":"x"}}}'):format(name)))
        end
    end)
end)

describe("parsing a number in a string", function()
    local number = core._pure.number
    local progress_schema = core.response_schema { status = { "s" }, progress = { "p" }, credits = { "p" },
        succeeded = { "done" } }
    local function progress(value)
        return core.read_response(progress_schema, "task", 200, ('{"s":"x","p":%s}'):format(value)).progress
    end
    local function credits(value)
        return core.read_response(progress_schema, "task", 200, ('{"s":"done","p":%s}'):format(value)).credits
    end

    local good = {
        "0", "7", "42", "-0", "+5", "-3", "007", "0.5", ".5", "-.5", "5.", "+5.25", "1e3", "1E3", "1e+3", "1e-3",
        "2.5e2", "1e0", "1e00",
        "12345678901234567890", "1234567890123456789", "9999999999999999999", "18446744073709551615",
        "18446744073709551616",
        "0.1", "0.2", "0.30000000000000004", "123.456", "9007199254740991", "9007199254740993", "1e22", "1e23", "1e-7",
        "1.5e300",
        "1.7976931348623157e308", "2.2250738585072014e-308", "1e-310", "4e-320", "0." .. ("0"):rep(40) .. "1",
        "1" .. ("0"):rep(40),
        ("9"):rep(30) .. "." .. ("9"):rep(30), "0." .. ("0"):rep(320) .. "5", ("1"):rep(200) .. "e-190", "0e999999999",
        "0.0e-99999999999",
        ("0"):rep(500) .. "1", "1." .. ("0"):rep(500), "1e-999", "1e-99999999999999999999", "0.00000000000000000001e20",
        "1" .. ("0"):rep(305) .. "e-300",
    }
    for _, s in ipairs(good) do
        it("accepts " .. s:sub(1, 60), function()
            local expected = tonumber(s) or 0 -- LuaJIT rejects exponents of many digits
            assert.near(expected, number(s), math.abs(expected) * 1e-14)
            -- The same in a response, as an amount.
            local amount = credits('"' .. s .. '"')
            if expected < 0 or expected >= 2 ^ 53 then return assert.is_nil(amount) end
            assert.near(expected, amount, expected * 1e-14)
        end)
    end
    for _, s in ipairs {
        "", " ", ".", "-", "+", "-.", "e5", ".e5", "--5", "+-5", "- 5", "5x", "5,5", "1e", "1e+", "1e-", "1e5.5",
        "0x10", "1_0", "inf",
        "nan", "Infinity", "5%5", "5 5", "5%x", "5..", "..5",
    } do
        it("rejects " .. s:sub(1, 60), function()
            assert.is_nil(number(s))
            assert.is_nil(credits('"' .. s .. '"'))
            assert.is_nil(progress('"' .. s .. '"'))
        end)
    end
    it("rejects infinity", function()
        for _, s in ipairs { "1e309", "1e999", "-1e400", "1" .. ("0"):rep(309), "1e99999999999999999999" } do
            assert.is_nil(credits('"' .. s .. '"'))
            assert.is_nil(credits(s))
            assert.is_nil(progress(s))
        end
    end)
    it("accepts leading blanks, and for progress trailing blanks and a percent sign", function()
        for s, n in pairs {
            [" 5"] = 0.05, ["\\t\\n\\r\\f5"] = 0.05, ["5 "] = 0.05, ["5%"] = 0.05, ["5 % "] = 0.05,
            ["\\u000b5"] = 0.05, ["5\\t"] = 0.05,
        } do assert.equal(n, progress('"' .. s .. '"'), s) end
        for _, s in ipairs { " -5.5 %", "\\u00085", "\\u000e5", "\\u00a05" } do
            assert.is_nil(progress('"' .. s .. '"'))
        end
        assert.is_nil(credits '"5%"')
        assert.equal(5, credits '" 5"')
    end)
    it("returns a JSON number unchanged", function()
        for s, n in pairs { ["5"] = 5, ["0.5"] = 0.5, ["1e3"] = 1000, ["12345678901"] = 12345678901 } do
            assert.equal(n, credits(s))
        end
        assert.is_nil(credits "-0.5")
    end)
end)

-- Synthetic paths and names, for the exact limits.
describe("image paths", function()
    local own = core.response_schema {
        status = { "status" }, running = { "running" }, succeeded = { "done" }, failed = { "failed" },
        image_places = { "a", "b.c" },
        image_keys = { "url", "more" }, media_type_keys = { "type", "kind" }, bytes_keys = { "bytes" },
        packed_places = { "packed" },
        credits = { "cost", "price" },
    }
    local function read_own(members, status)
        return core.read_response(own, "task", 200, ('{"status":"%s",%s}'):format(status or "done", members))
    end
    --- The URLs with their media types, as one string; nil without images.
    local function shown(members, status)
        local parts = {}
        for i, image in ipairs(read_own(members, status).images or {}) do
            parts[i] = (image.url or "<" .. image.buffer:string() .. ">") .. (image.content_type
                and " " .. image.content_type or "")
        end
        return parts[1] and table.concat(parts, ", ")
    end

    for members, expected in pairs {
        ['"a":"http://h/1"'] = "http://h/1", ['"b":{"c":"http://h/1"}'] = "http://h/1",
        ['"a":"http://h/1","b":{"c":"http://h/2"}'] = "http://h/1", ['"a":null,"b":{"c":"http://h/2"}'] = "http://h/2",
        ['"a":[],"b":{"c":"http://h/2"}'] = "http://h/2", ['"a":5,"b":{"c":"http://h/2"}'] = "http://h/2",
        ['"a":["http://h/1","http://h/2","http://h/1"]'] = "http://h/1, http://h/2",
        ['"a":{"url":"http://h/1","more":"http://h/2"}'] = "http://h/1", ['"a":{"more":"http://h/2"}'] = "http://h/2",
        ['"a":{"url":["http://h/1","http://h/2"],"type":"image/x"}'] = "http://h/1 image/x, http://h/2 image/x",
        ['"a":{"url":"http://h/1","type":"image/X.y+z-1"}'] = "http://h/1 image/x.y+z-1",
        ['"a":{"url":"http://h/1","type":"text/x","kind":"image/y"}'] = "http://h/1 image/y",
        ['"a":{"url":"http://h/1","type":"image/x","kind":"image/y"}'] = "http://h/1 image/x",
        ['"a":{"url":"http://h/1","type":"image/"}'] = "http://h/1",
        ['"a":{"url":"http://h/1","type":"image/x y"}'] = "http://h/1",
        ['"a":{"url":"http://h/1","type":"image/x\\u0000"}'] = "http://h/1",
        ['"a":{"url":"http://h/1","type":5}'] = "http://h/1",
        ['"a":{"url":{"url":"http://h/1","type":"image/in"},"type":"image/out"}'] = "http://h/1 image/in",
        ['"a":{"url":["http://h/0",{"url":"http://h/1","type":"image/in"}],"type":"image/out"}'] =
            "http://h/0 image/out, http://h/1 image/in",
        ['"a":[{"url":"http://h/1","type":"image/x"},{"url":"http://h/2"}]'] = "http://h/1 image/x, http://h/2",
        ['"a":[{"url":"http://h/1"},"text","other",7,null,true]'] = "http://h/1",
        ['"a":"http://h/1","packed":5'] = "http://h/1", ['"a":"http://h/1","packed":{}'] = "http://h/1",
        ['"a":{"url":"http://h/1","bytes":"QUJD"}'] = "http://h/1",
        ['"a":"http://h/1","packed":""'] = "http://h/1",
        ['"a":"http://h/1","packed":"{\\"url\\":\\"http://h/2\\"}"'] = "http://h/2",
        ['"a":["http://h/1",{"bytes":"QUJD"}]'] = "http://h/1, <ABC>",
        ['"a":{"bytes":"QUJD","type":"image/X"}'] = "<ABC> image/x",
        ['"a":["http://h/1","Dx"]'] = "http://h/1", ['"a":["http://h/1","hx"]'] = "http://h/1",
        ['"a":["http://h/1","Hx"]'] = "http://h/1",
        ['"a":[{"bytes":"QUJD"},{"bytes":"QU JD="},{"bytes":"QUJD"}]'] = "<ABC>",
        ['"a":"data:image/x;base64,QUJD"'] = "<ABC> image/x", ['"a":"data:x"'] = false,
        ['"a":"data:image/x;base64"'] = false,
        ['"a":"data:' .. ("p"):rep(190) .. ';base64,QUJD"'] = false,
        ['"a":null'] = false, ['"a":"x"'] = false, ['"a":""'] = false,
    } do
        it(members:sub(1, 120), function() assert.equal(expected or nil, shown(members)) end)
    end
    it("apply to a success only", function()
        assert.is_nil(shown('"a":"http://h/1"', "failed"))
        assert.is_nil(shown('"a":"http://h/1"', "running"))
        assert.equal("http://h/1", shown('"a":"http://h/1"', "DONE"))
    end)
    for address, is_url in pairs {
        ["http://h"] = true, ["https://h"] = true, ["http://h/"] = true, ["http://h?q"] = true, ["http://h#f"] = true,
        ["http://h-1.x/!~"] = true, ["http://h:1/"] = true, ["http://h:65535"] = true, ["http://h:00080/x"] = true,
        ["http://h:80?x"] = true,
        ["http://h:80#x"] = true, ["http://A9/x"] = true, ["http://h:/"] = true, ["http://h@x/"] = true,
        ["http://h_x/"] = true,
        ["http://h/\195\164"] = true, ["http://[::1]/"] = true, ["http://[::1]:80/"] = true,
        ["http://h:65536/"] = false, ["http://h:0/"] = false, ["http://h:000080/"] = false, ["http://h:8x/"] = false,
        ["http://h:+80/"] = false, ["http://h: 80/"] = false, ["http://"] = false, ["http:///x"] = false,
        ["http://?x"] = false,
        ["http://h x/"] = false, ["http://h/\127"] = false, ["http://[]/"] = false, ["http://[::1]x/"] = false,
        ["http://h/\\\\"] = false, ["http://h/\\u0001"] = false, ["http://h/\\u0000"] = false, ["http://@/"] = false,
        ["http:/h/"] = false, ["https:/h/"] = false, ["httpx://h/"] = false,
        ["https://h:99999999999999999999/"] = false,
    } do
        it(("%q: %s"):format(address, tostring(is_url)), function()
            assert.equal(is_url and address or nil, shown(('"a":"%s"'):format(address)))
        end)
    end
    for count, read_count in pairs { [15] = 15, [63] = 63, [64] = 64, [65] = 64, [500] = 64 } do
        it(("%d of them: %d"):format(count, read_count), function()
            local urls = {}
            for i = 1, count do urls[i] = ('"http://h/%d"'):format(i) end
            assert.equal(read_count, #read_own('"a":[' .. table.concat(urls, ",") .. "]").images)
            -- A duplicate does not count.
            urls[#urls + 1] = '"http://h/1"'
            assert.equal(read_count, #read_own('"a":[' .. table.concat(urls, ",") .. "]").images)
        end)
    end
    for depth, is_read in pairs { [0] = true, [4] = true, [5] = true, [6] = false } do
        it(("%d nested lists: %s"):format(depth, tostring(is_read)), function()
            assert.equal(is_read and "http://h/1" or nil,
                shown('"a":' .. ("["):rep(depth) .. '"http://h/1"' .. ("]"):rep(depth)))
            assert.equal(is_read and "http://h/1" or nil,
                shown('"a":' .. ('{"url":'):rep(depth) .. '"http://h/1"' .. ("}"):rep(depth)))
        end)
    end
    for count, is_read in pairs { [4998] = true, [4999] = true, [5000] = false } do
        it(("a list of %d members: %s"):format(count, tostring(is_read)), function()
            local list = "[" .. ("0,"):rep(count - 1) .. '"http://h/1"]'
            assert.equal(is_read and "http://h/1" or nil, shown('"a":' .. list))
            -- Each path has its own limit.
            assert.equal(is_read and "http://h/1" or nil,
                shown('"a":[' .. ("0,"):rep(400) .. '0],"b":{"c":' .. list .. "}"))
        end)
    end
    for members, credits in pairs {
        ['"cost":5'] = 5, ['"cost":0'] = 0, ['"cost":0.5,"price":7'] = 0.5, ['"cost":null,"price":7'] = 7,
        ['"cost":-1,"price":7'] = 7,
        ['"cost":9007199254740991'] = 9007199254740991, ['"cost":9007199254740992'] = false, ['"cost":-0.001'] = false,
        ['"cost":[]'] = false,
        ['"cost":true'] = false, ['"x":1'] = false, ['"cost":"5"'] = 5, ['"cost":"5 credits","price":"7"'] = 7,
    } do
        it("credits: " .. members, function()
            local out = read_own('"a":"http://h/1",' .. members)
            assert.equal(1, #out.images)
            assert.equal(credits or nil, out.credits)
        end)
    end
end)

describe("a finished task", function()
    after_each(service.stop_all)

    it("decodes its response on first access", function()
        local task = assert(service.client(service.start()):submit { prompt = "a red fox" })
        local result = assert(task:wait(20))
        assert.is_nil(rawget(result, "raw"))
        assert.equal(task.id, result.raw.data.task_id)
        assert.equal(rawget(result, "raw"), result.raw)
        assert.equal(1, #result.images)
        assert.equal(1, task.progress)
        assert.is_nil(result.nonsense)
    end)
end)

describe("a task id", function()
    for _, case in ipairs {
        { "n41_flux2", "n41_flux2" }, { "..", "%2E%2E" }, { ".", "%2E" }, { "../x", "..%2Fx" }, { "%2f", "%252f" },
        { "a b", "a%20b" }, { "a?b#c", "a%3Fb%23c" }, { "\195\164", "%C3%A4" }, { "", "" }, { "a.b", "a.b" },
        { "a\0b", "a%00b" },
    } do
        it(("%q as a path segment"):format(case[1]), function() assert.equal(case[2], core.escape(case[1])) end)
    end
end)
