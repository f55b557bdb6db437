-- The command line as a whole: its arguments, its exit status, what it writes where, and that it can be installed.
local cli = require "flux2.cli"
local exit = require "flux2.cli.exit"
local errors = require "flux2.errors"
local flux2 = require "flux2"
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

    it("has help with an example for every command, and a list of them", function()
        local code, out = run { "--help" }
        assert.equal(0, code)
        for _, name in ipairs(COMMANDS) do
            assert.matches("\n   " .. name .. " ", out)
            local status, help, err = run { name, "--help" }
            assert.equal(0, status, err)
            assert.matches("Example", help)
            assert.matches("flux2 " .. name, help)
            assert.equal(help, select(2, run { "help", name }))
            for line in help:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
            -- One that was wrapped could not be copied.
            for line in help:match "Examples?:\n(.*)$":gmatch "[^\n]+" do
                assert.truthy(line:find "^   flux2 " or line:find "^   source <" or line:find "^   jq ", line)
            end
        end
        for _, pair in ipairs(exit.kinds) do
            assert.matches(pair[2] == 2 and "2 a%s+mistake" or pair[2] .. "%s+" .. pair[1], out)
        end
        for _, name in ipairs { "API_KEY", "BASE_URL", "TYPE", "BUDGET", "SPOOL" } do assert.matches("FLUX2_" .. name, out) end
    end)

    it("without arguments shows its help as a mistake", function()
        local code, out, err = run {}
        assert.equal(2, code)
        assert.equal("", out)
        assert.matches("Usage: flux2", err)
    end)

    it("tells its version", function()
        local code, out = run { "--version" }
        assert.equal(0, code)
        assert.equal("flux2 " .. flux2._VERSION .. " (", out:match "^flux2 %S+ %(")
    end)

    it("names what was mistyped, with status 2", function()
        for _, case in ipairs {
            { { "generat" }, "unknown command 'generat'. Did you mean 'generate'?", "flux2 %-%-help" },
            { { "generate", "a fox", "--tipe", "pro" }, "unknown option '--tipe'. Did you mean '--type'?", "flux2 generate %-%-help" },
            { { "generate", "a fox", "--type", "max" }, "must be one of 'pro', 'flex'", "flux2 generate %-%-help" },
            { { "generate", "a fox", "-n", "none" }, "--count must be a whole number, 1 or more, not 'none'", "generate" },
            { { "generate", "a", "fox" }, "one prompt is needed, got 2: put it in quotes", "generate" },
            { { "generate", "a fox", "--timeout", "0" }, "--timeout must be a number of seconds above 0", "generate" },
            { { "generate", "a fox", "--extra", "[1]" }, "--extra must be a JSON object", "generate" },
            { { "generate", "a fox", "--extra", '{"prompt":"x"}' }, "extra may not hold prompt", "generate" },
            { { "generate", "a fox", "--aspect-ratio", "16x9" }, "did you mean '16:9'?", "generate" },
            { { "generate", "a fox", "--input-url", "fox.png" }, "input_urls[1] must be an http(s) URL", "generate" },
            { { "generate", "f" }, "prompt must have 3 to 5000 characters, has 1", "generate" },
            { { "batch" }, "missing argument 'list'", "batch" },
            { { "completion", "csh" }, "unknown command 'csh'", "completion" },
        } do
            local code, out, err = run(case[1])
            assert.equal(2, code, err)
            assert.equal("", out)
            assert.truthy(err:find(case[2], 1, true), err)
            assert.matches(case[3], err)
        end
        assert.equal(0, #emu:ledger())
    end)

    it("has a status of its own for each kind of error", function()
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
        for _, variable in ipairs(require("flux2.cli.arguments").variables) do
            assert.truthy(page:find("`" .. variable[1] .. "`", 1, true), variable[1])
        end
    end)

    it("ends with the status of what went wrong", function()
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
        assert.equal(14, (status({ "generate", "a fox", "--timeout", "2" }, nil, { duration = 60 })))
        assert.equal(20, (status { "generate", "a fox", "-o", dir .. "/none/fox.png" }))
        emu:fault { method = "POST", times = 1, reset = "after" }
        assert.equal(19, (status({ "generate", "a fox" }, nil, { duration = 0 })))
        assert.equal(4, (status({ "generate", "a fox" }, nil, { credits = 1 })))
    end)

    it("takes options from the environment, and the command line before them", function()
        local env = { FLUX2_TYPE = "flex", FLUX2_RESOLUTION = "2K", FLUX2_ASPECT_RATIO = "16:9" }
        assert.equal(0, (run({ "generate", "a fox", "--resolution", "1K" }, { env = env })))
        local asked = emu:ledger()[1]
        assert.same({ "flex", "1K", "16:9" }, { asked.type, asked.resolution, asked.aspect_ratio })
        local code, _, err = run({ "generate", "a fox" }, { env = { FLUX2_TIMEOUT = "soon" } })
        assert.equal(2, code)
        assert.matches("FLUX2_TIMEOUT must be a number of seconds above 0, not 'soon'", err)
    end)

    it("writes no escape codes into a pipe, and nothing but results when quiet", function()
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

    it("never shows the key", function()
        for _, words in ipairs { { "doctor" }, { "generate", "a fox" }, { "task", "x" }, { "generate", "a fox", "--json" } } do
            local _, out, err = run(words, { env = { FLUX2_API_KEY = "aio_secret_1234" } })
            assert.is_nil((out .. err):find "secret")
        end
    end)

    it("says which package it wants when argparse is missing", function()
        local code, _, err = run({ "doctor" }, { env = { LUA_PATH = (os.getenv "LUA_PATH" or ""):gsub(";;", ";"):gsub(";$", "") } })
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
        assert.same({ table.concat(COMMANDS, " ") .. " help", "batch", "--type", "pro flex", "bash zsh fish", "--concurrency" }, lines)
    end)

    it("has completions for zsh and fish that name every command", function()
        for _, name_of_shell in ipairs { "zsh", "fish" } do
            local code, script = run { "completion", name_of_shell }
            assert.equal(0, code)
            for _, name in ipairs(COMMANDS) do assert.truthy(script:find(name, 1, true)) end
        end
    end)

    it("is installed with a launcher that finds its own modules, from anywhere, and removed again", function()
        local abi = _VERSION:match "%d%.%d"
        local flavour = (os.getenv "FLUX2_BUILD" or ""):match "/build/(%w+)$" or ""
        local prefix = dir .. "/a prefix"
        local function make(target)
            local code, said = shell.run(("env -u MAKEFLAGS -u MFLAGS make -s %s ABIS=%s FLAVOUR=%s PREFIX=%s"):format(
                target, abi, flavour, shell.quote(prefix)))
            assert.equal(0, code, said)
            return said
        end
        make "install"
        local installed = shell.quote(prefix .. "/bin/flux2")
        local script = service.read(prefix .. "/bin/flux2")
        assert.matches("^#!/%S*lua%S*\n", script)
        os.execute("ln -s " .. installed .. " " .. dir .. "/flux2")
        -- The interpreter of these specs, which may be an instrumented one, and no path to the checkout.
        local _, said = shell.run(("cd / && env -u LUA_PATH -u LUA_CPATH -u FLUX2_BUILD %s %s/flux2 --version"):format(
            shell.quote(shell.interpreter()), dir))
        assert.matches("^flux2 " .. flux2._VERSION:gsub("%p", "%%%0"), said)
        -- An instrumented module cannot be loaded by the interpreter that installs, so there it writes no completions.
        local completions = flavour == "" and 3 or 0
        for i, file in ipairs { "bash-completion/completions/flux2", "zsh/site-functions/_flux2", "fish/vendor_completions.d/flux2.fish" } do
            if i <= completions then assert.matches("flux2", service.read(prefix .. "/share/" .. file)) end
        end
        make "uninstall"
        assert.equal("", io.popen("find " .. shell.quote(prefix) .. " -type f"):read "*a")
    end)
end)
