-- `flux2 tester`, as a program of its own.
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

    --- Starts it, and gives the address that it prints.
    local function start(emu, ...)
        local pid = program.start(emu, dir, { "tester", ... })
        local line
        program.until_(function()
            line = (service.read_if_there(dir .. "/.stdout") or ""):match "^([^\n]+)\n"
            return line
        end)
        return line, pid
    end

    it("prints the address of a page on an emulator of its own, and ends with Ctrl-C", function()
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

    it("works on the service that it is told of, with the key of the environment", function()
        local emu = service.start { api_key = "aio_of_the_environment" }
        local line, pid = start(emu, "--json", "--budget", "15")
        local said = json.decode(line)
        assert.equal(emu.url, said.base_url)
        assert.is_false(said.emulator)
        assert.equal("succeeded", page.finish(said.url, page.submit(said.url, { prompt = "a red fox" })).state)
        assert.equal(422, page.post(said.url, "tasks", { request = { prompt = "beyond the budget" } }).status)
        assert.equal(1, #emu:ledger())
        program.stop(pid, "INT")
        assert.is_nil((service.read(dir .. "/.stdout") .. service.read(dir .. "/.stderr")):find("aio_of_the", 1, true))
    end)

    it("says what it cannot do", function()
        local rows = {
            { { "--base-url", "http://127.0.0.1:9" }, 3, "auth" }, { { "--port", "65536" }, 2, "%-%-port" },
            { { "--proxy", "" }, 2, "%-%-proxy is empty" },
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
