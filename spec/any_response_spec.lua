-- Random service responses for the client, the spool, the OpenAI API, the command line and the tester: every call ends
-- in bounded time with a result or an error of a known kind, and nothing raises. RESPONSE_ROUNDS sets the number of
-- responses, RESPONSE_SEED the seed.
local any_response = require "support.any_response"
local cli = require "flux2.cli"
local cli_settings = require "flux2.cli.settings"
local core = require "flux2.core"
local error_output = require "flux2.cli.error_output"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local json = require "flux2.json"
local jsonl = require "flux2.cli.jsonl"
local openai = require "flux2.openai"
local page = require "support.tester_page"
local seeded = require "support.seeded"
local service = require "support.service"
local terminal = require "flux2.cli.terminal"
local tester = require "flux2.tester"
local text = require "flux2.text"

local ROUNDS = tonumber(os.getenv "RESPONSE_ROUNDS") or 160
local CONCURRENT = 8 -- rounds that run in this process

describe("with random responses,", function()
    local dir, emus, draw, uncaught
    setup(function()
        emus = {}
        for i = 1, CONCURRENT do emus[i] = service.start { duration = 0 } end
    end)
    before_each(function()
        draw = seeded.new(os.getenv "RESPONSE_SEED")
        dir, uncaught = service.directory(), {}
        flux2.on_error = function(message) uncaught[#uncaught + 1] = tostring(message) end
    end)
    after_each(function()
        flux2.on_error = nil
        service.remove(dir)
    end)
    teardown(service.stop_all)

    --- Prepares random responses and returns the environment setting that repeats them.
    local function prepare(emu)
        local seed = draw.seed()
        emu:clear_faults()
        for kind, where in pairs { submission = "/api/v1/images/generations", task = "/api/v1/tasks/*",
            image = "/images/*" } do
            -- A third of the responses are valid, so that the later requests are sent too.
            local fault = any_response.new(draw, kind)
            fault.path = where
            if draw.random(3) > 1 then emu:fault(fault) end
        end
        return "RESPONSE_SEED=" .. ("%.0f"):format(seed)
    end

    local function settings(emu, more)
        local given = { timeout = 0.3, max_retries = 1, poll = { interval = 0.01, patience = 0.05 } }
        for name, value in pairs(more or {}) do given[name] = value end
        local client = service.client(emu, given)
        return client
    end

    --- Returns true if the text is one line without control characters.
    local function is_printable(line)
        return not line:find "[%z\1-\31\127]" and text.length(line) and not line:find "\194[\128-\159]"
    end

    local function check_error(err, where)
        assert(errors.is(err), where .. ": " .. tostring(err))
        assert(errors.kinds[err.kind], where)
        assert(is_printable(tostring(err)), where .. ": " .. tostring(err))
        assert(json.decode(jsonl.encode(error_output.fields(err))), where)
    end

    local function check(value, err, where)
        if not value then check_error(err, where) end
    end

    --- Checks that each task in the spool can be recovered, waited for and saved, or fails with a known error. Returns the
    -- number of tasks.
    local function recover(emu, spool, where)
        -- As after the end of the program: the records of a living client are not recovered.
        for _, name in ipairs(core.list(spool) or {}) do
            os.rename(spool .. "/" .. name, spool .. "/" .. name:gsub("^task%-%x+", "task-00ff"))
        end
        local tasks, unknown, damaged = settings(emu, { spool = spool }):recover()
        assert(tasks, where .. ": " .. tostring(unknown))
        assert(#damaged == 0, where .. ": " .. tostring(damaged[1] and damaged[1].reason))
        for _, task in ipairs(tasks) do
            local result, err = task:wait()
            check(result, err, where)
            for _, image in ipairs(result and result.images or {}) do
                local bytes, trouble = image:bytes(0.3)
                check(bytes, trouble, where)
            end
        end
        return #tasks
    end

    local calls = {
        function(emu, spool, where)
            local image, err = settings(emu, { spool = spool }):generate("a red fox", { save = spool .. ".png" })
            check(image, err, where)
        end,
        function(emu, spool, where)
            local client = settings(emu, { spool = spool })
            local task = assert(client:submit("a red fox",
                { on_request = function(_, info) assert(is_printable(info.status or "")) end }))
            local result, err = task:wait()
            check(result, err, where)
            assert(is_printable(tostring(task)), where)
            if result then assert(result.raw == nil or type(result.raw) == "table", where) end
            if task.id then
                local status, trouble = client:status(task.id, { timeout = 0.3 })
                check(status, trouble, where)
            end
        end,
        function(emu, spool, where)
            local ai = assert(openai.new(settings(emu, { spool = spool })))
            local answer, err = ai.images:generate { prompt = "a red fox", n = 2,
                response_format = draw.one_of { "url", "b64_json" } }
            check(answer, err, where)
        end,
    }

    it("each library call ends, and the spool stays readable", function()
        local round, recovered = 0, 0
        while round < ROUNDS do
            local handles = {}
            for i = 1, CONCURRENT do
                round = round + 1
                local emu, call, spool = emus[i], draw.one_of(calls), dir .. "/" .. round
                local where = ("round %d, %s"):format(round, prepare(emu))
                handles[i] = flux2.spawn(function()
                    call(emu, spool, where)
                    local count = recover(emu, spool, where)
                    recovered = recovered + count
                end)
            end
            service.pump_until(function()
                for i = 1, CONCURRENT do
                    if handles[i].state == "running" then return false end
                end
                return true
            end, 20)
            for i = 1, CONCURRENT do
                local _, err = handles[i]:join()
                if handles[i].state == "failed" then error(err, 0) end
            end
            os.execute("rm -rf '" .. dir .. "'/*")
        end
        assert.is_true(recovered > 0)
        assert.same({}, uncaught)
    end)

    --- Runs `flux2 WORDS` in this process. Returns the exit status and the complete output.
    local function run(emu, words)
        local written = {}
        local stream = {
            write = function(_, ...)
                for _, s in ipairs { ... } do written[#written + 1] = s end
            end,
            flush = function() end,
        }
        local out = terminal.new {
            out = stream, err = stream, getenv = function() end,
            is_terminal = function() return false end, columns = function() end,
        }
        for _, word in ipairs { "--base-url", emu.url, "--timeout", "0.3", "--poll-interval", "0.01",
            "--patience", "0.05" } do
            words[#words + 1] = word
        end
        local understood, args = cli.parser():pparse(words)
        assert(understood, args)
        out.quiet, out.json, args.argv = args.quiet or false, args.json or false, words
        assert(cli_settings.complete(args, function() end))
        return cli.command(args.command).run(args, out), table.concat(written)
    end

    it("each command ends with an exit status and prints JSON or text without control characters", function()
        local getenv = os.getenv
        rawset(os, "getenv", function(name)
            if name == "FLUX2_API_KEY" then return emus[1].api_key end
            return name ~= "FLUX2_SPOOL" and getenv(name) or nil
        end)
        finally(function() rawset(os, "getenv", getenv) end)
        service.write(dir .. "/list.txt", "a red fox\na grey heron\na brown hare\n")
        for round = 1, ROUNDS / 4 do
            local where = ("round %d, %s"):format(round, prepare(emus[1]))
            local commands = {
                { "generate", "a red fox", "-o", dir .. "/", "--spool", dir .. "/spool" },
                { "batch", dir .. "/list.txt", "--out", dir .. "/out" },
                { "batch", dir .. "/list.txt", "--out", dir .. "/out", "--budget", "50", "--remake",
                    "--resubmit-unknown", "--retry-refused" },
                { "task", "any", "--spool", dir .. "/spool" },
                { "task", "any", "--wait", "-o", dir .. "/", "--spool", dir .. "/spool" },
                { "recover", "-o", dir .. "/rescued", "--spool", dir .. "/spool" },
                { "recover", "--list", "--spool", dir .. "/spool" }, { "doctor" },
            }
            local words = draw.one_of(commands)
            local as_json = draw.random(2) == 1
            if as_json then words[#words + 1] = "--json" end
            os.execute("mkdir -p '" .. dir .. "/spool'")
            local status, output = run(emus[1], words)
            assert(type(status) == "number" and status >= 0 and status <= 20, where)
            for line in output:gmatch "[^\n]+" do
                assert(is_printable(line), where .. ": " .. line)
                if as_json and line:sub(1, 1) == "{" then assert(json.decode(line), where .. ": " .. line) end
            end
        end
        assert.same({}, uncaught)
    end)

    it("the tester reports the end of each task to its page", function()
        local emu = emus[1]
        local one = assert(tester.start { base_url = emu.url, api_key = emu.api_key,
            poll = { interval = 0.01, patience = 0.05 }, timeout = 0.3 })
        finally(function() one:stop() end)
        for _ = 1, ROUNDS / 40 do
            local where = prepare(emu)
            local task = page.finish(one.url, page.submit(one.url, { prompt = "a red fox" }))
            assert(task.state == "succeeded" or errors.kinds[task.error.kind], where)
        end
    end)
end)
