-- Every number option of flux2.new, with edge values: each is refused by name at the caller's line, or used for a real
-- generation that ends.
local core = require "flux2.core"
local flux2 = require "flux2"
local validate = require "flux2.validate"
local service = require "support.service"
local settings = require "flux2.config"

local VALUES = { -1, 0, 1e-9, 1e300, 1 / 0, 0 / 0, 2 ^ 31, 2 ^ 53, "5", {} }

-- The accepted edge values of an option, and the possible error kinds of the generation.
local SECONDS, RATE = { [1e-9] = "timeout unknown_outcome" },
    { [1e-9] = "", [1e300] = "", [2 ^ 31] = "", [2 ^ 53] = "" }
local BYTES = { [2 ^ 31] = "" }
local TAKEN = {
    budget = { [0] = "budget", [1e-9] = "budget", [1e300] = "", [2 ^ 31] = "", [2 ^ 53] = "" },
    connect_timeout = SECONDS, request_timeout = SECONDS, silence_timeout = SECONDS,
    timeout = { [1e-9] = "timeout", [1e300] = "", [2 ^ 31] = "", [2 ^ 53] = "" },
    max_connections = { [0] = "" }, max_retries = { [0] = "" }, max_redirects = { [0] = "", [2 ^ 31] = "" },
    max_event_bytes = BYTES, max_header_bytes = BYTES, max_image_bytes = BYTES, max_response_bytes = BYTES,
    max_submissions_per_second = RATE, max_tasks = { [2 ^ 31] = "" },
    ["poll.interval"] = { [1e-9] = "" }, ["poll.patience"] = { [1e-9] = "" }, ["poll.per_second"] = RATE,
}

--- Returns the options with `value` for the option `name`.
local function with(name, value, others)
    local all = { api_key = "aio_k" }
    for key, other in pairs(others or {}) do all[key] = other end
    local inner = name:match "^poll%.(.*)$"
    if inner then all.poll = { [inner] = value } else all[name] = value end
    return all
end

local function is_number(kind)
    return type(kind) == "table" or validate.kinds[kind][1](7)
end

--- Maps the name of every number option to its kind.
local function numbers()
    local all = {}
    for name, kind in pairs(settings.known) do all[name] = is_number(kind) and kind or nil end
    for name, kind in pairs(settings.known_of_poll) do all["poll." .. name] = is_number(kind) and kind or nil end
    return all
end

describe("a number option of flux2.new", function()
    local emu
    setup(function() emu = service.start { duration = 0 } end)
    teardown(service.stop_all)

    it("is included in this spec", function()
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
            local client = flux2.new(with(name, value)) -- a tail call would hide the line
            return client
        end)
        assert.is_false(ok, ("%s = %s was taken"):format(name, tostring(value)))
        assert.matches("^[^\n]*config_spec%.lua:%d+: flux2%.new: ", message)
        assert.matches(name:gsub("poll%.", "poll: ") .. " must be .+, not .+$", message)
        return message
    end

    for name, taken in pairs(TAKEN) do
        it("for " .. name .. " is refused or used with every value", function()
            for _, value in ipairs(VALUES) do
                local ends = value == value and taken[value]
                if not ends then
                    is_refused(name, value)
                else
                    local given = with(name, value, { api_key = emu.api_key, base_url = emu.url })
                    local image, err = assert(flux2.new(given)):generate("a fox",
                        name ~= "timeout" and { timeout = 60 } or nil)
                    local words = ("%s = %s: %s"):format(name, tostring(value), tostring(err))
                    assert.is_true(image ~= nil or ends:find(err.kind, 1, true) ~= nil, words)
                    assert.is_true(image == nil or #image:bytes() == 600, words)
                end
            end
        end)
    end

    it("may be as large as its bound, which the error names", function()
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

    it("below a millisecond does not mean no limit", function()
        emu:fault { path = "/api/v1/tasks/*", times = 10, hang = true }
        local client = service.client(emu, { request_timeout = 1e-9, max_retries = 1 })
        local began = core.now()
        local found, err = client:status("some-id", { timeout = 30 })
        emu:clear_faults()
        assert.is_nil(found)
        assert.equal("timeout", err.kind)
        assert.equal(2, err.attempts)
        assert.is_true(core.now() - began < 25)
    end)
end)

describe("an address option of flux2.new", function()
    local function new(options)
        options.api_key = "aio_k"
        return flux2.new(options)
    end

    for host, is_loopback in pairs {
        ["localhost"] = true, ["LOCALHOST:1"] = true, ["127.0.0.1"] = true, ["127.255.255.255"] = true,
        ["[::1]:80"] = true, ["127.1"] = true,
        ["127.0.0.256"] = false, ["127.0.0.1.example"] = false, ["localhost.example"] = false,
        ["128.0.0.1"] = false, ["[::2]"] = false,
        ["127.0.0.1."] = false, ["0.0.0.0"] = false, ["10.0.0.1"] = false,
    } do
        it("accepts plain http for loopback only: " .. host, function()
            local client, err = new { base_url = "http://" .. host }
            assert.equal(is_loopback, client ~= nil, tostring(err))
            if not client then assert.equal("invalid_request", err.kind) end
        end)
    end

    for _, proxy in ipairs {
        "proxy.example", "proxy.example:3128", "joe:pw@proxy.example", "http://proxy.example/",
        "https://proxy.example", "socks5://h:1",
        "socks5h://joe:p%40ss%23@h", "socks4a://h", "SOCKS5://[::1]:1080",
    } do
        it("accepts a proxy: " .. proxy, function() assert(new { proxy = proxy }) end)
    end

    for _, proxy in ipairs {
        "http://joe:s3cretpw@h:bad", "http://joe:s3c#retpw@h:1", "http://joe:s3@cretpw@h:1",
        "http://joe:s3 cretpw@h:1", "joe:s3/cretpw@h",
        "foo://joe:s3cretpw@h:1", "http://joe:s3cretpw@", "joe:12#s3cretpw@h", "http://joe:12?s3cretpw@h",
        "socks5://joe:s3cretpw@h:99999",
        "http://joe:s3cretpw@h/path",
    } do
        it("refuses a proxy without its password in the error: " .. proxy, function()
            local client, err = new { proxy = proxy }
            assert.is_nil(client)
            assert.equal("invalid_request", err.kind)
            assert.matches("^invalid_request: proxy '.*' was refused: ", tostring(err))
            assert.is_nil(tostring(err):find("s3", 1, true) or tostring(err):find("cretpw", 1, true), tostring(err))
        end)
    end

    it("is shown without user and password", function()
        for _, address in ipairs { "https://joe:s3@cretpw@h", "https://joe:s3cretpw@h:bad", "ftp://joe:s3cretpw@h" } do
            local _, err = new { base_url = address }
            assert.is_nil(tostring(err):find("s3", 1, true) or tostring(err):find("cretpw", 1, true), tostring(err))
        end
    end)

    it("of an unknown proxy is named by the error", function()
        local emu = service.start()
        local _, err = service.client(emu,
            { proxy = "http://joe:s3cretpw@no-proxy.invalid", max_retries = 0 }):generate "a fox"
        service.stop_all()
        assert.matches("^network: the name of the proxy could not be resolved", tostring(err))
        assert.is_nil(tostring(err):find("s3cretpw", 1, true))
    end)
end)

describe("the options of a function", function()
    it("may be those of a metatable, and are checked as well", function()
        local emu = service.start()
        finally(service.stop_all)
        local shared = { api_key = emu.api_key, base_url = emu.url, budget = 9, poll = { interval = 0.02 } }
        local client = assert(flux2.new(setmetatable({ timeout = 60 }, { __index = shared })))
        assert.equal("budget", select(2, client:submit "a fox").kind)
        assert(client:generate("a fox", setmetatable({}, { __index = { price = 9 } })))
        assert.equal(9, (client:spent()))
        local wrong = setmetatable({}, { __index = { price = "9" } })
        local ok, message = pcall(function() client:submit("a fox", wrong) end)
        assert.is_false(ok)
        assert.matches("config_spec%.lua:%d+: client:submit: price must be a number of credits, 0 or more, not '9'$",
            message)
        shared.poll = { interval = "1" }
        assert.is_false((pcall(flux2.new, setmetatable({}, { __index = shared }))))
    end)
end)
