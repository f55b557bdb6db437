--- `flux2 emulator`: the service on this machine, without an account, as a program of its own.

local arguments = require "flux2.cli.arguments"
local complaint = require "flux2.cli.complaint"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local json = require "flux2.json"
local jsonl = require "flux2.cli.jsonl"
local shell = require "flux2.cli.shell"
local text = require "flux2.text"
local values = require "flux2.cli.values"

local emulator = { name = "emulator", summary = "Run the service on this machine: no account, no credits." }

local TURN = 0.2 -- seconds between two looks at the requests

--- Options by the setting that they are, with how they are read.
local SETTINGS = {
    { "duration", "--duration", "<seconds>", "How long a task runs, or a range such as 2-5 (default 1.5-3).",
        values.range },
    { "credits", "--credits", "<credits>", "Credits to spend (default 1000000).", values.credits },
    { "failure_rate", "--failure-rate", "<share>", "Share of the tasks that fail, 0 to 1 (default 0).", values.share },
    { "latency", "--latency", "<seconds>", "What each answer takes, or a range (default 0).", values.range },
    { "seed", "--seed", "<n>", "Make ids, durations and failures repeat.", values.count },
    { "shape", "--shape", "<name>", "Shape of a finished task's answer (default output_image_url)." },
    { "api_key", "--key", "<key>", "The API key that is accepted (default aio_emulator_key)." },
}

function emulator.describe(command)
    local add = arguments.option
    command:argument("program", "A program to run against it, after --; the emulator ends with it."):args "*"
    add(command, "--port", "The port on 127.0.0.1 (default 8080, or a free one with a program; 0 picks a free one).",
        values.port):argname "<port>"
    for _, setting in ipairs(SETTINGS) do
        add(command, setting[2], setting[4], setting[5]):argname(setting[3]):target(setting[1])
    end
    command:option("--set", "Any other setting of flux2.emulator: its name, =, and its value as JSON or a word.")
        :argname "<name=value>":count "*":target "settings"
    arguments.output(command)
    command:epilog [[
A prompt with [fail], [reject] or [moderate] in it ends so. The settings are those of lua/flux2/emulator.lua.

Examples:
   flux2 emulator --port 8080
   flux2 emulator -- flux2 generate "a red fox"
   flux2 emulator --duration 0.1 --set image_bytes=600 -- busted
   flux2 emulator --set rate_limit='{"requests": 5, "per_seconds": 1}']]
end

--- "name=value": JSON if it is that, else the word itself.
local function read_setting(word)
    local name, value = word:match "^([%w_]+)=(.*)$"
    if not name then
        return nil, errors.new("invalid_request", "--set needs name=value, not " .. text.show(word))
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

--- Starts it; what it refuses is a mistake in the command line.
local function start(settings)
    local there, service = pcall(require, "flux2.emulator")
    if not there then
        return nil, errors.new("io", "the emulator was not built: it needs libmicrohttpd and cairo, then make")
    end
    local ran, started, reason = pcall(service.start, settings)
    if ran and started then return started end
    local message = tostring(ran and reason or started):gsub("^.-flux2%.emulator: ", "")
    if not ran then return nil, errors.new("invalid_request", message) end
    return nil, errors.new("io", "cannot listen on " .. message, {
        advice = "Give another --port; 0 picks a free one.",
    })
end

local function announce(out, emu)
    if out.json then return out:result(jsonl.encode { base_url = emu.url, api_key = emu.api_key, port = emu.port }) end
    out:result("export FLUX2_BASE_URL=" .. emu.url)
    out:result("export FLUX2_API_KEY=" .. shell.quote(emu.api_key))
    out:say(([[

try  curl -X POST %s/api/v1/images/generations \
       -H "Authorization: Bearer %s" -H "Content-Type: application/json" \
       -d '{"model": "flux-2", "prompt": "A serene Japanese garden, photorealistic", "aspect_ratio": "16:9"}'
     curl %s/api/v1/tasks/TASK_ID -H "Authorization: Bearer %s"

Ctrl-C ends it.
]]):format(emu.url, emu.api_key, emu.url, emu.api_key))
end

--- Lists requests as they come, those that were not listed yet.
local function list_requests(out, emu, listed)
    local requests, total = emu:requests(), emu:stats().requests
    for i = math.max(1, #requests - (total - listed) + 1), #requests do
        local r = requests[i]
        if out.json then
            out:result(jsonl.encode { at = r.at, status = r.status, method = r.method, path = r.path })
        else
            out:say(("%8.2f  %d  %-4s %s"):format(r.at, r.status, r.method, text.clean(r.path, 200)))
        end
    end
    return total
end

--- It works on threads of its own: this one only lists.
local function serve(out, emu)
    announce(out, emu)
    local listed = 0
    while core.interrupts() == 0 do
        emu:wait(TURN)
        if not out.quiet then listed = list_requests(out, emu, listed) end
    end
    return exit.OK
end

local function run_program(emu, words)
    return shell.run(("FLUX2_BASE_URL=%s FLUX2_API_KEY=%s %s"):format(shell.quote(emu.url), shell.quote(emu.api_key),
        shell.join(words)))
end

function emulator.run(args, out)
    local settings, err = read_settings(args)
    local emu
    if settings then emu, err = start(settings) end
    if not emu then return complaint.tell(out, err, "emulator") end
    local status = #args.program > 0 and run_program(emu, args.program) or serve(out, emu)
    emu:stop()
    return status
end

return emulator
