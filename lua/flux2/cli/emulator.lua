--- `flux2 emulator`: runs the emulator as a program.

local arguments = require "flux2.cli.arguments"
local error_output = require "flux2.cli.error_output"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local json = require "flux2.json"
local jsonl = require "flux2.cli.jsonl"
local providers = require "flux2.provider"
local request = require "flux2.request"
local shell = require "flux2.cli.shell"
local snippets = require "flux2.tester.snippets"
local tables = require "flux2.tables"
local text = require "flux2.text"
local values = require "flux2.cli.values"

local emulator = { name = "emulator", summary = "Run an emulator of the service: no account, no credits." }

local TURN = 0.2 -- seconds between two prints of the requests

--- Rows of: setting, option, argument name, description, parser.
local SETTINGS = {
    { "duration", "--duration", "<seconds>", "Duration of a task, or a range such as 2-5 (default 1.5-3).",
        values.range },
    { "credits", "--credits", "<credits>", "Credits of the account (default 1000000).", values.credits },
    { "failure_rate", "--failure-rate", "<share>", "Share of tasks that fail, 0 to 1 (default 0).", values.share },
    { "latency", "--latency", "<seconds>", "Delay of each response, or a range (default 0).", values.range },
    { "seed", "--seed", "<n>", "Seed for repeatable ids, durations and failures.", values.count },
    { "shape", "--shape", "<name>", "Shape of the response for a finished task (default output_image_url)." },
    { "api_key", "--key", "<key>", "Accepted API key (default: a generated one, which is printed)." },
}

function emulator.describe(command)
    local add = arguments.option
    command:argument("program", "Program to run with the emulator, after --; the emulator ends with it."):args "*"
    add(command, "--port", "Port on 127.0.0.1 (default 8080, with a program any free one; 0 picks a free one).",
        values.port):argname "<port>"
    for _, setting in ipairs(SETTINGS) do
        add(command, setting[2], setting[4], setting[5]):argname(setting[3]):target(setting[1])
    end
    command:option("--set", "Any other setting of flux2.emulator; the value is JSON or a string.")
        :argname "<name=value>":count "*":target "settings"
    arguments.output(command)
    command:epilog [[
A prompt with [fail], [reject] or [moderate] fails that way. All settings are
described in lua/flux2/emulator.lua.

Examples:
   flux2 emulator --port 8080
   flux2 emulator -- flux2 generate "a red fox"
   flux2 emulator --duration 0.1 --set image_bytes=600 -- busted
   flux2 emulator --set rate_limit='{"requests": 5, "per_seconds": 1}']]
end

--- Parses "name=value". A value that is not JSON is a string.
local function read_setting(word)
    local name, value = word:match "^([%w_]+)=(.*)$"
    if not name then
        return nil, errors.new("invalid_request", "--set must be name=value, not " .. text.show(word))
    end
    local decoded, reason = json.decode(value)
    if reason or decoded == nil then decoded = value end
    return name, decoded
end

local function read_settings(args)
    local settings = { port = args.port or #args.program > 0 and 0 or 8080 }
    for _, setting in ipairs(SETTINGS) do settings[setting[1]] = args[setting[1]] end
    for _, word in ipairs(args.settings) do
        local name, value = read_setting(word)
        if not name then return nil, value end
        settings[name] = value
    end
    return settings
end

--- Starts the emulator. A refused setting is a mistake in the command line.
local function start(settings)
    local there, service = pcall(require, "flux2.emulator")
    if not there then
        if service:find "on Windows" then return nil, errors.new("io", service, { advice = false }) end
        return nil, error_output.not_built("the emulator", "libmicrohttpd, jansson and cairo")
    end
    settings.dialect = settings.dialect or service.dialects[providers.default]
    local ran, started, reason = pcall(service.start, settings)
    if ran and started then return started end
    local message = tostring(ran and reason or started):gsub("^.-flux2%.emulator: ", "")
    if message:find "^unknown shape" then
        message = message .. ": known are " .. table.concat(tables.names(service.shapes), ", ")
    end
    if not ran then return nil, errors.new("invalid_request", message) end
    return nil, errors.new("io", "cannot listen on " .. message, {
        advice = "Use another --port; 0 picks a free one.",
    })
end

--- Returns curl commands that submit and poll.
local function example(emu)
    local provider = providers.resolve()
    local payload = assert(request.build(provider, {
        prompt = "A serene Japanese garden, photorealistic", aspect_ratio = "16:9",
    }))
    return snippets.curl(provider, payload, emu.url, emu.api_key) .. "\n\n" ..
        snippets.curl_task(provider, "TASK_ID", emu.url, emu.api_key)
end

local function announce(out, emu)
    if out.json then return out:result(jsonl.encode { base_url = emu.url, api_key = emu.api_key, port = emu.port }) end
    local names = providers.resolve().environment
    out:result("export " .. names.base_url .. "=" .. emu.url)
    out:result("export " .. names.api_key .. "=" .. shell.quote(emu.api_key))
    out:say("\n" .. example(emu) .. "\n\nStop with Ctrl-C.\n")
end

local function print_request(out, r)
    if out.json then
        return out:result(jsonl.encode { at = r.at, status = r.status, method = r.method, path = r.path })
    end
    out:say(("%8.2f  %d  %-4s %s"):format(r.at, r.status, text.clean(r.method, 20), text.clean(r.path, 200)))
end

--- Prints the requests after number `listed`. Returns the number of the last one.
local function list_requests(out, emu, listed)
    local last = listed
    for _, r in ipairs(emu:requests()) do
        last = r.number
        if last > listed then print_request(out, r) end
    end
    return last
end

--- The emulator has threads of its own; this one only prints.
local function serve(out, emu)
    announce(out, emu)
    local listed = 0
    while core.interrupts() == 0 and not out.unwritten do
        emu:wait(TURN)
        if not out.quiet then listed = list_requests(out, emu, listed) end
    end
    return exit.OK
end

local function run_program(emu, words)
    local names = providers.resolve().environment
    return shell.run(("%s=%s %s=%s %s"):format(names.base_url, shell.quote(emu.url), names.api_key,
        shell.quote(emu.api_key), shell.join(words)))
end

function emulator.run(args, out)
    local settings, err = read_settings(args)
    local emu
    if settings then emu, err = start(settings) end
    if not emu then return error_output.print(out, err) end
    local status = #args.program > 0 and run_program(emu, args.program) or serve(out, emu)
    emu:stop()
    return status
end

return emulator
