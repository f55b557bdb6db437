-- The emulator's faults, as a client sees them and in the ledger.

local cjson = require "cjson"
local curl = require "emulator_curl"
local emulator = require "flux2.emulator"

local SUBMIT = "/api/v1/images/generations"
-- Exit codes of curl.
local PARTIAL, TIMED_OUT, EMPTY, RESET, NOT_HTTP = 18, 28, 52, 56, 1

describe("the emulator's faults", function()
    local emu

    before_each(function()
        emu = assert(emulator.start { duration = 0, image_bytes = 1000 })
    end)
    after_each(function()
        emu:stop()
    end)

    local function statuses(count, path)
        local list = {}
        for i = 1, count do list[i] = curl.api(emu, "GET", path or "/x").status end
        return table.concat(list, " ")
    end

    --- Calls send(option, seconds) with curl's time limit, doubled until is_complete(result) returns true or, without
    --- `is_complete`, until the request arrives: on a busy machine curl may time out before it sends the request.
    local function with_growing_limit(send, is_complete)
        local seconds, result, more = 0.3
        repeat
            local before = emu:stats().requests
            result, more = send("--max-time", tostring(seconds))
            seconds = 2 * seconds
        until (is_complete and is_complete(result) or not is_complete and emu:stats().requests > before) or seconds > 20
        return result, more
    end

    describe("apply to", function()
        for _, row in ipairs {
            { "the next matching request", {}, "500 404 404" },
            { "the n-th request", { nth = 2 }, "404 500 404" },
            { "the n-th to the m-th request", { nth = { 2, 3 } }, "404 500 500 404" },
            { "every k-th request", { every = 2 }, "404 500 404 500 404" },
            { "a number of requests", { times = 2 }, "500 500 404" },
            { "every k-th request, a number of times", { every = 2, times = 1 }, "404 500 404 404" },
            { "all requests", { times = math.huge }, "500 500 500" },
            { "no request with chance 0", { chance = 0 }, "404 404 404" },
            { "one method", { method = "POST" }, "404 404" },
            { "one path", { path = "/y" }, "404 404" },
            { "a path pattern", { path = "/*" }, "500 404" },
        } do
            it(row[1], function()
                row[2].status = 500
                emu:fault(row[2])
                local _, count = row[3]:gsub("%d+", "")
                assert.equal(row[3], statuses(count))
            end)
        end

        it("a path with any query, and a pattern in the middle of a path", function()
            emu:fault { path = "/api/*/tasks/*", status = 500, times = 2 }
            assert.equal("404 500 500", statuses(1) .. " " .. statuses(2, "/api/v1/tasks/a?b=c"))
        end)

        it("requests in the order in which they were set, each counting its matches", function()
            emu:fault { nth = 1, status = 500 }
            emu:fault { nth = 2, status = 501 }
            emu:fault { status = 502, times = 2 }
            assert.equal("500 501 502 502 404", statuses(5))
            assert.same({ { index = 1, seen = 5, fired = 1 }, { index = 2, seen = 5, fired = 1 },
                { index = 3, seen = 5, fired = 2 } }, emu:faults())
        end)

        it("requests with a chance that the seed repeats", function()
            local function run(seed)
                emu:stop()
                emu = assert(emulator.start { seed = seed })
                emu:fault { chance = 0.5, status = 500 }
                return statuses(12)
            end
            local first = run(3)
            assert.equal(first, run(3))
            assert.truthy(first:find "500" and first:find "404")
        end)

        it("no requests after they are cleared; the log contains the fault of each request", function()
            local index = emu:fault { status = 500, times = 9 }
            assert.equal("500", statuses(1))
            emu:clear_faults()
            assert.equal("404", statuses(1))
            local log = emu:requests()
            assert.same({ index, 500 }, { log[1].fault, log[1].status })
            assert.is_nil(log[2].fault)
            assert.equal(1, emu:stats().faults_fired)
            assert.equal(index + 1, emu:fault { status = 500 })
        end)
    end)

    describe("send", function()
        it("a status, headers and a body without accepting the submission", function()
            emu:fault { path = SUBMIT, status = 503,
                headers = { ["X-One"] = "1", ["Retry-After"] = 7 }, body = "<html>" }
            local response = curl.submit(emu)
            assert.same({ 503, "<html>", "1", "7" },
                { response.status, response.body, response.headers["x-one"], response.headers["retry-after"] })
            assert.same({}, emu:ledger())
        end)

        it("a status while the submission is accepted", function()
            emu:fault { path = SUBMIT, status = 500, accept = true }
            assert.equal(500, curl.submit(emu).status)
            assert.equal(1, #emu:ledger())
            assert.equal(999990, emu:stats().credits_left)
        end)

        it("a body of any bytes and type", function()
            local bytes = "\0\255{\"a\"\r\n"
            emu:fault { body = bytes, headers = { ["Content-Type"] = "text/html" } }
            local response = curl.api(emu, "GET", "/x")
            assert.same({ 200, bytes, "text/html" },
                { response.status, response.body, response.headers["content-type"] })
        end)

        it("a body with the task id", function()
            emu:fault { path = "/api/v1/tasks/*", body = '{"id":"{task_id}","at":"{url}"}' }
            assert.same({ id = "n41x_flux2", at = emu.url }, cjson.decode(curl.poll(emu, "n41x_flux2").body))
            emu:fault { path = SUBMIT, body = '{"id":"{task_id}"}', accept = true }
            assert.equal(emu:ledger()[1], nil)
            local response = cjson.decode(curl.submit(emu).body)
            assert.equal(emu:ledger()[1].task_id, response.id)
        end)

        it("a redirect", function()
            emu:fault { redirect = "http://example.com/x" }
            emu:fault { redirect = "/y", status = 307 }
            local first, second = curl.api(emu, "GET", "/x"), curl.api(emu, "GET", "/x")
            assert.same({ 302, "http://example.com/x" }, { first.status, first.headers.location })
            assert.same({ 307, "/y" }, { second.status, second.headers.location })
        end)

        it("Retry-After", function()
            emu:fault { retry_after = 3 }
            emu:fault { retry_after = "Fri, 31 Dec 1999 23:59:59 GMT", status = 503 }
            local first, second = curl.submit(emu), curl.submit(emu)
            assert.same({ 429, "3" }, { first.status, first.headers["retry-after"] })
            assert.same({ 503, "Fri, 31 Dec 1999 23:59:59 GMT" }, { second.status, second.headers["retry-after"] })
        end)

        it("additional headers with the normal response", function()
            emu:fault { headers = { ["Set-Cookie"] = "a=b" } }
            local response = curl.submit(emu)
            assert.same({ 200, "a=b" }, { response.status, response.headers["set-cookie"] })
            assert.equal(1, #emu:ledger())
        end)

        it("a gzip body that expands", function()
            emu:fault { bomb = 3000000, times = 2 }
            local packed = curl.api(emu, "GET", "/x")
            assert.equal("gzip", packed.headers["content-encoding"])
            assert.is_true(#packed.body < 30000)
            local unpacked = curl.api(emu, "GET", "/x", { args = { "--compressed" } })
            assert.equal(0, unpacked.exit)
            assert.is_true(#unpacked.body >= 3000000 and #unpacked.body < 3000300)
            assert.falsy(unpacked.body:find "[^ ]")
        end)
    end)

    describe("lose", function()
        for _, row in ipairs {
            { "reset", "before", RESET, 0 }, { "reset", "after", RESET, 1 },
            { "close", "before", EMPTY, 0 }, { "close", "after", EMPTY, 1 },
        } do
            it(("the connection by a %s, %s the request was read"):format(row[1], row[2]), function()
                emu:fault { method = "POST", path = SUBMIT, [row[1]] = row[2] }
                local response = curl.submit(emu)
                assert.equal(row[3], response.exit)
                assert.is_nil(response.status)
                assert.equal(row[4], #emu:ledger())
                assert.equal(row[4], emu:stats().submissions)
                assert.equal(1000000 - 10 * row[4], emu:stats().credits_left)
                assert.same({ 0, 1 }, { emu:requests()[1].status, emu:stats().by_status[0] })
                assert.equal(200, curl.submit(emu).status)
            end)
        end

        it("a kept connection on its second request", function()
            emu:fault { path = "/x", nth = 2, reset = "after" }
            local _, exit = curl.run(emu.url .. "/x", emu.url .. "/x")
            assert.equal(0, exit)
            local log = emu:requests()
            assert.same({ 1, 404 }, { log[1].connection, log[1].status })
            assert.same({ 1, 0 }, { log[2].connection, log[2].status })
            -- curl repeats a request when a reused connection is closed.
            assert.same({ 3, 2, 404 }, { #log, log[3].connection, log[3].status })
        end)

        it("the rest of a body announced by Content-Length", function()
            local url = curl.image_url(emu, curl.accepted(emu))
            for _, bytes in ipairs { 0, 1, 999 } do
                emu:fault { path = "/images/*", cut = bytes }
                local response = curl.request(url)
                assert.same({ PARTIAL, "1000", bytes },
                    { response.exit, response.headers["content-length"], #response.body })
            end
            assert.equal(0, curl.request(url).exit)
        end)

        it("the response forever, although the request was processed", function()
            emu:fault { path = SUBMIT, hang = true }
            local function submit(...) return curl.submit(emu, nil, { args = { ... } }) end
            local response = with_growing_limit(submit)
            assert.same({ TIMED_OUT, 1 }, { response.exit, #emu:ledger() })
            emu:fault { path = SUBMIT, hang = true, accept = false }
            response = with_growing_limit(submit)
            assert.same({ TIMED_OUT, 1 }, { response.exit, #emu:ledger() })
        end)
    end)

    describe("delay", function()
        local function timed(...)
            local output = curl.run("-o", "/dev/null", "-w", "%{time_starttransfer} %{time_total}", ...)
            local first, total = output:match "^(%S+) (%S+)$"
            return tonumber((first:gsub(",", "."))), tonumber((total:gsub(",", ".")))
        end

        it("a response that is otherwise correct", function()
            emu:fault { path = "/x", delay = 1.5 }
            assert.is_true(timed(emu.url .. "/x") >= 1.5)
            -- A busy machine may be slow, but not each time.
            local least = math.huge
            for _ = 1, 5 do
                least = math.min(least, (timed(emu.url .. "/x")))
                if least < 1.5 then break end
            end
            assert.is_true(least < 1.5, least)
        end)

        it("every response, as a config field", function()
            emu:set { latency = 0.2 }
            assert.is_true(timed(emu.url .. "/x") >= 0.2)
            emu:set { latency = { 0.1, 0.2 } }
            assert.is_true(timed(emu.url .. "/x") >= 0.1)
        end)

        it("the pieces of a body", function()
            local first, total
            for _ = 1, 5 do
                emu:fault { body = "0123456789", trickle = { bytes = 2, interval = 0.4 } }
                first, total = timed(emu.url .. "/x")
                if total - first >= 1.2 then break end -- otherwise curl was late for the first piece
            end
            assert.is_true(total - first >= 1.2 and total >= 1.6, first .. " " .. total)
        end)

        it("until the client disconnects", function()
            emu:fault { delay = 60 }
            emu:fault { hang = true }
            for _ = 1, 2 do
                local response = with_growing_limit(function(...)
                    return curl.request(emu.url .. "/x", { args = { ... } })
                end)
                assert.equal(TIMED_OUT, response.exit)
            end
            for _ = 1, 2000 do
                if emu:stats().open_connections == 0 then break end
                emu:wait(0.01)
            end
            assert.equal(0, emu:stats().open_connections)
        end)
    end)

    describe("send raw data:", function()
        it("random bytes", function()
            emu:fault { garbage = true }
            local response = curl.request(emu.url .. "/x")
            assert.equal(NOT_HTTP, response.exit)
        end)

        it("the given bytes", function()
            emu:fault { garbage = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Mine: yes\r\n\r\nhi and more" }
            local response = curl.request(emu.url .. "/x")
            assert.same({ 200, "hi", "yes" }, { response.status, response.body, response.headers["x-mine"] })
        end)

        it("more bytes than the socket takes at once, to a client that is slower", function()
            emu:fault { garbage = "HTTP/1.1 200 OK\r\n\r\n" .. ("x"):rep(24 * 1024 * 1024) }
            local response = curl.request(emu.url .. "/x", { args = { "--limit-rate", "64M" } })
            assert.same({ 0, 24 * 1024 * 1024 }, { response.exit, #response.body })
        end)

        it("endless headers", function()
            emu:fault { endless_headers = true }
            local response = curl.request(emu.url .. "/x")
            assert.is_true(response.exit == RESET or response.exit == 100 or response.exit == 27, response.exit)
        end)

        it("an endless body", function()
            local output, exit = with_growing_limit(function(...)
                emu:fault { endless = true, body = "begin" }
                return curl.run(emu.url .. "/x", ...)
            end, function(output) return #output > 100000 end)
            assert.equal(TIMED_OUT, exit)
            assert.equal("beginxxx", output:sub(1, 8))
            assert.is_true(#output > 100000)
            assert.is_true(emu:stats().bytes_out >= #output)
        end)
    end)
end)
