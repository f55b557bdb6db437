-- What the emulator does wrong when it is told to: each fault as a client sees it on the wire, and in the ledger.

local cjson = require "cjson"
local curl = require "emulator_curl"
local emulator = require "flux2.emulator"

local SUBMIT = "/api/v1/images/generations"
-- What curl calls it.
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

    --- Asks with less and less impatience until `has_come` says so: a busy machine may take longer to begin than curl
    --- is allowed to take. `ask` is called with what curl has to be told.
    local function impatiently(ask, has_come)
        local seconds, result, more = 0.3
        repeat
            local before = emu:stats().requests
            result, more = ask("--max-time", tostring(seconds))
            seconds = 2 * seconds
        until (has_come and has_come(result) or not has_come and emu:stats().requests > before) or seconds > 20
        return result, more
    end

    describe("hit", function()
        for _, row in ipairs {
            { "the next request that matches", {}, "500 404 404" },
            { "the n-th", { nth = 2 }, "404 500 404" },
            { "the n-th to the m-th", { nth = { 2, 3 } }, "404 500 500 404" },
            { "each k-th", { every = 2 }, "404 500 404 500 404" },
            { "so often", { times = 2 }, "500 500 404" },
            { "each k-th, so often", { every = 2, times = 1 }, "404 500 404 404" },
            { "always", { times = math.huge }, "500 500 500" },
            { "never by chance 0", { chance = 0 }, "404 404 404" },
            { "only the method", { method = "POST" }, "404 404" },
            { "only the path", { path = "/y" }, "404 404" },
            { "the path by a pattern", { path = "/*" }, "500 404" },
        } do
            it(row[1], function()
                row[2].status = 500
                emu:fault(row[2])
                local _, count = row[3]:gsub("%d+", "")
                assert.equal(row[3], statuses(count))
            end)
        end

        it("a path with any query, and a pattern in the middle", function()
            emu:fault { path = "/api/*/tasks/*", status = 500, times = 2 }
            assert.equal("404 500 500", statuses(1) .. " " .. statuses(2, "/api/v1/tasks/a?b=c"))
        end)

        it("in the order in which they were set, each counting all that match", function()
            emu:fault { nth = 1, status = 500 }
            emu:fault { nth = 2, status = 501 }
            emu:fault { status = 502, times = 2 }
            assert.equal("500 501 502 502 404", statuses(5))
            assert.same({ { index = 1, seen = 5, fired = 1 }, { index = 2, seen = 5, fired = 1 },
                { index = 3, seen = 5, fired = 2 } }, emu:faults())
        end)

        it("by a chance that the seed repeats", function()
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

        it("no more once they are cleared; the log tells which hit", function()
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

    describe("answer", function()
        it("with a status, headers and a body; nothing is accepted", function()
            emu:fault { path = SUBMIT, status = 503, headers = { ["X-One"] = "1", ["Retry-After"] = 7 }, body = "<html>" }
            local answer = curl.submit(emu)
            assert.same({ 503, "<html>", "1", "7" },
                { answer.status, answer.body, answer.headers["x-one"], answer.headers["retry-after"] })
            assert.same({}, emu:ledger())
        end)

        it("with a status while the submission is accepted all the same", function()
            emu:fault { path = SUBMIT, status = 500, accept = true }
            assert.equal(500, curl.submit(emu).status)
            assert.equal(1, #emu:ledger())
            assert.equal(999990, emu:stats().credits_left)
        end)

        it("with a body of any bytes and type", function()
            local bytes = "\0\255{\"a\"\r\n"
            emu:fault { body = bytes, headers = { ["Content-Type"] = "text/html" } }
            local answer = curl.api(emu, "GET", "/x")
            assert.same({ 200, bytes, "text/html" }, { answer.status, answer.body, answer.headers["content-type"] })
        end)

        it("with a body that names the task", function()
            emu:fault { path = "/api/v1/tasks/*", body = '{"id":"{task_id}","at":"{url}"}' }
            assert.same({ id = "n41x_flux2", at = emu.url }, cjson.decode(curl.poll(emu, "n41x_flux2").body))
            emu:fault { path = SUBMIT, body = '{"id":"{task_id}"}', accept = true }
            assert.equal(emu:ledger()[1], nil)
            local answer = cjson.decode(curl.submit(emu).body)
            assert.equal(emu:ledger()[1].task_id, answer.id)
        end)

        it("with a redirect", function()
            emu:fault { redirect = "http://example.com/x" }
            emu:fault { redirect = "/y", status = 307 }
            local first, second = curl.api(emu, "GET", "/x"), curl.api(emu, "GET", "/x")
            assert.same({ 302, "http://example.com/x" }, { first.status, first.headers.location })
            assert.same({ 307, "/y" }, { second.status, second.headers.location })
        end)

        it("with Retry-After", function()
            emu:fault { retry_after = 3 }
            emu:fault { retry_after = "Fri, 31 Dec 1999 23:59:59 GMT", status = 503 }
            local first, second = curl.submit(emu), curl.submit(emu)
            assert.same({ 429, "3" }, { first.status, first.headers["retry-after"] })
            assert.same({ 503, "Fri, 31 Dec 1999 23:59:59 GMT" }, { second.status, second.headers["retry-after"] })
        end)

        it("with further headers to what they would have answered", function()
            emu:fault { headers = { ["Set-Cookie"] = "a=b" } }
            local answer = curl.submit(emu)
            assert.same({ 200, "a=b" }, { answer.status, answer.headers["set-cookie"] })
            assert.equal(1, #emu:ledger())
        end)

        it("with a gzip body that grows", function()
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
                local answer = curl.submit(emu)
                assert.equal(row[3], answer.exit)
                assert.is_nil(answer.status)
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
            -- curl sends it again by itself when a connection that it reused dies.
            assert.same({ 3, 2, 404 }, { #log, log[3].connection, log[3].status })
        end)

        it("the rest of a body that Content-Length promised", function()
            local url = curl.image_url(emu, curl.accepted(emu))
            for _, bytes in ipairs { 0, 1, 999 } do
                emu:fault { path = "/images/*", cut = bytes }
                local answer = curl.request(url)
                assert.same({ PARTIAL, "1000", bytes }, { answer.exit, answer.headers["content-length"], #answer.body })
            end
            assert.equal(0, curl.request(url).exit)
        end)

        it("the answer for ever, though the request was processed", function()
            emu:fault { path = SUBMIT, hang = true }
            local function submit(...) return curl.submit(emu, nil, { args = { ... } }) end
            local answer = impatiently(submit)
            assert.same({ TIMED_OUT, 1 }, { answer.exit, #emu:ledger() })
            emu:fault { path = SUBMIT, hang = true, accept = false }
            answer = impatiently(submit)
            assert.same({ TIMED_OUT, 1 }, { answer.exit, #emu:ledger() })
        end)
    end)

    describe("take their time", function()
        local function timed(...)
            local output = curl.run("-o", "/dev/null", "-w", "%{time_starttransfer} %{time_total}", ...)
            local first, total = output:match "^(%S+) (%S+)$"
            return tonumber((first:gsub(",", "."))), tonumber((total:gsub(",", ".")))
        end

        it("before an answer that is otherwise right", function()
            emu:fault { path = "/x", delay = 1.5 }
            assert.is_true(timed(emu.url .. "/x") >= 1.5)
            assert.is_true(timed(emu.url .. "/x") < 1.5)
        end)

        it("before every answer, by a setting", function()
            emu:set { latency = 0.2 }
            assert.is_true(timed(emu.url .. "/x") >= 0.2)
            emu:set { latency = { 0.1, 0.2 } }
            assert.is_true(timed(emu.url .. "/x") >= 0.1)
        end)

        it("over a body that trickles", function()
            emu:fault { body = "0123456789", trickle = { bytes = 2, interval = 0.4 } }
            local first, total = timed(emu.url .. "/x")
            assert.is_true(first < 1.2 and total >= 1.6, first .. " " .. total)
        end)

        it("and give up when the client leaves", function()
            emu:fault { delay = 60 }
            emu:fault { hang = true }
            for _ = 1, 2 do
                local answer = impatiently(function(...) return curl.request(emu.url .. "/x", { args = { ... } }) end)
                assert.equal(TIMED_OUT, answer.exit)
            end
            for _ = 1, 200 do
                if emu:stats().open_connections == 0 then break end
                emu:wait(0.01)
            end
            assert.equal(0, emu:stats().open_connections)
        end)
    end)

    describe("are no HTTP", function()
        it("but noise", function()
            emu:fault { garbage = true }
            local answer = curl.request(emu.url .. "/x")
            assert.equal(NOT_HTTP, answer.exit)
        end)

        it("but bytes of one's own", function()
            emu:fault { garbage = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Mine: yes\r\n\r\nhi and more" }
            local answer = curl.request(emu.url .. "/x")
            assert.same({ 200, "hi", "yes" }, { answer.status, answer.body, answer.headers["x-mine"] })
        end)

        it("but headers without end", function()
            emu:fault { endless_headers = true }
            local answer = curl.request(emu.url .. "/x")
            assert.is_true(answer.exit == RESET or answer.exit == 100 or answer.exit == 27, answer.exit)
        end)

        it("but a body without end", function()
            local output, exit = impatiently(function(...)
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
