--- Requests of the tester's page, with the curl program.
local bound = require "support.bound"
local core = require "flux2.core"
local curl = require "emulator_curl"
local json = require "flux2.json"

local page = {}

--- The origin "http://127.0.0.1:PORT" of a URL.
function page.origin(url)
    return (url:match "^(http://[^/]+)/")
end

function page.get(url, path, headers)
    return curl.request(url .. (path or ""), { headers = headers })
end

--- A request of the page; `headers` override its own.
function page.post(url, path, value, headers)
    return curl.request(url .. path, {
        method = "POST", body = type(value) == "string" and value
        or assert(json.encode(value or { none = true }, "call")),
        headers = headers or { "Origin: " .. page.origin(url), "Content-Type: application/json" },
    })
end

--- Submits, and returns the number of the task in the session.
function page.submit(url, request)
    local response = page.post(url, "tasks", { request = request })
    assert(response.status == 200, response.body)
    return json.decode(response.body).id
end

--- Requests updates until `enough(task, events)` is true for the task ID; returns both.
function page.follow(url, id, enough)
    local version, events, task = 0, {}, nil
    local until_ = core.now() + bound(60)
    repeat
        assert(core.now() < until_, "still waiting for the task")
        local update = assert(json.decode(page.get(url, "events?after=" .. ("%d"):format(version)).body))
        version = update.version
        for _, event in ipairs(update.events ~= json.null and update.events or {}) do
            if event.task == id then events[#events + 1] = event end
        end
        for _, one in ipairs(update.tasks ~= json.null and update.tasks or {}) do
            if one.id == id then task = one end
        end
    until task and enough(task, events)
    return task, events
end

--- Waits until the task has ended and its images are loaded.
function page.finish(url, id)
    return page.follow(url, id, function(task, events)
        if task.running or task.fetching then return false end
        return task.state ~= "succeeded" or events[#events].kind == "fetched"
    end)
end

return page
