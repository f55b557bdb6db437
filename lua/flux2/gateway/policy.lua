--- The operator's own rule for requests: `function allow(request, token) return true | nil, reason end`, in a file.

local policy = {}

--- Loads a policy.
---@param path string
---@return (fun(request: table, token: table): boolean?, string?)? allow
---@return string? reason
function policy.load(path)
    local chunk, reason = loadfile(path)
    if not chunk then return nil, reason end
    local before = rawget(_G, "allow")
    local ok, result = pcall(chunk)
    local allow = ok and type(result) == "function" and result or rawget(_G, "allow")
    rawset(_G, "allow", before)
    if not ok then return nil, tostring(result) end
    if type(allow) ~= "function" then return nil, path .. " defines no function allow(request, token)" end
    return allow
end

--- Asks a policy. A policy that fails allows nothing.
---@param allow? function
---@param request table the fields of the request; a copy
---@param token { name: string, id: string }
---@param warn fun(message: string)
---@return boolean allowed
---@return string? reason
function policy.ask(allow, request, token, warn)
    if not allow then return true end
    local ok, result, reason = pcall(allow, request, token)
    if not ok then
        warn("the policy failed: " .. tostring(result))
        return false, "the policy of the gateway failed"
    end
    if result then return true end
    return false, type(reason) == "string" and reason or "the policy of the gateway does not allow this request"
end

return policy
