--- What the page has to know before it can draw itself: the fields and their rules, the prices, who it talks to.
-- Owns nothing: all of it comes from the rooms that own it.

local pricing = require "flux2.pricing"
local request = require "flux2.request"
local version = require "flux2.version"

local about = {}

--- The fields that a form asks for; `model` has one value, which is filled in.
local function fields()
    local list = {}
    for i, field in ipairs(request.fields) do
        list[i] = {
            name = field.name, type = field.type, required = field.required, default = field.default,
            allowed = field.allowed, min = field.min, max = field.max, meaning = field.meaning,
        }
    end
    return list
end

local function allowed(name)
    for _, field in ipairs(request.fields) do
        if field.name == name then return field.allowed end
    end
end

--- Every combination of type and resolution; without `credits` where the service publishes none.
local function prices()
    local list = {}
    for _, kind in ipairs(allowed "type") do
        for _, resolution in ipairs(allowed "resolution") do
            list[#list + 1] = {
                type = kind, resolution = resolution,
                credits = (pricing.estimate { type = kind, resolution = resolution }),
            }
        end
    end
    return list
end

--- Made once for each page.
---@param config table of the service
---@param base_url string
---@return table
function about.page(config, base_url)
    return {
        base_url = base_url, emulator = config.emulator, version = version._VERSION,
        fields = fields(), prices = prices(),
    }
end

return about
