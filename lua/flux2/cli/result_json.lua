--- The fields of a result in --json output and in a manifest. Pure functions.

local result_json = {}

local function rounded(seconds)
    return seconds and math.floor(seconds * 100 + 0.5) / 100
end

--- Returns the fields of a result.
---@param request table request body
---@param task flux2.Task
---@param result flux2.Result
---@param paths string[]
---@return table
function result_json.of(request, task, result, paths)
    local image = result.images[1]
    return {
        prompt = request and request.prompt, request = request, task_id = task.id, file = paths[1],
        files = #paths > 1 and paths or nil, seconds = rounded(result.elapsed), credits = result.credits,
        content_type = image and image.content_type, url = image and image.url,
    }
end

result_json.rounded = rounded

return result_json
