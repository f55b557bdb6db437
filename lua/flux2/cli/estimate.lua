--- `flux2 estimate`: what pictures cost, as far as the service has published it. Asks nobody and needs no key.

local arguments = require "flux2.cli.arguments"
local complaint = require "flux2.cli.complaint"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local jsonl = require "flux2.cli.jsonl"
local pricing = require "flux2.pricing"
local progress = require "flux2.cli.progress"
local prompts = require "flux2.cli.prompts"
local text = require "flux2.text"
local values = require "flux2.cli.values"

local estimate = { name = "estimate", summary = "Tell what pictures cost, as published." }

function estimate.describe(command)
    command:argument("list", "A list of prompts, as for flux2 batch; - reads stdin. Without one: the picture that " ..
        "the options describe."):args "?"
    command:option("--format", "How the list is written, if its name does not tell."):choices { "txt", "jsonl" }
        :argname "<txt|jsonl>"
    arguments.option(command, "-n --count", "How many of each.", values.count):argname "<n>":default "1"
    arguments.request(command)
    arguments.output(command)
    command:epilog [[
Examples:
   flux2 estimate --type flex -n 100
   flux2 estimate prompts.txt --resolution 2K]]
end

local function payloads(args, out)
    if not args.list then return { arguments.to_request(args, "any prompt") } end
    local bytes, err = arguments.read(args.list, out)
    if not bytes then return nil, err end
    local entries, wrong = prompts.parse(bytes, {
        format = args.format or prompts.format(args.list, bytes), defaults = arguments.to_request(args, nil),
    })
    if not entries then
        return nil, errors.new("invalid_request", ("%s, line %d: %s"):format(text.clean(args.list, 100), wrong[1].line,
            wrong[1].message))
    end
    local list = {}
    for i, entry in ipairs(entries) do list[i] = entry.payload end
    return list
end

local function add_up(list, count)
    local credits, unpriced, reason = 0, 0, nil
    for _, payload in ipairs(list) do
        local price, why = pricing.estimate(payload)
        credits = credits + (price or 0) * count
        if not price then unpriced, reason = unpriced + count, why end
    end
    return credits, unpriced, reason
end

function estimate.run(args, out)
    local list, err = payloads(args, out)
    if not list then return complaint.tell(out, err) end
    local credits, unpriced, reason = add_up(list, args.count)
    local pictures = #list * args.count
    if out.json then
        out:result(jsonl.encode { credits = credits, pictures = pictures, unpriced = unpriced, reason = reason })
    elseif pictures > unpriced then
        local priced = progress.count(pictures - unpriced, "picture")
        out:result(("about %s for %s"):format(progress.credits(credits), priced))
    end
    if unpriced == 0 then return exit.OK end
    err = errors.new("budget", ("no figure for %s: %s"):format(progress.count(unpriced, "picture"), reason))
    if not out.json then out:warn(out:style("red", "flux2:") .. " " .. err.message) end
    return exit.of(err)
end

return estimate
