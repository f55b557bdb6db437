-- Locales with a decimal comma: a host may set its locale at any time, as every GTK program does. Numbers and letters
-- keep their meaning in requests and responses. The specs compile a locale with a decimal comma and Turkish letters.
local cjson = require "cjson"
local service = require "support.service"

local HEAD = [[
local url, dir = arg[1], arg[2]
local core, flux2 = require "flux2.core", require "flux2"
local json = require "flux2.json"
assert(json.decode "[0.5]"[1] == 1 / 2)
assert(os.setlocale("comma", "all"), "the locale was not made")
local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = url, spool = dir,
    poll = { interval = 0.02 } })
]]

describe("with a decimal comma in the locale #locale", function()
    local emu, dir, locale
    setup(function()
        locale = service.directory()
        local rows = {}
        for i = 0, 127 do rows[#rows + 1] = ("<U%04X> /x%02x CHARACTER %d"):format(i, i, i) end
        service.write(locale .. "/charmap", "<code_set_name> COMMA\n<mb_cur_min> 1\n<mb_cur_max> 1\n<escape_char> " ..
            "/\nCHARMAP\n"
            .. table.concat(rows, "\n") .. "\nEND CHARMAP\n")
        local lower = {}
        for i = 65, 90 do
            -- In Turkish the lower case of I is not i.
            if i ~= 73 then lower[#lower + 1] = ("(<U%04X>,<U%04X>)"):format(i, i + 32) end
        end
        service.write(locale .. "/comma.def", 'LC_NUMERIC\ndecimal_point ","\nthousands_sep ""\ngrouping -1\nEND ' ..
            'LC_NUMERIC\n'
            .. "LC_CTYPE\nupper <U0041>..<U005A>\nlower <U0061>..<U007A>\ntolower " .. table.concat(lower, ";")
            .. "\nEND LC_CTYPE\n")
        os.execute(("cd '%s' && localedef -c -f ./charmap -i ./comma.def ./comma >/dev/null 2>&1"):format(locale))
    end)
    teardown(function() service.remove(locale) end)
    service.around_each(before_each, after_each, { duration = 0.2 }, function(...) emu, dir = ... end)

    local function run(body)
        if not service.exists(locale .. "/comma/LC_NUMERIC") then
            return pending "there is no localedef to make a locale with"
        end
        local code, printed = service.run_lua(HEAD .. body, ("'%s' '%s'"):format(emu.url, dir),
            ("LOCPATH='%s'"):format(locale))
        assert.equal(0, code, printed)
        return printed
    end

    it("a number in the request is sent with a point", function()
        run [[
            assert(client:generate({ prompt = "a fox", extra = { strength = 0.5, steps = { 0.25, 7 } } },
                { price = 1.5 }))
            assert(client:spent() == 1.5)
        ]]
        local body = cjson.decode(emu:ledger()[1].body)
        assert.equal(0.5, body.strength)
        assert.same({ 0.25, 7 }, body.steps)
    end)

    for _, progress in ipairs { "fraction", "string", "percent" } do
        it("the reported progress is parsed: " .. progress, function()
            emu:set { progress = progress, duration = 0.5 }
            run [[
                local seen
                local function on_progress(t) seen[#seen + 1] = t.progress end
                -- A busy machine may see only the end of a task, but not of each.
                for _ = 1, 10 do
                    seen = {}
                    assert(assert(client:submit("a fox", { on_progress = on_progress })):wait())
                    if #seen > 2 then break end
                end
                assert(#seen > 2, #seen)
                for _, p in ipairs(seen) do assert(p >= 0 and p <= 1 and p ~= 1/3) end
                assert(seen[1] < 1)
            ]]
        end)
    end

    it("a response with a fraction does not fail the task", function()
        emu:fault {
            method = "POST", path = "/api/v1/images/generations", nth = 1, accept = true,
            body = '{"code":200,"data":{"task_id":"{task_id}","status":"queued","cost":0.75,"eta":1.5e1}}',
        }
        emu:fault {
            -- Several progress values: a slow host gets only the newest.
            method = "GET", path = "/api/v1/tasks/*", nth = { 1, 20 },
            body = '{"code":200,"data":{"status":"running","progress":"0.25"}}',
        }
        run [[
            local seen
            local task = assert(client:submit("a fox", { on_progress = function(t) seen = seen or t.progress end }))
            local result, err = task:wait()
            assert(result, tostring(err))
            assert(seen == 0.25, tostring(seen))
        ]]
    end)

    it("a fractional pause and an id of many digits are preserved", function()
        emu:fault { method = "POST", path = "/api/v1/images/generations", nth = 1, retry_after = "0.9" }
        run [[
            local began = core.now()
            assert(client:generate "asked to wait")
            assert(core.now() - began >= 0.9)
            local schema = core.response_schema(require("flux2.provider").resolve().response)
            local read = core.read_response(schema, "submission", 200, '{"data":{"task_id":123456789012345678}}')
            assert(read.id == "123456789012345678", read.id)
            read = core.read_response(schema, "task", 200, '{"code":429,"retry_after":1.5,"data":{"progress":"12.5%"}}')
            assert(read.retry_after == 3 / 2 and read.progress == 1 / 8, read.progress)
            assert(core._pure.retry_after("1.5", nil, 0) == 1.5)
        ]]
    end)

    it("a header name in capital letters is recognized, with an I that has another lower case", function()
        emu:fault { path = "/api/v1/tasks/*", times = 10, status = 400,
            headers = { ["X-REQUEST-ID"] = "from the service" } }
        run [[
            local found, err = client:status "some-id"
            assert(not found and err.request_id == "from the service", tostring(err.request_id))
        ]]
    end)

    it("the spool and the polling durations are readable in any locale", function()
        run [[
            local task = assert(client:submit({ prompt = "a fox", extra = { strength = 0.125 } }, { price = 2.5 }))
            while not task.id do flux2.sleep(0.01) end
            task:cancel()
            -- The codec follows when the locale changes back, and again.
            for _ = 1, 3 do
                os.setlocale("C", "all")
                assert(json.encode({ 0.5 }, "x") == "[0.5]" and json.decode "[0.5]"[1] == 1 / 2)
                os.setlocale("comma", "all")
                assert(json.encode({ 0.5 }, "x") == "[0.5]" and json.decode "[0.5]"[1] == 1 / 2)
            end
        ]]
        local tasks = assert(service.client(emu, { spool = dir }):recover())
        assert.equal(1, #tasks)
        assert.equal(0.125, tasks[1].request.strength)
        assert.equal(2.5, tasks[1]._record.price)
    end)
end)

describe("numbers in texts", function()
    local number = require("flux2.core")._pure.number
    it("are parsed independently of the locale", function()
        for s, n in pairs {
            ["0.5"] = 0.5, ["5"] = 5, [".25"] = 0.25, ["3."] = 3, ["007.50"] = 7.5, ["7"] = 7, [".5"] = 0.5,
            ["7."] = 7, ["12.25"] = 12.25,
            ["0"] = 0, ["1e3"] = 1000, ["-1"] = -1, [" 1"] = 1,
        } do assert.equal(n, number(s)) end
        for _, bad in ipairs { "", ".", "1.2.3", "1,5", "0x1", "x" } do assert.is_nil(number(bad)) end
    end)
end)
