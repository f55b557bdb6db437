local cjson = require "cjson"
local providers = require "flux2.provider"
local request = require "flux2.request"

local provider = providers.resolve()

local function build(given, level)
    local payload, err = request.build(provider, given, (level or 1) + 1)
    return payload, err
end

local function encode(payload)
    return request.encode(provider, payload)
end

--- Encodes with a provider whose `body` function adds an unchecked value.
local function encode_own(value)
    local own = setmetatable({ body = function() return { x = value } end }, { __index = provider })
    return request.encode(own, { prompt = "a red fox" })
end

local function refused(given, field, ...)
    local payload, err = build(given)
    assert.is_nil(payload)
    assert.equal("invalid_request", err.kind)
    assert.equal(field, err.field)
    for _, part in ipairs { ... } do
        assert.is_truthy(err.message:find(part, 1, true), ("%q lacks %q"):format(err.message, part))
    end
    return err
end

local function with(name, value)
    return { prompt = "a red fox", [name] = value }
end

describe("request.build", function()
    it("accepts a prompt, and sends no default of the service", function()
        assert.same({ model = "flux-2", prompt = "a red fox" }, build "a red fox")
        assert.same({ model = "flux-2", prompt = "a red fox" }, build { prompt = "a red fox" })
    end)

    it("sends every given field", function()
        local given = {
            model = "flux-2", prompt = "a red fox", aspect_ratio = "16:9", type = "flex", resolution = "2K",
            input_urls = { "https://example.com/fox.jpg" },
        }
        assert.same(given, build(given))
    end)

    it("reads defaults through the caller's __index", function()
        local given = setmetatable({ prompt = "a red fox" }, { __index = { type = "flex" } })
        assert.equal("flex", build(given).type)
    end)

    it("raises at the caller's line for an argument that is neither prompt nor request", function()
        local function submit(given) return (build(given, 2)) end
        for _, given in ipairs { 42, true, print } do
            local _, direct = pcall(function() return (build(given)) end)
            assert.matches("request_spec.lua:%d+: .*got " .. type(given), direct)
            local line = debug.getinfo(1, "l").currentline + 1
            local _, message = pcall(function() local x = submit(given) return x end)
            assert.matches("request_spec.lua:" .. line .. ": ", message)
        end
        assert.has_error(function() build(nil) end)
    end)
end)

describe("the prompt", function()
    local fox = "\240\159\166\138"
    it("has 3 to 5000 code points of any byte length", function()
        for _, unit in ipairs { "a", "\195\164", "\226\130\172", fox } do
            assert.is_table(build(unit:rep(3)))
            assert.is_table(build(unit:rep(5000)))
            refused(unit:rep(2), "prompt", "3 to 5000 characters", "has 2")
            refused(unit:rep(5001), "prompt", "3 to 5000 characters", "has 5001")
        end
        refused("", "prompt", "has 0")
    end)

    it("is required and must be a string", function()
        refused({}, "prompt", "prompt is missing")
        refused({ prompt = 42 }, "prompt", "must be a string", "got 42")
        refused({ prompt = {} }, "prompt", "got a table")
        refused({ prompt = cjson.null }, "prompt", "got null")
        refused({ prompt = false }, "prompt", "got false")
    end)

    local broken = {
        ["a lone continuation"] = { "abc\128", 4 },
        ["an overlong slash"] = { "abc\192\175", 4 },
        ["an overlong of three"] = { "abc\224\159\191", 4 },
        ["an overlong of four"] = { "abcd\240\143\191\191", 5 },
        ["a surrogate"] = { "abc\237\160\128", 4 },
        ["the last surrogate"] = { "abc\237\191\191", 4 },
        ["beyond U+10FFFF"] = { "abc\244\144\128\128", 4 },
        ["a lead that only leads beyond"] = { "abc\245\128\128\128", 4 },
        ["a lead of five"] = { "abc\248\136\128\128\128", 4 },
        ["\\255"] = { "abc\255", 4 },
        ["cut short"] = { "\195\164bc\226\130", 5 },
        ["cut at one"] = { "abc\195", 4 },
        ["a lead followed by ASCII"] = { "abc\195d", 4 },
        ["third byte wrong"] = { "abc\226\130d", 4 },
        ["fourth byte wrong"] = { "abc\240\159\166d", 4 },
    }
    for name, case in pairs(broken) do
        it("with invalid UTF-8 fails and reports the byte offset: " .. name, function()
            refused(case[1], "prompt", "not valid UTF-8", "byte " .. case[2])
        end)
    end

    it("may contain the limits of UTF-8, and NUL", function()
        assert.is_table(build("\0\127\194\128\223\191\224\160\128\237\159\191\238\128\128\239\191\191" ..
            "\240\144\128\128\244\143\191\191"))
    end)
end)

describe("enumerated fields", function()
    local cases = {
        { "type", "pro" }, { "type", "flex" }, { "resolution", "1K" }, { "resolution", "2K" }, { "model", "flux-2" },
        { "type", "Pro", "'pro' or 'flex'", "did you mean 'pro'?" },
        { "type", "flexx", "did you mean 'flex'?" },
        { "type", "max", "must be 'pro' or 'flex', got 'max'" },
        { "type", true, "got true" },
        { "resolution", "1k", "'1K' or '2K'", "did you mean '1K'?" },
        { "resolution", "4K", "must be '1K' or '2K', got '4K'" },
        { "resolution", 2, "got 2" },
        { "model", "flux-1", "'flux-2'" },
        { "model", 2, "'flux-2'" },
    }
    for _, case in ipairs(cases) do
        it(case[1] .. " = " .. tostring(case[2]), function()
            if not case[3] then return assert.equal(case[2], build(with(case[1], case[2]))[case[1]]) end
            refused(with(case[1], case[2]), case[1], case[3], case[4])
        end)
    end

    it("get no suggestion without a similar name", function()
        assert.is_nil(refused(with("resolution", "4K"), "resolution").message:find("did you mean", 1, true))
    end)
end)

describe("aspect_ratio", function()
    for _, good in ipairs { "1:1", "16:9", "9:16", "21:9", "1024:768", "9999:1" } do
        it("valid: " .. good, function() assert.equal(good, build(with("aspect_ratio", good)).aspect_ratio) end)
    end
    local bad = {
        "", "16", "16:", ":9", "0:1", "1:0", "-1:1", "1.5:1", "01:1", "16:9 ", "16:9:1", "a:b", "12345:1", "1:1\n",
            "1:1\0",
        16 / 9, true, { 16, 9 },
    }
    for _, value in ipairs(bad) do
        it("invalid: " .. tostring(value), function() refused(with("aspect_ratio", value), "aspect_ratio", "'W:H'") end)
    end
    it("suggests the correct format", function()
        refused(with("aspect_ratio", "16x9"), "aspect_ratio", "did you mean '16:9'?")
        refused(with("aspect_ratio", "16 / 9"), "aspect_ratio", "did you mean '16:9'?")
    end)
end)

describe("input_urls", function()
    local good = {
        "https://example.com/a.jpg", "http://example.com", "HTTPS://EXAMPLE.COM/?q=1#x", "http://127.0.0.1:8080/a",
        "http://[::1]:80/a", "https://user:pw@example.com/", "https://example.com/\195\164.png",
    }
    it("accepts http and https", function()
        for _, url in ipairs(good) do assert.same({ url }, build(with("input_urls", { url })).input_urls) end
    end)

    local bad = {
        { "", "empty" }, { "fox.jpg", "http:// or https://" }, { "ftp://a/b", "'ftp:'" },
        { "data:image/png;base64,AA", "'data:'" }, { "https:/a", "'https:'" }, { "https://", "no host" },
        { "https:///a", "no host" }, { "https://:80/", "no host" }, { "https://user@/", "no host" },
        { "http://[]/", "no host" }, { "http://a:b/", "port" }, { "http://a:0/", "port" }, { "http://a:65536/",
            "port" },
        { "https://a b/", "byte 10" }, { "https://a/\n", "control" }, { "https://a/\0", "control" },
        { " https://a/", "space" }, { "https://a/\255", "UTF-8" }, { "http://a\\@b/", "backslash" },
        { 42, "got 42" }, { {}, "got a table" }, { cjson.null, "null" },
    }
    for _, case in ipairs(bad) do
        it("invalid: " .. tostring(case[1]):gsub("%c", "?") .. ", and reports the index", function()
            local err = refused(with("input_urls", { good[1], case[1] }), "input_urls", "input_urls[2]", case[2])
            assert.equal(2, err.index)
        end)
    end

    it("has 1 to 8 items", function()
        local list = {}
        for i = 1, 8 do list[i] = good[1] end
        assert.equal(8, #build(with("input_urls", list)).input_urls)
        list[9] = good[1]
        refused(with("input_urls", list), "input_urls", "9 URLs", "at most 8")
        refused(with("input_urls", {}), "input_urls", "empty")
    end)

    it("must be a plain array", function()
        refused(with("input_urls", good[1]), "input_urls", "input_urls = { '" .. good[1] .. "' }")
        refused(with("input_urls", 42), "input_urls", "array", "got 42")
        refused(with("input_urls", { [1] = good[1], [3] = good[1] }), "input_urls", "input_urls[2] is missing")
        refused(with("input_urls", { good[1], x = good[1] }), "input_urls", "the key 'x'")
        refused(with("input_urls", { [0] = good[1] }), "input_urls", "input_urls[1] is missing")
        refused(with("input_urls", { [1.5] = good[1] }), "input_urls", "missing")
    end)

    it("is copied, and the caller's tables are unchanged", function()
        local urls, seed = { good[1] }, { n = 1 }
        local given = { prompt = "a red fox", input_urls = urls, extra = { seed = seed } }
        local payload = build(given)
        payload.input_urls[1], payload.seed.n, payload.prompt = "x", 2, "y"
        assert.same({ prompt = "a red fox", input_urls = { good[1] }, extra = { seed = { n = 1 } } }, given)
        assert.equal(urls, given.input_urls)
    end)
end)

describe("an unknown field", function()
    local cases = {
        aspect_ration = "did you mean aspect_ratio?", aspectRatio = "did you mean aspect_ratio?",
        tpye = "did you mean type?", promt = "did you mean prompt?", Prompt = "did you mean prompt?",
        pormpt = "did you mean prompt?",
        input_url = "did you mean input_urls?", image_urls = "did you mean input_urls?",
            size = "did you mean aspect_ratio?",
        quality = "did you mean type?", resolutoin = "did you mean resolution?", extras = "did you mean extra?",
        save = "second argument", timeout = "second argument", price = "second argument",
        on_done = "second argument", poll = "allowed are",
        seed = "allowed are model, prompt, aspect_ratio, type, resolution, input_urls; "
            .. "what must be sent anyway goes in extra",
        [("x"):rep(5000)] = "allowed are",
    }
    for name, part in pairs(cases) do
        it(name:sub(1, 20) .. ": " .. part:sub(1, 40), function()
            refused(with(name, "x"), name, "unknown field '", part)
        end)
    end

    it("is reported before a missing one", function() refused({ promt = "a red fox" }, "promt", "prompt?") end)
    it("may be a number or another type", function()
        refused({ "a red fox" }, 1, "did you mean prompt?")
        refused({ prompt = "a red fox", [true] = 1 }, true, "unknown field true")
        refused({ prompt = "a red fox", ["a\27\255b"] = 1 }, "a\27\255b", "unknown field")
    end)
    it("is the same in every run", function()
        refused({ prompt = "a red fox", zzz = 1, bbb = 1, ccc = 1, aaa = 1 }, "aaa")
    end)
end)

describe("extra", function()
    it("is merged into the request", function()
        local payload = build(with("extra", { seed = 7, tags = { "a", "b" }, flag = false, none = cjson.null }))
        assert.same({
            model = "flux-2", prompt = "a red fox", seed = 7, tags = { "a", "b" }, flag = false, none = cjson.null,
        }, payload)
    end)

    for _, field in ipairs(provider.fields) do
        it("must not contain " .. field.name, function()
            refused(with("extra", { [field.name] = "x" }), "extra", "extra may not hold " .. field.name)
        end)
    end

    local loop = {}
    loop.loop = loop
    local deep = {}
    for _ = 1, 200 do deep = { deep } end
    local wide = { 1 }
    for _ = 1, 30 do wide = { wide, wide } end
    local bad = {
        { "x", "extra must be a table" }, { { "x" }, "names as keys" }, { { a = print }, "extra.a is a function" },
        { { a = 0 / 0 }, "extra.a is not a finite" }, { { a = { 1, 1 / 0 } }, "extra.a[2] is not a finite" },
        { { a = { 1, nil, 3 } }, "extra.a[2] is missing" }, { { a = { 1, x = 2 } }, "mixes" },
        { { a = { [true] = 1 } }, "has a key" }, { { a = "\255" }, "extra.a is not valid UTF-8" },
        { { ["\255"] = 1 }, "not valid UTF-8" }, { loop, "nested deeper" }, { { a = deep }, "nested deeper" },
        { { a = wide }, "too large" }, { { a = 2 ^ 53 }, "14 digits" }, { { a = coroutine.create(function() end) },
            "a thread" },
        { { a = io.stdout }, "a userdata" },
        { { a = { { b = 1 }, { b = { c = print } } } }, "extra.a[2].b.c is a function" },
        { { a = { { ["\255"] = 1 } } }, "a name in extra.a[1] is not valid UTF-8 (byte 1)" },
        { { a = { { 1, nil, 3 } } }, "extra.a[1][2] is missing" },
    }
    for i, case in ipairs(bad) do
        it("rejects a value that JSON cannot hold, " .. i .. ": " .. case[2], function()
            refused(with("extra", case[1]), "extra", case[2])
        end)
    end
end)

describe("request.encode", function()
    it("writes equivalent JSON", function()
        local payload = build {
            prompt = "\"f\195\182x\"\n\0", input_urls = { "https://a.example/1" },
            extra = { seed = 4294967295, big = -99999999999999, list = { 1, { x = true } }, none = cjson.null },
        }
        local body = encode(payload)
        assert.same(payload, cjson.decode(body))
        assert.is_truthy(body:find("\"input_urls\":[", 1, true))
        assert.is_truthy(body:find("4294967295", 1, true))
    end)

    it("writes every built request: request.build rejects all that request.encode would", function()
        for _, given in ipairs {
            "a fox", { prompt = "f\195\182x \226\130\172", type = "flex", aspect_ratio = "16:9", resolution = "2K" },
            { prompt = "a fox", input_urls = { "https://a.example/\195\182" }, extra = { a = { { b = { 1, 0.5 } } } } },
        } do
            local payload = assert(build(given))
            assert.same(payload, cjson.decode(encode(payload)))
        end
        local body, err = encode { x = 0 / 0 }
        assert.is_nil(body)
        assert.equal("invalid_request", err.kind)
    end)

    it("returns nil and an error for what a provider's own body cannot hold", function()
        local deep = {}
        for _ = 1, 2000 do deep = { deep } end
        for _, value in ipairs { 0 / 0, 1 / 0, print, deep, { [1] = 1, [1000000] = 2 }, { 1, a = 2 }, "\255" } do
            local body, err = encode_own(value)
            assert.is_nil(body)
            assert.equal("invalid_request", err.kind)
        end
    end)

    it("is independent of the host's cjson settings, and does not change them", function()
        cjson.encode_invalid_numbers(true)
        cjson.encode_sparse_array(true)
        cjson.encode_max_depth(2)
        assert.is_nil((encode_own(0 / 0)))
        assert.is_nil((encode_own { [1] = 1, [5] = 2 }))
        assert.is_string((encode_own { { { 1 } } }))
        assert.is_true(cjson.encode_invalid_numbers())
        assert.equal(2, (cjson.encode_max_depth()))
        cjson.encode_invalid_numbers(false)
        cjson.encode_sparse_array(false)
        cjson.encode_max_depth(1000)
    end)
end)

describe("request.price", function()
    local cases = {
        { "a red fox", 10 }, { {}, 10 }, { { type = "pro" }, 10 }, { { resolution = "2K" }, 20 },
        { { type = "pro", resolution = "2K" }, 20 }, { { type = "flex" }, 6 }, { { type = "flex",
            resolution = "1K" }, 6 },
        { { type = "flex", resolution = "2K" }, nil, "the service publishes no price for flex at 2K" },
        { { type = "max" }, nil, "type must be 'pro' or 'flex'" }, { { type = 1 }, nil, "type must be" },
        { { type = false }, nil, "type must be" },
        { { resolution = "1k" }, nil, "resolution must be '1K' or '2K'" }, { { resolution = {} }, nil,
            "resolution must" },
        { { type = "flex", resolution = "4K" }, nil, "resolution must" },
    }
    for i, case in ipairs(cases) do
        it("case " .. i, function()
            local credits, reason = request.price(provider, case[1])
            assert.equal(case[2], credits)
            if case[3] then assert.is_truthy(reason:find(case[3], 1, true)) else assert.is_nil(reason) end
        end)
    end

    it("raises at the caller's line for what is neither prompt nor request", function()
        local _, message = pcall(function() return (request.price(provider, 42)) end)
        assert.matches("request_spec.lua:%d+: .*got number", message)
    end)
end)
