--- A service with HTTP/2 faults: openssl s_server for TLS, and support/h2_frames.lua behind it.
local service = require "support.service"
local shell = require "support.shell"
local tls_front = require "support.tls_front"

local h2_service = {}
h2_service.__index = h2_service

local START = [[
cd '%s' && mkfifo to from && touch log && {
    openssl s_server -quiet -alpn h2,http/1.1 -accept 127.0.0.1:%d -cert cert.pem -key key.pem <>to >from 2>server.log &
    echo $! >server.pid
    '%s' '%s' log '%s' '%s' <from >to 2>frames.log &
    echo $! >frames.pid
}
]]

-- openssl does not report when it listens, and a client that connects earlier is refused: connects until it meets the
-- certificate. Fails if the server is gone: another process took its port.
local READY = [[
cd '%s' && (for i in $(seq 500); do
    kill -0 $(cat server.pid) 2>/dev/null || exit 1
    timeout 2 openssl s_client -connect 127.0.0.1:%d -alpn h2 -CAfile cert.pem -verify_return_error </dev/null \
        >/dev/null 2>&1 && exit
    sleep 0.02
done
exit 1)]]

local function stop_processes(dir)
    for _, name in ipairs { "server", "frames" } do
        os.execute(("kill $(cat '%s/%s.pid') 2>/dev/null"):format(dir, name))
    end
end

--- `plan` is that of h2_frames.lua. The responses contain `image_url`. Connections are served one at a time.
function h2_service.start(image_url, plan)
    local _, here = shell.run "pwd"
    here = here:match "[^\n]+"
    -- Without a sanitizer: it is not under test.
    local lua = (os.getenv "FLUX2_TEST_LUA" or "lua"):match "([^/]+)$"
    for _ = 1, 10 do
        local dir, port = service.directory(), tls_front.free_port()
        tls_front.make_certificate(dir, {})
        os.execute(START:format(dir, port, lua, here .. "/spec/support/h2_frames.lua", image_url, plan or "ok"))
        if shell.run(READY:format(dir, port)) == 0 then
            return setmetatable({
                dir = dir, url = ("https://127.0.0.1:%d"):format(port), ca_file = dir .. "/cert.pem",
            }, h2_service)
        end
        stop_processes(dir)
        service.remove(dir)
    end
    error "no port for openssl"
end

--- Counts the complete requests of a method, and those over HTTP/2.
function h2_service:count(method)
    local requests, shared = 0, 0
    for line in io.lines(self.dir .. "/log") do
        local what, stream = line:match "^(%u+) %d+ (%d+)"
        if what == method then
            requests = requests + 1
            if stream ~= "0" then shared = shared + 1 end
        end
    end
    return requests, shared
end

function h2_service:stop()
    stop_processes(self.dir)
    service.remove(self.dir)
end

return h2_service
