local errors = require "flux2.errors"
local text = require "flux2.text"

describe("errors", function()
    it("have a meaning and an advice for each documented kind, and no other kinds", function()
        local kinds = {
            "invalid_request", "auth", "credits", "budget", "rate_limited", "not_found", "rejected", "task_failed",
            "server", "network", "tls", "timeout", "cancelled", "moderated", "too_large", "not_an_image", "protocol",
            "unknown_outcome", "io",
        }
        local count = 0
        for kind in pairs(errors.kinds) do
            count = count + 1
            assert.is_string(errors.advice[kind])
        end
        assert.equal(#kinds, count)
        for _, kind in ipairs(kinds) do assert.is_string(errors.kinds[kind]) end
        for kind in pairs(errors.advice) do assert.is_string(errors.kinds[kind]) end
    end)

    it("are listed in docs/errors.md with the same texts", function()
        local page = assert(io.open "docs/errors.md"):read "*a":gsub("`", "")
        for kind, meaning in pairs(errors.kinds) do
            local row = ("| %s | %s | %s |"):format(kind, meaning, errors.advice[kind])
            assert.truthy(page:find(row, 1, true), row)
        end
    end)

    it("are retryable by kind by default", function()
        local retryable = { rate_limited = true, server = true, network = true, timeout = true }
        for kind in pairs(errors.kinds) do
            assert.equal(retryable[kind] or false, errors.new(kind, "x").retryable, kind)
        end
    end)

    it("raise for an unknown kind, at the caller's line", function()
        assert.has_error(function() errors.new("oops", "x") end)
        local _, message = pcall(function() errors.new("oops", "x") end)
        assert.matches("errors_spec.lua:%d+: .*oops", message)
    end)

    it("keep their fields and have a readable tostring", function()
        local err = errors.new("rate_limited", "the service asks to wait 3 s",
            { status = 429, code = 429, task_id = "n41_flux2", attempts = 3, retry_after = 3 })
        assert.equal("rate_limited", err.kind)
        assert.equal(3, err.retry_after)
        assert.is_true(err.retryable)
        assert.equal("rate_limited: the service asks to wait 3 s "
            .. "(HTTP 429, code 429, task n41_flux2, after 3 attempts)",
            tostring(err))
    end)

    it("print whole numbers without a fraction in every Lua", function()
        local err = errors.new("server", "x", { status = 500 * 1.0, code = 2 ^ 10, attempts = 2 / 1 })
        assert.equal("server: x (HTTP 500, code 1024, after 2 attempts)", tostring(err))
    end)

    it("consist of kind and message without other facts, and can be concatenated", function()
        local err = errors.new("io", "disk full", { attempts = 1 })
        assert.equal("io: disk full", tostring(err))
        assert.equal("! io: disk full", "! " .. err)
        assert.equal("io: disk full !", err .. " !")
        assert.is_false(err.retryable)
    end)

    it("accept an override of retryable, but not of kind", function()
        local err = errors.new("server", "x", { retryable = false, kind = "auth", message = "y" })
        assert.is_false(err.retryable)
        assert.equal("server", err.kind)
        assert.equal("x", err.message)
    end)

    it("are recognized by errors.is", function()
        assert.is_true(errors.is(errors.new("io", "x")))
        for _, other in ipairs { {}, { kind = "io" }, "io", 1, false, setmetatable({}, {}) } do
            assert.is_false(errors.is(other))
        end
        assert.is_false(errors.is(nil))
    end)

    it("do not keep or change the caller's table", function()
        local fields = { status = 500 }
        local err = errors.new("server", "x", fields)
        err.status = 1
        assert.same({ status = 500 }, fields)
    end)
end)

describe("errors.redact", function()
    local cases = {
        { "key aio_abc-DEF_123!", nil, "key [key]!" },
        { "Authorization: Bearer s3cr3t.x/y+z=", nil, "Authorization: Bearer [key]" },
        { "bearer\tsecretword", nil, "bearer\t[key]" },
        { "Bearer aio_1234", nil, "Bearer [key]" },
        { "Bearer token missing", nil, "Bearer token missing" },
        { "a Bearer token, please", nil, "a Bearer token, please" },
        { "Bearer token_1", nil, "Bearer [key]" },
        { "my sesame%d+.key here, sesame%d+.key", "sesame%d+.key", "my [key] here, [key]" },
        { "keys begin with aio_.", nil, "keys begin with aio_." },
        { "BFL_API_KEY is not set, bfl_api_key_1 BFL_0123", nil, "BFL_API_KEY is not set, [key] [key]" },
        { "nothing", "", "nothing" },
    }
    for _, case in ipairs(cases) do
        it("returns " .. case[3], function()
            assert.equal(case[3], errors.redact(case[1], case[2]))
            assert.equal(case[3], errors.redact(case[3], case[2])) -- a second redaction changes nothing
        end)
    end

    it("is applied to every text of an error", function()
        local key = "aio_0123456789abcdef"
        local err = errors.new("auth", "bad key " .. key, {
            code = key, type = key, request_id = key, raw = "{\"key\":\"" .. key .. "\"}", task_id = key,
        })
        assert.is_nil(tostring(err):find("0123", 1, true))
        for _, name in ipairs { "message", "code", "type", "request_id", "raw" } do
            assert.is_nil(err[name]:find("0123", 1, true), name)
        end
        err.message = "later: " .. key
        assert.is_nil(tostring(err):find("0123", 1, true))
    end)

    it("redacts keys beside control characters, and before the text is cut", function()
        assert.is_nil(tostring(errors.new("auth", "Bearer\0\27secretword")):find("secret", 1, true))
        local long = ("x"):rep(488) .. " aio_0123456789abcdef"
        assert.is_nil(tostring(errors.new("auth", long)):find("0123", 1, true))
    end)
end)

describe("an error made of hostile text", function()
    it("is one line, without control characters or direction marks", function()
        local err = errors.new("server", "a\r\n\27[31mb\0c\127d\194\155e\226\128\174f", { code = "x\ny",
            task_id = "t\27t" })
        assert.equal("server: a [31mb c d e f (code x y, task t t)", tostring(err))
    end)

    it("is cut to 500 bytes, at a code point", function()
        for _, unit in ipairs { "a", "\195\164", "\226\130\172", "\240\159\166\138" } do
            local message = errors.new("server", unit:rep(100000)).message
            assert.is_true(#message <= 500 and #message > 490)
            assert.is_truthy(text.length(message))
        end
    end)

    it("is valid UTF-8", function()
        local message = errors.new("server", "a\255\254b\237\160\128c\192\175").message
        assert.equal("a\239\191\189b\239\191\189c\239\191\189", message)
    end)

    it("accepts a message that is not a string, and limits raw", function()
        assert.equal("nil", errors.new("io", nil).message)
        assert.equal(64 * 1024, #errors.new("io", "x", { raw = ("y"):rep(200000) }).raw)
    end)
end)
