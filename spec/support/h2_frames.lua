-- h2_frames.lua - the server side of HTTP/2 on standard input and output: resets streams, sends GOAWAY and invalid
-- frames. support/h2_service.lua adds TLS. A standalone program.
--
--   lua h2_frames.lua LOG IMAGE_URL PLAN
--
-- PLAN is a comma-separated list of actions, one for each HTTP/2 request; the last one repeats. HTTP/1.1 requests
-- succeed, except with the PLAN "cut BYTES": the TLS server is killed after so many bytes of the response, so that its
-- connection ends without a notice of TLS. "cut open BYTES": the same for a response without a length. LOG gets a line
-- for each complete request: its method, connection, and stream or 0.

local log = assert(io.open(arg[1], "a"))
local image_url = arg[2]
local plan, at = {}, 0
for action in arg[3]:gmatch "[^,]+" do table.insert(plan, action) end

local DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 9
local END_STREAM, END_HEADERS = 1, 4
local STATUS_200 = "\136" -- from HPACK's static table

local function number(n, bytes)
    local out = {}
    for i = bytes, 1, -1 do
        out[i] = string.char(n % 256)
        n = math.floor(n / 256)
    end
    return table.concat(out)
end

local function frame(kind, flags, stream, payload)
    io.write(number(#payload, 3), string.char(kind, flags), number(stream, 4), payload)
end

local function respond(stream, body)
    frame(HEADERS, END_HEADERS, stream, STATUS_200)
    frame(DATA, END_STREAM, stream, body)
end

local BODIES = {
    POST = '{"code":200,"data":{"task_id":"a-task","status":"queued"}}',
    GET = '{"code":200,"data":{"task_id":"a-task","status":"SUCCESS","output":{"image_url":"' .. image_url .. '"}}}',
}

local function reset(code)
    return function(stream) frame(RST_STREAM, 0, stream, number(code, 4)) end
end

-- An endless header block: each frame has a field with a long value.
local function endless_headers(stream)
    local field = "\0\1x\127\129\127" .. ("y"):rep(16384)
    frame(HEADERS, 0, stream, STATUS_200)
    for _ = 1, 8 do frame(CONTINUATION, 0, stream, field:sub(1, 16384)) end
end

local actions = {
    ok = function(stream, method) respond(stream, BODIES[method]) end,
    refused = reset(7), cancelled = reset(8), internal = reset(2), calm = reset(11), unknown = reset(4000000000),
    -- No request was processed, this one included.
    away = function() frame(GOAWAY, 0, 0, number(0, 4) .. number(0, 4)) end,
    -- This request is the last one that is processed.
    last = function(stream, method)
        frame(GOAWAY, 0, 0, number(stream, 4) .. number(0, 4))
        respond(stream, BODIES[method])
    end,
    -- This request was processed, then an internal error occurred.
    broken = function(stream) frame(GOAWAY, 0, 0, number(stream, 4) .. number(2, 4) .. ("x"):rep(1000)) end,
    half = function(stream, method)
        frame(HEADERS, END_HEADERS, stream, STATUS_200)
        frame(DATA, 0, stream, BODIES[method]:sub(1, 20))
        frame(RST_STREAM, 0, stream, number(2, 4))
    end,
    ["no headers"] = function(stream, method) frame(DATA, END_STREAM, stream, BODIES[method]) end,
    ["stream 0"] = function() frame(DATA, END_STREAM, 0, "for nobody") end,
    push = function(stream) frame(PUSH_PROMISE, END_HEADERS, stream, number(2, 4) .. "\130") end,
    ["bad hpack"] = function(stream) frame(HEADERS, END_HEADERS + END_STREAM, stream, ("\255"):rep(40)) end,
    ["too large"] = function(stream) io.write(number(2 ^ 24 - 1, 3), string.char(DATA, 0), number(stream, 4),
        ("x"):rep(70000)) end,
    ["bad settings"] = function() frame(SETTINGS, 0, 0, "12345") end,
    ["endless headers"] = endless_headers,
    flood = function(stream, method)
        for _ = 1, 2000 do frame(SETTINGS, 0, 0, "") end
        for _ = 1, 2000 do frame(PING, 0, 0, "12345678") end
        respond(stream, BODIES[method])
    end,
}

local connection, methods = 0, {}

local function note(method, stream)
    log:write(method, " ", connection, " ", stream, "\n")
    log:flush()
end

local function act(stream)
    local method = methods[stream]
    methods[stream] = nil
    note(method, stream)
    at = at + 1
    actions[plan[at] or plan[#plan]](stream, method)
end

--- Handles an HTTP/1.1 request of which `head` has been read.
local function respond_http1(head)
    connection = connection + 1
    repeat head = head .. io.read(1) until head:sub(-4) == "\r\n\r\n"
    io.read(tonumber(head:lower():match "content%-length: (%d+)") or 0)
    local method = head:match "^%u+"
    note(method, 0)
    local open, bytes = arg[3]:match "^cut( ?%l*) (%d+)$"
    local length = open == " open" and "" or ("Content-Length: %d\r\n"):format(#BODIES[method])
    local response = ("HTTP/1.1 200 OK\r\nConnection: close\r\n%s\r\n%s"):format(length, BODIES[method])
    io.write((response:sub(1, tonumber(bytes))))
    io.flush()
    if bytes then os.execute "sleep 0.1; kill -9 $(cat server.pid)" end
end

--- The method in a header block: it comes first, from HPACK's static table.
local function method_of(flags, payload)
    local padding, place = 0, 1
    if math.floor(flags / 8) % 2 == 1 then padding, place = payload:byte(1), 2 end
    if math.floor(flags / 32) % 2 == 1 then place = place + 5 end
    local block = payload:sub(place, #payload - padding):gsub("^[\32-\63]+", "")
    return block:byte(1) == 131 and "POST" or "GET"
end

local function begin()
    connection, methods = connection + 1, {}
    io.read(15)
    frame(SETTINGS, 0, 0, "")
end

while true do
    local head = io.read(9)
    if not head or #head < 9 then break end
    if head == "PRI * HTT" then
        begin()
    elseif head:find "^%u+ /" then
        respond_http1(head)
    else
        local a, b, c, kind, flags, s1, s2, s3, s4 = head:byte(1, 9)
        local size, stream = a * 65536 + b * 256 + c, (s1 % 128) * 16777216 + s2 * 65536 + s3 * 256 + s4
        local payload = size > 0 and io.read(size) or ""
        local ends = flags % 2 == 1
        if kind == HEADERS then methods[stream] = method_of(flags, payload) end
        if (kind == HEADERS or kind == DATA) and ends and methods[stream] then act(stream) end
        if kind == SETTINGS and not ends then frame(SETTINGS, 1, 0, "") end
    end
    io.flush()
end
