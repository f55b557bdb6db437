--- What one picture was made from, what it cost and where it is: the same words in --json and in a manifest.
-- Pure functions.

local receipt = {}

local function rounded(seconds)
    return seconds and math.floor(seconds * 100 + 0.5) / 100
end

--- The receipt of a result.
---@param request table as it was sent
---@param task flux2.Task
---@param result flux2.Result
---@param paths string[]
---@return table
function receipt.of(request, task, result, paths)
    local image = result.images[1]
    return {
        prompt = request and request.prompt, request = request, task_id = task.id, file = paths[1],
        files = #paths > 1 and paths or nil, seconds = rounded(result.elapsed), credits = result.credits,
        content_type = image and image.content_type, url = image and image.url,
    }
end

receipt.rounded = rounded

return receipt
