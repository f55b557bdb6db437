--- Common functions of programs that specs start in their own processes, to break something there.
local core = require "flux2.core"
local flux2 = require "flux2"

local child = {}

--- Returns a function that creates clients for the emulator at `url` with short poll intervals; its options override
function child.clients(url, defaults)
    return function(options)
        local all = { api_key = "aio_emulator_key", base_url = url, poll = { interval = 0.02 } }
        for name, value in pairs(defaults or {}) do all[name] = value end
        for name, value in pairs(options or {}) do all[name] = value end
        return assert(flux2.new(all))
    end
end

--- Pumps until `condition()` is true; fails after `seconds`.
function child.pump(condition, seconds)
    local until_ = core.now() + seconds
    while not condition() do
        assert(core.now() < until_, "waited for too long")
        flux2.update()
    end
end

--- Asserts a failure with this kind and message. Returns the error.
function child.fails(kind, words, value, err)
    assert(not value, "it worked")
    assert(err.kind == kind and tostring(err):find(words, 1, true), tostring(err))
    return err
end

return child
