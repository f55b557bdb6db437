--- nginx in front of an emulator: TLS and HTTP/2, with a self-signed certificate.
local core = require "flux2.core"
local service = require "support.service"
local shell = require "support.shell"

local tls_front = {}

local CONFIG = [[
daemon on;
master_process off;
pid %(dir)/pid;
error_log %(dir)/error.log;
events { worker_connections 512; }
http {
    log_format protocol '$server_protocol $connection $status $request_method $uri';
    access_log %(dir)/access.log protocol;
    client_body_temp_path %(dir)/body;
    proxy_temp_path %(dir)/proxy;
    fastcgi_temp_path %(dir)/fastcgi;
    uwsgi_temp_path %(dir)/uwsgi;
    scgi_temp_path %(dir)/scgi;
    server {
        listen 127.0.0.1:%(port) ssl %(http2);
        keepalive_requests %(keepalive);
        ssl_certificate %(dir)/cert.pem;
        ssl_certificate_key %(dir)/key.pem;
        location / {
            proxy_pass http://127.0.0.1:%(behind);
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }
    }
}
]]

local function run(command)
    local code, printed = shell.run(command)
    return code == 0, printed
end

local CA_CONFIG = [[
[ca]
default_ca = spec
[spec]
new_certs_dir = .
database = index
serial = serial
default_md = sha256
policy = any
x509_extensions = extensions
[any]
commonName = supplied
[extensions]
]]

--- A self-signed certificate: valid for two days, or expired.
function tls_front.make_certificate(dir, options)
    local name = options.name or "subjectAltName=IP:127.0.0.1,DNS:localhost"
    service.write(dir .. "/ca.cnf", CA_CONFIG .. name:gsub("=", " = ", 1) .. "\n")
    local dates = options.expired and "-startdate 20200101000000Z -enddate 20200102000000Z" or "-days 2"
    assert(run(("cd '%s' && touch index && echo 01 > serial && "
        .. "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out request.pem "
        .. "-subj '/CN=flux2 spec' && openssl ca -batch -notext -selfsign -config ca.cnf -keyfile key.pem "
        .. "-in request.pem -out cert.pem %s"):format(dir, dates)))
end

--- A port that is free. It is below those that the system gives to a program that wants any: no other program gets it
--- until it is used, or between two uses.
function tls_front.free_port()
    local probe
    repeat
        local number = tonumber(core.token():sub(1, 6), 16)
        probe = require("flux2.emulator").start { port = 12000 + number % 20000 }
    until probe
    probe:stop()
    return probe.port
end

--- Starts nginx in front of the emulator. options: http2 (default true), name of the certificate, and whether it has
--- expired; keepalive: the number of requests per connection.
function tls_front.start(emu, options)
    options = options or {}
    local front = { dir = service.directory() }
    tls_front.make_certificate(front.dir, options)
    for _ = 1, 10 do
        front.port = tls_front.free_port()
        local values = {
            dir = front.dir, port = front.port, behind = emu.port, http2 = options.http2 ~= false and "http2" or "",
            keepalive = options.keepalive or 100000,
        }
        service.write(front.dir .. "/nginx.conf", (CONFIG:gsub("%%%((%w+)%)", function(name)
            local value = values[name]
            return type(value) == "number" and ("%d"):format(value) or value
        end)))
        local started, printed = run(("PATH=$PATH:/usr/sbin nginx -p '%s' -c '%s/nginx.conf'"):format(front.dir,
            front.dir))
        if started then
            front.url = ("https://127.0.0.1:%d"):format(front.port)
            front.ca_file = front.dir .. "/cert.pem"
            return setmetatable(front, { __index = tls_front })
        end
        assert(printed:find("Address already in use", 1, true), printed)
    end
    error "no port for nginx"
end

--- The requests so far: { protocol, connection, status, method, path } for each one.
function tls_front:log()
    local list = {}
    for line in io.lines(self.dir .. "/access.log") do
        local protocol, connection, status, method, path = line:match "^(%S+) (%d+) (%d+) (%S+) (.*)$"
        list[#list + 1] = { protocol = protocol, connection = connection, status = status, method = method,
            path = path }
    end
    return list
end

function tls_front:stop()
    run(("kill $(cat '%s/pid')"):format(self.dir))
    -- nginx removes its pid file when it has ended.
    run(("for i in $(seq 1500); do [ -e '%s/pid' ] || break; sleep 0.02; done"):format(self.dir))
    service.remove(self.dir)
end

return tls_front
