--- `flux2 tester`: the page in the browser that makes pictures, at the service or at an emulator that it starts.

local arguments = require "flux2.cli.arguments"
local complaint = require "flux2.cli.complaint"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local jsonl = require "flux2.cli.jsonl"
local values = require "flux2.cli.values"

local tester = { name = "tester", summary = "Serve a page for the browser of this machine that makes pictures." }

local TURN = 0.2 -- seconds between two looks whether Ctrl-C was pressed
local FOR_CLIENT = { "base_url", "budget", "ca_file", "insecure_http", "proxy", "timeout" }

function tester.describe(command)
    local add = arguments.option
    add(command, "--port", "The port of the page on 127.0.0.1 (default: any that is free).", values.port)
        :argname "<port>"
    arguments.connection(command)
    add(command, "--budget", "Credits that the page may spend (FLUX2_BUDGET).", values.credits):argname "<credits>"
    arguments.output(command)
    command:epilog [[
The page is reached from this machine alone, at the address that is printed.
Keep that to yourself: whoever has it can spend your credits. With neither a
key (FLUX2_API_KEY) nor the address of a service, an emulator is started.

Examples:
   flux2 tester
   flux2 tester --port 8081 --budget 100
   flux2 tester --base-url http://127.0.0.1:8080]]
end

local function given(args)
    local options = { port = args.port, poll = args.poll_interval and { interval = args.poll_interval } or nil }
    for _, name in ipairs(FOR_CLIENT) do
        if args[name] == "" then
            return nil, errors.new("invalid_request", "--" .. name:gsub("_", "-") .. " is empty")
        end
        options[name] = args[name]
    end
    return options
end

local function has_key()
    local key = os.getenv "FLUX2_API_KEY"
    return key ~= nil and key ~= ""
end

--- On an emulator, which ends with the page.
local function start_emulator(options)
    local emu, reason = require("flux2.emulator").start {}
    if not emu then return nil, errors.new("io", reason) end
    options.base_url, options.api_key, options.emulator = emu.url, emu.api_key, true
    local page, err = require("flux2.tester").start(options)
    if page then return page, emu end
    emu:stop()
    return nil, err
end

local function start(args)
    local options, err = given(args)
    if not options then return nil, err end
    if not pcall(require, "flux2.emulator.core") then
        return nil, errors.new("io", "the tester was not built: it needs libmicrohttpd and cairo, then make")
    end
    if not args.base_url and not has_key() then return start_emulator(options) end
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
        out:say "It works on an emulator, without credits; for the service itself, set FLUX2_API_KEY."
    else
        out:say("It works on " .. page.base_url .. ", where pictures cost credits.")
    end
    out:say "Ctrl-C ends it."
end

function tester.run(args, out)
    local page, second = start(args)
    if not page then return complaint.tell(out, second, "tester") end
    announce(out, page, second)
    while core.interrupts() == 0 do page:wait(TURN) end
    page:stop()
    if second then second:stop() end
    return exit.OK
end

return tester
