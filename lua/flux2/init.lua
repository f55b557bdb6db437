--- flux2: pictures from prompts, through the Flux 2 API.
--
--     local flux2  = require "flux2"
--     local client = assert(flux2.new())
--     local image  = assert(client:generate "A serene Japanese garden, photorealistic")
--     assert(image:save "garden.png")
--
-- Times are seconds, sizes bytes, prices credits. What a program can meet while it runs comes back as `nil, err`; a
-- mistake in the calling code is raised at its line.
--
-- To require this costs next to nothing: what users see is in flux2.api, which is loaded, and libcurl with it, when the
-- first of it is asked for.

local version = require "flux2.version"

---@class flux2
---@field on_error? fun(message: string) what you set receives what goes wrong in callbacks and coroutines, as soon
---  as it happens
local flux2 = { _VERSION = version._VERSION }

local function load()
    require "flux2.core" -- where it is missing, the error should say that, and not who wanted it
    local api = require "flux2.api"
    api.into(flux2)
end

-- A game pays for that when it starts, and not in a frame.
if rawget(_G, "love") then
    load()
    return flux2
end

return setmetatable(flux2, {
    __index = function(_, name)
        load()
        return flux2[name]
    end,
    __newindex = function(_, name, value)
        load()
        flux2[name] = value
    end,
})
