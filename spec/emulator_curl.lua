--- Requests to the emulator with the curl program, which shares no code with the tested modules.

local shell = require "support.shell"

local curl = {}

local MOST_SECONDS = ("%d"):format(require "support.bound"(60))

--- Runs curl. Returns its output and exit code.
function curl.run(...)
    local words = { "curl", "-q", "-sS", "--noproxy", "*", "--max-time", MOST_SECONDS }
    for _, word in ipairs { ... } do words[#words + 1] = word end
    local exit, output = shell.run(shell.join(words) .. " 2>/dev/null")
    return output, exit
end

local function parse(output)
    local response = { headers = {} }
    local head, body = output:match "^(HTTP/.-\r\n)\r\n(.*)$"
    while head and head:find "^HTTP/1.1 100" do head, body = body:match "^(HTTP/.-\r\n)\r\n(.*)$" end
    if not head then return response end
    response.status, response.body = tonumber(head:match "^HTTP/%S+ (%d+)"), body
    for name, value in head:gmatch "\n([^:\r\n]+): *([^\r\n]*)" do response.headers[name:lower()] = value end
    return response
end

--- Sends a request. Returns a table with status, headers (by name in lower case), body and exit.
---@param options table? method, headers (array of lines), body, args (array, for curl itself)
function curl.request(url, options)
    options = options or {}
    local args, file = { "-i", "--path-as-is", url }, nil
    local function add(...)
        for _, arg in ipairs { ... } do args[#args + 1] = arg end
    end
    if options.method == "HEAD" then
        add "-I"
    elseif options.method then
        add("-X", options.method)
    end
    for _, line in ipairs(options.headers or {}) do add("-H", line) end
    if options.body then
        file = os.tmpname()
        local handle = assert(io.open(file, "wb"))
        handle:write(options.body)
        handle:close()
        add("--data-binary", "@" .. file)
    end
    for _, arg in ipairs(options.args or {}) do add(arg) end
    local output, exit = curl.run((table.unpack or unpack)(args)) -- luacheck: ignore 143
    if file then os.remove(file) end
    local response = parse(output)
    response.exit = exit
    return response
end

--- Calls the service's API with the emulator's key; `content_type` is an additional option.
function curl.api(emu, method, path, options)
    local copy = { method = method, headers = { "Authorization: Bearer " .. emu.api_key } }
    for name, value in pairs(options or {}) do
        if name ~= "headers" then copy[name] = value end
    end
    local content_type = copy.content_type or copy.body and "application/json"
    if content_type then table.insert(copy.headers, "Content-Type: " .. content_type) end
    for _, line in ipairs(options and options.headers or {}) do table.insert(copy.headers, line) end
    return curl.request(emu.url .. path, copy)
end

--- Submits JSON text.
function curl.submit(emu, body, options)
    local copy = { body = body or '{"model":"flux-2","prompt":"a red fox"}' }
    for name, value in pairs(options or {}) do copy[name] = value end
    return curl.api(emu, "POST", "/api/v1/images/generations", copy)
end

--- Submits, asserts that the submission is accepted, and returns the task id.
function curl.accepted(emu, body)
    local response = curl.submit(emu, body)
    assert(response.status == 200, response.body)
    return (assert(response.body:match '"task_id":"([^"]+)"'))
end

function curl.poll(emu, id, options)
    return curl.api(emu, "GET", "/api/v1/tasks/" .. id, options)
end

--- Returns the image URL of a finished task in the default response shape.
function curl.image_url(emu, id)
    local response = curl.poll(emu, id)
    return (assert(response.body:match '"image_url":"([^"]+)"', response.body))
end

return curl
