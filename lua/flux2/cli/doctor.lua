--- `flux2 doctor`: diagnoses setup problems and suggests fixes. Spends no credits: its only request is the status of a
-- task that does not exist.

local arguments = require "flux2.cli.arguments"
local config = require "flux2.config"
local config_file = require "flux2.cli.config_file"
local error_output = require "flux2.cli.error_output"
local core = require "flux2.core"
local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local files = require "flux2.cli.files"
local flux2 = require "flux2"
local json = require "flux2.json"
local jsonl = require "flux2.cli.jsonl"
local loop = require "flux2.cli.loop"
local progress = require "flux2.cli.progress"
local session = require "flux2.cli.session"
local settings = require "flux2.cli.settings"
local shell = require "flux2.cli.shell"
local terminal = require "flux2.cli.terminal"
local text = require "flux2.text"
local url = require "flux2.url"

local doctor = { name = "doctor", summary = "Diagnose setup problems and suggest fixes.", needs_settings = false }

local REQUEST_TIMEOUT = 20 -- seconds
local NO_TASK = "flux2-doctor-no-task"
local PROVIDER = require("flux2.provider").resolve()
local PREFIX, KEY = PROVIDER.key_prefix or "", PROVIDER.environment.api_key
local LABEL_COLUMNS, NARROW = 19, 60
local CURL_LEAST = { 7, 85 }
local IS_WINDOWS = package.config:sub(1, 1) == "\\"

function doctor.describe(command)
    command:flag("--offline", "Send no request to the service.")
    arguments.connection(command)
    arguments.output(command)
    command:epilog [[
It spends no credits. The exit status is that of the first problem.

Example:
   flux2 doctor]]
end

---@class flux2.cli.Finding
---@field check string name of the check
---@field state "ok"|"note"|"wrong"
---@field found string
---@field fix? string
---@field kind? string of the error, for the exit status

local function finding(check, state, found, fix, kind)
    return { check = check, state = state, found = found, fix = fix, kind = kind }
end

local function is_set(value)
    return value ~= nil and value ~= ""
end

--- Masks the password in a proxy URL.
local function without_user(address)
    return text.clean(url.mask(address), 200)
end

-- Local checks -------------------------------------------------------------------------------------------------------

local function check_lua()
    return finding("lua", "ok", ("flux2 %s on %s"):format(flux2._VERSION,
        rawget(_G, "jit") and jit.version or _VERSION))
end

local function check_libcurl()
    local major, minor = core.libcurl:match "libcurl/(%d+)%.(%d+)"
    major, minor = tonumber(major) or 0, tonumber(minor) or 0
    local old = major < CURL_LEAST[1] or major == CURL_LEAST[1] and minor < CURL_LEAST[2]
    local version = ("%d.%d"):format(major, minor)
    if not old then return finding("libcurl", "ok", version) end
    return finding("libcurl", "wrong", version .. " is older than 7.85", "Install a newer libcurl.", "network")
end

local TLS = { "OpenSSL", "GnuTLS", "LibreSSL", "BoringSSL", "wolfSSL", "mbedTLS", "SecureTransport", "Schannel",
    "AWS%-LC", "rustls" }

local function check_tls()
    for _, name in ipairs(TLS) do
        local library = core.libcurl:match("%(?" .. name .. "[^%s]*")
        if library then
            local http2 = core.libcurl:find "nghttp2" and "HTTP/2" or "HTTP/1.1 only"
            return finding("tls", "ok", library .. ", " .. http2)
        end
    end
    return finding("tls", "wrong", "this libcurl was built without TLS", "Install a libcurl with OpenSSL or GnuTLS.",
        "tls")
end

local function check_certificates(args)
    local from, path = "libcurl's own", core.ca_file()
    if is_set(os.getenv "SSL_CERT_FILE") then from, path = "SSL_CERT_FILE", config.getenv "SSL_CERT_FILE" end
    if args.ca_file then from, path = "--ca-file", args.ca_file end
    if not path and core.libcurl:find "Schannel" then return finding("certificates", "ok", "those of Windows") end
    if not path then
        return finding("certificates", "note", "no certificate bundle found; libcurl uses the system's",
            "If TLS fails, install ca-certificates or use --ca-file.")
    end
    local bytes, err = arguments.read(path)
    if not bytes then
        return finding("certificates", "wrong", from .. ": " .. err.message, "Name a readable file.", "tls")
    end
    local _, count = bytes:gsub("BEGIN [%u ]*CERTIFICATE", "")
    if count == 0 then
        return finding("certificates", "wrong", from .. ": " .. text.show(path) .. " contains no certificate",
            "Name a PEM bundle of certificates; on Debian it is /etc/ssl/certs/ca-certificates.crt.", "tls")
    end
    return finding("certificates", "ok", ("%s (%s): %s"):format(text.clean(path, 200), from,
        progress.count(count, "certificate")))
end

local PROXIES = { "https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY" }

--- `named` is the printed address, with the name of its option or variable.
local function proxy_finding(address, named)
    local ok, reason = url.check_proxy(address)
    if ok then return finding("proxy", "note", named) end
    return finding("proxy", "wrong", named .. ": " .. reason, "Fix the address.", "invalid_request")
end

local function check_proxy(args)
    if args.proxy then return proxy_finding(args.proxy, "--proxy " .. without_user(args.proxy)) end
    for _, name in ipairs(PROXIES) do
        local value = os.getenv(name)
        if is_set(value) then
            local except = os.getenv "no_proxy" or os.getenv "NO_PROXY"
            return proxy_finding(value, ("%s=%s%s"):format(name, without_user(value),
                is_set(except) and ", except for " .. text.clean(except, 100) or ""))
        end
    end
    return finding("proxy", "ok", "none")
end

local function check_key()
    local key = settings.key()
    local fix = (IS_WINDOWS and "set " or "export ") .. KEY .. "=" .. PREFIX ..
        "... with the key of your account. To try flux2 without a key: flux2 emulator"
    if not key then return finding("key", "wrong", KEY .. " is not set", fix, "auth") end
    if key:find "[^\33-\126]" then
        return finding("key", "wrong", KEY .. " contains a space, a line break or another invalid character",
            "Copy the key again, without surrounding text.", "auth")
    end
    if key:sub(1, #PREFIX) ~= PREFIX then
        return finding("key", "note", KEY .. " is set, but does not begin with " .. PREFIX,
            "Keys of the service do. Check whether this is the key of another service.")
    end
    return finding("key", "ok", KEY .. " is set: " .. settings.mask(key))
end

local function check_settings(args)
    local err = args.settings_error
    if err then return finding("settings", "wrong", err.message, "flux2 config lists the settings.", err.kind) end
    local path = config_file.path(config.getenv)
    local exists = path and files.exists(path)
    return finding("settings", "ok", exists and text.clean(path, 200) or "no configuration file (flux2 config path)")
end

local function check_spool(args)
    local directory = args.spool or session.default_spool()
    if not directory then
        return finding("records", "note", "paid tasks are not recorded: HOME is not set", "Set FLUX2_SPOOL.")
    end
    local names, count = core.list(directory), 0
    for _, name in ipairs(names or {}) do
        if name:find "^task%-.*%.json$" then count = count + 1 end
    end
    if count == 0 then return finding("records", "ok", text.clean(directory, 200) .. ": no unfinished tasks") end
    return finding("records", "note", ("%s: %s"):format(text.clean(directory, 200),
        progress.count(count, "unfinished task")), "flux2 recover --list")
end

local function check_emulator()
    local is_there, reason = pcall(require, "flux2.emulator")
    if is_there then return finding("emulator", "ok", "built") end
    if IS_WINDOWS then return finding("emulator", "note", reason) end
    return finding("emulator", "note", "not built", "Install libmicrohttpd, jansson and cairo, then build flux2 again.")
end

local function check_chafa()
    if shell.has "chafa" then return finding("chafa", "ok", "chafa shows images in the terminal") end
    return finding("chafa", "note", "images are not shown in the terminal", not IS_WINDOWS and "Install chafa." or nil)
end

-- The service ---------------------------------------------------------------------------------------------------------

--- Kinds of errors that prove that the service responds and accepts the key.
local RESPONDED = {
    invalid_request = true, not_found = true, protocol = true, rate_limited = true, rejected = true, task_failed = true,
}

--- Whether a body is a response of the API: { error = { ... } } or { code = ..., message = ..., data = ... }, of Black
--- Forest Labs { detail = ... } or { status = "..." }.
local function is_api_response(raw)
    local body = json.decode(raw)
    if type(body) ~= "table" then return false end
    return type(body.error) == "table" or type(body.data) == "table"
        or #PROVIDER.response.poll_url > 0 and (body.detail ~= nil or type(body.status) == "string")
        or type(body.code) == "number" and type(body.message) == "string"
end

local FIX_ADDRESS = "Check --base-url or FLUX2_BASE_URL. Open it in a browser: the network may require a login."

--- Describes a body that is not a response of the API.
local function describe_body(raw)
    if not raw:find "%S" then return "an empty body" end
    if json.decode(raw) ~= nil then return "JSON of another service" end
    local is_page = error_output.is_page(raw)
    local words = is_page and (raw:match "<[tT][iI][tT][lL][eE]>%s*(.-)%s*</" or "") or raw
    words = text.clean(words, 80)
    return (is_page and "a web page" or "text") .. (words ~= "" and " ('" .. words .. "')" or "")
end

local function failure(found, fix, kind)
    return finding("service", "wrong", found, fix, kind)
end

--- Returns the finding for a response that is not from the API.
local function describe_foreign(address, err)
    local status = err.status
    if status == 407 then
        return failure("a proxy requires a user name and a password (HTTP 407)", error_output.advice(err), "network")
    elseif status >= 300 and status < 400 then
        local where = err.message:match "a redirect to (%S+)," or "another address"
        return failure(("%s redirects to %s (HTTP %d): a login page, or the service has a new address"):format(address,
            where, status), "Log in to this network in a browser, or give the new address with --base-url.", "protocol")
    end
    local found = ("%s responds with HTTP %d and %s, which is not a response of the API"):format(address, status,
        describe_body(err.raw or ""))
    if status >= 500 then
        return failure(found, "A gateway responds, but not the service behind it. Try again later.", "server")
    end
    local guess = (status == 404 or status == 405) and "there is no API at this address"
        or (status == 401 or status == 403) and "a gateway or proxy refuses the request"
        or "a login page of this network, or another server"
    return failure(found .. ": " .. guess, FIX_ADDRESS, "protocol")
end

local function read_error(address, err, took, with_key)
    local is_foreign = err.status and not err.cause and not is_api_response(err.raw or "")
    if is_foreign then return describe_foreign(address, err) end
    if RESPONDED[err.kind] or not with_key and err.kind == "auth" then
        return finding("service", "ok", address .. " responds" .. (with_key and " and accepts the key" or "") .. took)
    elseif err.kind == "auth" then
        return failure(address .. " responds and refuses the key: " .. err.message,
            "Check that the key is complete and belongs to this account.", "auth")
    elseif err.kind == "server" then
        return failure(errors.line(err), "A server error. Try again later.", "server")
    end
    local fix = error_output.advice(err)
    if err.kind == "network" or err.kind == "timeout" then
        fix = "Check the connection, the proxy above and the address; --proxy and --base-url change them."
    elseif err.kind == "tls" then
        fix = ("Check the clock (it says %s), the certificates above, and any intercepting proxy."):format(
            os.date "%Y-%m-%d %H:%M")
    end
    return failure(err.kind .. ": " .. err.message, fix, err.kind)
end

local function read_status(client, status, err, request)
    local address = text.clean(tostring(client):match "%((.*)%)", 200)
    local took = (", %.0f ms"):format(request.seconds * 1000)
    if not status then return read_error(address, err, took, request.with_key) end
    local result = request.with_key and " responds and accepts the key" or " responds"
    return finding("service", "ok", address .. result .. took)
end

local function check_service(args)
    if args.ca_file and files.exists(args.ca_file) == false then return nil end -- reported by check_certificates
    local with_key = settings.key() ~= nil
    -- Without a key the check only shows whether the service responds.
    local client, err = session.client(args, not with_key and { api_key = PREFIX .. "none" } or nil)
    if not client then
        if err.kind == "auth" then return nil end -- reported by check_key
        return finding("address", "wrong", error_output.line(err), "Correct --base-url or FLUX2_BASE_URL.", err.kind)
    end
    local began, status = core.now(), nil
    local timeout = math.min(args.timeout or REQUEST_TIMEOUT, REQUEST_TIMEOUT)
    local finished = loop.run {
        work = function() status, err = client:status(NO_TASK, { timeout = timeout }) end,
        interrupted = function() return true end,
    }
    if not finished then
        return finding("service", "wrong", "interrupted", nil, "cancelled")
    end
    return read_status(client, status, err, { seconds = core.now() - began, with_key = with_key })
end

-- The report ----------------------------------------------------------------------------------------------------------

local STYLE = { ok = "green", note = "yellow", wrong = "red" }
local LABEL = { ok = "ok", note = "note", wrong = "FAIL" }

--- Prints the finding and its fix: on a terminal wrapped at words, below their label if the terminal is narrow.
local function report(out, found)
    if out.json then return out:result(jsonl.encode(found)) end
    if out.quiet and found.state ~= "wrong" then return end
    local columns = out.shows and out:columns() or math.huge
    local indent = columns < NARROW and 5 or LABEL_COLUMNS
    local lines = terminal.wrap(found.found, columns - indent)
    local check = columns < NARROW and found.check or ("%-13s %s"):format(found.check, table.remove(lines, 1))
    out:result(out:style_result(STYLE[found.state], ("%-4s"):format(LABEL[found.state])) .. " " .. check)
    for _, line in ipairs(lines) do out:result((" "):rep(indent) .. line) end
    for _, line in ipairs(found.fix and terminal.wrap(found.fix, columns - indent) or {}) do
        out:result((" "):rep(indent) .. out:style_result("dim", line))
    end
end

function doctor.run(args, out)
    local checks = {
        check_lua, check_libcurl, check_tls, check_certificates, check_settings, check_proxy, check_key, check_spool,
        check_emulator, check_chafa,
    }
    if not args.offline then checks[#checks + 1] = check_service end
    local status = exit.OK
    for _, check in ipairs(checks) do
        local found = check(args)
        if found then
            report(out, found)
            if found.state == "wrong" and status == exit.OK then status = exit.of { kind = found.kind } end
        end
    end
    if status == exit.OK then out:say "No problems found." end
    return status
end

return doctor
