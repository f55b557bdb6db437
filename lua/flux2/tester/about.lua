--- The data that the page needs at start: request fields and their rules, prices, base URL.

local request = require "flux2.request"
local version = require "flux2.version"

local about = {}

--- The request fields.
local function fields(provider)
    local list = {}
    for i, field in ipairs(provider.fields) do
        list[i] = {
            name = field.name, type = field.type, required = field.required or false, default = field.default,
            allowed = field.allowed, min = field.min, max = field.max, meaning = field.meaning,
        }
    end
    return list
end

--- The price of each combination of type and resolution; `credits` is nil if the service publishes none.
local function prices(provider)
    local list = {}
    for _, kind in ipairs(provider.by_name.type.allowed) do
        for _, resolution in ipairs(provider.by_name.resolution.allowed) do
            list[#list + 1] = {
                type = kind, resolution = resolution,
                credits = (request.price(provider, { type = kind, resolution = resolution })),
            }
        end
    end
    return list
end

--- Builds the data for the page.
---@param config table of the service
---@param provider table
---@param base_url string
---@return table
function about.page(config, provider, base_url)
    return {
        base_url = base_url, emulator = config.emulator, version = version._VERSION,
        fields = fields(provider), prices = prices(provider),
    }
end

return about
