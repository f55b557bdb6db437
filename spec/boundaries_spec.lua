-- Limits of the engine, tested to the byte: a value at the limit passes, a value one byte above it fails.
-- The headers of a result are those of the final response, not those of a redirect before it.
local bound = require "support.bound"
local core = require "flux2.core"
local jobs = require "support.jobs"
local png = require "support.png"
local service = require "support.service"

local PNG = "\137PNG\r\n\26\n"

local function profile(options)
    local p = { max_attempts = 1, poll_interval = 0.001, signatures = { PNG, "RIFF????WEBP" },
        traces = { "x-best", "x-other" } }
    for name, value in pairs(options or {}) do p[name] = value end
    return core.profile(p)
end

local emu, dir
service.around_each(before_each, after_each, nil, function(...) emu, dir = ... end)

local function respond(body, more)
    emu:clear_faults()
    local fault = { path = "/x", times = 1000, body = body }
    for name, value in pairs(more or {}) do fault[name] = value end
    emu:fault(fault)
    return emu.url .. "/x"
end

--- Sends these bytes, headers included, in response to each request.
local function raw(path, bytes) emu:fault { path = path, times = 1000, garbage = bytes } end

describe("a body", function()
    local ways = {
        ["of known length"] = {},
        ["in small pieces"] = { trickle = { bytes = 1000, interval = 0.0001 } },
        ["in single bytes"] = { trickle = { bytes = 1, interval = 0 } },
    }
    for way, more in pairs(ways) do
        local limit = way == "in single bytes" and 40 or 3000
        for size, fits in pairs { [limit - 1] = true, [limit] = true, [limit + 1] = false } do
            it(("%s of %d bytes, where %d are allowed"):format(way, size, limit), function()
                local body = png.holding(("x"):rep(size - 32))
                local url, p = respond(body, more), profile { max_body = limit }
                for _, spec in ipairs { { url = url }, { url = url, check = true },
                    { url = url, file = dir .. "/f" } } do
                    local ended = jobs.fetch(p, spec)
                    if fits then
                        assert.is_nil(ended.failure)
                        assert.equal(body, spec.file and service.read(spec.file) or spec.check
                            and ended.buffer:string() or ended.body)
                    else
                        assert.same({ "too_large", ("the body exceeds %d bytes"):format(limit), 200 },
                            { ended.failure, ended.message, ended.http_status })
                        assert.is_nil(ended.body)
                    end
                end
                assert.same(fits and { "f" } or {}, service.list(dir))
            end)
        end
    end
    it("that is empty becomes an empty file, or no body", function()
        local url, p = respond "", profile { max_body = 0 }
        assert.is_nil(jobs.fetch(p, url).failure)
        assert.is_nil(jobs.fetch(p, { url = url, file = dir .. "/f" }).failure)
        assert.equal("", service.read(dir .. "/f"))
        assert.equal("signature", jobs.fetch(p, { url = url, check = true }).failure)
        assert.equal("too_large", jobs.fetch(p, respond "x").failure)
    end)
    it("is not limited by the announced Content-Length", function()
        raw("/x", "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\nabc")
        assert.equal("network", jobs.fetch(profile(), emu.url .. "/x").failure)
        for _, length in ipairs { 0, 1, 1023, 1024, 1025, 5000 } do
            emu:clear_faults()
            raw("/x", ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(length, ("y"):rep(length)))
            assert.equal(("y"):rep(length), jobs.fetch(profile(), emu.url .. "/x").body or "")
            emu:clear_faults()
            raw("/x", "HTTP/1.1 200 OK\r\n\r\n" .. ("y"):rep(length))
            assert.equal(("y"):rep(length), jobs.fetch(profile(), emu.url .. "/x").body or "")
        end
    end)
    it("of an error response is cut after 64 KiB without an error", function()
        local p = profile { max_body = 10 }
        for size, kept in pairs { [1] = 1, [65535] = 65535, [65536] = 65536, [65537] = 65536, [300000] = 65536 } do
            for _, status in ipairs { 404, 500 } do
                local url = respond(("e"):rep(size), { status = status })
                for _, spec in ipairs { { url = url }, { url = url, file = dir .. "/f", check = true } } do
                    local ended = jobs.fetch(p, spec)
                    assert.is_nil(ended.failure)
                    assert.is_nil(ended.message)
                    assert.same({ status, kept, "e" }, { ended.http_status, #ended.body, ended.body:sub(-1) })
                end
            end
        end
        assert.same({}, service.list(dir))
        local ended = jobs.fetch(p, respond("endless", { status = 404, endless = true }))
        assert.same({ 404, 65536 }, { ended.http_status, #ended.body })
        assert.is_nil(ended.failure)
    end)
    it("is complete after an error response that was cut", function()
        local p = profile()
        jobs.fetch(p, respond(("e"):rep(70000), { status = 500 }))
        for _ = 1, 2 do assert.equal(("g"):rep(70000), jobs.fetch(p, respond(("g"):rep(70000))).body) end
    end)
    for status, is_success in pairs { [200] = true, [201] = true, [299] = true, [300] = false, [400] = false } do
        it(("with status %d goes to the file: %s"):format(status, tostring(is_success)), function()
            local ended = jobs.fetch(profile { max_body = 3 },
                { url = respond("abcd", { status = status }), file = dir .. "/f" })
            assert.equal(is_success and "too_large" or nil, ended.failure)
            assert.equal(not is_success and "abcd" or nil, ended.body)
            ended = jobs.fetch(profile(), { url = respond("abcd", { status = status }), file = dir .. "/f" })
            assert.equal(not is_success and status or nil, ended.http_status)
            assert.equal(is_success, service.exists(dir .. "/f"))
        end)
    end
end)

describe("the signature of a body", function()
    for body, kind in pairs {
        [png.holding ""] = 1, [png.holding "" .. "more"] = 1, ["RIFF\4\0\0\0WEBP"] = 2, ["RIFF\4\0\0\0WEBPx"] = 2,
        [PNG:sub(1, 7)] = false, ["RIFF1234WEB"] = false, ["RIFF1234WEBX"] = false, ["x" .. PNG] = false, [" "] = false,
    } do
        for bytes, way in pairs { [1] = "a byte at a time", [5] = "in fives", [1000] = "at once" } do
            it(("of %q, %s"):format(body, way), function()
                local url = respond(body, { trickle = { bytes = bytes, interval = 0.0001 } })
                for _, file in ipairs { false, dir .. "/f" } do
                    local ended = jobs.fetch(profile(), { url = url, check = true, file = file or nil })
                    if kind then
                        assert.is_nil(ended.failure)
                        assert.equal(kind, ended.signature)
                        assert.equal(body, file and service.read(file) or ended.buffer:string())
                    else
                        assert.same({ "signature", "the first bytes match no accepted signature" },
                            { ended.failure, ended.message })
                        assert.is_nil(ended.signature)
                    end
                end
                assert.same(kind and { "f" } or {}, service.list(dir))
            end)
        end
    end
    it("is checked only on request", function()
        local ended = jobs.fetch(profile(), respond "any text")
        assert.equal("any text", ended.body)
        assert.is_nil(ended.signature)
        -- An error response is text and is not checked either.
        ended = jobs.fetch(profile(), { url = respond("any text", { status = 404 }), check = true })
        assert.equal("any text", ended.body)
    end)
    it("is one of at most 16, each of 1 to 32 bytes", function()
        local longest = ("s"):rep(32)
        local list = {}
        for i = 1, 15 do list[i] = "<" .. i .. ">" end
        list[16] = longest
        local p = profile { signatures = list }
        assert.equal(16, core._pure.signature(p, longest))
        assert.equal(0, core._pure.signature(p, longest:sub(2)))
        assert.equal(15, core._pure.signature(p, "<15>"))
        assert.is_nil(core._pure.signature(p, "<16>"))
        list[17] = "x"
        for _, bad in ipairs { list, { "" }, { longest .. "s" }, { 1 } } do
            assert.is_false((pcall(core.profile, { signatures = bad })))
        end
        for _ = 1, 2 do
            local ended = jobs.fetch(p, { url = respond(longest .. "more",
                { trickle = { bytes = 1, interval = 0 } }), check = true })
            assert.equal(16, ended.signature)
        end
        assert.equal("signature", jobs.fetch(p, { url = respond(("s"):rep(31) .. "x"), check = true }).failure)
    end)
end)

describe("headers", function()
    --- The event of a success says nothing about headers.
    local function not_found(extra) return "HTTP/1.1 404 No\r\nContent-Length: 2\r\n" .. extra .. "\r\nok" end
    local function head(extra) return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" .. (extra or "") .. "\r\n" end

    it("are counted to the byte, including the status line and the empty line", function()
        for _, extra in ipairs { "", "X: " .. ("y"):rep(500) .. "\r\n" } do
            emu:clear_faults()
            raw("/x", head(extra) .. "ok")
            local size = #head(extra)
            for limit, fits in pairs { [size - 1] = false, [size] = true, [size + 1] = true } do
                local ended = jobs.fetch(profile { max_headers = limit }, emu.url .. "/x")
                if fits then
                    assert.equal("ok", ended.body)
                else
                    assert.same({ "headers_too_large", ("the headers exceed %d bytes"):format(limit) },
                        { ended.failure, ended.message })
                end
            end
        end
    end)
    it("of all responses to one request are counted together", function()
        local redirect = "HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n"
        raw("/x", redirect)
        raw("/end", head() .. "ok")
        local size = #redirect + #head()
        for limit, fits in pairs { [size - 1] = false, [size] = true } do
            local ended = jobs.fetch(profile { max_headers = limit, max_redirects = 3 }, emu.url .. "/x")
            assert.equal(fits and "ok" or nil, ended.body)
            assert.equal(not fits and "headers_too_large" or nil, ended.failure)
        end
    end)
    it("of the next request are counted from zero", function()
        raw("/x", head() .. "ok")
        local p = profile { max_headers = #head() }
        for _ = 1, 3 do assert.equal("ok", jobs.fetch(p, emu.url .. "/x").body) end
    end)
    it("in the result come from the final response, not from a redirect or an interim response", function()
        -- Else libcurl may use a connection that the emulator is closing.
        local close = "Connection: close\r\n"
        local kept = close .. "Retry-After: 7\r\nContent-Type: text/first\r\nX-Best: first\r\nX-Other: first\r\n"
            .. "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        local final = "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n" .. close .. "\r\nok"
        raw("/redirected", "HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 0\r\n" .. kept .. "\r\n")
        raw("/end", final)
        raw("/interim", "HTTP/1.1 103 Early\r\nLocation: /nowhere\r\n" .. kept .. "\r\n" .. final)
        raw("/after", "HTTP/1.1 404 No\r\nLocation: /there\r\nContent-Length: 2\r\n" .. kept .. "\r\nok")
        local p = profile { max_redirects = 3, max_attempts = 1 }
        for _, path in ipairs { "/after", "/redirected", "/after", "/interim", "/after", "/end" } do
            local ended = jobs.fetch(p, emu.url .. path)
            local seen = { ended.body, ended.retry_after, ended.content_type, ended.request_id, ended.location }
            if path == "/after" then
                assert.same({ "ok", 7, "text/first", "first", "/there" }, seen)
            else
                assert.same({ "ok" }, seen)
                assert.equal(503, ended.http_status)
            end
        end
        -- The Date of a redirect is not used for the Retry-After of the final response.
        raw("/dated", "HTTP/1.1 302 Found\r\nLocation: /end2\r\nContent-Length: 0\r\n" .. close
            .. "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n")
        raw("/end2", "HTTP/1.1 404 No\r\nContent-Length: 2\r\n" .. close .. "Retry-After: Sun, 06 Nov 1994 08:49:47 GMT\r\n\r\nok")
        assert.equal(0, jobs.fetch(p, emu.url .. "/dated").retry_after)
        -- The Date of another request is not used either.
        assert.equal(7, jobs.fetch(p, emu.url .. "/after").retry_after)
        assert.equal(0, jobs.fetch(p, emu.url .. "/end2").retry_after)
    end)
    it("are found in upper or lower case, without surrounding spaces, by their exact names", function()
        local function read(lines)
            emu:clear_faults()
            raw("/x", not_found(lines))
            local ended = jobs.fetch(profile(), emu.url .. "/x")
            return { ended.content_type or false, ended.retry_after or false, ended.request_id or false,
                ended.location or false }
        end
        assert.same({ "a/b", 3, "r", "/l" },
            read "content-TYPE:\t a/b \t\r\nRETRY-after: 3 \r\nx-BEST:r\r\nLOCATION:/l\r\n")
        assert.same({ false, false, false, false },
            read "Content-Typ: a\r\nRetry-Afters: 3\r\nX-Bes: r\r\nX-Best2: r\r\nLocatio: /l\r\n")
        assert.same({ false, false, false, false },
            read "Content-Type: \r\nRetry-After:\r\nX-Best: \t\r\nLocation:\r\n")
        assert.same({ "a b", false, false, false }, read "Content-Type: a b\r\nRetry-After 3\r\n")
        -- The first name in the list takes precedence, independent of the order of the headers.
        assert.same({ false, false, "best", false }, read "X-Other: other\r\nX-Best: best\r\n")
        assert.same({ false, false, "best", false }, read "X-Best: best\r\nX-Other: other\r\n")
        assert.same({ false, false, "other", false }, read "X-Other: other\r\n")
    end)
    it("are cut to their maximum length", function()
        for size, kept in pairs { [158] = 158, [159] = 159, [160] = 159, [1000] = 159 } do
            emu:clear_faults()
            raw("/x", not_found("Content-Type: " .. ("t"):rep(size) .. "\r\nX-Best: " .. ("b"):rep(size) .. "\r\n"))
            local ended = jobs.fetch(profile(), emu.url .. "/x")
            assert.same({ kept, kept }, { #ended.content_type, #ended.request_id })
        end
        for size, kept in pairs { [639] = 639, [640] = 639 } do
            emu:clear_faults()
            raw("/x", not_found("Location: " .. ("l"):rep(size) .. "\r\n"))
            assert.equal(kept, #jobs.fetch(profile(), emu.url .. "/x").location)
        end
    end)
end)

describe("redirects", function()
    for allowed = 0, 3 do
        it(("are followed at most %d times"):format(allowed), function()
            local p = profile { max_redirects = allowed }
            for i = 1, 5 do
                emu:fault { path = "/step" .. i, times = 100, redirect = "/step" .. i - 1, body = "on the way" }
            end
            emu:fault { path = "/step0", times = 100, body = "the end" }
            assert.equal("the end", jobs.fetch(p, emu.url .. "/step" .. allowed).body)
            local ended = jobs.fetch(p, emu.url .. "/step" .. allowed + 1)
            assert.equal(302, ended.http_status)
            if allowed == 0 then
                assert.is_nil(ended.failure)
                assert.equal("/step0", ended.location)
            else
                assert.equal("redirect", ended.failure)
                assert.is_string(ended.message)
            end
            assert.is_true(ended.sent)
        end)
    end
    it("lead to http and https only", function()
        for _, target in ipairs { "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/" } do
            emu:clear_faults()
            emu:fault { path = "/x", times = 10, redirect = target }
            local ended = jobs.fetch(profile { max_redirects = 3 }, emu.url .. "/x")
            assert.same({ "redirect", true, target }, { ended.failure, ended.sent, ended.location })
        end
    end)
end)

describe("each failure", function()
    it("has a kind, a message, and a flag whether the request may have been sent", function()
        emu:fault { path = "/hang", times = 100, hang = true }
        emu:fault { path = "/good", times = 100, body = "good" }
        emu:fault { path = "/noise", times = 100, garbage = "this is no HTTP at all\r\n\r\n" }
        emu:fault { path = "/cut", times = 100, body = "0123456789", cut = 4 }
        local p = profile { connect_timeout = bound(15) }
        local cases = {
            { "http://127.0.0.1:1/", "connect", nil, "refused" },
            { "http://flux2.invalid/", "resolve", nil, "flux2.invalid" },
            { "https://127.0.0.1:" .. emu.port .. "/", "tls", nil, "." },
            { emu.url .. "/hang", "timeout", true, "timed out" },
            { emu.url .. "/noise", "network", true, "." },
            { emu.url .. "/cut", "network", true, "." },
            { "ftp://127.0.0.1/", "protocol", nil, "." },
            { "http://[::1/", "protocol", nil, "." },
        }
        local texts = {}
        for round = 1, 2 do
            for i, case in ipairs(cases) do
                local ended
                service.with_enough_time(0.1, function(seconds)
                    local short_limit = profile { request_timeout = seconds }
                    ended = jobs.fetch(case[2] == "timeout" and short_limit or p, case[1])
                    return case[2] ~= "timeout" or ended.sent
                end)
                assert.same({ case[2], case[3] }, { ended.failure, ended.sent }, case[1])
                assert.equal(case[2] == "network" and ended.http_status or nil, ended.http_status)
                assert.matches(case[4], ended.message)
                -- In the second round the same handle reports the same message. TLS errors have more than one message.
                texts[i] = texts[i] or ended.message:gsub("%d+", "N")
                if case[2] ~= "tls" then assert.equal(texts[i], (ended.message:gsub("%d+", "N")), "round " .. round) end
                ended = jobs.fetch(p, emu.url .. "/good")
                assert.same({ "good" }, { ended.body, ended.failure, ended.message })
            end
        end
    end)
    it("to open or write a file reports the system's error message", function()
        local url = respond "abc"
        local ended = jobs.fetch(profile(), { url = url, file = dir .. "/no/such/folder/f" })
        assert.same({ "io", "No such file or directory", true, 200 },
            { ended.failure, ended.message, ended.sent, ended.http_status })
        assert.equal("abc", jobs.fetch(profile(), url).body)
    end)
    it("by a time-out occurs on time", function()
        emu:fault { path = "/hang", times = 100, hang = true }
        emu:fault { path = "/slow", times = 100, body = ("x"):rep(1000), trickle = { bytes = 1, interval = 0.05 } }
        for _, path in ipairs { "/hang", "/slow" } do
            local began = core.now()
            local ended = jobs.fetch(profile { request_timeout = 0.15 }, emu.url .. path)
            assert.equal("timeout", ended.failure)
            assert.is_true(core.now() - began >= 0.14)
        end
        local has_sockets, socket = pcall(require, "socket")
        if has_sockets then
            -- This server accepts connections and does not respond to the handshake.
            local silent = assert(socket.bind("127.0.0.1", 0))
            local began, address = core.now(), ("https://127.0.0.1:%d/"):format(select(2, silent:getsockname()))
            local ended = jobs.fetch(profile { connect_timeout = 0.1, request_timeout = 50 }, address)
            assert.same({ "timeout" }, { ended.failure, ended.sent })
            assert.is_true(core.now() - began >= 0.09) -- libcurl counts whole milliseconds
            silent:close()
        end
        -- A fraction of a millisecond is not rounded to 0, which means no limit.
        assert.equal("timeout", jobs.fetch(profile { request_timeout = 1e-6 }, emu.url .. "/hang").failure)
        local id = jobs.transfer(profile { request_timeout = 0 }, emu.url .. "/hang")
        jobs.join(jobs.timer(0.05))
        jobs.cancel(id)
        assert.equal("cancelled", jobs.join(id).failure)
    end)
end)

describe("a profile", function()
    local seconds = {
        "connect_timeout", "request_timeout", "poll_interval", "silence_timeout", "max_attempts", "max_in_flight",
        "patience", "max_redirects",
        "submission_rate", "poll_rate",
    }
    local bytes = { "max_body", "max_headers", "max_queued" }
    local function takes(name, value) return (pcall(core.profile, { [name] = value })) end

    it("takes numbers within bounds", function()
        for most, names in pairs { [1e6] = seconds, [1e15] = bytes } do
            for _, name in ipairs(names) do
                for _, good in ipairs { 0, 1, most } do assert.is_true(takes(name, good), name .. " " .. good) end
                for _, bad in ipairs { -1e-9, -1, most * 1.001, 1 / 0, 0 / 0, "5", true, {} } do
                    local ok, message = pcall(core.profile, { [name] = bad })
                    assert.is_false(ok, name)
                    assert.matches("profile: '" .. name .. "' must be a number from 0 to ", message)
                end
            end
        end
    end)
    it("takes texts and lists of texts", function()
        for _, name in ipairs { "user_agent", "proxy", "ca_file" } do
            assert.is_true(takes(name, "x"))
            for _, bad in ipairs { 5, {}, true } do assert.is_false(takes(name, bad)) end
        end
        for _, name in ipairs { "headers", "body_headers", "traces", "signatures" } do
            assert.is_true(takes(name, { "x" }))
            assert.is_true(takes(name, {}))
            for _, bad in ipairs { 5, { 5 }, { {} }, "x" } do assert.is_false(takes(name, bad), name) end
        end
        for _, bad in ipairs { 5, { status = 5 }, { status = { 5 } }, { code_ok = 5 } } do
            assert.is_false(takes("watch", bad))
        end
        assert.is_false(takes(1, "x"))
        assert.is_false((pcall(core.profile, 5)))
    end)
    it("sets the headers of requests", function()
        local url = respond "ok"
        local p = profile { headers = { "A: 1", "B: 2" }, user_agent = "me/1", compressed = true }
        jobs.fetch(p, url)
        local request = emu:requests()[1]
        assert.same({ "1", "2", "me/1", "gzip" }, {
            request.headers.a, request.headers.b, request.headers["user-agent"], request.headers["accept-encoding"],
        })
        jobs.fetch(profile(), url)
        request = emu:requests()[2]
        assert.same({}, { request.headers["user-agent"], request.headers["accept-encoding"], request.headers.a })
    end)
    it("sets the proxy of requests", function()
        local proxy = service.start()
        proxy:fault { path = "*", times = 10, body = "from the proxy" }
        local ended = jobs.fetch(profile { proxy = proxy.url, user_agent = "me/1" }, "http://flux2.invalid/x")
        assert.equal("from the proxy", ended.body)
        assert.equal("flux2.invalid", proxy:requests()[1].headers.host)
    end)
    it("returns an unchecked body as a string and a checked body as a buffer", function()
        emu:fault { path = "/x", times = 2, body = "a toy and so on" }
        local plain = jobs.fetch(profile {}, emu.url .. "/x")
        assert.same({ "a toy and so on" }, { plain.body, plain.buffer })
        local checked = jobs.join(jobs.transfer(core.profile { signatures = { "a toy" } },
            { url = emu.url .. "/x", check = true }))
        assert.is_nil(checked.body)
        assert.equal("a toy and so on", checked.buffer:string())
    end)
    it("has usable defaults", function()
        emu:fault { path = "/x", nth = { 1, 2 }, status = 500, retry_after = 0, body = "x" }
        emu:fault { path = "/x", nth = { 3, 9 }, body = "ok" }
        -- Default: three attempts.
        assert.equal("x", jobs.fetch(core.profile { poll_interval = 0.001, max_attempts = 2 }, emu.url .. "/x").body)
        emu:clear_faults()
        emu:fault { path = "/x", nth = { 1, 2 }, status = 500, body = "x" }
        emu:fault { path = "/x", nth = { 3, 9 }, body = "ok" }
        local ended = jobs.fetch(core.profile { poll_interval = 0.001 }, emu.url .. "/x")
        assert.equal("ok", ended.body)
        emu:fault { path = "/y", times = 100, status = 500, body = "x" }
        ended = jobs.join(jobs.poll(core.profile { poll_interval = 0.0001, patience = 0.02 }, emu.url .. "/y"))
        assert.equal("x", ended.body)
        emu:fault { path = "/hang", times = 100, hang = true }
        local ids, p = {}, core.profile {}
        for i = 1, 10 do ids[i] = jobs.transfer(p, emu.url .. "/hang") end
        jobs.wait_until(function() return jobs.engine:stats().in_flight == 8 end)
        jobs.settle()
        assert.equal(8, jobs.engine:stats().in_flight)
        jobs.cancel_all(ids)
        -- Default pauses: half a second, doubled up to 30 s.
        emu:fault { path = "/later", times = 100, status = 503, body = "x", retry_after = 100 }
        for path, bounds in pairs { ["/y"] = { 0, 0.5 }, ["/later"] = { 30, 30.125 } } do
            local id = jobs.poll(p, { url = emu.url .. path, observe = true })
            jobs.wait_until(function() return #jobs.events(id, "request") == 1 end)
            jobs.cancel_all { id }
            local pause = jobs.events(id, "request")[1].pause
            assert.is_true(pause >= bounds[1] and pause <= bounds[2], pause)
            p = core.profile {}
        end
        -- Default body limit: 32 MiB.
        p = core.profile { compressed = true, max_attempts = 1 }
        for size, fits in pairs { [2 ^ 25] = true, [2 ^ 25 + 1] = false } do
            emu:clear_faults()
            emu:fault { path = "/x", bomb = size }
            ended = jobs.fetch(p, { url = emu.url .. "/x", file = dir .. "/f" }, 120)
            assert.equal(not fits and "the body exceeds 33554432 bytes" or nil, ended.message)
        end
        -- Default header limit: 64 KiB.
        for size, fits in pairs { [65536] = true, [65537] = false } do
            local head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\n"
            emu:clear_faults()
            raw("/x", head:format("X: " .. ("y"):rep(size - #head + 2 - 5) .. "\r\n") .. "ok")
            assert.equal(not fits and "headers_too_large" or nil, jobs.fetch(p, emu.url .. "/x").failure)
        end
    end)
end)
