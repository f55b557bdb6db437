-- TLS and HTTP/2, with nginx in front of the emulator.
local core = require "flux2.core"
local flux2 = require "flux2"
local service = require "support.service"
local tls_front = require "support.tls_front"

describe("over TLS", function()
    local emu, front
    local function begin(options, emulator_options)
        emu = service.start(emulator_options)
        front = tls_front.start(emu, options)
    end
    local function client(options)
        options = options or {}
        options.base_url = options.base_url or front.url
        options.ca_file = options.ca_file or front.ca_file
        return service.client(emu, options)
    end
    after_each(function()
        if front then front:stop() end
        front = nil
        service.stop_all()
    end)

    local function share(options)
        begin(options, { duration = 0.2 })
        local c, done, failed = client(), 0, nil
        for i = 1, 200 do
            flux2.spawn(function()
                local result, err = assert(c:submit("multiplexed " .. i)):wait()
                if not result then failed = tostring(err) end
                done = done + 1
            end)
        end
        service.pump_until(function() return done == 200 end, 60)
        assert.is_nil(failed)
        local sold = {}
        for _, entry in ipairs(emu:ledger()) do
            assert.is_nil(sold[entry.prompt], "sold twice: " .. entry.prompt)
            sold[entry.prompt] = true
        end
        assert.equal(200, #emu:ledger())
        local connections, n = {}, 0
        for _, request in ipairs(front:log()) do
            -- A submission has a dedicated connection: closing a shared one would leave its outcome unknown.
            assert.equal(request.method == "POST" and "HTTP/1.1" or "HTTP/2.0", request.protocol)
            if not connections[request.connection] then n = n + 1 end
            connections[request.connection] = true
        end
        return n, #front:log()
    end

    it("200 tasks share a few HTTP/2 connections", function()
        local n = share()
        assert.is_true(n <= 4, "opened " .. n)
    end)

    it("200 tasks use a few more when the server closes connections in use", function()
        local n, requests = share { keepalive = 200 }
        assert.is_true(n <= 4 + 4 * requests / 200, "opened " .. n)
    end)

    it("HTTP/1.1 works as well, with a few connections", function()
        begin { http2 = false }
        local c, done = client(), 0
        for i = 1, 60 do
            flux2.spawn(function()
                assert(assert(c:submit("one after the other " .. i)):wait())
                done = done + 1
            end)
        end
        service.pump_until(function() return done == 60 end, 60)
        local connections, n = {}, 0
        for _, request in ipairs(front:log()) do
            assert.equal("HTTP/1.1", request.protocol)
            if not connections[request.connection] then n = n + 1 end
            connections[request.connection] = true
        end
        -- Eight at once, and two of the first submissions, before the protocol was known.
        assert.is_true(n <= 10, "opened " .. n)
    end)

    it("images are downloaded", function()
        begin(nil, { image_bytes = 300000 })
        local task = assert(client():submit "over https")
        local image = assert(task:wait()).images[1]
        image.url = image.url:gsub("^http://127.0.0.1:%d+", front.url)
        assert.equal(300000, #assert(image:bytes()))
    end)

    --- PATTERN is what OpenSSL says, OTHER what Schannel says.
    local function refused(c, pattern, other)
        local result, err = assert(c:submit "trust me"):wait()
        assert.is_nil(result)
        assert.equal("tls", err.kind, tostring(err))
        assert.matches(core.libcurl:find "Schannel" and other or pattern, tostring(err):lower())
        assert.equal(0, #emu:ledger())
        assert.equal(0, emu:stats().requests)
    end

    it("an unknown issuer is rejected, and the error says so", function()
        begin()
        refused(client { ca_file = "/etc/ssl/certs/ca-certificates.crt", max_retries = 0 }, "self.signed", "untrusted_root")
    end)
    it("an expired certificate is rejected, and the error says so", function()
        begin { expired = true }
        refused(client { max_retries = 0 }, "expired", "not_time_valid")
    end)
    it("a certificate for another name is rejected, and the error says so", function()
        begin { name = "subjectAltName=DNS:another.example" }
        refused(client { max_retries = 0 }, "no alternative certificate subject name matches",
            "peer certificate")
    end)
    -- libcurl reads it once for each multi handle. A process of its own, because the first CA file of an engine is shared.
    local openssl = core.libcurl:find "OpenSSL/" and it or pending
    openssl("submissions and polls read the CA file once", function()
        begin(nil, { duration = 0.5 })
        local code, printed = service.run_lua([[
            local flux2, url, key, ca_file = require "flux2", ...
            local client = assert(flux2.new { base_url = url, api_key = key, ca_file = ca_file,
                poll = { interval = 0.5 } })
            local task = assert(client:submit "a red fox")
            while not task.id do require("flux2.scheduler").block() flux2.update() end
            assert(os.remove(ca_file))
            assert(task:wait(20))
        ]], ("%s %s %s"):format(front.url, emu.api_key, front.ca_file))
        assert.equal(0, code, printed)
    end)
    it("a missing CA file is a tls error that names the file", function()
        begin()
        refused(client { ca_file = "/no/such/bundle.pem", max_retries = 0 }, "/no/such/bundle.pem")
    end)
end)
