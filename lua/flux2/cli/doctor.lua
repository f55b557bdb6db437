--- `flux2 doctor`: what keeps this machine from making pictures, and how to mend it. Never spends a credit: the one
-- thing it asks the service is how a task stands that does not exist.

local arguments = require "flux2.cli.arguments"
local complaint = require "flux2.cli.complaint"
local core = require "flux2.core"
local exit = require "flux2.cli.exit"
local flux2 = require "flux2"
local jsonl = require "flux2.cli.jsonl"
local loop = require "flux2.cli.loop"
local progress = require "flux2.cli.progress"
local session = require "flux2.cli.session"
local shell = require "flux2.cli.shell"
local text = require "flux2.text"

local doctor = { name = "doctor", summary = "Find out what is wrong with this machine's set-up, and how to mend it." }

local LOOK = 20 -- seconds that the question to the service may take
local NO_TASK = "flux2-doctor-asks-for-no-task"
local CURL_LEAST = { 7, 85 }

function doctor.describe(command)
    command:flag("--offline", "Do not ask the service.")
    arguments.connection(command)
    arguments.output(command)
    command:epilog [[
It spends no credits. The exit status is that of the first thing that is wrong.

Example:
   flux2 doctor]]
end

---@class flux2.cli.Finding
---@field check string what was looked at
---@field state "ok"|"note"|"wrong"
---@field found string
---@field mend? string
---@field kind? string of an error, for the exit status

local function finding(check, state, found, mend, kind)
    return { check = check, state = state, found = found, mend = mend, kind = kind }
end

local function is_set(value)
    return value ~= nil and value ~= ""
end

--- A proxy's address may hold a password.
local function without_user(address)
    return (text.clean(address, 200):gsub("//[^@/]*@", "//***@"))
end

-- On this machine -----------------------------------------------------------------------------------------------------

local function look_at_lua()
    return finding("lua", "ok", ("flux2 %s on %s"):format(flux2._VERSION,
        rawget(_G, "jit") and jit.version or _VERSION))
end

local function look_at_libcurl()
    local major, minor = core.libcurl:match "libcurl/(%d+)%.(%d+)"
    major, minor = tonumber(major) or 0, tonumber(minor) or 0
    local old = major < CURL_LEAST[1] or major == CURL_LEAST[1] and minor < CURL_LEAST[2]
    local version = ("%d.%d"):format(major, minor)
    if not old then return finding("libcurl", "ok", version) end
    return finding("libcurl", "wrong", version .. " is older than 7.85", "Install a newer libcurl.", "network")
end

local TLS = { "OpenSSL", "GnuTLS", "LibreSSL", "BoringSSL", "wolfSSL", "mbedTLS", "SecureTransport", "Schannel",
    "AWS%-LC", "rustls" }

local function look_at_tls()
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

local function look_at_certificates(args)
    local from, path = "libcurl's own", core.ca_file()
    if is_set(os.getenv "SSL_CERT_FILE") then from, path = "SSL_CERT_FILE", os.getenv "SSL_CERT_FILE" end
    if args.ca_file then from, path = "--ca-file", args.ca_file end
    if not path then
        return finding("certificates", "note", "no bundle is known; libcurl uses what the system has",
            "If TLS fails, install ca-certificates or give --ca-file.")
    end
    local bytes, err = arguments.read(path)
    if not bytes then
        return finding("certificates", "wrong", from .. ": " .. err.message, "Name a file that can be read.", "tls")
    end
    local _, count = bytes:gsub("BEGIN [%u ]*CERTIFICATE", "")
    if count == 0 then
        return finding("certificates", "wrong", from .. ": " .. text.show(path) .. " holds no certificate",
            "Name a bundle of certificates in PEM form; Debian's is /etc/ssl/certs/ca-certificates.crt.", "tls")
    end
    return finding("certificates", "ok", ("%s (%s): %s"):format(text.clean(path, 200), from,
        progress.count(count, "certificate")))
end

local PROXIES = { "https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY" }

local function look_at_proxy(args)
    if args.proxy then return finding("proxy", "note", "--proxy " .. without_user(args.proxy)) end
    for _, name in ipairs(PROXIES) do
        local value = os.getenv(name)
        if is_set(value) then
            local except = os.getenv "no_proxy" or os.getenv "NO_PROXY"
            return finding("proxy", "note", ("%s=%s%s"):format(name, without_user(value),
                is_set(except) and ", but not for " .. text.clean(except, 100) or ""))
        end
    end
    return finding("proxy", "ok", "none")
end

local function look_at_key()
    local key = os.getenv "FLUX2_API_KEY"
    local mend = "export FLUX2_API_KEY=aio_... with the key from your account; or try flux2 emulator, which needs none."
    if not is_set(key) then return finding("key", "wrong", "FLUX2_API_KEY is not set", mend, "auth") end
    if key:find "[^\33-\126]" then
        return finding("key", "wrong", "FLUX2_API_KEY holds a space, a line break or another character that no key has",
            "Copy it again, without what stands around it.", "auth")
    end
    if not key:find "^aio_" then
        return finding("key", "note", "FLUX2_API_KEY is set, and does not begin with aio_",
            "Keys of the service do: is it one of another service?")
    end
    return finding("key", "ok", ("FLUX2_API_KEY is set (aio_..., %d characters)"):format(#key))
end

local function look_at_spool()
    local directory = os.getenv "FLUX2_SPOOL"
    directory = is_set(directory) and directory or session.default_spool()
    if not directory then
        return finding("records", "note", "there is no HOME, so no record of paid tasks is kept", "Set FLUX2_SPOOL.")
    end
    local names, count = core.list(directory), 0
    for _, name in ipairs(names or {}) do
        if name:find "^task%-.*%.json$" then count = count + 1 end
    end
    if count == 0 then return finding("records", "ok", text.clean(directory, 200) .. ": nothing was left behind") end
    return finding("records", "note", ("%s: %s not collected"):format(text.clean(directory, 200),
        progress.count(count, "task was", "tasks were")), "flux2 recover --list")
end

local function look_at_emulator()
    if pcall(require, "flux2.emulator") then return finding("emulator", "ok", "built") end
    return finding("emulator", "note", "not built", "It needs libmicrohttpd and cairo when flux2 is built.")
end

local function look_at_chafa()
    if shell.has "chafa" then return finding("pictures", "ok", "chafa shows them in the terminal") end
    return finding("pictures", "note", "not shown in the terminal", "Install chafa.")
end

-- The service ---------------------------------------------------------------------------------------------------------

--- These are answers: the service is there, and took the key.
local ANSWERS = {
    invalid_request = true, not_found = true, protocol = true, rate_limited = true, rejected = true, task_failed = true,
}

local function read_answer(client, look, err, asked)
    local address = tostring(client):match "%((.*)%)"
    local took = (", %.0f ms"):format(asked.seconds * 1000)
    if not asked.with_key and (look or err.kind == "auth" or ANSWERS[err.kind]) then
        return finding("service", "ok", address .. " answers" .. took)
    end
    if look or ANSWERS[err.kind] then
        return finding("service", "ok", address .. " answers and takes the key" .. took)
    end
    if err.kind == "auth" then
        return finding("service", "wrong", address .. " answers and refuses the key: " .. err.message,
            "Is the key complete, and of this account?", "auth")
    end
    if err.kind == "server" then
        return finding("service", "wrong", tostring(err), "It has a fault of its own. Try again later.", "server")
    end
    local mend = complaint.advice(err)
    if err.kind == "network" or err.kind == "timeout" then
        mend = "Check the connection, the proxy above and the address; --proxy and --base-url give others."
    elseif err.kind == "tls" then
        mend = ("Check the clock (it says %s), the certificates above, and who stands in between."):format(
            os.date "%Y-%m-%d %H:%M")
    end
    return finding("service", "wrong", err.kind .. ": " .. err.message, mend, err.kind)
end

local function look_at_service(args)
    local with_key = is_set(os.getenv "FLUX2_API_KEY")
    -- Whether anybody answers can be seen without a key too.
    local client, err = session.client(args, not with_key and { api_key = "aio_none" } or nil)
    if not client then
        if err.kind == "auth" then return nil end -- said already
        return finding("address", "wrong", err.message, "Mend --base-url, or FLUX2_BASE_URL.", err.kind)
    end
    local began, look = core.now(), nil
    local finished = loop.run {
        work = function() look, err = client:look(NO_TASK, { timeout = math.min(args.timeout or LOOK, LOOK) }) end,
        interrupted = function() return true end,
    }
    if not finished then
        return finding("service", "wrong", "interrupted", nil, "cancelled")
    end
    return read_answer(client, look, err, { seconds = core.now() - began, with_key = with_key })
end

-- The report ----------------------------------------------------------------------------------------------------------

local STYLE = { ok = "green", note = "yellow", wrong = "red" }

local function tell(out, found)
    if out.json then return out:result(jsonl.encode(found)) end
    if out.quiet and found.state ~= "wrong" then return end
    out:result(("%s %-13s %s"):format(out:style_result(STYLE[found.state], ("%-5s"):format(found.state)), found.check,
        found.found))
    if found.mend then out:result((" "):rep(20) .. out:style_result("dim", found.mend)) end
end

function doctor.run(args, out)
    local checks = {
        look_at_lua, look_at_libcurl, look_at_tls, look_at_certificates, look_at_proxy, look_at_key, look_at_spool,
        look_at_emulator, look_at_chafa,
    }
    if not args.offline then checks[#checks + 1] = look_at_service end
    local status = exit.OK
    for _, check in ipairs(checks) do
        local found = check(args)
        if found then
            tell(out, found)
            if found.state == "wrong" and status == exit.OK then status = exit.of { kind = found.kind } end
        end
    end
    if status == exit.OK then out:say "Nothing is wrong." end
    return status
end

return doctor
