-- The option `log` and FLUX2_LOG: one line for each HTTP request, without the key.
local flux2 = require "flux2"
local scheduler = require "flux2.scheduler"
local service = require "support.service"

describe("the log", function()
    local emu, lines
    before_each(function()
        emu = service.start { duration = 0.05 }
        lines = {}
    end)
    after_each(function()
        service.stop_all()
        service.pump_until(function() return flux2.stats().jobs == 0 end)
    end)

    local function client(options)
        options = options or {}
        if options.log == nil then options.log = function(line) lines[#lines + 1] = line end end
        return service.client(emu, options)
    end

    local function find(pattern)
        local count = 0
        for _, line in ipairs(lines) do
            if line:find(pattern) then count = count + 1 end
        end
        return count
    end

    it("has a line for the submission, each poll and the download, in order, without the key", function()
        assert(client():generate "a red fox")
        local base = emu.url:gsub("%p", "%%%0")
        local request, response = lines[1]:match("^POST " .. base ..
            "/%S+: 200, %d+ ms, (%d+) bytes sent, (%d+) bytes received, next in %d+ ms$")
        assert(request, lines[1])
        assert.is_true(tonumber(request) > 20 and tonumber(response) > 20, lines[1])
        for i = 2, #lines - 1 do
            assert.matches("^GET " .. base .. "/api/v1/tasks/%S+: 200, %d+ ms, 0 bytes sent, %d+ bytes received", lines[i])
        end
        assert.matches("^GET http%S+: 200, %d+ ms, 0 bytes sent, %d%d%d+ bytes received$", lines[#lines])
        assert.is_nil(table.concat(lines, "\n"):find(emu.api_key, 1, true))
        assert.equal(emu:stats().requests, #lines)
    end)

    it("has a line for each repetition and for client:status", function()
        emu:fault { path = "/images/*", times = 1, status = 503, retry_after = 0 }
        local ours = client()
        assert(ours:generate "a red fox")
        assert.equal(1, find "^GET .*: 503, .*, next in %d+ ms")
        lines = {}
        assert.is_nil((ours:status "n41none_flux2"))
        assert.equal(1, #lines)
        assert.matches("^GET %S+/n41none_flux2: 404, ", lines[1])
    end)

    it("names the failure of a request without a response, and one that a timeout ended", function()
        assert.is_nil((client { base_url = "http://127.0.0.1:1", poll = { patience = 0.01 } }:status "n41x_flux2"))
        assert.matches("^GET http://127.0.0.1:1/%S+: connect, %d+ ms, 0 bytes sent, 0 bytes received", lines[1])
        lines = {}
        emu:set { latency = 1000 }
        service.with_enough_time(0.1, function(seconds)
            assert.is_nil((client():status("n41x_flux2", { timeout = seconds })))
            return lines[1]
        end)
        assert.matches(": timeout, %d+ ms", lines[#lines])
    end)

    it("contains no key that a service echoes", function()
        emu:fault { method = "POST", status = 422, headers = { ["x-request-id"] = "of " .. emu.api_key } }
        assert.is_nil((client():generate "a red fox"))
        assert.equal(1, #lines)
        assert.matches(", request id of %[key%]", lines[1])
    end)

    it("works in coroutines, and reports an error of the function without breaking anything", function()
        local reported = {}
        flux2.on_error = function(message) reported[#reported + 1] = message end
        local ours = client {
            log = function(line)
                lines[#lines + 1] = line
                error "on purpose"
            end,
        }
        local image, err = service.in_coroutine(function() return ours:generate "a red fox" end)
        flux2.on_error = nil
        assert(image, err)
        assert.equal(emu:stats().requests, #lines)
        assert.equal(#lines, #reported)
        assert.matches("on purpose", reported[1])
    end)

    it("costs no event without a function", function()
        local function kinds_of(ours)
            local kinds = {}
            local spec = { url = emu.url .. "/api/v1/tasks/n41x", kind = "task" }
            assert(scheduler.transfer(ours._config.service, spec, function(kind) kinds[#kinds + 1] = kind end))
            service.pump_until(function() return kinds[#kinds] == "ended" end)
            return kinds
        end
        assert.same({ "ended" }, kinds_of(client { log = false }))
        assert.same({ "request", "ended" }, kinds_of(client()))
    end)

    it("goes to stderr with FLUX2_LOG=debug; the option has precedence, and another value is an error", function()
        local function run(value, option)
            return select(2, service.run_lua(([[
                io.stderr:setvbuf "no"
                io.stdout:setvbuf "no"
                local client, err = require("flux2").new {
                    base_url = "http://127.0.0.1:1", api_key = "aio_x", poll = { patience = 0.01 }, log = %s,
                }
                print((err or client:status "n41x"))
            ]]):format(option or "nil"), nil, "FLUX2_LOG=" .. value))
        end
        assert.matches("^flux2: GET http://127.0.0.1:1/api/v1/tasks/n41x: connect, ", run "debug")
        assert.matches("^flux2: GET http://127.0.0.1:1/api/v1/tasks/n41x: connect, ", run("off", "true"))
        for _, quiet in ipairs { run "", run "off", run("debug", "false"), run("debug", "function() end") } do
            assert.equal("nil\n", quiet)
        end
        assert.matches("FLUX2_LOG must be 'debug' or 'off', not 'loud'", run "loud")
    end)
end)
