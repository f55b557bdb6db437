--- `flux2 token`: creates, lists and revokes the tokens of a gateway.

local arguments = require "flux2.cli.arguments"
local error_output = require "flux2.cli.error_output"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local jsonl = require "flux2.cli.jsonl"
local providers = require "flux2.provider"
local serve = require "flux2.cli.serve"
local text = require "flux2.text"
local values = require "flux2.cli.values"

local token = { name = "token", summary = "Create, list and revoke the tokens of a gateway." }

local DAY = 24 * 3600

local function describe_create(command)
    local add, field = arguments.option, providers.resolve().by_name
    command:argument "name":description "Name of the token, for you."
    add(command, "--budget", "Credits that it may spend (default: unlimited).", values.credits):argname "<credits>"
        :target "limit"
    add(command, "--per-minute", "Submissions per minute.", values.count):argname "<count>"
    add(command, "--concurrent", "Unfinished tasks at the same time.", values.count):argname "<count>"
    add(command, "--type", "Allowed type; can be given several times."):argname "<pro|flex>":choices(
        field.type.allowed):count "*":target "types"
    add(command, "--resolution", "Allowed resolution; can be given several times."):argname "<1K|2K>":choices(
        field.resolution.allowed):count "*":target "resolutions"
    add(command, "--expires", "Days after which it ends.", values.seconds):argname "<days>"
end

function token.describe(command)
    command:command_target "action":require_command(true)
    local create = command:command "create":summary "Create a token. It is shown once."
    describe_create(create)
    local list = command:command "list":summary "List the tokens with their limits and what they have spent."
    local revoke = command:command "revoke":summary "Revoke a token."
    revoke:argument "name"
    for _, action in ipairs { create, list, revoke } do
        serve.describe_place(action)
        arguments.output(action)
    end
    command:epilog [[
Examples:
   flux2 token create arcade --budget 500 --per-minute 10 --concurrent 4
   flux2 token list
   flux2 token revoke arcade]]
end

local function given(list) return list and #list > 0 and list or nil end

local actions = {}

function actions.create(db, args, out)
    if not args.name:find "^[%w_.-]+$" or #args.name > 100 then
        local message = "a name has letters, digits, '-', '_' and '.', not " .. text.show(args.name)
        return error_output.print(out, errors.new("invalid_request", message))
    end
    local created, reason = require("flux2.gateway.tokens").create(db, {
        name = args.name, budget = args.limit, per_minute = args.per_minute, concurrent = args.concurrent,
        expires = args.expires and db:now() + args.expires * DAY or nil,
        allowed = { type = given(args.types), resolution = given(args.resolutions) },
    })
    if not created then return error_output.print(out, errors.new("io", reason)) end
    out:result(out.json and jsonl.encode { name = args.name, token = created } or created)
    out:say "It is shown this once. Give it to clients as FLUX2_API_KEY."
    return exit.OK
end

local function date(seconds)
    return seconds and text.time(seconds) or nil
end

--- One line: the name, what it has spent, and its limits.
local function line_of(row)
    local parts = { ("%-20s"):format(row.name), "spent " .. text.number(tonumber(row.spent)) ..
        (row.budget and " of " .. text.number(row.budget) or "") }
    local function add(value, words)
        if value then parts[#parts + 1] = words:format(value) end
    end
    add(row.per_minute and text.number(row.per_minute), "%s per minute")
    add(row.concurrent and text.number(row.concurrent), "%s at once")
    for _, name in ipairs { "type", "resolution" } do
        add(row.allowed[name] and table.concat(row.allowed[name], " or "), name .. " %s")
    end
    add(date(row.expires), "expires %s")
    add(date(row.revoked), "revoked %s")
    return table.concat(parts, "  ")
end

function actions.list(db, _, out)
    for _, row in ipairs(require("flux2.gateway.tokens").list(db)) do
        if out.json then
            out:result(jsonl.encode {
                name = row.name, spent = tonumber(row.spent), tasks = tonumber(row.tasks), budget = row.budget,
                per_minute = row.per_minute, concurrent = row.concurrent, allowed = row.allowed,
                created = date(row.created), expires = date(row.expires), revoked = date(row.revoked),
            })
        else
            out:result(line_of(row))
        end
    end
    return exit.OK
end

function actions.revoke(db, args, out)
    if require("flux2.gateway.tokens").revoke(db, args.name) then
        out:say(args.name .. " is revoked.")
        return exit.OK
    end
    return error_output.print(out, errors.new("not_found", "there is no valid token " .. text.show(args.name)))
end

function token.run(args, out)
    local db, err = serve.open(args)
    if not db then return error_output.print(out, err) end
    local status = actions[args.action](db, args, out)
    db:close()
    return status
end

return token
