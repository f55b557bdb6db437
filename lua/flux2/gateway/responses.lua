--- The bodies of the gateway's responses: those of the service, so that its clients need no change.

local json = require "flux2.json"

local responses = {}

local JSON = "application/json"

--- The status word of each state of the ledger.
responses.words = {
    queued = "QUEUED", submitting = "IN_PROGRESS", accepted = "IN_PROGRESS", done = "SUCCESS", failed = "FAILED",
    unknown = "FAILED",
}

-- Failures with words of their own.
local WORDS = { moderated = "CONTENT_MODERATED", rejected = "REJECTED" }

---@class flux2.gateway.Response
---@field status integer
---@field headers table<string, string>
---@field body? string
---@field path? string the file to send instead of a body
---@field task? string the id of the task, for the access log

--- Makes a response with a JSON body.
---@param status integer
---@param value table
---@return flux2.gateway.Response
function responses.json(status, value)
    return {
        status = status, headers = { ["Content-Type"] = JSON, ["Cache-Control"] = "no-store" },
        body = assert(json.write(value)),
    }
end

--- Makes an error as the service sends them.
---@param status integer
---@param kind string
---@param message string
---@param retry_after? number seconds
---@return flux2.gateway.Response
function responses.error(status, kind, message, retry_after)
    local response = responses.json(status, { error = { code = status, message = message, type = kind } })
    if retry_after then response.headers["Retry-After"] = ("%d"):format(math.ceil(retry_after)) end
    return response
end

--- Makes the response to a refused submission.
---@param refusal flux2.gateway.Refusal
---@return flux2.gateway.Response
function responses.refusal(refusal)
    return responses.error(refusal.status, refusal.type, refusal.message, refusal.retry_after)
end

--- Makes the response to an accepted submission. A repeated one may be of a task that has ended: its polls tell how.
---@param task flux2.gateway.Task
---@return flux2.gateway.Response
function responses.accepted(task)
    local response = responses.json(200, {
        code = 200, message = "success",
        data = { task_id = task.id, status = responses.words[task.state == "queued" and "queued" or "accepted"] },
    })
    response.task = task.id
    return response
end

local function problem_of(task)
    local problem = task.error and json.decode(task.error)
    return type(problem) == "table" and problem or { kind = "task_failed", message = "the task has failed" }
end

--- The status word of a task.
---@param task flux2.gateway.Task
---@return string word
function responses.word(task)
    return task.state == "failed" and WORDS[problem_of(task).kind] or responses.words[task.state]
end

--- Makes the response to the request for a task.
---@param task flux2.gateway.Task
---@param urls string[] of its images
---@param progress? number 0 to 1
---@return flux2.gateway.Response
function responses.task(task, urls, progress)
    local data = { task_id = task.id, status = responses.word(task), credits_used = task.credits or nil }
    if task.state == "done" then
        data.progress = 1
        data.output = #urls == 1 and { image_url = urls[1] } or urls
    elseif task.state == "failed" or task.state == "unknown" then
        local problem = problem_of(task)
        data.error = { code = problem.kind, message = problem.message, type = problem.kind }
    else
        data.progress = progress
    end
    local response = responses.json(200, { code = 200, message = "success", data = data })
    response.task = task.id
    return response
end

--- The reason of a failed task, as an error of its own, for interfaces without tasks.
---@param task flux2.gateway.Task
---@return flux2.gateway.Response
function responses.failure(task)
    local problem = problem_of(task)
    local is_refused = WORDS[problem.kind] ~= nil or problem.kind == "invalid_request"
    local response = responses.error(is_refused and 400 or 502, problem.kind, problem.message)
    response.task = task.id
    return response
end

--- Adds the images of the other tasks of its request to a failure: they are paid for.
---@param failure flux2.gateway.Response
---@param images table[] in OpenAI's form
---@param wanted integer the number of images that the request asks for
function responses.add_images(failure, images, wanted)
    local body = json.decode(failure.body)
    body.error.message = ("%d of %d images are in data: %s"):format(#images, wanted, body.error.message)
    body.data = images
    failure.body = assert(json.write(body))
end

return responses
