--- The benchmark's work with lua-http on cqueues. One connection per worker, because lua-http has no connection pool.
--   lua peer_lua_http.lua URL TASKS CONCURRENCY INTERVAL_MS DIRECTORY

local cjson = require "cjson"
local client = require "http.client"
local cqueues = require "cqueues"
local new_headers = require "http.headers".new

local url, directory = arg[1], arg[5]
local tasks, concurrency, interval = tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
local host, port = url:match "^http://([^:]+):(%d+)"
local BODY = "{\"model\":\"flux-2\",\"prompt\":\"a red fox\",\"aspect_ratio\":\"1:1\"}"

local function request(connection, method, path, body)
    local headers = new_headers()
    headers:append(":method", method)
    headers:append(":scheme", "http")
    headers:append(":authority", host .. ":" .. port)
    headers:append(":path", path)
    headers:append("authorization", "Bearer aio_bench_key")
    headers:append("accept", "application/json")
    if body then
        headers:append("content-type", "application/json")
        headers:append("content-length", ("%d"):format(#body))
    end
    local stream = assert(connection:new_stream())
    assert(stream:write_headers(headers, body == nil))
    if body then assert(stream:write_chunk(body, true)) end
    local response = assert(stream:get_headers())
    assert(response:get ":status" == "200")
    local text = assert(stream:get_body_as_string())
    stream:shutdown()
    return text
end

local function generate(connection, path)
    local data = cjson.decode(request(connection, "POST", "/api/v1/images/generations", BODY)).data
    local id = data.task_id
    repeat
        cqueues.sleep(interval / 1000)
        data = cjson.decode(request(connection, "GET", "/api/v1/tasks/" .. id)).data
    until data.status == "SUCCESS"
    local bytes = request(connection, "GET", data.output.image_url:match "^http://[^/]+(/.*)$")
    local out = assert(io.open(path .. ".part", "wb"))
    out:write(bytes)
    out:close()
    assert(os.rename(path .. ".part", path))
end

local begun, done = 0, 0
local loop = cqueues.new()
for _ = 1, concurrency do
    loop:wrap(function()
        local connection = assert(client.connect { host = host, port = tonumber(port), tls = false, version = 1.1 })
        assert(connection:connect())
        while begun < tasks do
            begun = begun + 1
            generate(connection, directory .. "/" .. begun .. ".png")
            done = done + 1
        end
        connection:close()
    end)
end
assert(loop:loop())
print("done " .. done)
