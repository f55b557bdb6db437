--- Prints errors: as text on stderr, or as JSON on stdout.
-- Owns the advice for the command line. Kinds without an entry here have the advice of flux2.errors.

local errors = require "flux2.errors"
local exit = require "flux2.cli.exit"
local jsonl = require "flux2.cli.jsonl"
local provider = require("flux2.provider").resolve()
local shell = require "flux2.cli.shell"
local text = require "flux2.text"
local wording = require "flux2.cli.wording"

local error_output = {}

local ADVICE = {
    auth = ("Check %s; keys begin with %s. To try flux2 without a key: flux2 emulator -- flux2 generate ..."):format(
        provider.environment.api_key, provider.key_prefix),
    credits = "Buy credits, or use --type flex or --resolution 1K.",
    budget = "Raise --budget.",
    rate_limited = "Wait, or lower --concurrency.",
    not_found = "Check the task id. `flux2 doctor` checks the address of the service.",
    network = "Run `flux2 doctor` to check the connection, the proxy and the address.",
    tls = "Check the clock, --ca-file and any intercepting proxy (`flux2 doctor`). Verification cannot be turned off.",
    timeout = "Try again with a longer --timeout.",
    cancelled = false,
    invalid_request = false,
    protocol = "Run `flux2 doctor` to check the address. If it is correct, report the output of --json.",
    unknown_outcome = "Check the tasks of your account before you submit again, or you may pay twice.",
}

local IS_WINDOWS = package.config:sub(1, 1) == "\\"

local FIELDS = {
    "kind", "message", "status", "code", "type", "task_id", "request_id", "attempts", "retryable", "field", "paid",
    "raw",
}

--- Returns the error for a server of flux2 that is missing.
---@param what string
---@param libraries string that it needs
---@return flux2.Error
-- Example: `error_output.not_built("the tester", "libmicrohttpd")`
function error_output.not_built(what, libraries)
    local how = IS_WINDOWS and " does not run on Windows: start it in WSL or on another machine"
        or " is not built: install " .. libraries .. ", then run make"
    return errors.new("io", what .. how, { advice = false })
end

--- Whether a word can be printed as part of a command: it is not empty and has no control characters.
---@param word? string
---@return boolean
function error_output.is_pasteable(word)
    return word ~= nil and word ~= "" and text.clean(word, #word) == word
end

--- Returns the command that downloads the image of a task. The id comes from the service, so it is quoted.
---@param id? string
---@return string
-- Example: `error_output.fetch_command "n41_flux2"` is "flux2 task n41_flux2 --wait"
function error_output.fetch_command(id)
    if not id or not error_output.is_pasteable(id) then return "flux2 recover" end
    if id:sub(1, 1) == "-" then return "flux2 task --wait -- " .. shell.quote(id) end
    return "flux2 task " .. shell.quote(id) .. " --wait"
end

--- Returns the fields of an error for JSON.
---@param err flux2.Error
---@return table
function error_output.fields(err)
    wording.translate(err)
    local out = {}
    for _, name in ipairs(FIELDS) do out[name] = err[name] end
    out.fetch = err.paid and error_output.fetch_command(err.task_id) or nil
    return out
end

--- Returns advice about an error: one or two sentences.
---@param err flux2.Error
---@return string? advice
function error_output.advice(err)
    if err.advice ~= nil then return err.advice or nil end
    if err.kind == "io" and err.field then return "Check the path." end
    if err.kind == "not_found" and not err.task_id then
        return ("Check the address: --base-url or %s. `flux2 doctor` checks it, too."):format(
            provider.environment.base_url)
    end
    if err.status == 407 then
        return "The proxy requires a user name and a password: --proxy http://NAME:PASSWORD@HOST:PORT"
    end
    local advice = ADVICE[err.kind]
    if advice == nil then advice = errors.advice[err.kind] end
    return advice or nil
end

--- Whether a body is a web page, for example of a gateway, a proxy or a network login.
---@param raw string
---@return boolean
function error_output.is_page(raw)
    return raw:find "^%s*<" ~= nil
end

--- Prints advice; for a paid image first the command that downloads it.
local function advise(terminal, err)
    if err.paid then
        -- With a cause, the download timed out, after the end of the task.
        local is_running = err.kind == "timeout" and not err.cause
        local lead = is_running and "The task is still running and paid for. To download its image: "
            or "The image is paid for. To download it: "
        terminal:warn(lead .. error_output.fetch_command(err.task_id))
        if err.kind == "timeout" or err.kind == "not_found" then return end
    end
    if terminal.quiet then return end
    local advice = error_output.advice(err)
    if advice then terminal:hint(advice) end
    if type(err.raw) == "string" and error_output.is_page(err.raw) then
        terminal:hint "The response is a web page, not a response of the API. Run `flux2 doctor`."
    end
end

--- Returns an error as one line, in the words of the command line.
---@param err flux2.Error
---@return string
function error_output.line(err)
    wording.translate(err)
    return err.kind == "invalid_request" and err.message or errors.line(err)
end

--- Prints an error and returns its exit status. After an invalid request it suggests the --help of `terminal.command`.
---@param terminal flux2.Terminal
---@param err flux2.Error
---@return integer code
function error_output.print(terminal, err)
    if terminal.json then
        terminal:result(jsonl.encode({ error = error_output.fields(err) }))
        return exit.of(err)
    end
    terminal:error(error_output.line(err))
    advise(terminal, err)
    if err.kind == "invalid_request" and terminal.command and not terminal.quiet then
        terminal:hint("Try: flux2 " .. terminal.command .. " --help")
    end
    return exit.of(err)
end

return error_output
