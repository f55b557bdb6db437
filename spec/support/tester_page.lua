--- The tester asked as its page asks it, with the curl program.
local bound = require "support.bound"
local core = require "flux2.core"
local curl = require "emulator_curl"
local json = require "flux2.json"

local page = {}

--- "http://127.0.0.1:PORT" of an address.
function page.origin(url)
    return (url:match "^(http://[^/]+)/")
end

function page.get(url, path, headers)
    return curl.request(url .. (path or ""), { headers = headers })
end

--- A call as the page makes it; `headers` take the place of its own.
function page.post(url, path, value, headers)
    return curl.request(url .. path, {
        method = "POST", body = type(value) == "string" and value or assert(json.encode(value or { none = true }, "call")),
        headers = headers or { "Origin: " .. page.origin(url), "Content-Type: application/json" },
    })
end

--- Submits, and gives the number of the task in the session.
function page.submit(url, request)
    local answer = page.post(url, "tasks", { request = request })
    assert(answer.status == 200, answer.body)
    return json.decode(answer.body).id
end

--- Asks for news until `enough(task, events)` is true of the task ID; gives both.
function page.follow(url, id, enough)
    local version, events, task = 0, {}, nil
    local until_ = core.now() + bound(20)
    repeat
        assert(core.now() < until_, "still waiting for the task")
        local news = assert(json.decode(page.get(url, "news?after=" .. ("%d"):format(version)).body))
        version = news.version
        for _, event in ipairs(news.events ~= json.null and news.events or {}) do
            if event.task == id then events[#events + 1] = event end
        end
        for _, one in ipairs(news.tasks ~= json.null and news.tasks or {}) do
            if one.id == id then task = one end
        end
    until task and enough(task, events)
    return task, events
end

--- Until it has ended and its pictures are there.
function page.finish(url, id)
    return page.follow(url, id, function(task, events)
        if task.alive or task.fetching then return false end
        return task.state ~= "succeeded" or events[#events].kind == "fetched"
    end)
end

return page
