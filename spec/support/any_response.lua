--- Invalid responses generated from a seed: known ones with random changes, and responses of random parts. Independent
--- of flux2.
local any_response = {}

local IDS = '{"code":200,"message":"success","data":{"task_id":"{task_id}","status":"IN_PROGRESS","progress":"50%",' ..
    '"credits":10}}'
local ENDED = '{"code":200,"data":{"task_id":"{task_id}","status":"SUCCESS",' ..
    '"output":{"image_url":"{url}/images/any.png"},"credits_used":7}}'
local SEEDS = {
    submission = { IDS, IDS, ENDED, '{"created":1,"data":[{"b64_json":"iVBORw0KGgo="}]}',
        '{"error":{"code":400,"message":"no","type":"invalid_request"}}' },
    task = {
        ENDED, ENDED, IDS, '{"data":{"status":"FAILED","error":{"message":"out of paint","code":7}}}',
        '{"data":{"status":"nsfw"}}',
        '{"data":{"result":{"images":[{"url":["{url}/images/1.png","//x/y"]}]},"status":"done"}}',
        '{"code":404,"message":"not found"}',
        '{"data":{"state":"success","resultJson":"{\\"resultUrls\\":[\\"{url}/images/2.png\\"]}"}}',
        '{"detail":[{"loc":["body",0],"msg":"x"}]}',
    },
    image = { "\137PNG\r\n\26\n" .. ("x"):rep(40), "\255\216\255\224 jpeg", "GIF89a....", "<html>soon</html>", "",
        '{"error":"no"}' },
}
local VALUES = {
    "null", "true", "-1", "0", "1e999", "18446744073709551615", "NaN", "0.1e-400", '""', '"\\u0000"', '"\\ud800"',
    '"\255\254"', '"\195"',
    '"\\u001b[2J\\u0007"', '"a\nb"', '"../../x"', '"ftp://x/y"', '"http://127.0.0.1:1/x.png"', '"//127.0.0.1:1/x"',
    '"  {url}/images/9.png "',
    '"data:image/png;base64,iVBORw0KGgo="', '"data:image/png;base64,%%%"', '"SUCCESS"', '"weird"', '"moderated"',
    '"-rf"', '"' .. ("long"):rep(400) .. '"',
    "{}", "[]", "[[[[]]]]", '[null,{"url":7}]', '{"url":{"url":{"url":"x"}}}', ("["):rep(200) .. ("]"):rep(200),
    ('{"data":'):rep(120) .. "1" .. ("}"):rep(120),
    '"aio_key_that_is_echoed"', '"\226\128\174\194\155"',
}
local NAMES = {
    "data", "task_id", "id", "status", "state", "code", "error", "message", "output", "image_url", "images", "url",
    "result", "b64_json", "progress",
    "credits", "retry_after", "resultJson", "fail_reason", "detail", "type", "request_id",
}
local STATUS = { 201, 202, 203, 204, 206, 300, 301, 302, 304, 400, 401, 402, 403, 404, 405, 407, 408, 409, 410, 418,
    422, 425, 429, 451, 455, 500, 501, 502,
    503, 504, 520, 599 }
local HEADERS = {
    { ["Content-Type"] = "text/html" }, { ["Content-Type"] = "application/json; charset=utf-16" },
    { ["Content-Type"] = "" }, { ["Retry-After"] = "-1" },
    { ["Retry-After"] = "1e300" }, { ["Retry-After"] = "0" }, { ["Retry-After"] = "Fri, 31 Dec 9999 23:59:59 GMT" },
    { Location = "/images/any.png" },
    { Location = "http://127.0.0.1:1/" }, { ["x-request-id"] = "\27[31m" }, { ["Content-Encoding"] = "gzip" },
}

--- A random piece of JSON.
local function random_json(draw, depth)
    if depth == 0 or draw.random(3) == 1 then return draw.one_of(VALUES) end
    local parts = {}
    local is_list = draw.random(4) == 1
    for i = 1, draw.random(4) do
        local value = random_json(draw, depth - 1)
        parts[i] = is_list and value or ('"%s":%s'):format(draw.one_of(NAMES), value)
    end
    return (is_list and "[" or "{") .. table.concat(parts, ",") .. (is_list and "]" or "}")
end

local CHANGES = {
    function(s, at) return s:sub(1, at) end, -- cut
    function(s, at, draw) return s:sub(1, at - 1) .. string.char(draw.random(256) - 1) .. s:sub(at + 1) end,
    function(s, at, draw) return s:sub(1, at) .. draw.one_of(VALUES) .. s:sub(at + 1) end,
    function(s, at, draw) return s:sub(1, at) .. s:sub(at + draw.random(8)) end, -- a part is missing
    -- duplicated part
    function(s, at, draw) return s:sub(1, at) .. s:sub(math.max(1, at - draw.random(30)), at) .. s:sub(at + 1) end,
    -- A value or a name is replaced.
    function(s, at, draw)
        local from, to = s:find('"[^"]*"', at)
        return from and s:sub(1, from - 1) .. draw.one_of(VALUES) .. s:sub(to + 1) or s
    end,
    function(s, at, draw)
        local from, to = s:find('"[%w_]*":', at)
        return from and s:sub(1, from) .. draw.one_of(NAMES) .. s:sub(to - 1) or s
    end,
}

local function body(draw, kind)
    if kind ~= "image" and draw.random(4) == 1 then return random_json(draw, 5) end
    local s = draw.one_of(SEEDS[kind])
    for _ = 1, draw.random(4) - 1 do s = draw.one_of(CHANGES)(s, draw.random(#s + 1), draw) end
    return s
end

--- A response of one kind, as fields of an emulator fault.
---@param draw table support.seeded
---@param kind "submission"|"task"|"image"
function any_response.new(draw, kind)
    return {
        times = 1000, body = body(draw, kind), status = draw.random(3) == 1 and draw.one_of(STATUS) or nil,
        headers = draw.random(4) == 1 and draw.one_of(HEADERS) or nil, cut = draw.random(25) == 1 and draw.random(30)
        or nil,
    }
end

return any_response
