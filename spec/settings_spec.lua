-- Every number that flux2.new takes, with the values that nobody thinks of: refused by name at the caller's line, or
-- used for a real generation that ends.
local core = require "flux2.core"
local flux2 = require "flux2"
local options = require "flux2.options"
local service = require "support.service"
local settings = require "flux2.settings"

local VALUES = { -1, 0, 1e-9, 1e300, 1 / 0, 0 / 0, 2 ^ 31, 2 ^ 53, "5", {} }

-- What of these an option takes, and how the generation may end instead of with a picture.
local SECONDS, RATE = { [1e-9] = "timeout unknown_outcome" }, { [1e-9] = "", [1e300] = "", [2 ^ 31] = "", [2 ^ 53] = "" }
local BYTES = { [2 ^ 31] = "" }
local TAKEN = {
    budget = { [0] = "budget", [1e-9] = "budget", [1e300] = "", [2 ^ 31] = "", [2 ^ 53] = "" },
    connect_timeout = SECONDS, exchange_timeout = SECONDS, silence_timeout = SECONDS,
    timeout = { [1e-9] = "timeout", [1e300] = "", [2 ^ 31] = "", [2 ^ 53] = "" },
    max_connections = { [0] = "" }, max_retries = { [0] = "" }, max_redirects = { [0] = "", [2 ^ 31] = "" },
    max_event_bytes = BYTES, max_header_bytes = BYTES, max_image_bytes = BYTES, max_response_bytes = BYTES,
    max_submissions_per_second = RATE, max_tasks = { [2 ^ 31] = "" },
    ["poll.interval"] = { [1e-9] = "" }, ["poll.per_second"] = RATE,
}

--- The options with `value` for the one that is called so.
local function with(name, value, others)
    local all = { api_key = "aio_k" }
    for key, other in pairs(others or {}) do all[key] = other end
    local inner = name:match "^poll%.(.*)$"
    if inner then all.poll = { [inner] = value } else all[name] = value end
    return all
end

local function is_number(kind)
    return type(kind) == "table" or options.kinds[kind][1](7)
end

--- Name -> kind of every option that is a number.
local function numbers()
    local all = {}
    for name, kind in pairs(settings.known) do all[name] = is_number(kind) and kind or nil end
    for name, kind in pairs(settings.known_of_poll) do all["poll." .. name] = is_number(kind) and kind or nil end
    return all
end

describe("a number that is given to flux2.new", function()
    local emu
    setup(function() emu = service.start { duration = 0 } end)
    teardown(service.stop_all)

    it("is one of those that are tried here", function()
        local names = {}
        for name in pairs(numbers()) do names[name] = true end
        for name in pairs(TAKEN) do
            assert.is_true(names[name], name)
            names[name] = nil
        end
        assert.same({}, names)
    end)

    local function is_refused(name, value)
        local ok, message = pcall(function()
            local client = flux2.new(with(name, value)) -- no tail call: it would hide the line
            return client
        end)
        assert.is_false(ok, ("%s = %s was taken"):format(name, tostring(value)))
        assert.matches("^[^\n]*settings_spec%.lua:%d+: flux2%.new: ", message)
        assert.matches(name:gsub("poll%.", "poll: ") .. " must be .+, not .+$", message)
        return message
    end

    for name, taken in pairs(TAKEN) do
        it("for " .. name .. " is refused or used, whatever it is", function()
            for _, value in ipairs(VALUES) do
                local ends = value == value and taken[value]
                if not ends then
                    is_refused(name, value)
                else
                    local given = with(name, value, { api_key = emu.api_key, base_url = emu.url })
                    local image, err = assert(flux2.new(given)):generate("a fox", name ~= "timeout" and { timeout = 10 } or nil)
                    local words = ("%s = %s: %s"):format(name, tostring(value), tostring(err))
                    assert.is_true(image ~= nil or ends:find(err.kind, 1, true) ~= nil, words)
                    assert.is_true(image == nil or #image:bytes() == 600, words)
                end
            end
        end)
    end

    it("may be as large as its bound, which an error names", function()
        local count = 0
        for name, kind in pairs(numbers()) do
            if type(kind) == "table" then
                assert(flux2.new(with(name, kind.most)))
                local bound = (", at most %.0f, not "):format(kind.most)
                assert.truthy(is_refused(name, kind.most + 1):find(bound, 1, true))
                count = count + 1
            end
        end
        assert.is_true(count >= 10, count)
        assert.truthy(is_refused("max_tasks", 2 ^ 53):find("at most 9007199254740991", 1, true))
        assert.truthy(is_refused("max_redirects", 1e300):find("at most 9007199254740991, not 1e+300", 1, true))
    end)

    it("of a millisecond's fraction is not taken for no limit", function()
        emu:fault { path = "/api/v1/tasks/*", times = 10, hang = true }
        local client = service.client(emu, { exchange_timeout = 1e-9, max_retries = 1 })
        local began = core.now()
        local found, err = client:look("some-id", { timeout = 30 })
        emu:clear_faults()
        assert.is_nil(found)
        assert.equal("timeout", err.kind)
        assert.equal(2, err.attempts)
        assert.is_true(core.now() - began < 20)
    end)
end)
