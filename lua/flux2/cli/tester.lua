--- `flux2 tester`: serves the tester page, for the service or for an emulator that it starts.

local arguments = require "flux2.cli.arguments"
local error_output = require "flux2.cli.error_output"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local jsonl = require "flux2.cli.jsonl"
local settings = require "flux2.cli.settings"
local providers = require "flux2.provider"
local values = require "flux2.cli.values"

local tester = { name = "tester", summary = "Serve a web page for trying the API, on this machine." }

local TURN = 0.2 -- seconds between two checks for Ctrl-C
local FOR_CLIENT = { "base_url", "budget", "ca_file", "insecure_http", "proxy", "timeout" }

function tester.describe(command)
    local add = arguments.option
    add(command, "--port", "Port of the page on 127.0.0.1 (default: any free one).", values.port)
        :argname "<port>"
    arguments.connection(command)
    add(command, "--budget", "Limit in credits for the page (FLUX2_BUDGET).", values.credits):argname "<credits>"
    arguments.output(command)
    command:epilog [[
The page is reachable from this machine only, at the printed URL. Keep the URL
secret: it gives access to your credits. Without a key (FLUX2_API_KEY) and a
base URL, the command starts an emulator.

Examples:
   flux2 tester
   flux2 tester --port 8081 --budget 100
   flux2 tester --base-url http://127.0.0.1:8080]]
end

local function given(args)
    local poll = { interval = args.poll_interval, patience = args.patience or settings.patience }
    local options = { port = args.port, poll = poll, log = args.verbose }
    for _, name in ipairs(FOR_CLIENT) do
        options[name] = args[name]
    end
    return options
end

--- Starts the page with an emulator, which ends with the page.
local function start_emulator(options)
    local there, emulator = pcall(require, "flux2.emulator")
    if not there then
        local reason = "FLUX2_API_KEY is not set, and the emulator is not built: install libmicrohttpd, " ..
            "jansson and cairo, then run make"
        return nil, errors.new("auth", reason, { advice = "Set FLUX2_API_KEY; for another service also --base-url." })
    end
    local emu, reason = emulator.start { dialect = emulator.dialects[providers.default] }
    if not emu then return nil, errors.new("io", reason) end
    options.base_url, options.api_key, options.emulator = emu.url, emu.api_key, true
    local page, err = require("flux2.tester").start(options)
    if page then return page, emu end
    emu:stop()
    return nil, err
end

local function start(args)
    local options = given(args)
    if not pcall(require, "flux2.tester.core") then
        return nil, error_output.not_built("the tester", "libmicrohttpd")
    end
    if not args.base_url and not settings.key() then return start_emulator(options) end
    return require("flux2.tester").start(options)
end

local function announce(out, page, emu)
    if out.json then
        return out:result(jsonl.encode {
            url = page.url, port = page.port, base_url = page.base_url, emulator = emu ~= nil,
        })
    end
    out:result(page.url)
    if emu then
        out:say "It uses an emulator, without credits. To use the service, set FLUX2_API_KEY."
    else
        out:say("It uses " .. page.base_url .. ", where images cost credits.")
    end
    out:say "Stop with Ctrl-C."
end

function tester.run(args, out)
    local page, second = start(args)
    if not page then return error_output.print(out, second) end
    announce(out, page, second)
    while core.interrupts() == 0 do page:wait(TURN) end
    page:stop()
    if second then second:stop() end
    return exit.OK
end

return tester
