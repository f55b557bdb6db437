-- Settings of the command line: precedence of option, environment and configuration file; `flux2 config`; messages in
-- the words of the command line.
local config_file = require "flux2.cli.config_file"
local errors = require "flux2.errors"
local json = require "flux2.json"
local program = require "support.program"
local service = require "support.service"
local settings = require "flux2.cli.settings"
local usage = require "flux2.cli.usage"
local wording = require "flux2.cli.wording"

describe("the settings", function()
    local dir, env
    before_each(function()
        dir = service.directory()
        os.execute(("mkdir -p '%s/flux2'"):format(dir))
        env = { XDG_CONFIG_HOME = dir }
    end)
    after_each(function()
        settings.sources = {}
        service.remove(dir)
    end)

    local function getenv(name) return env[name] end
    local function write(text) service.write(dir .. "/flux2/config.lua", text) end
    local function complete(args)
        args = args or {}
        local ok, err = settings.complete(args, getenv)
        return ok and args, err and err.message:gsub(dir:gsub("%p", "%%%0"), "DIR"), err and err.kind
    end

    it("come from the option, the environment, the file, or the default, in this order", function()
        write 'type = "flex"\nresolution = "2K"\naspect_ratio = "2:1" timeout = 90.5\ninsecure_http = true\n'
        env.FLUX2_TYPE, env.FLUX2_RESOLUTION, env.FLUX2_BUDGET = "pro", "1K", ""
        assert.same({
            type = "flex", resolution = "1K", aspect_ratio = "2:1", timeout = 90.5, insecure_http = true,
        }, (complete { type = "flex" }))
        assert.same({
            type = "--type", resolution = "FLUX2_RESOLUTION", aspect_ratio = dir .. "/flux2/config.lua:3",
            timeout = dir .. "/flux2/config.lua:3", insecure_http = dir .. "/flux2/config.lua:4",
        }, settings.sources)
        assert.same({ "--type", nil }, { settings.sources.type, settings.sources.budget })
    end)

    it("are the same as the options", function()
        local known = {}
        for _, name in ipairs(require "flux2.cli".commands) do
            local _, commands = require "flux2.cli".parser(name)
            for option in commands[name]:get_help():gmatch "%-%-[%w-]+" do known[option] = true end
        end
        for _, setting in ipairs(settings.list) do
            assert.is_true(known[settings.option(setting.name)], setting.name)
        end
    end)

    it("has a colour by the conventions for terminals", function()
        for _, case in ipairs {
            { {}, nil }, { { NO_COLOR = "1" }, "never" }, { { NO_COLOR = "" }, nil }, { { TERM = "dumb" }, "never" },
            { { CLICOLOR_FORCE = "1" }, "always" }, { { CLICOLOR_FORCE = "0" }, nil },
            { { CLICOLOR_FORCE = "1", NO_COLOR = "1" }, "never" },
            { { CLICOLOR_FORCE = "1", TERM = "dumb" }, "always" },
        } do
            env = case[1]
            assert.equal(case[2], complete().color)
        end
        env = { XDG_CONFIG_HOME = dir, NO_COLOR = "1" }
        write 'color = "always"'
        assert.equal("never", complete().color)
        assert.equal("always", complete({ color = "always" }).color)
        env.NO_COLOR = nil
        assert.equal("always", complete().color)
    end)

    it("of the file are data without globals, bytecode and other values, and each error names the line", function()
        for text, message in pairs {
            ['tpye = "flex"'] = "1: unknown setting 'tpye': did you mean type?",
            ['\n\ntype = "flux"'] = "3: type must be 'pro' or 'flex', got 'flux': did you mean 'flex'?",
            ['\ntimeout = "soon"'] = "2: timeout must be a number of seconds above 0, not 'soon'",
            ["timeout = os.time()"] = "1: 'os' is not available: a line is a name and a value, such as type = \"flex\"",
            ["timeout = 9\npatience = timeout"] =
                "2: 'timeout' is not available: a line is a name and a value, such as type = \"flex\"",
            ["proxy = false"] = "1: proxy must be a text in quotes, not false",
            ["\nspool = 7"] = "2: spool must be a text in quotes, not 7",
            ["type = {}"] = "1: type must be a text, a number, true or false, not a table",
            ["function type() end"] = "1: type must be a text, a number, true or false, not a function",
            ["type ="] = "1: unexpected symbol near ",
            ["return {}"] = " write one setting per line, such as type = \"flex\", without return",
            ['api_key = "aio_secret"'] = "1: unknown setting 'api_key': set FLUX2_API_KEY in the environment",
            [string.dump(function() end)] = "1: bytecode is not allowed",
        } do
            write(text)
            local args, wrong, kind = complete()
            assert.same({ nil, "invalid_request" }, { args, kind })
            assert.equal("DIR/flux2/config.lua:" .. message, wrong:sub(1, #message + #"DIR/flux2/config.lua:"))
            assert.is_nil(wrong:find "secret")
        end
        os.remove(dir .. "/flux2/config.lua")
        assert.same({}, (complete()))
        os.execute(("mkdir '%s/flux2/config.lua'"):format(dir))
        assert.equal("io", select(3, complete()))
    end)

    it("are in a file that follows the conventions of the system", function()
        local function path(variables) return config_file.path(function(name) return variables[name] end) end
        assert.equal("/c/flux2/config.lua", path { XDG_CONFIG_HOME = "/c", HOME = "/h" })
        assert.equal("/h/.config/flux2/config.lua", path { XDG_CONFIG_HOME = "c", HOME = "/h" })
        assert.equal("/h/.config/flux2/config.lua", path { XDG_CONFIG_HOME = "", HOME = "/h" })
        assert.equal("C:/a/flux2/config.lua", path { APPDATA = "C:/a", HOME = "/h" })
        assert.is_nil(path { HOME = "" })
        assert.same({}, config_file.read(nil))
    end)
end)

describe("flux2 config", function()
    local dir, emu
    service.around_each(before_each, after_each, nil, function(new, directory) emu, dir = new, directory end)

    local function run(words, env) return program.run(emu, dir, words, { env = env }) end

    it("prints each setting, its value and its place, and masks the key and passwords", function()
        os.execute(("mkdir -p '%s/.config/flux2'"):format(dir))
        service.write(dir .. "/.config/flux2/config.lua", 'type = "flex"\nproxy = "http://me:secret@p:1"\n')
        local code, out = run({ "config" }, { FLUX2_API_KEY = "aio_secret_1234" })
        assert.equal(0, code)
        assert.matches("^api_key +aio_%.%.%. %(15 characters%) +FLUX2_API_KEY\n", out)
        assert.matches("\ntype +flex +%S+/.config/flux2/config.lua:1\n", out)
        assert.matches("\nproxy +http://%*%*%*@p:1 +%S+:2\n", out)
        assert.matches("\nresolution +1K +default\n", out)
        assert.matches("\nbase_url +" .. emu.url:gsub("%p", "%%%0") .. " +FLUX2_BASE_URL\n", out)
        assert.is_nil(out:find "secret")
        out = select(2, run({ "config" }, { FLUX2_API_KEY = "" }))
        assert.matches("^api_key +not set +see FLUX2_API_KEY\n", out)
        out = select(2, run({ "config", "--json" }, { FLUX2_API_KEY = "" }))
        assert.equal('{"name":"api_key"}', out:match "^[^\n]*")
        code, out = run { "config", "--json" }
        assert.equal(0, code)
        local lines = program.json_lines(out)
        assert.equal(#settings.list + 1, #lines)
        for _, setting in ipairs(settings.list) do assert.not_equal("", setting.default, setting.name) end
        assert.same({ name = "type", value = "flex", source = dir .. "/.config/flux2/config.lua:1" }, lines[3])
        code, out = run { "config", "path" }
        assert.same({ 0, dir .. "/.config/flux2/config.lua\n" }, { code, out })
        service.write(dir .. "/.config/flux2/config.lua", 'type = "flex"')
        assert.equal(0, (run { "generate", "a fox" }))
        assert.equal("flex", emu:ledger()[1].type)
    end)

    it("and version, doctor and help work with an invalid file; the other commands name its line", function()
        os.execute(("mkdir -p '%s/.config/flux2'"):format(dir))
        service.write(dir .. "/.config/flux2/config.lua", "type = 1\n")
        local wrong = dir .. "/.config/flux2/config.lua:1: type must be 'pro' or 'flex', got '1'\n"
        assert.equal(0, (run { "config", "path" }))
        assert.equal(0, (run { "version" }))
        assert.equal(0, (run { "batch", "--help" }))
        assert.equal(0, (run { "completion", "bash" }))
        assert.same({ 2, "", "flux2: " .. wrong }, { run { "config" } })
        assert.same({ 2, "", "flux2: " .. wrong }, { run { "generate", "a fox" } })
        local code, out = run { "doctor", "--offline", "--json" }
        assert.equal(2, code)
        local checks = {}
        for _, found in ipairs(program.json_lines(out)) do checks[found.check or ""] = found end
        assert.same({ "wrong", wrong }, { checks.settings.state, checks.settings.found .. "\n" })
        local message = json.decode((select(2, run { "estimate", "--json" }))).error.message
        assert.equal(wrong, message .. "\n")
    end)

    it("and every other command loads no other one, and --version neither argparse nor the client", function()
        local _, printed = service.run_lua [[
            io.stdout:setvbuf "no"
            local cli = require "flux2.cli"
            cli.main { "--version" }
            print(package.loaded.argparse, package.loaded["flux2.client"], package.loaded["flux2.cli.settings"])
            cli.main { "estimate", "-q" }
            print(package.loaded["flux2.cli.estimate"] ~= nil, package.loaded["flux2.cli.batch"],
                package.loaded["flux2.cli.serve"])
        ]]
        assert.matches("\nnil\tnil\tnil\nabout [^\n]*\ntrue\tnil\tnil\n$", printed)
    end)

    it("prints the version in three ways", function()
        local _, out = run { "--version" }
        assert.matches("^flux2 %d+%.%d+%.%d+ %(.*, libcurl/[%d.]+%)\n$", out)
        assert.same({ out, out }, { select(2, run { "-V" }), (select(2, run { "version" })) })
    end)

    it("--verbose prints each request, without the key; FLUX2_LOG and verbose in the file do the same", function()
        for _, case in ipairs {
            { { "--verbose" }, {} }, { { "-v", "--quiet" }, {} }, { {}, { FLUX2_LOG = "debug" } },
        } do
            local words = { "generate", "a fox", (table.unpack or unpack)(case[1]) } -- luacheck: ignore 143
            local code, out, err = run(words, case[2])
            assert.equal(0, code)
            assert.matches("^a%-fox[-%d]*%.png\n$", out)
            assert.matches("^POST " .. emu.url:gsub("%p", "%%%0") .. "/%S+: 200, %d+ ms, %d+ bytes sent", err)
            assert.matches("\nGET %S+%.png: 200, ", err)
            assert.is_nil(err:find(emu.api_key, 1, true))
        end
        assert.is_nil(select(3, run { "generate", "a fox" }):find "POST")
        local code, _, err = run({ "generate", "a fox" }, { FLUX2_LOG = "loud" })
        assert.same({ 2, "flux2: FLUX2_LOG must be 'debug' or 'off', not 'loud'\n" }, { code, err })
    end)

    it("messages have the words of the command line #emulator", function()
        for _, case in ipairs {
            { { "generate", "a fox", "--base-url", "http://a.example" }, {},
                "^flux2: %-%-base%-url 'http://a.example' was refused: [^\n]*%-%-insecure%-http if you are sure\n" },
            { { "generate", "a fox" }, { FLUX2_BASE_URL = "http://a.example" }, "^flux2: FLUX2_BASE_URL 'http://a" },
            { { "generate", "a fox" }, { FLUX2_TYPE = "x" }, "^flux2: FLUX2_TYPE must be 'pro' or 'flex', got 'x'\n$" },
            { { "generate", "a fox", "--timeout", "1e7" }, {},
                "%-%-timeout must be a number of seconds, at most 1000000" },
            { { "--json", "generate", "a fox" }, {}, nil },
            { { "--quiet", "generate", "a fox" }, {},
                "unknown option '%-%-quiet' before the command\nWrite: flux2 generate %-%-quiet\n" },
            { { "generate", "a fox", "--aspect", "1:1" }, {}, "'%-%-aspect'\nDid you mean %-%-aspect%-ratio%?\nTry: " },
            { { "gen", "a fox" }, {}, "'gen'\nDid you mean generate%?\nTry: flux2 %-%-help\n" },
            { { "generate", "a fox", "--patience" }, {}, "^flux2: %-%-patience needs a value\n" },
            { { "generate", "a fox", "-o", "" }, {}, "^flux2: %-%-output is empty\n" },
            { { "generate", "a fox", "--ca-file", "none.pem" }, {},
                "^flux2: %-%-ca%-file: there is no file 'none.pem'\n" },
            { { "generate", "a fox" }, { FLUX2_CA_FILE = "none.pem" },
                "^flux2: FLUX2_CA_FILE: there is no file 'none" },
            { { "completion" }, {}, "^flux2: flux2 completion needs one of: bash, zsh, fish\n" },
            { { "emulator", "--shape", "x" }, {}, "unknown shape x: known are image_url, " },
            { { "batch", "x", "--budget", "-5" }, {}, "Write a value that begins with %- as %-%-option=VALUE" },
        } do
            local code, out, err = run(case[1], case[2])
            assert.equal(2, code, err)
            assert.matches(case[3] or '^{"error":{"kind":"invalid_request"', case[3] and err or out)
        end
        assert.equal(0, #emu:ledger())
    end)
end)

describe("the words of the command line", function()
    it("replace names of the module's options", function()
        local function translate(kind, message, fields)
            return wording.translate(errors.new(kind, message, fields)).message
        end
        for _, case in ipairs {
            { "invalid_request", "input_urls[1] must be x", "--input-url must be x" },
            { "invalid_request", "base_url 'x' was refused: y", "--base-url 'x' was refused: y" },
            { "invalid_request", "other fields", "other fields" },
            { "timeout", "before the first status check: poll.per_second and max_event_bytes limit how often this "
                .. "client asks", "before the first status check" },
            { "too_large", "larger than the limit of 64 MiB; max_image_bytes raises it",
                "larger than the limit of 64 MiB" },
            { "network", "not followed; max_redirects (5) raises how many are",
                "not followed; at most 5 redirects are followed" },
            { "budget", "so a budget cannot be kept: say what it costs with the option price = credits",
                "so a budget cannot be kept: say what one image costs with --price" },
        } do
            assert.equal(case[3], translate(case[1], case[2]))
            assert.equal(case[3], translate(case[1], case[3]))
        end
        assert.equal("type is bad", translate("invalid_request", "type is bad", { status = 422 }))
        settings.sources = { type = "FLUX2_TYPE", base_url = "/c.lua:3" }
        assert.equal("FLUX2_TYPE is bad", translate("invalid_request", "type is bad"))
        assert.equal("/c.lua:3: base_url is bad", translate("invalid_request", "base_url is bad"))
        settings.sources = {}
    end)

    it("suggest at most three beginnings, or the nearest name", function()
        local names = { "generate", "batch", "estimate", "emulator", "eon", "east" }
        assert.same({ "generate" }, usage.candidates("gen", names))
        assert.same({ "estimate", "emulator", "eon" }, usage.candidates("e", names))
        assert.same({ "batch" }, usage.candidates("btach", names))
        assert.same({}, usage.candidates("xyz", names))
    end)
end)
