--- Shared by the benchmarks: starts and stops programs, the service and the TLS proxy; statistics and tables.

local cjson = require "cjson"

local support = {}

support.build = "build/bench"

--- Runs a shell command. Returns its output and exit code.
---@param command string
---@return string printed
---@return integer code
function support.run(command)
    local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1; echo \"exit:$?\""))
    local printed = pipe:read "*a"
    pipe:close()
    local before, code = printed:match "^(.-)exit:(%d+)%s*$"
    return before or printed, tonumber(code) or -1
end

--- Runs a shell command; raises an error if it fails.
function support.must(command)
    local printed, code = support.run(command)
    if code ~= 0 then error(command .. "\n" .. printed, 2) end
    return printed
end

function support.directory()
    local root = support.run "[ -w /dev/shm ] && echo /dev/shm || echo ${TMPDIR:-/tmp}":match "%S+"
    return support.must("mktemp -d " .. root .. "/flux2-bench.XXXXXX"):match "%S+"
end

--- Removes proxy settings and the API key from the environment of the clients.
support.clean = "unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY "
    .. "FLUX2_API_KEY FLUX2_BASE_URL LUA_INIT LUA_INIT_5_4; "

--- Returns the command of a Lua program. `lua` is "5.4" or "luajit".
function support.lua(lua, script)
    local path = support.must("tools/find-lua " .. lua):match "%S+"
    local abi = lua == "luajit" and "5.1" or lua
    return ("LUA_PATH='lua/?.lua;lua/?/init.lua;bench/?.lua;;' LUA_CPATH='build/%s/?.so;%s/%s/?.so;;' %%s%s bench/%s")
        :format(abi, support.build, abi, path, script)
end

--- Calls `body`, then `clean`. Raises an error of `body` with its traceback afterwards.
function support.finally(body, clean)
    local ok, reason = xpcall(body, debug.traceback)
    clean()
    if not ok then error(reason, 0) end
end

-- The service -------------------------------------------------------------------------------------------------------

local Service = {}
Service.__index = Service

---@return table service url, port, and the methods below
function support.service()
    local pipe = assert(io.popen(support.build .. "/service"))
    local port = tonumber(pipe:read "*l")
    assert(port, "the service did not start")
    return setmetatable({ pipe = pipe, port = port, url = "http://127.0.0.1:" .. port }, Service)
end

local function curl(arguments)
    return support.must(support.clean .. "curl -sS --noproxy '*' " .. arguments)
end

--- Resets the service; `what` is for example "polls=6&bytes=102400".
function Service:reset(what)
    curl(("-X POST '%s/reset?%s'"):format(self.url, what))
end

function Service:stats()
    return cjson.decode(curl(self.url .. "/stats"))
end

function Service:stop()
    support.run(("curl -s --noproxy '*' -X POST %s/end"):format(self.url))
    self.pipe:close()
end

-- TLS and HTTP/2 proxy -------------------------------------------------------------------------------------------

local CONFIG = [[
daemon on;
worker_processes 1;
pid DIR/pid;
error_log DIR/error.log;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    keepalive_requests 10000000;
    proxy_max_temp_file_size 0;
    proxy_buffers 16 64k;
    upstream service { server 127.0.0.1:BEHIND; keepalive 256; keepalive_requests 10000000; }
    server {
        listen 127.0.0.1:PORT ssl HTTP2 backlog=4096;
        ssl_certificate DIR/cert.pem;
        ssl_certificate_key DIR/key.pem;
        location = /proxy-status { stub_status; }
        location / {
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto https;
        }
    }
}
]]

local Proxy = {}
Proxy.__index = Proxy

--- Starts nginx as a TLS proxy of the service. The CA file is the system's bundle with the certificate of the proxy
--- appended, so that clients read a bundle of realistic size.
---@param service table
---@param http2 boolean
---@return table proxy url, ca_file
function support.proxy(service, http2)
    local dir = support.directory()
    local request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        .. "-keyout %s/key.pem -out %s/cert.pem -subj '/CN=flux2 bench' -addext subjectAltName=IP:127.0.0.1"
    support.must(request:format(dir, dir))
    local bundle = "/etc/ssl/certs/ca-certificates.crt"
    support.must(("cat %s %s/cert.pem > %s/ca.pem"):format(bundle, dir, dir))
    for attempt = 1, 20 do
        local port = 20000 + (service.port * 7 + attempt * 131) % 10000
        local values = { DIR = dir, PORT = port, BEHIND = service.port, HTTP2 = http2 and "http2" or "" }
        local out = assert(io.open(dir .. "/nginx.conf", "w"))
        out:write((CONFIG:gsub("%u[%u%d]+", function(name) return values[name] and tostring(values[name]) end)))
        out:close()
        local printed, code = support.run(("PATH=$PATH:/usr/sbin nginx -p %s -c %s/nginx.conf"):format(dir, dir))
        if code == 0 then
            return setmetatable({ dir = dir, url = "https://127.0.0.1:" .. port, ca_file = dir .. "/ca.pem" }, Proxy)
        end
        assert(printed:find("in use", 1, true), printed)
    end
    error "no port for nginx"
end

--- Returns the number of connections that clients opened so far, including this request's.
function Proxy:connections()
    local printed = curl(("--cacert %s %s/proxy-status"):format(self.ca_file, self.url))
    return assert(tonumber(printed:match "\n%s*(%d+) %d+ %d+"), printed)
end

function Proxy:stop()
    support.run(("kill $(cat %s/pid); for i in $(seq 100); do [ -e %s/pid ] || break; sleep 0.02; done; rm -rf %s")
        :format(self.dir, self.dir, self.dir))
end

-- Statistics ------------------------------------------------------------------------------------------------------

--- Returns the quantile `q`; nil for an empty list.
function support.quantile(list, q)
    local sorted = {}
    for i, v in ipairs(list) do sorted[i] = v end
    table.sort(sorted)
    return sorted[math.max(1, math.ceil(q * #sorted))]
end

function support.median(list)
    return support.quantile(list, 0.5)
end

--- Returns half the range in percent of the median.
function support.spread(list)
    local middle = support.median(list)
    return middle > 0 and (support.quantile(list, 1) - support.quantile(list, 0)) / 2 / middle * 100 or 0
end

--- Prints rows as a Markdown table; the first row is the header.
function support.print_table(rows)
    local widths = {}
    for _, row in ipairs(rows) do
        for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 3, #cell) end
    end
    for number, row in ipairs(rows) do
        local cells = {}
        for i, cell in ipairs(row) do
            cells[i] = i == 1 and cell .. (" "):rep(widths[i] - #cell) or (" "):rep(widths[i] - #cell) .. cell
        end
        print("| " .. table.concat(cells, " | ") .. " |")
        if number == 1 then
            for i, width in ipairs(widths) do cells[i] = i == 1 and ("-"):rep(width) or ("-"):rep(width - 1) .. ":" end
            print("| " .. table.concat(cells, " | ") .. " |")
        end
    end
    io.stdout:flush()
end

return support
