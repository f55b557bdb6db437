--- Reports through the option `log` that a service charged another price than its provider's prices say.

local text = require "flux2.text"
local uncaught = require "flux2.uncaught"

local price_report = {}

--- Returns the fields that the price depends on, as in "type 'pro', resolution '1K'".
local function describe(provider, request)
    local parts = {}
    for i, name in ipairs(provider.price_fields) do
        local value = request[name]
        if value == nil then value = provider.by_name[name].default end
        parts[i] = name .. " " .. text.show(value)
    end
    return #parts > 0 and " for " .. table.concat(parts, ", ") or ""
end

--- Writes a line about a changed price, unless there is no log or the line was written before.
---@param config table the client's
---@param request table the checked request
---@param expected number credits, according to the prices of the provider
---@param charged number credits, according to the service
function price_report.write(config, request, expected, charged)
    if not config.log then return end
    local provider = config.provider
    local line = "the price has changed: %s charged %s credits%s, %s were expected (%s); see the option prices"
    line = line:format(provider.name, text.number(charged), describe(provider, request), text.number(expected),
        provider.prices_source)
    if config.reported_prices[line] then return end
    config.reported_prices[line] = true
    uncaught.guard(config.log, line)
end

return price_report
