--- `flux2 serve`: the gateway.

local arguments = require "flux2.cli.arguments"
local core = require "flux2.core"
local error_output = require "flux2.cli.error_output"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local files = require "flux2.cli.files"
local jsonl = require "flux2.cli.jsonl"
local providers = require "flux2.provider"
local session = require "flux2.cli.session"
local tables = require "flux2.tables"
local text = require "flux2.text"
local url = require "flux2.url"
local values = require "flux2.cli.values"

local serve = { name = "serve", summary = "Serve many clients with one API key: a gateway." }

local PORT, DAY = 8787, 24 * 3600
local MAX_HEADERS, MAX_BODY, MAX_UPLOADS = 16 * 1024, 256 * 1024, 256 * 2 ^ 20 -- bytes; uploads at the same time
local RECEIVE_SECONDS, SEND_SECONDS = 30, 300
local AT_ONCE = 100 -- tasks in one transaction
local LEASE = 30 -- seconds
local POLLS, POLLS_OF_TASK = 20, 3 -- per second at least; for each submission

--- The options of a directory and a database, which `flux2 token` has as well.
---@param command table
function serve.describe_place(command)
    local add = arguments.option
    add(command, "--state", "Directory of the gateway's files (default: in the state directory of the user).")
        :argname "<directory>"
    add(command, "--db", "Ledger: an SQLite file, or postgres://USER:PASSWORD@HOST:PORT/NAME (default: " ..
        "ledger.sqlite in --state)."):argname "<file|url>"
end

--- Returns the state directory, which exists.
local function state_directory(args)
    local spool = session.default_spool()
    local directory = args.state or spool and spool:gsub("spool$", "gateway")
    if not directory then return nil, errors.new("io", "HOME is not set: give --state", { advice = false }) end
    local ok, reason = files.make_directory(directory, true)
    if not ok then return nil, errors.new("io", directory .. ": " .. reason) end
    return directory
end

--- Opens the ledger.
---@param args table
---@return flux2.gateway.Database? db
---@return string|flux2.Error directory the state directory or, after nil, the error
function serve.open(args)
    local directory, err = state_directory(args)
    if not directory then return nil, err end
    if not pcall(require, "flux2.gateway.core") then
        return nil, error_output.not_built("the gateway", "libmicrohttpd")
    end
    local db, reason = require("flux2.gateway.place").database(directory, args.db)
    if not db then return nil, errors.new("io", "the ledger cannot be used: " .. reason) end
    return db, directory
end

--- Parses the URL to which the paths of images are appended.
local function public_url(word)
    local ok, reason = url.check(word)
    if ok and word:find "[?#]" then ok, reason = nil, "it has a query or a fragment" end
    if not ok then return nil, "must be an http(s) URL, not " .. text.show(word) .. ": " .. reason end
    return (word:gsub("/+$", ""))
end

function serve.describe(command)
    local add = arguments.option
    add(command, "--listen", ("Address and port (default 127.0.0.1:%d)."):format(PORT)):argname "<address:port>"
    serve.describe_place(command)
    add(command, "--images", "Directory of the images; gateways with one --db share it (default: images in --state).")
        :argname "<directory>"
    add(command, "--public-url", "URL of the gateway for clients, in the URLs of images (default: as they call it).",
        public_url):argname "<url>"
    add(command, "--active", "Tasks at the service at the same time; others are QUEUED (default: unlimited).",
        values.count):argname "<count>"
    add(command, "--per-second", "Submissions to the service per second (default 20).", values.seconds)
        :argname "<number>"
    add(command, "--queue", "Tasks that may wait (default 10000).", values.count):argname "<count>"
    add(command, "--retention", "Days for which images are kept (default 7).", values.seconds):argname "<days>"
    add(command, "--lease", "Seconds after which other gateways of the ledger take over the work of one that " ..
        "stopped (default 30).", values.seconds):argname "<seconds>"
    add(command, "--trust-proxy", "Address of a proxy whose X-Forwarded-For counts; can be given several times.")
        :argname "<address>":count "*":target "trusted"
    add(command, "--cors", "Origin of web pages that may use the gateway, * for all; can be given several times.")
        :argname "<origin>":count "*":target "cors"
    add(command, "--policy", "Lua file with a function allow(request, token)."):argname "<file>"
    add(command, "--connections", "Open connections (default 10000).", values.count):argname "<count>"
    add(command, "--per-address", "Open connections of one address, trusted proxies excepted (default 100).",
        values.count):argname "<count>"
    add(command, "--log", "File of the access log, - for stdout (default)."):argname "<file>"
    command:flag("--log-prompts", "Write prompts to the access log.")
    command:flag("--unknown", "List submissions of unknown outcome, and exit.")
    add(command, "--release", "Decide that the service did not accept a task of --unknown, and exit.")
        :argname "<task>"
    add(command, "--attach", "Decide that a task of --unknown is this one of the service, so that a gateway fetches " ..
        "it, and exit."):argname "<task=id>"
    arguments.connection(command)
    arguments.output(command)
    command:epilog [[
The key (FLUX2_API_KEY) stays in the gateway. Clients have tokens: flux2 token.
SIGTERM stops it: accepted tasks are continued by the next run.

Examples:
   flux2 token create arcade --budget 500 --per-minute 10
   flux2 serve
   flux2 serve --listen 0.0.0.0:8787 --trust-proxy 10.0.0.2 --active 8]]
end

-- Unknown outcomes ----------------------------------------------------------------------------------------------------

local function list_unknown(db, out)
    local ledger, json = require "flux2.gateway.ledger", require "flux2.json"
    local list = ledger.list_unknown(db)
    for _, row in ipairs(list) do
        local request = json.decode(row.request) or {}
        local submitted = text.time(tonumber(row.submitted))
        local problem = json.decode(row.error or "{}") or {}
        if out.json then
            out:result(jsonl.encode {
                task = row.id, token = row.token_name, submitted = submitted, price = row.price, request = request,
                gateway = row.gateway, message = problem.message,
            })
        else
            out:result(("%s  %s  %s  %s"):format(row.id, submitted, row.token_name, text.show(request.prompt or "")))
        end
    end
    if #list == 0 then
        out:say "No submissions of unknown outcome."
    else
        out:say("Compare them with the tasks of your account. If the service has it: flux2 serve --attach TASK=ID\n" ..
            "If it has none: flux2 serve --release TASK")
    end
    return exit.OK
end

local function release(db, id, out)
    local done, released = db:transaction(function() return require("flux2.gateway.ledger").release(db, id) end)
    if not done then return error_output.print(out, errors.new("io", released)) end
    if released then
        out:say(id .. " has failed and costs nothing.")
        return exit.OK
    end
    return error_output.print(out, errors.new("not_found", text.show(id) .. " is no task of unknown outcome"))
end

--- Asks the service for the task before: a wrong id would be polled in vain.
local function attach(db, args, out)
    local id, upstream = args.attach:match "^(%x+)=(.+)$"
    if not id then
        return error_output.print(out, errors.new("invalid_request", "--attach must be TASK=ID, the task of the " ..
            "gateway and the id at the service, not " .. text.show(args.attach)))
    end
    local client, status, err
    client, err = session.client(args)
    if client then status, err = client:status(upstream) end
    if not status then return error_output.print(out, err) end
    local done, reason = db:transaction(function()
        return require("flux2.gateway.ledger").attach(db, id, upstream)
    end)
    if reason then return error_output.print(out, errors.new(done and "not_found" or "io", text.clean(reason, 300))) end
    out:say(id .. " has been accepted: a gateway that runs fetches it within seconds, else the next one.")
    return exit.OK
end

-- Starting ------------------------------------------------------------------------------------------------------------

--- Starts the HTTP server.
local function listen(args)
    local address, port = (args.listen or "127.0.0.1:" .. PORT):match "^%[?([%x.:]+)%]?:(%d+)$"
    if not address or tonumber(port) > 65535 then
        return nil, errors.new("invalid_request", "--listen must be ADDRESS:PORT with a numeric address, not " ..
            text.show(args.listen))
    end
    local server, reason = require("flux2.gateway.core").serve {
        address = address, port = tonumber(port), max_connections = args.connections or 10000,
        max_per_address = args.per_address or 100, exempt = args.trusted or {}, max_headers = MAX_HEADERS,
        max_body = MAX_BODY, upload_target = providers.resolve("gateway").upload.path,
        max_upload = require("flux2.gateway.uploads").MAX_BYTES, max_uploads = MAX_UPLOADS,
        receive_seconds = RECEIVE_SECONDS, send_seconds = SEND_SECONDS,
    }
    if not server then return nil, errors.new("io", "cannot listen: " .. reason) end
    return server, address:find ":" and "[" .. address .. "]" or address
end

local function open_log(args)
    if (args.log or "-") == "-" then return args.json and io.stderr or io.stdout end
    local file, reason = io.open(args.log, "a")
    if not file then return nil, errors.new("io", "cannot write the log: " .. reason) end
    return file
end

--- The ledger limits the submissions, and is their record. The polls are limited to what these need.
local function client_of(args, per_second)
    args.polls_per_second = math.max(POLLS, per_second * POLLS_OF_TASK)
    return session.client(args, {
        max_tasks = 1000000, max_submissions_per_second = 1e6, max_connections = 64,
        metadata = false, -- the clients describe their images
    })
end

--- What may fail, in the order in which it is opened.
local function open(args, out, db, directory)
    local place = require "flux2.gateway.place"
    local o = { db = db, public_url = args.public_url }
    o.trusted, o.cors = tables.set(args.trusted or {}), tables.set(args.cors or {})
    o.limits = { active = args.active, per_second = args.per_second or 20, at_once = AT_ONCE }
    local reason, err
    o.locks, reason = place.lock(directory, args.db)
    if o.locks then o.gateway, reason = place.id(directory) end
    local images = args.images or directory .. "/images"
    if o.gateway then o.store, reason = require("flux2.gateway.store").open(images, o.gateway) end
    if o.store and args.policy then
        o.policy, reason = require("flux2.gateway.policy").load(args.policy)
        if not o.policy then return nil, errors.new("invalid_request", "--policy: " .. tostring(reason)) end
    end
    if not o.store then return nil, errors.new("io", reason) end
    o.log_file, err = open_log(args)
    if o.log_file then o.client, err = client_of(args, o.limits.per_second) end
    if not o.client then return nil, err end
    o.log = require("flux2.gateway.access_log").new(o.log_file, args.log_prompts)
    o.warn = function(message) out:warn("flux2 serve: " .. text.clean(message, 2000)) end
    o.provider, o.contract = providers.resolve(), providers.resolve "gateway"
    o.lease = args.lease or LEASE
    o.retention, o.max_queued = (args.retention or 7) * DAY, args.queue or 10000
    return o
end

local function announce(out, host, port)
    local address = ("http://%s:%d"):format(host, port)
    if out.json then return out:result(jsonl.encode { url = address, port = port }) end
    out:warn("flux2 serve: listening on " .. address)
end

--- Runs the gateway until SIGTERM or Ctrl-C.
local function run(args, out, db, directory)
    local gateway = require "flux2.gateway.core"
    local options, err = open(args, out, db, directory)
    if not options then return error_output.print(out, err) end
    local host
    options.server, host = listen(args)
    if not options.server then return error_output.print(out, host) end
    gateway.terminations(true)
    local service, reason = require("flux2.gateway.service").new(options)
    if not service then
        options.server:stop()
        return error_output.print(out, errors.new("io", reason))
    end
    announce(out, host, options.server:port())
    service:run(function() return gateway.terminations() + core.interrupts() > 0 end)
    options.server:stop()
    db:close()
    return exit.OK
end

function serve.run(args, out)
    local db, directory = serve.open(args)
    if not db then return error_output.print(out, directory) end
    if args.unknown then return list_unknown(db, out) end
    if args.release then return release(db, args.release, out) end
    if args.attach then return attach(db, args, out) end
    return run(args, out, db, directory)
end

return serve
