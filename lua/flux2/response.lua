--- What an answer means: turns a status and a body into a task, a result or an error.
-- Judges by the words and paths of flux2.shapes, which also go to the engine as `response.watch`. Whatever a server
-- sends, nothing here raises: it ends as a result or as an error of a known kind.

if jit then jit.off(true, true) end -- see flux2.scheduler

local errors = require "flux2.errors"
local failure = require "flux2.failure"
local json = require "flux2.json"
local pictures = require "flux2.pictures"
local shapes = require "flux2.shapes"
local text = require "flux2.text"

local response = {}

---@class flux2.TaskAnswer
---@field state "running"|"succeeded"|"failed"
---@field status? string the service's own word
---@field progress? number 0 to 1
---@field images flux2.Picture[]
---@field raw? table the decoded answer; where nobody had to decode it there is `body` instead
---@field body? string
---@field credits? number
---@field error? flux2.Error when failed: task_failed, moderated or rejected

--- Bytes, as the engine has it; what is longer is no name of a task.
response.longest_id = 512
response.signatures = pictures.signatures
response.image_type = pictures.image_type
response.http_error = failure.http
response.failure = failure.transport

--- The ways of writing a word of several parts: "not start", "not_start", "not-start", "notstart".
local function spellings(word)
    if not word:find(" ", 1, true) then return { word } end
    local all = {}
    for i, joint in ipairs { " ", "_", "-", "" } do all[i] = (word:gsub(" ", joint)) end
    return all
end

-- Word in lower case -> "succeeded", "failed", "moderated" or "rejected". All others run.
local VERDICTS, DONE, SUCCEEDED = {}, {}, {}
for _, verdict in ipairs { "succeeded", "failed", "moderated", "rejected" } do
    for _, word in ipairs(shapes.words[verdict]) do
        for _, spelling in ipairs(spellings(word)) do
            VERDICTS[spelling] = verdict
            DONE[#DONE + 1] = spelling
            if verdict == "succeeded" then SUCCEEDED[#SUCCEEDED + 1] = spelling end
        end
    end
end

--- What the engine needs to poll on its own: plain arrays. Paths are dotted, numbers count from 0, the first usable
--- value wins. `status`: only strings count. `done`: words that end the poll, whatever their case. `result`: without a
--- status, a non-empty string at one of these ends it. `refused`: anything but null, false, 0, "", {} and [] ends it.
--- `code`: a number, or digits, that is not in `code_ok` ends it. `succeeded`: those of `done` that promise pictures;
--- where these are plain links, the engine reads them, and what the task cost, as flux2.pictures would.
response.watch = {
    id = shapes.task_id,
    status = shapes.status,
    progress = shapes.progress,
    done = DONE,
    result = shapes.finished,
    refused = shapes.refused,
    code = shapes.code,
    code_ok = shapes.code_ok,
    succeeded = SUCCEEDED,
    packed = shapes.packed_places,
    pictures = shapes.picture_places,
    picture_keys = shapes.picture_keys,
    picture_bytes = shapes.bytes_keys,
    media_types = shapes.media_type_keys,
    credits = shapes.credits,
}

local function a_word(value)
    return type(value) == "string" and value ~= "" and value or nil
end

local function an_id(value)
    if type(value) == "number" and value % 1 == 0 and value > 0 and value < 2 ^ 53 then return text.number(value) end
    value = a_word(value)
    return value and #value <= response.longest_id and value or nil
end

--- An id of more digits than a double holds, read from the text: rounded, it would be the id of another task, and
--- without it a paid task would be lost.
local function long_id(body, decoded)
    return json.first(decoded, shapes.task_id, function(value)
        if type(value) ~= "number" or value < 2 ^ 53 then return nil end
        for _, path in ipairs(shapes.task_id) do
            for digits in body:gmatch("\"" .. path:match("[^.]+$") .. "\"%s*:%s*(%d+)") do
                if tonumber(digits .. "e0") == value then return digits end
            end
        end
    end)
end

local function a_cost(value)
    value = type(value) == "string" and (text.to_number(value) or tonumber(value)) or value
    if type(value) == "number" and value >= 0 and value < 2 ^ 53 then return text.integer(value) end
    return nil
end

local function a_code(value)
    if type(value) == "number" and value == value then return text.integer(value) end
    return a_word(value)
end

local function a_reason(value)
    if type(value) ~= "string" or shapes.empty_words[value:lower()] then return nil end
    return value
end

--- Progress as a fraction, from any of the forms in use: 0 to 100, 0 to 1, "50%", "0.5".
---@param value any
---@return number? fraction 0 to 1; nil when it cannot be told
-- Example: `response.progress "50%"` is 0.5. 1 is taken as one percent: a task at 100 percent is not running.
function response.progress(value)
    local percent = false
    if type(value) == "string" then
        local digits, sign = value:match("^%s*(%d*%.?%d*)%s*(%%?)%s*$")
        if not digits or #digits > 20 then return nil end
        value, percent = text.to_number(digits), sign == "%"
    end
    if type(value) ~= "number" or not (value >= 0 and value <= 100) then return nil end
    if percent or value >= 1 then return value / 100 end
    return value
end

local function is_good(status)
    return type(status) == "number" and status >= 200 and status <= 299
end

local function failed(out, verdict, info)
    local decoded = out.raw
    local reason = json.first(decoded, shapes.reason, a_reason)
    local code = json.first(decoded, shapes.reason_code, a_code)
    local type_ = json.first(decoded, shapes.reason_type, a_word)
    local kind = verdict
    if verdict == "failed" then
        local hint = failure.hinted(shapes.hints, reason, code, type_)
        kind = (hint == "moderated" or hint == "rejected") and hint or "task_failed"
    end
    local lead = "the task ended as " .. text.show(out.status)
    if kind == "moderated" then lead = "the service's moderation refused the picture" end
    local message = reason and lead .. ": " .. text.clean(reason, 400) or lead .. "; the service gave no reason"
    out.state = "failed"
    out.error = errors.new(kind, message, failure.fields(info, {
        code = code, type = type_, task_id = info.task_id or json.first(decoded, shapes.task_id, an_id),
    }))
    return out
end

--- Reads a task out of a decoded answer; `complete` is nil for a success without a picture.
local function read_task(decoded, info)
    local word = json.first(decoded, shapes.status, a_word)
    local verdict = word and VERDICTS[word:lower()]
    local out = {
        state = "running", status = word, images = {}, raw = decoded,
        progress = json.first(decoded, shapes.progress, response.progress),
        credits = json.first(decoded, shapes.credits, a_cost),
    }
    if verdict and verdict ~= "succeeded" then return failed(out, verdict, info) end
    if verdict == "succeeded" or not word then
        out.images = pictures.find(decoded)
        if #out.images > 0 then
            out.state, out.progress = "succeeded", 1
        elseif verdict then
            return nil, out
        end
    end
    return out
end

local function unreadable(status, body, reason, info)
    return errors.new("protocol", "the service's answer is not a JSON object: " .. reason,
        failure.fields(info, { status = status, raw = body, retryable = true }))
end

--- Reads the answer to a question about a task.
---@param status integer HTTP status
---@param body? string
---@param info? flux2.AnswerInfo
---@return flux2.TaskAnswer? out
---@return flux2.Error? err the question failed: the task itself may be well
-- Example: `response.task(200, '{"data":{"status":"SUCCESS","output":"https://a.example/1.png"}}').images[1].url`
function response.task(status, body, info)
    info = type(info) == "table" and info or {}
    if not is_good(status) then return nil, failure.http(status, body, info) end
    local decoded, reason = json.decode(body)
    if type(decoded) ~= "table" then return nil, unreadable(status, body, reason or "a bare value", info) end
    local out, unfound = read_task(decoded, info)
    if out and out.state == "failed" then return out end
    -- A success with its picture is not undone by a code beside it; without a status, the refusal is the answer.
    if (unfound or out.state == "running" or not out.status) and failure.says_no(decoded) then
        return nil, failure.http(status, body, info)
    end
    if out then return out end
    local message = "the task ended as " .. text.show(unfound.status) .. ", but no picture is in the answer"
    return nil, errors.new("protocol", message, failure.fields(info, { status = status, raw = body }))
end

--- The end of a poll. Where the engine has read the answer, on its own thread, there is nothing left to read.
---@param event table "ended", without a failure
---@return flux2.TaskAnswer? out
---@return flux2.Error? err the question failed: the task itself may be well
function response.poll(event)
    if not event.images then return response.task(event.http_status, event.body, event) end
    local credits = event.credits and text.integer(event.credits)
    return {
        state = "succeeded", status = event.status, progress = 1, images = event.images, credits = credits,
        body = event.body,
    }
end

local function submission_info(info)
    local copy = {}
    for name, value in next, type(info) == "table" and info or {} do copy[name] = value end
    copy.once = true
    return copy
end

--- A submission that was answered with a good status and neither refused nor given an id.
local function answered_without_id(status, body, decoded, info)
    local out, unfound = read_task(decoded, info)
    if out and out.state == "succeeded" then return { status = out.status, finished = out } end
    if out and out.state == "failed" then return nil, out.error end
    local word = (out or unfound).status
    local what = "the service's answer names no task" .. (word and " (status " .. text.show(word) .. ")" or "")
    return nil, failure.unknown_outcome(what, failure.fields(info, { status = status, raw = body }))
end

--- Reads an answer to a submission that was put aside when it came.
---@param decoded any
---@return flux2.TaskAnswer? finished nil where it holds no pictures
-- Example: `response.kept({ data = { { url = "https://a.example/1.png" } } }).images[1].url`
function response.kept(decoded)
    if type(decoded) ~= "table" or failure.says_no(decoded) then return nil end
    local out = read_task(decoded, submission_info())
    return out and out.state == "succeeded" and out or nil
end

--- Reads the answer to a submission.
---@param status integer HTTP status
---@param body? string
---@param info? flux2.AnswerInfo
---@return { task_id?: string, status?: string, finished?: flux2.TaskAnswer }? out `finished` when the picture is there
---@return flux2.Error? err kind "unknown_outcome" when the service may have accepted it all the same
-- Example: `response.submission(200, '{"code":200,"data":{"task_id":"n41_flux2","status":"IN_PROGRESS"}}').task_id`
function response.submission(status, body, info)
    info = submission_info(info)
    if not is_good(status) then return nil, failure.http(status, body, info) end
    local decoded, reason = json.decode(body)
    if type(decoded) ~= "table" then
        local what = "the service's answer cannot be read: " .. (reason or "it is no JSON object")
        return nil, failure.unknown_outcome(what, failure.fields(info, { status = status, raw = body }))
    end
    local id = json.first(decoded, shapes.task_id, an_id) or long_id(body, decoded)
    if failure.says_no(decoded) then
        info.task_id = info.task_id or id
        return nil, failure.http(status, body, info)
    end
    if not id then return answered_without_id(status, body, decoded, info) end
    local out = read_task(decoded, info)
    local finished = out and out.state == "succeeded" and out or nil
    return { task_id = id, status = json.first(decoded, shapes.status, a_word), finished = finished }
end

return response
