--- A service that speaks HTTP/2 badly: openssl's server for TLS, and support/h2_frames.lua behind it.
local service = require "support.service"
local tls_front = require "support.tls_front"

local h2_service = {}
h2_service.__index = h2_service

local START = [[
cd '%s' && mkfifo to from && touch log && {
    openssl s_server -quiet -alpn h2,http/1.1 -accept 127.0.0.1:%d -cert cert.pem -key key.pem 0<>to >from 2>server.log &
    echo $! >server.pid
    '%s' '%s' log '%s' '%s' <from >to 2>frames.log &
    echo $! >frames.pid
}
]]

--- `plan` is that of h2_frames.lua. The picture that the answers name is at `picture`. It serves one connection after the
--- other.
function h2_service.start(picture, plan)
    local dir = service.directory()
    tls_front.make_certificate(dir, {})
    local port = tls_front.free_port()
    local pipe = assert(io.popen "pwd")
    local here = pipe:read "*l"
    pipe:close()
    -- Not in a sanitizer: it has no part in what is tested.
    local lua = (os.getenv "FLUX2_TEST_LUA" or "lua"):match "([^/]+)$"
    os.execute(START:format(dir, port, lua, here .. "/spec/support/h2_frames.lua", picture, plan or "ok"))
    -- It listens as soon as openssl says so in no way at all; whoever connects earlier is refused, which would count.
    local ready = ("for i in $(seq 500); do openssl s_client -connect 127.0.0.1:%d -alpn h2 </dev/null >/dev/null 2>&1 && exit; "
        .. "sleep 0.02; done; exit 1"):format(port)
    assert(os.execute(ready))
    return setmetatable({
        dir = dir, url = ("https://127.0.0.1:%d"):format(port), ca_file = dir .. "/cert.pem",
    }, h2_service)
end

--- How many requests of a method came whole, and how many of them by HTTP/2.
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
    for _, name in ipairs { "server", "frames" } do
        os.execute(("kill $(cat '%s/%s.pid') 2>/dev/null"):format(self.dir, name))
    end
    service.remove(self.dir)
end

return h2_service
