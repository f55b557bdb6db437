-- `flux2 tester` as a separate process.
local has_program, program = pcall(require, "support.program")
if not has_program then return end -- a checkout without the command line

local json = require "flux2.json"
local page = require "support.tester_page"
local service = require "support.service"

describe("flux2 tester", function()
    local dir
    before_each(function() dir = service.directory() end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)

    --- Starts the command with an optional emulator and arguments. Returns the printed address and the process id.
    local function start(emu, ...)
        os.remove(dir .. "/.stdout") -- of the previous run
        local pid = program.start(emu, dir, { "tester", ... })
        local line
        program.until_(function()
            line = (service.read_if_there(dir .. "/.stdout") or ""):match "^([^\n]+)\n"
            return line
        end)
        return line, pid
    end

    it("prints the address of a page on its own emulator, and ends on Ctrl-C", function()
        local url, pid = start(nil)
        assert.matches("^http://127%.0%.0%.1:%d+/%x+/$", url)
        local about = json.decode(page.get(url, "about").body)
        assert.is_true(about.emulator)
        local task = page.finish(url, page.submit(url, { prompt = "a red fox" }))
        assert.equal("succeeded", task.state)
        program.stop(pid, "INT")
        assert.equal(7, page.get(url).exit, "curl: could not connect")
        assert.matches("without credits", service.read(dir .. "/.stderr"))
    end)

    it("uses the given service, with the key from the environment", function()
        local emu = service.start { api_key = "aio_of_the_environment" }
        local line, pid = start(emu, "--json", "--budget", "15")
        local output = json.decode(line)
        assert.equal(emu.url, output.base_url)
        assert.is_false(output.emulator)
        assert.equal("succeeded", page.finish(output.url, page.submit(output.url, { prompt = "a red fox" })).state)
        assert.equal(422, page.post(output.url, "tasks", { request = { prompt = "beyond the budget" } }).status)
        assert.equal(1, #emu:ledger())
        program.stop(pid, "INT")
        assert.is_nil((service.read(dir .. "/.stdout") .. service.read(dir .. "/.stderr")):find("aio_of_the", 1, true))
    end)

    it("prints its service and costs", function()
        local emu = service.start()
        local url, pid = start(emu, "--port", "0", "--timeout", "7", "--poll-interval", "0.02")
        assert.equal(200, page.get(url).status)
        program.until_(function() return service.read(dir .. "/.stderr"):find "Stop with" end)
        assert.equal("It uses " .. emu.url .. ", where images cost credits.\nStop with Ctrl-C.\n",
            service.read(dir .. "/.stderr"))
        assert.equal(url .. "\n", service.read(dir .. "/.stdout"))
        program.stop(pid, "INT")
        local line
        line, pid = start(nil, "--quiet")
        assert.matches("^http://127", line)
        assert.equal("", service.read(dir .. "/.stderr"))
        program.stop(pid, "INT")
        line, pid = start(nil, "--json")
        local output = json.decode(line)
        assert.same({ true, tonumber(output.url:match ":(%d+)/") }, { output.emulator, output.port })
        assert.matches("^http://127", output.base_url)
        program.stop(pid, "INT")
    end)

    it("names the module that is not built", function()
        local function without(module)
            return { env = { LUA_INIT = ('package.preload["%s"] = function() error "not built" end'):format(module) } }
        end
        local code, _, err = program.run(nil, dir, { "tester" }, without "flux2.tester.core")
        assert.equal(20, code)
        assert.matches("tester is not built: install libmicrohttpd,", err)
        code, _, err = program.run(nil, dir, { "tester" }, without "flux2.emulator.core")
        assert.equal(3, code)
        assert.matches("emulator is not built: install libmicrohttpd, jansson and cairo", err)
    end)

    it("reports invalid options", function()
        local rows = {
            { { "--base-url", "http://127.0.0.1:9" }, 3, "auth" }, { { "--port", "65536" }, 2, "%-%-port" },
            { { "--proxy", "" }, 2, "%-%-proxy is empty" }, { { "--ca-file", "" }, 2, "%-%-ca%-file is empty" },
            { { "--base-url", "" }, 2, "%-%-base%-url is empty" },
        }
        for _, row in ipairs(rows) do
            local code, out, err = program.run(nil, dir, { "tester", (table.unpack or unpack)(row[1]) })
            assert.equal(row[2], code, err)
            assert.equal("", out)
            assert.matches(row[3], err)
        end
        local emu = service.start()
        local code, _, err = program.run(nil, dir, { "tester", "--port", ("%d"):format(emu.port) })
        assert.not_equal(0, code)
        assert.matches("in use", err)
    end)
end)
