-- The command line as a whole: arguments, exit status, output streams and installation.
-- Takes about 10 seconds: most command lines are separate processes, one after another.
local cli = require "flux2.cli"
local exit = require "flux2.cli.exit"
local errors = require "flux2.errors"
local flux2 = require "flux2"
local in_process = require "support.in_process"
local program = require "support.program"
local service = require "support.service"
local shell = require "support.shell"

local COMMANDS = cli.commands

describe("the command line", function()
    local dir, emu
    before_each(function()
        dir = service.directory()
        emu = service.start()
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)

    local function run(words, options) return program.run(emu, dir, words, options) end

    it("lists its commands, and has help with an example for each", function()
        local code, out = run { "--help" }
        assert.equal(0, code)
        assert.equal(out, select(2, run { "help" }))
        for _, name in ipairs(COMMANDS) do
            assert.matches("\n   " .. name .. " ", out)
            local status, help, err = run { name, "--help" }
            assert.equal(0, status, err)
            assert.matches("Example", help)
            assert.matches("flux2 " .. name, help)
            assert.equal(help, select(2, run { "help", name }))
            for line in help:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
            -- A wrapped example could not be copied.
            for line in help:match "Examples?:\n(.*)$":gmatch "[^\n]+" do
                assert.truthy(line:find "^   flux2 " or line:find "^   source <" or line:find "^   jq ", line)
            end
        end
        for _, pair in ipairs(exit.kinds) do
            assert.matches(pair[2] == 2 and "2%s+invalid%s+command" or pair[2] .. "%s+" .. pair[1], out)
        end
        for _, name in ipairs { "API_KEY", "BASE_URL", "TYPE", "BUDGET", "SPOOL" } do
            assert.matches("FLUX2_" .. name, out)
        end
    end)

    it("prints its help as an error without arguments", function()
        local code, out, err = run {}
        assert.equal(2, code)
        assert.equal("", out)
        assert.matches("Usage: flux2", err)
    end)

    it("prints its version", function()
        local code, out = run { "--version" }
        assert.equal(0, code)
        assert.equal("flux2 " .. flux2._VERSION .. " (", out:match "^flux2 %S+ %(")
    end)

    it("names the option of an input image that it cannot read", function()
        local code, _, err = run { "generate", "a fox", "--input", "none.png" }
        assert.equal(20, code)
        assert.equal("flux2: io: --input cannot be read: 'none.png': No such file or directory\nCheck the path.\n", err)
    end)

    it("blames the address, not a task, for a path that the service does not know", function()
        local code, _, err = run { "generate", "a fox", "--base-url", emu.url .. "/v9" }
        assert.equal(7, code)
        assert.matches("Check the address: --base-url or FLUX2_BASE_URL", err, 1, true)
    end)

    it("has a separate status for each kind of error", function()
        local seen = {}
        for kind in pairs(errors.kinds) do
            local status = exit.of { kind = kind }
            assert.is_true(status >= 2 and status < 126, kind)
            assert.is_nil(seen[status], kind)
            seen[status] = true
        end
        assert.equal(1, exit.of "a fault")
        assert.equal(0, exit.of_many {})
        assert.equal(12, exit.of_many { network = 2 })
        assert.equal(1, exit.of_many { network = 2, tls = 1 })
    end)

    it("documents every status and every variable in docs/cli.md", function()
        local page = service.read "docs/cli.md"
        for _, pair in ipairs(exit.kinds) do
            assert.truthy(page:find(("| %d | `%s` |"):format(pair[2], pair[1]), 1, true), pair[1])
        end
        local settings = require "flux2.cli.settings"
        for _, setting in ipairs(settings.list) do
            assert.truthy(page:find("`" .. settings.option(setting.name) .. "`", 1, true), setting.name)
            if setting.variable then assert.truthy(page:find("`" .. setting.variable .. "`", 1, true), setting.name) end
        end
        local _, help = run { "--help" }
        for _, name in ipairs { settings.key_variable, "FLUX2_PROVIDER" } do
            assert.truthy(page:find("`" .. name .. "`", 1, true), name)
            assert.truthy(help:find("\n   " .. name .. " ", 1, true), name)
        end
    end)

    it("exits with the status of the error kind", function()
        local function status(words, env, setting)
            if setting then emu:set(setting) end
            local code, _, err = run(words, { env = env })
            return code, err
        end
        assert.equal(3, (status({ "generate", "a fox" }, { FLUX2_API_KEY = "aio_wrong" })))
        assert.equal(3, (status({ "generate", "a fox" }, { FLUX2_API_KEY = "" })))
        assert.equal(7, (status { "task", "n41none_flux2" }))
        assert.equal(8, (status { "generate", "a fox [reject]" }))
        assert.equal(9, (status { "generate", "a fox [fail]" }))
        assert.equal(10, (status { "generate", "a fox [moderate]" }))
        assert.equal(12, (status({ "generate", "a fox" }, { FLUX2_BASE_URL = "http://127.0.0.1:1" })))
        assert.is_true(service.with_enough_time(0.5, function(seconds)
            return status({ "generate", "a fox", "--timeout", tostring(seconds) }, nil, { duration = 60 }) == 14
        end))
        assert.equal(20, (status { "generate", "a fox", "-o", dir .. "/none/fox.png" }))
        emu:fault { method = "POST", times = 1, reset = "after" }
        assert.equal(19, (status({ "generate", "a fox" }, nil, { duration = 0 })))
        assert.equal(4, (status({ "generate", "a fox" }, nil, { credits = 1 })))
    end)

    it("reads options from the environment, with precedence for the command line", function()
        local env = { FLUX2_TYPE = "flex", FLUX2_RESOLUTION = "2K", FLUX2_ASPECT_RATIO = "16:9" }
        assert.equal(0, (run({ "generate", "a fox", "--resolution", "1K" }, { env = env })))
        local submitted = emu:ledger()[1]
        assert.same({ "flex", "1K", "16:9" }, { submitted.type, submitted.resolution, submitted.aspect_ratio })
        local code, _, err = run({ "generate", "a fox" }, { env = { FLUX2_TIMEOUT = "soon" } })
        assert.equal(2, code)
        assert.matches("FLUX2_TIMEOUT must be a number of seconds above 0, not 'soon'", err)
    end)

    it("writes no escape sequences to a pipe, and only results when quiet", function()
        local code, out, err = run { "generate", "a fox" }
        assert.equal(0, code)
        assert.is_nil((out .. err):find "[\27\r]")
        assert.equal("a-fox.png\n", out)
        assert.matches("10 credits", err)
        code, out, err = run { "generate", "a fox", "--quiet" }
        assert.same({ 0, "a-fox-2.png\n", "" }, { code, out, err })
        code, out, err = run { "generate", "a fox [fail]", "--quiet" }
        assert.same({ 9, "" }, { code, out })
        assert.matches("^flux2: task_failed: ", err)
        assert.is_nil(err:find "\n.")
    end)

    it("never prints the key", function()
        for _, words in ipairs { { "doctor" }, { "generate", "a fox" }, { "task", "x" },
            { "generate", "a fox", "--json" } } do
            local _, out, err = run(words, { env = { FLUX2_API_KEY = "aio_secret_1234" } })
            assert.is_nil((out .. err):find "secret")
        end
    end)

    it("prints a traceback for an internal error, and a raised flux2 error like any other", function()
        local code, printed = service.run_lua [[
            local cli, estimate = require "flux2.cli", require "flux2.cli.estimate"
            local errors = require "flux2.errors"
            local function main(fault)
                estimate.run = function() error(fault, 0) end
                print(cli.main { "estimate" })
            end
            io.stderr:setvbuf "no"
            io.stdout:setvbuf "no"
            main "broken"
            main(errors.new("network", "away"))
            main(setmetatable({}, { __tostring = function() return "a table" end }))
            estimate.run = function() require("flux2").on_error "in a callback" return 7 end
            print(cli.main { "estimate" })
        ]]
        assert.equal(0, code, printed)
        assert.matches("^flux2: internal error, please report it: broken\nstack traceback:\n", printed)
        assert.matches("\n1\nflux2: network: away\n"
            .. "Run `flux2 doctor` to check the connection, the proxy and the address.\n12\n"
            .. "flux2: internal error, please report it: a table\n1\nflux2: in a callback\n7\n$", printed)
    end)

    it("names the package when argparse is missing", function()
        local code, _, err = run({ "doctor" },
            { env = { LUA_PATH = (os.getenv "LUA_PATH" or ""):gsub(";;", ";"):gsub(";$", "") } })
        assert.equal(1, code)
        assert.matches("lua%-argparse", err)
    end)

    it("completes in bash", function()
        local code, script = run { "completion", "bash" }
        assert.equal(0, code)
        service.write(dir .. "/completion", script .. [[

try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _flux2; echo "${COMPREPLY[*]}"; }
try flux2 ''
try flux2 ba
try flux2 generate --ty
try flux2 generate --type ''
try flux2 completion ''
try flux2 batch --format jsonl --con
]])
        local pipe = io.popen("bash " .. dir .. "/completion")
        local lines = {}
        for line in pipe:lines() do lines[#lines + 1] = line end
        pipe:close()
        assert.same({ table.concat(COMMANDS, " ") .. " help", "batch", "--type", "pro flex", "bash zsh fish",
            "--concurrency" }, lines)
    end)

    it("has completions for zsh and fish that name every command", function()
        for _, name_of_shell in ipairs { "zsh", "fish" } do
            local code, script = run { "completion", name_of_shell }
            assert.equal(0, code)
            for _, name in ipairs(COMMANDS) do assert.truthy(script:find(name, 1, true)) end
        end
    end)

    it("in a checkout selects an interpreter for which the module is built", function()
        local abi, here = _VERSION:match "%d%.%d", io.popen("pwd"):read "*l"
        -- A module that no interpreter can load: the error names the file, and with it the selected Lua.
        local module = dir .. "/one/" .. abi .. "/flux2/core.so"
        assert.equal(0, (shell.run(("mkdir -p '%s' && echo none >'%s'"):format(module:match "^(.*)/", module))))
        local function launch(build)
            return shell.run(("cd / && FLUX2_BUILD='%s' %s/bin/flux2 --version"):format(dir .. "/" .. build, here))
        end
        local code, output = launch "one"
        assert.equal(1, code)
        assert.truthy(output:find("'" .. module .. "'", 1, true), output)
        code, output = launch "none"
        assert.equal(1, code)
        assert.equal("flux2: the module is not built here. Run: make -C " .. here .. "\n", output)
    end)

    it("names a missing Lua module, and how to install it", function()
        for _, name in ipairs { "cjson", "argparse" } do
            local code, output = shell.run(("LUA_INIT='package.preload[\"%s\"] = error' %s bin/flux2 estimate"):format(
                name, shell.quote(shell.interpreter())))
            assert.equal(1, code)
            assert.matches("^flux2: the Lua module " .. name
                .. " is missing. Install it: apt%-get install lua%-" .. name, output)
            assert.equal(1, select(2, output:gsub("\n", "")))
        end
    end)

    it("is installed with a launcher that finds its modules from any directory, and is removed again", function()
        local abi = _VERSION:match "%d%.%d"
        local flavour = require "support.build".flavour
        local prefix = dir .. "/a prefix"
        local function make(target)
            local command = "env -u MAKEFLAGS -u MFLAGS make -s %s ABIS=%s FLAVOUR=%s PREFIX=%s"
            local code, output = shell.run(command:format(target, abi, flavour, shell.quote(prefix)))
            assert.equal(0, code, output)
            return output
        end
        make "install"
        local installed = shell.quote(prefix .. "/bin/flux2")
        local script = service.read(prefix .. "/bin/flux2")
        assert.matches("^#!/%S*lua%S*\n", script)
        os.execute("ln -s " .. installed .. " " .. dir .. "/flux2")
        -- The interpreter of these specs, which may be instrumented, without a path to the checkout.
        local _, output = shell.run(("cd / && env -u LUA_PATH -u LUA_CPATH -u FLUX2_BUILD %s %s/flux2 "
            .. "--version"):format(
            shell.quote(shell.interpreter()), dir))
        assert.matches("^flux2 " .. flux2._VERSION:gsub("%p", "%%%0"), output)
        -- The installing interpreter cannot load an instrumented module and writes none of these files then.
        local others = flavour == "" and 4 or 0
        for i, file in ipairs { "bash-completion/completions/flux2", "zsh/site-functions/_flux2",
            "fish/vendor_completions.d/flux2.fish", "man/man1/flux2.1" } do
            if i <= others then assert.matches("flux2", service.read(prefix .. "/share/" .. file)) end
        end
        make "uninstall"
        assert.equal("", io.popen("find " .. shell.quote(prefix) .. " -type f"):read "*a")
    end)
end)

describe("a mistake in the command line", function()
    local dir, emu
    in_process.around_each(before_each, after_each, function(...) emu, dir = ... end)

    it("suggests a correction, with status 2", function()
        for _, case in ipairs {
            { { "generat" }, "unknown command 'generat'\nDid you mean generate?", "flux2 %-%-help" },
            { { "generate", "a fox", "--tipe", "pro" }, "unknown option '--tipe'\nDid you mean --type?",
                "flux2 generate %-%-help" },
            { { "generate", "a fox", "--type", "max" }, "--type must be 'pro' or 'flex', not 'max'", "flux2 generate %-%-help" },
            { { "generate", "a fox", "-n", "none" },
                "--count must be a whole number, 1 or more, not 'none'", "generate" },
            { { "generate", "a", "fox" }, "expected one prompt, got 2: put the prompt in quotes", "generate" },
            { { "generate", "a fox", "--timeout", "0" }, "--timeout must be a number of seconds above 0", "generate" },
            { { "generate", "a fox", "--extra", "[1]" }, "--extra must be a JSON object", "generate" },
            { { "generate", "a fox", "--extra", '{"prompt":"x"}' }, "--extra may not hold prompt: it has an option or a field of its own", "generate" },
            { { "generate", "a fox", "--aspect-ratio", "16x9" }, "did you mean '16:9'?", "generate" },
            { { "generate", "a fox", "--input-url", "fox.png" },
                "--input-url must be an http(s) URL, not 'fox.png'\nThe service downloads input images", "generate" },
            { { "generate", "a fox", "--input-url", "ftp://a/b" },
                "--input-url must be an http(s) URL, not 'ftp://a/b': it begins with 'ftp:'", "generate" },
            { { "generate", "f" }, "the prompt must have 3 to 5000 characters, has 1", "generate" },
            { { "a red fox" }, "unknown command 'a red fox'\nWrite: flux2 generate 'a red fox'\n", "flux2 %-%-help" },
            { { "generate", "a fox", "--size", "1:1" }, "'--size'\nDid you mean --aspect-ratio?\n", "generate" },
            { { "generate", "a fox", "--url", "x" }, "'--url'\nDid you mean --input-url?\n", "generate" },
            { { "generate", "a fox", "--ratio", "1:1" }, "'--ratio'\nDid you mean --aspect-ratio?\n", "generate" },
            { { "generate", "a fox", "--api-key", "x" }, "'--api-key'\nSet FLUX2_API_KEY in the environment: ", "generate" },
            { { "generate", "--prompt", "a fox" }, "'--prompt'\nWrite the prompt in quotes, without an option.", "generate" },
            { { "generate", "a fox", "--seed", "7" }, "'--seed'\nFields of a request that have no option go into --extra",
                "generate" },
            { { "batch", "list.txt", "--output", "x" }, "'--output'\nDid you mean --out?\n", "batch" },
            { { "batch", "list.txt", "-x", "x" }, "unknown option '-x'\nTry: ", "batch" },
            { { "config", "get" }, "unknown command 'get'\nKnown: path\n", "config" },
            { { "recover", "spool" }, "flux2 recover takes options only\n", "recover" },
            { { "show", "a.png", "b.png" }, "flux2 show takes one argument, the image\n", "show" },
            { { "batch" }, "flux2 batch needs a list", "batch" },
            { { "help", "generat" }, "unknown command 'generat'\nDid you mean generate?", "flux2 help %-%-help" },
            { { "completion", "csh" }, "unknown command 'csh'", "completion" },
        } do
            local code, out, err = in_process.run(dir, (table.unpack or unpack)(case[1])) -- luacheck: ignore 143
            assert.equal(2, code, err)
            assert.equal("", out)
            assert.truthy(err:find(case[2], 1, true), err)
            assert.matches(case[3], err)
        end
        assert.equal(0, #emu:ledger())
    end)
end)
