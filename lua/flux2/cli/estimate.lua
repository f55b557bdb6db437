--- `flux2 estimate`: estimates prices. Sends no request and needs no key.

local arguments = require "flux2.cli.arguments"
local error_output = require "flux2.cli.error_output"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local flux2 = require "flux2"
local jsonl = require "flux2.cli.jsonl"
local progress = require "flux2.cli.progress"
local prompts = require "flux2.cli.prompts"
local text = require "flux2.text"
local values = require "flux2.cli.values"

local estimate = { name = "estimate", summary = "Estimate the price of images." }

function estimate.describe(command)
    command:argument("list", "List of prompts, as for flux2 batch; - reads stdin. By default the price is that of " ..
        "one image with the given options."):args "?"
    prompts.describe(command)
    arguments.option(command, "-n --count", "Number of images for each prompt.", values.count):argname "<n>":default "1"
    arguments.request(command)
    arguments.output(command)
    command:epilog [[
Examples:
   flux2 estimate --type flex -n 100
   flux2 estimate prompts.txt --resolution 2K]]
end

local function payloads(args, out)
    if not args.list then return { arguments.to_request(args, "any prompt") } end
    local entries, wrong = prompts.read(args, out)
    if errors.is(wrong) then return nil, wrong end
    if not entries then
        return nil, errors.new("invalid_request", ("%s, %s %d: %s"):format(text.clean(args.list, 100), wrong.unit,
            wrong[1].line, wrong[1].message))
    end
    local list = {}
    for i, entry in ipairs(entries) do list[i] = entry.payload end
    return list
end

local function add_up(list, count)
    local credits, unpriced, reason, source = 0, 0, nil, nil
    for _, payload in ipairs(list) do
        local price, why, from = flux2.estimate(payload)
        source = source or from
        credits = credits + (price or 0) * count
        if not price then unpriced, reason = unpriced + count, why end
    end
    return credits, unpriced, reason, source
end

function estimate.run(args, out)
    local list, err = payloads(args, out)
    if not list then return error_output.print(out, err) end
    local credits, unpriced, reason, source = add_up(list, args.count)
    local images = #list * args.count
    if out.json then
        out:result(jsonl.encode { credits = credits, images = images, unpriced = unpriced, reason = reason,
            source = source })
    elseif images > unpriced then
        local priced = progress.count(images - unpriced, "image")
        out:result(("about %s for %s"):format(text.credits(credits), priced))
        out:say(("This is an estimate: the service determines the price. Source: %s."):format(source))
    end
    if unpriced == 0 then return exit.OK end
    err = errors.new("budget", ("no published price for %s: %s"):format(progress.count(unpriced, "image"), reason))
    if not out.json then out:error(err.message) end
    return exit.of(err)
end

return estimate
