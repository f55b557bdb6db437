-- The message of every error that a response or a connection can cause, as a whole line, and the fields of the error.
-- A changed row is a changed message.
local cjson = require "cjson"
local errors = require "flux2.errors"
local service = require "support.service"

local SUBMIT, TASKS, IMAGES = "/api/v1/images/generations", "/api/v1/tasks/*", "/images/*"

local function answer(fields) return cjson.encode(fields) end
local function complaint(message, code, type_)
    return answer { error = { message = message, code = code, type = type_ } }
end
local function task(fields) return answer { data = fields } end

-- The request that fails, the fault, the line. * matches text of other software; HOST is the service's host, ID the
-- task's id, RETRY follows a retryable error.
local rows = {
    { SUBMIT, { status = 400, body = complaint("Invalid parameters", 400, "invalid_request") },
        "invalid_request: Invalid parameters (HTTP 400, code 400)" },
    { SUBMIT, { status = 400, body = complaint("x", 402) }, "credits: x (HTTP 400, code 402)" },
    { SUBMIT, { status = 400, body = complaint("x", 400.5) }, "rejected: x (HTTP 400, code 400.5)" },
    { SUBMIT, { status = 400, body = complaint("x", "0402") }, "credits: x (HTTP 400, code 402)" },
    { SUBMIT, { status = 400, body = complaint("x", 399) }, "invalid_request: x (HTTP 400, code 399)" },
    { SUBMIT, { status = 400, body = complaint("x", 401) }, "auth: x (HTTP 400, code 401)" },
    { SUBMIT, { status = 400, body = complaint("x", 499) },
        "unknown_outcome: x; the service may have accepted and charged it; it is not sent again (HTTP 400, code 499)" },
    { SUBMIT, { status = 400, body = complaint("x", 500) }, "invalid_request: x (HTTP 400, code 500)" },
    { SUBMIT, { status = 400, body = complaint("x", "insufficient_balance") },
        "credits: x (HTTP 400, code insufficient_balance)" },
    { SUBMIT, { status = 400, body = "" },
        "invalid_request: the service answered 400 Bad Request with an empty body (HTTP 400)" },
    { SUBMIT, { status = 400, body = "  \n" },
        "invalid_request: the service answered 400 Bad Request with an empty body (HTTP 400)" },
    { SUBMIT, { status = 400, body = "{}" },
        "invalid_request: the service answered 400 Bad Request with JSON that gives no reason (HTTP 400)" },
    { SUBMIT, { status = 400, body = "plain words" },
        "invalid_request: the service answered 400 Bad Request with text: 'plain words' (HTTP 400)" },
    { SUBMIT, { status = 400, body = ("long "):rep(60) },
        "invalid_request: the service answered 400 Bad Request with text: 'long long long long long long long " ..
            "long long long long long long long long long long long long long long long long lo...' (HTTP 400)" },
    { SUBMIT, { status = 400, body = "<p>page &lt;of&gt;&nbsp;words &quot;x&quot; &#39;y&#39; &amp;</p>" },
        "invalid_request: the service answered 400 Bad Request with an HTML page: 'page <of> words \"x\" 'y' &' " ..
            "(HTTP 400)" },
    { SUBMIT, { status = 400, body = "<style>.x{}</style><script>y</script><head>z</head>left" },
        "invalid_request: the service answered 400 Bad Request with an HTML page: 'left' (HTTP 400)" },
    { SUBMIT, { status = 400, body = "<title></title>" },
        "invalid_request: the service answered 400 Bad Request with an HTML page (HTTP 400)" },
    { SUBMIT, { status = 400, body = "<?xml?><a>b</a>", headers = { ["Content-Type"] = "text/xml" } },
        "invalid_request: the service answered 400 Bad Request with XML: 'b' (HTTP 400)" },
    { SUBMIT, { status = 400, body = "no tags", headers = { ["Content-Type"] = "text/html" } },
        "invalid_request: the service answered 400 Bad Request with an HTML page: 'no tags' (HTTP 400)" },
    { SUBMIT, { status = 401, body = complaint("bad key", 401) }, "auth: bad key (HTTP 401, code 401)" },
    { SUBMIT, { status = 401, body = "" },
        "auth: the service answered 401 Unauthorized with an empty body (HTTP 401)" },
    { SUBMIT, { status = 402, body = "" },
        "credits: the service answered 402 Payment Required with an empty body (HTTP 402)" },
    { SUBMIT, { status = 403, body = "" }, "auth: the service answered 403 Forbidden with an empty body (HTTP 403)" },
    { SUBMIT, { status = 403, body = complaint("nsfw words") }, "moderated: nsfw words (HTTP 403)" },
    { SUBMIT, { status = 404, body = "" },
        "not_found: the service answered 404 Not Found with an empty body (HTTP 404)" },
    { SUBMIT, { status = 405, body = "" },
        "protocol: the service answered 405 Method Not Allowed with an empty body (HTTP 405)" },
    { SUBMIT, { status = 406, body = "" }, "protocol: the service answered 406 with an empty body (HTTP 406)" },
    { SUBMIT, { status = 408, body = "" },
        "unknown_outcome: the service answered 408 Request Timeout with an empty body; the service may have " ..
            "accepted and charged it; it is not sent again (HTTP 408)" },
    { SUBMIT, { status = 409, body = complaint("against our content policy") },
        "rejected: against our content policy (HTTP 409)" },
    { SUBMIT, { status = 410, body = "" }, "not_found: the service answered 410 Gone with an empty body (HTTP 410)" },
    { SUBMIT, { status = 413, body = "" },
        "invalid_request: the service answered 413 Content Too Large with an empty body (HTTP 413)" },
    { SUBMIT, { status = 414, body = "" }, "invalid_request: the service answered 414 with an empty body (HTTP 414)" },
    { SUBMIT, { status = 415, body = "" },
        "invalid_request: the service answered 415 Unsupported Media Type with an empty body (HTTP 415)" },
    { SUBMIT, { status = 422, body = "" },
        "rejected: the service answered 422 Unprocessable Content with an empty body (HTTP 422)" },
    { SUBMIT, { status = 422,
        body = answer { detail = { { loc = { "body", "prompt", 0 }, msg = "field required" }, { msg = "y" },
            { loc = {}, msg = "z" }, { msg = "fourth" } } } },
        "rejected: body.prompt.0: field required; y; z (HTTP 422)" },
    { SUBMIT, { status = 422,
        body = answer { detail = { "just words", { loc = { "a", "b", "c", "d", "e", "f" }, msg = "deep" } } } },
        "rejected: just words; a.b.c.d.e: deep (HTTP 422)" },
    { SUBMIT, { status = 422, body = answer { detail = { { loc = { "prompt" }, msg = "too long" } } } },
        "rejected: prompt: too long (HTTP 422)" },
    { SUBMIT, { status = 422, body = answer { detail = { { loc = { "", 7 }, msg = "x" } } } },
        "rejected: 7: x (HTTP 422)" },
    { SUBMIT, { body = answer { data = { { b64_json = "*VBORw0KGgo=" } } } },
        "unknown_outcome: the service's response names no task; the service may have accepted and charged it; it is " ..
            "not sent again (HTTP 200)" },
    { SUBMIT, { body = answer { data = { { b64_json = ("iVBO"):rep(15) .. "iVB*iVBO" } } } },
        "unknown_outcome: the service's response names no task; the service may have accepted and charged it; it is " ..
            "not sent again (HTTP 200)" },
    { SUBMIT, { status = 422, body = answer { detail = {} } },
        "rejected: the service answered 422 Unprocessable Content with JSON that gives no reason (HTTP 422)" },
    { SUBMIT, { status = 422, body = answer { detail = { msg = "in an object" } } },
        "rejected: in an object (HTTP 422)" },
    { SUBMIT, { status = 422, body = answer { errors = { { message = "first of a list" } } } },
        "rejected: first of a list (HTTP 422)" },
    { SUBMIT, { status = 422, body = answer { error_description = "as OAuth says it" } },
        "rejected: as OAuth says it (HTTP 422)" },
    { SUBMIT, { status = 425, body = "" }, "server: the service answered 425 with an empty body (HTTP 425) RETRY" },
    { SUBMIT, { status = 429, body = "" },
        "rate_limited: the service answered 429 Too Many Requests with an empty body (HTTP 429) RETRY" },
    { SUBMIT, { status = 429, retry_after = 2, body = "" },
        "rate_limited: the service asks to wait 2 s (HTTP 429) RETRY" },
    { SUBMIT, { status = 429, retry_after = 2, body = complaint("slow down", 429) },
        "rate_limited: slow down; the service asks to wait 2 s (HTTP 429, code 429) RETRY" },
    { SUBMIT, { status = 429, body = complaint("quota", "insufficient_quota") },
        "credits: quota (HTTP 429, code insufficient_quota)" },
    { SUBMIT, { status = 451, body = complaint("sensitive content") }, "moderated: sensitive content (HTTP 451)" },
    { SUBMIT, { status = 499, body = "" },
        "unknown_outcome: the service answered 499 with an empty body; the service may have accepted and charged " ..
            "it; it is not sent again (HTTP 499)" },
    { SUBMIT, { status = 418, body = "" }, "rejected: the service answered 418 with an empty body (HTTP 418)" },
    { SUBMIT, { status = 500, body = "" },
        "unknown_outcome: the service answered 500 Internal Server Error with an empty body; the service may have " ..
            "accepted and charged it; it is not sent again (HTTP 500)" },
    { SUBMIT, { status = 501, body = "" },
        "unknown_outcome: the service answered 501 Not Implemented with an empty body; the service may have " ..
            "accepted and charged it; it is not sent again (HTTP 501)" },
    { SUBMIT, { status = 503, body = "" },
        "unknown_outcome: the service answered 503 Service Unavailable with an empty body; the service may have " ..
            "accepted and charged it; it is not sent again (HTTP 503)" },
    { SUBMIT, { status = 503, retry_after = 1, body = "" },
        "server: the service answered 503 Service Unavailable with an empty body (HTTP 503) RETRY" },
    { SUBMIT, { status = 505, body = "" },
        "unknown_outcome: the service answered 505 with an empty body; the service may have accepted and charged " ..
            "it; it is not sent again (HTTP 505)" },
    { SUBMIT, { status = 599, body = "" },
        "unknown_outcome: the service answered 599 with an empty body; the service may have accepted and charged " ..
            "it; it is not sent again (HTTP 599)" },
    { SUBMIT, { status = 302, body = "" },
        "unknown_outcome: the service answered 302 Found, a redirect, which is not followed; the service may have " ..
            "accepted and charged it; it is not sent again (HTTP 302)" },
    { SUBMIT, { redirect = "https://elsewhere.example/x" },
        "unknown_outcome: the service answered 302 Found, a redirect to https://elsewhere.example/x, which is not " ..
            "followed; the service may have accepted and charged it; it is not sent again (HTTP 302)" },
    { SUBMIT, { status = 307, redirect = "https://elsewhere.example/x" },
        "protocol: the service answered 307 Temporary Redirect, a redirect to https://elsewhere.example/x, which " ..
            "is not followed (HTTP 307)" },
    { SUBMIT, { status = 300, body = "" },
        "unknown_outcome: the service answered 300, a redirect, which is not followed; the service may have " ..
            "accepted and charged it; it is not sent again (HTTP 300)" },
    { SUBMIT, { status = 399, body = "" },
        "unknown_outcome: the service answered 399, a redirect, which is not followed; the service may have " ..
            "accepted and charged it; it is not sent again (HTTP 399)" },
    { SUBMIT, { status = 400, body = "<p>" .. ("1234567890"):rep(13) },
        "invalid_request: the service answered 400 Bad Request with an HTML page: '" .. ("1234567890"):rep(11) ..
            "1234567...' (HTTP 400)" },
    { SUBMIT, { status = 400, body = ("1234567890"):rep(13) },
        "invalid_request: the service answered 400 Bad Request with text: '" .. ("1234567890"):rep(11) ..
            "1234567...' (HTTP 400)" },
    { SUBMIT, { status = 304, body = "" },
        "unknown_outcome: the service answered 304, a redirect, which is not followed; the service may have " ..
            "accepted and charged it; it is not sent again (HTTP 304)" },
    { SUBMIT, { body = "no json" },
        "unknown_outcome: the service's response cannot be read: *; the service may have accepted and charged it; " ..
            "it is not sent again (HTTP 200)" },
    { SUBMIT, { body = "[1" },
        "unknown_outcome: the service's response cannot be read: *; the service may have accepted and charged it; " ..
            "it is not sent again (HTTP 200)" },
    { SUBMIT, { body = "7" },
        "unknown_outcome: the service's response cannot be read: it is no JSON object; the service may have " ..
            "accepted and charged it; it is not sent again (HTTP 200)" },
    { SUBMIT, { body = "{}" },
        "unknown_outcome: the service's response names no task; the service may have accepted and charged it; it is " ..
            "not sent again (HTTP 200)" },
    { SUBMIT, { body = task { status = "queued" } },
        "unknown_outcome: the service's response names no task (status 'queued'); the service may have accepted and " ..
            "charged it; it is not sent again (HTTP 200)" },
    { SUBMIT, { body = task { status = "SUCCESS" } },
        "unknown_outcome: the service's response names no task (status 'SUCCESS'); the service may have accepted " ..
            "and charged it; it is not sent again (HTTP 200)" },
    { SUBMIT, { body = task { status = "FAILED", error = "no paint" } },
        "unknown_outcome: the task ended as 'FAILED': no paint; the service may have accepted and charged it; it " ..
            "is not sent again" },
    { SUBMIT, { body = answer { code = 402, message = "out of credits" } },
        "credits: out of credits (HTTP 200, code 402)" },
    { SUBMIT, { body = answer { code = 399, message = "odd" } },
        "unknown_outcome: odd; the service may have accepted and charged it; it is not sent again (HTTP 200, code " ..
            "399)" },
    { SUBMIT, { body = answer { code = 400, message = "bad" } }, "invalid_request: bad (HTTP 200, code 400)" },
    { SUBMIT, { body = answer { code = 408, message = "late" } },
        "unknown_outcome: late; the service may have accepted and charged it; it is not sent again (HTTP 200, " ..
            "code 408)" },
    { SUBMIT, { body = answer { code = 429, message = "slow" } }, "rate_limited: slow (HTTP 200, code 429) RETRY" },
    { SUBMIT, { body = answer { code = 499, message = "left" } },
        "unknown_outcome: left; the service may have accepted and charged it; it is not sent again (HTTP 200, " ..
            "code 499)" },
    { SUBMIT, { body = answer { code = 500, message = "broken" } },
        "unknown_outcome: broken; the service may have accepted and charged it; it is not sent again (HTTP 200, " ..
            "code 500)" },
    { SUBMIT, { body = answer { code = 1001, message = "nsfw" } },
        "unknown_outcome: nsfw; the service may have accepted and charged it; it is not sent again (HTTP 200, " ..
            "code 1001)" },
    { SUBMIT, { body = answer { code = 422, message = "unsafe: safety" } },
        "rejected: unsafe: safety (HTTP 200, code 422)" },
    { SUBMIT, { body = answer { error = "no" } },
        "unknown_outcome: no; the service may have accepted and charged it; it is not sent again (HTTP 200)" },
    { SUBMIT, { body = answer { error = { type = "rate_limit_exceeded" } } },
        "rate_limited: the service answered 200 with JSON that gives no reason (HTTP 200) RETRY" },
    { SUBMIT, { body = answer { error = { type = "server_error", message = "x" } } },
        "unknown_outcome: x; the service may have accepted and charged it; it is not sent again (HTTP 200)" },
    { SUBMIT, { body = answer { error = { type = "authentication", message = "x" } } }, "auth: x (HTTP 200)" },
    { SUBMIT, { body = answer { error = { type = "not_found", message = "x" } } }, "not_found: x (HTTP 200)" },
    { SUBMIT, { body = answer { error = { type = "validation", message = "x" } } }, "invalid_request: x (HTTP 200)" },
    { SUBMIT, { body = answer { error = { message = "policy violation" } } }, "rejected: policy violation (HTTP 200)" },
    { SUBMIT, { body = answer { error = { code = 401, message = "x" }, request_id = "req-1" } },
        "auth: x (HTTP 200, code 401, request req-1)" },
    { SUBMIT, { body = answer { code = 500, data = { task_id = "known" } } },
        "unknown_outcome: the service answered 200 with JSON that gives no reason; the service may have accepted " ..
            "and charged it; it is not sent again (HTTP 200, code 500, task known)" },
    { SUBMIT, { cut = 3, body = "0123456789" },
        "unknown_outcome: the connection to HOST broke: *; the service may have accepted and charged it; it is " ..
            "not sent again (HTTP 200)" },
    { SUBMIT, { garbage = "no HTTP at all\r\n\r\n" },
        "unknown_outcome: the connection to HOST broke: *; the service may have accepted and charged it; it is " ..
            "not sent again" },
    { SUBMIT, { reset = "before" },
        "unknown_outcome: the connection to HOST broke: *; the service may have accepted and charged it; it is " ..
            "not sent again" },
    { SUBMIT, { reset = "after" },
        "unknown_outcome: the connection to HOST broke: *; the service may have accepted and charged it; it is " ..
            "not sent again" },
    { SUBMIT, { close = "before" },
        "unknown_outcome: the connection to HOST broke: *; the service may have accepted and charged it; it is " ..
            "not sent again" },
    { SUBMIT, { close = "after" },
        "unknown_outcome: the connection to HOST broke: *; the service may have accepted and charged it; it is " ..
            "not sent again" },
    { SUBMIT, { endless = true, body = "{" },
        "unknown_outcome: the response of HOST is larger than the limit of 20000 bytes; max_response_bytes raises " ..
            "it: the body exceeds 20000 bytes; the service may have accepted and charged it; it is not sent again " ..
            "(HTTP 200)" },
    { SUBMIT, { endless_headers = true },
        "unknown_outcome: the headers of HOST are larger than the limit; max_header_bytes raises it: the headers " ..
            "exceed 8192 bytes; the service may have accepted and charged it; it is not sent again (HTTP 200)" },
    { TASKS, { status = 400, body = complaint("bad", 400) }, "invalid_request: bad (HTTP 400, code 400, task ID)" },
    { TASKS, { status = 401, body = complaint("bad key") }, "auth: bad key (HTTP 401, task ID)" },
    { TASKS, { status = 402, body = "" },
        "credits: the service answered 402 Payment Required with an empty body (HTTP 402, task ID)" },
    { TASKS, { status = 410, body = "" },
        "not_found: the service answered 410 Gone with an empty body (HTTP 410, task ID)" },
    { TASKS, { status = 500, retry_after = 0, body = complaint("moderation service is down") },
        "server: moderation service is down (HTTP 500, task ID) RETRY" },
    { TASKS, { status = 501, body = "" },
        "server: the service answered 501 Not Implemented with an empty body (HTTP 501, task ID)" },
    { TASKS, { status = 302, body = "" },
        "protocol: the service answered 302 Found, a redirect, which is not followed (HTTP 302, task ID)" },
    { TASKS, { redirect = "https://elsewhere.example/x" },
        "protocol: the service answered 302 Found, a redirect to https://elsewhere.example/x, which is not " ..
            "followed (HTTP 302, task ID)" },
    { TASKS, { body = "no json", headers = { ["Retry-After"] = 0 } },
        "protocol: the service's response is not a JSON object: * (HTTP 200, task ID) RETRY" },
    { TASKS, { body = task { status = "SUCCESS" } },
        "protocol: the task ended as 'SUCCESS', but no image is in the response (HTTP 200, task ID)" },
    { TASKS, { body = task { status = "COMPLETED", output = "ftp://x" } },
        "protocol: the task ended as 'COMPLETED', but its link 'ftp://x' cannot be used (HTTP 200, task ID)" },
    { TASKS, { body = task { status = "FAILED" } },
        "task_failed: the task ended as 'FAILED'; the service gave no reason (task ID)" },
    { TASKS, { body = task { status = "FAILED", error = "out of paint" } },
        "task_failed: the task ended as 'FAILED': out of paint (task ID)" },
    { TASKS, { body = task { status = "FAILED", error = { message = "m", code = 1234, type = "gpu" } } },
        "task_failed: the task ended as 'FAILED': m (code 1234, task ID)" },
    { TASKS, { body = task { status = "FAILED", fail_reason = "NSFW content" } },
        "moderated: the service's moderation refused the image: NSFW content (task ID)" },
    { TASKS, { body = task { status = "FAILED", fail_reason = "content policy" } },
        "rejected: the task ended as 'FAILED': content policy (task ID)" },
    { TASKS, { body = task { status = "FAILED", fail_reason = "insufficient credits" } },
        "task_failed: the task ended as 'FAILED': insufficient credits (task ID)" },
    { TASKS, { body = task { status = "Request Moderated" } },
        "moderated: the service's moderation refused the image; the service gave no reason (task ID)" },
    { TASKS, { body = task { status = "moderated", error = "too bare" } },
        "moderated: the service's moderation refused the image: too bare (task ID)" },
    { TASKS, { body = task { status = "REJECTED", error = "no" } },
        "rejected: the task ended as 'REJECTED': no (task ID)" },
    { TASKS, { body = task { status = "content_policy_violation" } },
        "rejected: the task ended as 'content_policy_violation'; the service gave no reason (task ID)" },
    { TASKS, { body = task { status = "timed_out" } },
        "task_failed: the task ended as 'timed_out'; the service gave no reason (task ID)" },
    { TASKS, { body = task { status = "timed-out" } },
        "task_failed: the task ended as 'timed-out'; the service gave no reason (task ID)" },
    { TASKS, { body = task { status = "timedout" } },
        "task_failed: the task ended as 'timedout'; the service gave no reason (task ID)" },
    { TASKS, { body = answer { code = 402, message = "out of credits" } },
        "credits: out of credits (HTTP 200, code 402, task ID)" },
    { TASKS, { body = answer { error = "x" } }, "task_failed: x (HTTP 200, task ID)" },
    { TASKS, { body = answer { error = { type = "rate_limit" } } },
        "rate_limited: the service answered 200 with JSON that gives no reason (HTTP 200, task ID) RETRY" },
    { TASKS, { body = answer { code = 1001, message = "nsfw" } }, "moderated: nsfw (HTTP 200, code 1001, task ID)" },
    { TASKS, { body = answer { code = 1002, message = "odd" } }, "protocol: odd (HTTP 200, code 1002, task ID)" },
    { TASKS, { endless = true, body = "{" },
        "too_large: the response of HOST is larger than the limit of 20000 bytes; max_response_bytes raises it: the " ..
            "body exceeds 20000 bytes (HTTP 200, task ID)" },
    { TASKS, { endless_headers = true },
        "too_large: the headers of HOST are larger than the limit; max_header_bytes raises it: the headers exceed " ..
            "8192 bytes (HTTP 200, task ID)" },
    { IMAGES, { status = 401, body = "" },
        "not_found: the image host answered 401 Unauthorized with an empty body; links to results expire (HTTP " ..
            "401, task ID)" },
    { IMAGES, { status = 403, body = complaint("Access denied") },
        "not_found: the image host answered 403 Forbidden: Access denied; links to results expire (HTTP 403, task " ..
            "ID)" },
    { IMAGES, { status = 404, body = "" },
        "not_found: the image host answered 404 Not Found with an empty body; links to results expire (HTTP 404, " ..
            "task ID)" },
    { IMAGES, { status = 410, body = "" },
        "not_found: the image host answered 410 Gone with an empty body; links to results expire (HTTP 410, task ID)" },
    { IMAGES, { status = 418, body = "tea" },
        "rejected: the image host answered 418 with text: 'tea' (HTTP 418, task ID)" },
    { IMAGES, { status = 408, body = "" },
        "timeout: the image host answered 408 Request Timeout with an empty body (HTTP 408, task ID) RETRY" },
    { IMAGES, { status = 429, body = "" },
        "rate_limited: the image host answered 429 Too Many Requests with an empty body (HTTP 429, task ID) RETRY" },
    { IMAGES, { status = 500, body = complaint("broken") },
        "server: the image host answered 500 Internal Server Error: broken (HTTP 500, task ID) RETRY" },
    { IMAGES, { status = 503, body = "<title>Down</title>" },
        "server: the image host answered 503 Service Unavailable with an HTML page: 'Down' (HTTP 503, task ID) RETRY" },
    { IMAGES, { status = 304, body = "" },
        "protocol: the image host answered 304, a redirect, which is not followed (HTTP 304, task ID)" },
    { IMAGES, { redirect = "/images/again" },
        "protocol: HOST sent a redirect that is not followed; max_redirects (5) raises how many are: * (HTTP " ..
            "302, task ID)" },
    { IMAGES, { redirect = "ftp://elsewhere/" },
        "protocol: HOST sent a redirect that is not followed: * (HTTP 302, task ID)" },
    { IMAGES, { body = "<html>no image</html>" },
        "not_an_image: the data from HOST is not an image (PNG, JPEG, WEBP, GIF or AVIF by its first bytes) (HTTP " ..
            "200, task ID)" },
    { IMAGES, { body = "" },
        "not_an_image: the data from HOST is not an image (PNG, JPEG, WEBP, GIF or AVIF by its first bytes) (HTTP " ..
            "200, task ID)" },
    { IMAGES, { cut = 100 }, "network: the connection to HOST broke: * (HTTP 200, task ID) RETRY" },
    { IMAGES, { reset = "before" }, "network: the connection to HOST broke: * (task ID) RETRY" },
    { IMAGES, { garbage = "no HTTP\r\n\r\n" }, "network: the connection to HOST broke: * (task ID) RETRY" },
    { IMAGES, { endless = true, body = "\137PNG\r\n\26\n" },
        "too_large: the response of HOST is larger than the limit of 40000 bytes; max_image_bytes raises it: the " ..
            "body exceeds 40000 bytes (HTTP 200, task ID)" },
    { IMAGES, { endless_headers = true },
        "too_large: the headers of HOST are larger than the limit; max_header_bytes raises it: the headers exceed " ..
            "8192 bytes (HTTP 200, task ID)" },
}

describe("an error message:", function()
    local emu
    setup(function() emu = service.start() end)
    before_each(function() emu:clear_faults() end)
    teardown(service.stop_all)

    local function message_of(where, fault)
        local given = { path = where, times = 20 }
        for name, value in pairs(fault) do given[name] = value end
        emu:fault(given)
        -- A dedicated client: after a rate-limit response a client delays its requests.
        local client = service.client(emu, {
            max_retries = 0, max_response_bytes = 20000, max_image_bytes = 40000, max_header_bytes = 8192,
            poll = { interval = 0.02, patience = 1e-9 },
        })
        local image, err = client:generate "a red fox"
        assert.is_nil(image)
        local line = errors.line(err)
        -- The image is paid for once the task is accepted, unless the service reports the failure.
        local is_final = line:find("the task ended as '[^']+':?", 1) and not line:find ", but "
            or line:find "moderation refused"
        local is_paid = where ~= SUBMIT and not is_final
        assert.equal(is_paid, err.paid == true, line)
        assert.equal(line .. (is_paid and "; the image is paid for: client:task(err.task_id) fetches it" or ""),
            tostring(err))
        line = line:gsub("127%.0%.0%.1:%d+", "HOST"):gsub("127%.0%.0%.1", "HOST"):gsub("n41%w+_flux2", "ID")
        return (line .. (err.retryable and " RETRY" or "")), err
    end

    for i, row in ipairs(rows) do
        it(i .. ": " .. row[3]:sub(1, 70), function()
            local line = message_of(row[1], row[2])
            local before, after = row[3]:match "^(.-)%*(.*)$"
            if not before then return assert.equal(row[3], line) end
            assert.equal(before, line:sub(1, #before))
            assert.equal(after, line:sub(-#after))
        end)
    end
end)
