--- What a request costs, as far as the service has published it. Never guesses.

if jit then jit.off(true, true) end -- see flux2.scheduler

local pricing = {}

--- Published prices in credits ("about", says the service), by type and resolution.
pricing.published = {
    pro = { ["1K"] = 10, ["2K"] = 20 },
    flex = { ["1K"] = 6 },
}

local RESOLUTIONS = { ["1K"] = true, ["2K"] = true }

--- Credits that a request is expected to cost.
---@param request string|table a prompt, or a request as for client:submit; `type` and `resolution` matter
---@param level? integer whose line to blame for an argument that is neither, as in `error`; 1 is the caller
---@return number? credits
---@return string? reason why there is no figure
-- Example: `pricing.estimate { type = "flex" }` is 6; with `resolution = "2K"` it is nil and a reason.
function pricing.estimate(request, level)
    if type(request) == "string" then request = {} end
    if type(request) ~= "table" then
        error("flux2: a prompt (string) or a request (table) is needed, got " .. type(request), (level or 1) + 1)
    end
    local kind, resolution = request.type, request.resolution
    if kind == nil then kind = "pro" end
    if resolution == nil then resolution = "1K" end
    local prices = pricing.published[kind]
    if not prices then return nil, "type must be 'pro' or 'flex'" end
    if not RESOLUTIONS[resolution] then return nil, "resolution must be '1K' or '2K'" end
    local credits = prices[resolution]
    if not credits then return nil, "the service publishes no price for " .. kind .. " at " .. resolution end
    return credits
end

return pricing
