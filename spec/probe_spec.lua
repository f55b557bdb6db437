-- What the engine reads of an answer, with what it has not been told of left alone.
local core = require "flux2.core"
local response = require "flux2.response"
local probe = core._pure.probe

local profile = core.profile { watch = response.watch }

describe("a polled answer", function()
    local cases = {
        { '{"code":200,"data":{"status":"IN_PROGRESS"}}', "running", "IN_PROGRESS" },
        { '{"code":200,"data":{"status":"SUCCESS"}}', "ended", "SUCCESS" },
        { '{"code":200,"data":{"status":"completed"}}', "ended", "completed" },
        { '{"data":{"state":"success","resultJson":"{}"}}', "ended", "success" },
        { '{"status":"Ready"}', "ended", "Ready" },
        { '{"status":200,"data":{"status":"QUEUED"}}', "running", "QUEUED" },
        { '{"status":"success","data":{"status":"processing"}}', "running", "processing" },
        { '{"data":{"status":"FAILURE"}}', "ended", "FAILURE" },
        { '{"data":{"status":"Request Moderated"}}', "ended", "Request Moderated" },
        { '{"data":{"status":"SOMETHING_NEW"}}', "running", "SOMETHING_NEW" },
        { '{"code":402,"data":{"status":"IN_PROGRESS"}}', "ended", "IN_PROGRESS" },
        { '{"code":"402","message":"no"}', "ended" },
        { '{"code":0,"data":{"status":"IN_PROGRESS"}}', "running", "IN_PROGRESS" },
        { '{"error":{"code":500,"message":"x"}}', "ended" },
        { '{"error":null,"data":{"status":"IN_PROGRESS"}}', "running", "IN_PROGRESS" },
        { '{"error":"","data":{"status":"IN_PROGRESS"}}', "running", "IN_PROGRESS" },
        { '{"error":{},"data":{"status":"IN_PROGRESS"}}', "running", "IN_PROGRESS" },
        { '{"error":false,"data":{"status":"IN_PROGRESS"}}', "running", "IN_PROGRESS" },
        { '{"data":[{"url":"https://a.example/1.png"}]}', "ended" },
        { '{"data":[{"b64_json":"AAAA"}]}', "ended" },
        { '{"data":{}}', "unreadable" },
        { '{"data":null}', "unreadable" },
        { "[]", "unreadable" },
        { "42", "unreadable" },
        { "", "unreadable" },
        { "<html>", "unreadable" },
        { '{"data":{"status":', "unreadable" },
        { '{"data":{"status":7}}', "unreadable" },
        { '{"data":{"status":""}}', "unreadable" },
        { '{"data":{"status":["SUCCESS"]}}', "unreadable" },
        { '{"data":{"status":"IN_PROGRESS"}} trailing', "unreadable" },
        { '{"data":{"status":"a\\u0000b"}}', "running", "a" },
        { '{"data":{"status":"SUC\\nCESS"}}', "running", "SUC?CESS" },
        { '{"a":1,"a":2,"data":{"status":"DONE"}}', "ended", "DONE" },
    }
    for _, case in ipairs(cases) do
        it(case[1], function()
            local verdict, status = probe(profile, case[1], false)
            assert.equal(case[2], verdict)
            assert.equal(case[3], status)
        end)
    end
    it("survives a million brackets", function()
        assert.equal("unreadable", (probe(profile, ("["):rep(1000000), false)))
        assert.equal("unreadable", (probe(profile, ('{"data":'):rep(100000), false)))
    end)
    it("cuts a long status at a character", function()
        local _, status = probe(profile, '{"data":{"status":"' .. ("\195\164"):rep(100) .. '"}}', false)
        assert.equal(("\195\164"):rep(31), status)
    end)
end)

describe("progress", function()
    for _, case in ipairs {
        { "50", 50 }, { "0.5", 0.5 }, { '"50%"', 50 }, { '"50 %"', 50 }, { '"0.25"', 0.25 }, { '"half"', nil },
        { "null", nil }, { "[1]", nil }, { '""', nil }, { '"1e999"', nil },
    } do
        it(case[1], function()
            local _, _, progress = probe(profile, '{"data":{"status":"x","progress":' .. case[1] .. "}}", false)
            assert.equal(case[2], progress)
        end)
    end
end)

describe("the answer to a submission", function()
    local cases = {
        { '{"code":200,"data":{"task_id":"n41_flux2","status":"IN_PROGRESS"}}', "running", "n41_flux2" },
        { '{"data":{"task_id":17}}', "running", "17" },
        { '{"task_id":"a/../b?c"}', "running", "a/../b?c" },
        { '{"data":{"task_id":"x","status":"SUCCESS"}}', "running", "x" },
        { '{"data":{"task_id":"x","output":{"image_url":"https://a.example/1.png"}}}', "ended", "x" },
        { '{"data":[{"url":"https://a.example/1.png"}]}', "ended", "" },
        { '{"code":402,"data":{"task_id":"x"}}', "ended", "x" },
        { '{"error":{"message":"no"},"data":{"task_id":"x"}}', "ended", "x" },
        { '{"data":{"task_id":null}}', "unreadable", "" },
        { '{"data":{"task_id":"' .. ("x"):rep(513) .. '"}}', "unreadable", "" },
        { '{"data":{"task_id":"a\\u0000b"}}', "unreadable", "" },
        { "", "unreadable", "" },
    }
    for _, case in ipairs(cases) do
        it(case[1]:sub(1, 90), function()
            local verdict, _, _, id = probe(profile, case[1], true)
            assert.equal(case[2], verdict)
            assert.equal(case[3], id)
        end)
    end
end)

describe("a task id", function()
    for _, case in ipairs {
        { "n41_flux2", "n41_flux2" }, { "..", "%2E%2E" }, { ".", "%2E" }, { "../x", "..%2Fx" }, { "%2f", "%252f" },
        { "a b", "a%20b" }, { "a?b#c", "a%3Fb%23c" }, { "\195\164", "%C3%A4" }, { "", "" }, { "a.b", "a.b" },
        { "a\0b", "a%00b" },
    } do
        it(("%q is one segment of a path"):format(case[1]), function() assert.equal(case[2], core.escape(case[1])) end)
    end
end)

describe("an image is known by its first bytes", function()
    local patterns = {}
    for i, s in ipairs(response.signatures) do patterns[i] = s.pattern end
    local p = core.profile { signatures = patterns }
    local function kind(head)
        local i = core._pure.signature(p, head)
        return i and i > 0 and response.signatures[i].content_type or i
    end
    for _, case in ipairs {
        { "\137PNG\r\n\26\n....", "image/png" }, { "\255\216\255\224", "image/jpeg" },
        { "RIFF\1\2\3\4WEBPVP8 ", "image/webp" }, { "GIF89a..", "image/gif" }, { "\0\0\0\32ftypavif", "image/avif" },
        { "RIFF\1\2\3\4WAVE", nil }, { "<!DOCTYPE html>", nil }, { "\137PNXXXXX", nil },
        { "", 0 }, { "\137PN", 0 }, { "RIFF", 0 }, { "\0\0\0", 0 },
    } do
        it(("%q"):format(case[1]), function() assert.equal(case[2], kind(case[1])) end)
    end
end)
