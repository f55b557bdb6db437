-- JSON decoding and encoding: errors and their reasons; each limit at its last valid value and one above it.
local cjson = require "cjson"
local json = require "flux2.json"
local validate = require "flux2.validate"
local suggest = require "flux2.suggest"
local text = require "flux2.text"
local url = require "flux2.url"

local function pack(...) return { n = select("#", ...), ... } end

describe("json.decode", function()
    it("reads every type of value, and reports invalid ones", function()
        assert.same({ a = { 1, true, "x" } }, json.decode '{"a":[1,true,"x"]}')
        assert.same({ "x", 7, false, json.null }, { json.decode '"x"', json.decode "7", json.decode "false",
            json.decode "null" })
        for _, wrong in ipairs { 7, true, {} } do
            assert.same({ n = 2, nil, "there is no text" }, pack(json.decode(wrong)))
        end
        assert.same({ n = 2, nil, "there is no text" }, pack(json.decode(nil)))
        local value, reason = json.decode "{"
        assert.is_nil(value)
        assert.matches("^Expected ", reason)
        assert.is_true(#select(2, json.decode('"' .. ("\1"):rep(1000))) <= 200)
    end)

    it("reads NaN and Infinity as Python writes them", function()
        local value = json.decode '{"a":NaN,"b":Infinity,"c":-Infinity,"d":1}'
        assert.is_true(value.a ~= value.a and value.b == math.huge and value.c == -math.huge and value.d == 1)
    end)

    it("accepts a depth of 100 and no more", function()
        assert.is_table((json.decode(("["):rep(100) .. ("]"):rep(100))))
        assert.is_nil((json.decode(("["):rep(101) .. ("]"):rep(101))))
    end)

    it("accepts 100,000 values and no more; short texts are not counted", function()
        local reason = "it holds more than 100000 values"
        local list = "[" .. ("1,"):rep(99999) .. "1]"
        assert.equal(100000, #json.decode(list)) -- the commas and one bracket
        assert.same({ n = 2, nil, reason }, pack(json.decode("[" .. ("1,"):rep(100000) .. "1]")))
        for _, sign in ipairs { "{}", "[]" } do
            local body = "[" .. (sign .. " "):rep(10) .. ("x"):rep(100001)
            assert.not_equal(reason, select(2, json.decode(body)))
            body = (sign):rep(100001)
            assert.equal(reason, select(2, json.decode(body)))
        end
        assert.not_equal(reason, select(2, json.decode((","):rep(100000))))
        assert.equal(reason, select(2, json.decode((","):rep(100001))))
        assert.not_equal(reason, select(2, json.decode((","):rep(100000) .. "x")))
        local half = (","):rep(50000) .. ("{"):rep(25000) .. ("["):rep(25000)
        assert.not_equal(reason, select(2, json.decode(half .. "xx")))
        assert.equal(reason, select(2, json.decode(half .. "[")))
        assert.equal(("a"):rep(200000), json.decode('"' .. ("a"):rep(200000) .. '"'))
    end)
end)

describe("the reason of json.decode", function()
    it("names characters, not the parser's tokens", function()
        for body, words in pairs { ['{"a":1,}'] = "found '}'", ["[1"] = "found the end", ["[1 2]"] = "comma or" } do
            local _, reason = json.decode(body)
            assert.truthy(reason:find(words, 1, true), reason)
            assert.is_nil(reason:find "T_", reason)
        end
    end)
end)

describe("json.copy", function()
    it("copies deeply", function()
        local inner = { 1, 2 }
        local given = { a = inner, b = false, c = json.null, d = "x", [" "] = 1.5 }
        local copy = json.copy(given, "it")
        assert.same(given, copy)
        assert.not_equal(inner, copy.a)
        assert.same({ n = 1, false }, pack(json.copy(false, "it")))
        assert.same({ n = 1, json.null }, pack(json.copy(json.null, "it")))
    end)

    it("reports the path of a value that JSON cannot hold", function()
        for _, case in ipairs {
            { print, "it is a function, which JSON cannot hold" },
            { { a = { { print } } }, "it.a[1][1] is a function, which JSON cannot hold" },
            { 0 / 0, "it is not a finite number, which JSON cannot hold" },
            { { 1 / 0 }, "it[1] is not a finite number, which JSON cannot hold" },
            { { -1 / 0 }, "it[1] is not a finite number, which JSON cannot hold" },
            { { a = 1e14 + 1 }, "it.a has more than the 14 digits that can be sent exactly: give it as a string" },
            { { a = -1e14 - 1 }, "it.a has more than the 14 digits that can be sent exactly: give it as a string" },
            { "a\255", "it is not valid UTF-8 (byte 2)" },
            { { ["b\255"] = 1 }, "a name in it is not valid UTF-8 (byte 2)" },
            { { { 1, x = 1 } }, "it[1] mixes names and numbers as keys, which JSON cannot hold" },
            { { 1, nil, 3 }, "it[2] is missing: an array has no holes" },
            { { [2] = 1 }, "it[1] is missing: an array has no holes" },
            { { [true] = 1 }, "it has a key that is true: keys are strings, or 1 to n" },
            { { [1.5] = 1 }, "it[1] is missing: an array has no holes" },
        } do
            assert.same({ n = 2, nil, case[2] }, pack(json.copy(case[1], "it")))
        end
    end)

    it("writes 14 digits, and more if needed to read the same number back", function()
        for _, n in ipairs { 99999999999999, -99999999999999, 1e14, -1e14, 1e15, 2e20, 0.1, 1e300,
            123456789012345680 * 0 } do
            assert.same({ n = 1, n }, pack(json.copy(n, "it")))
        end
        assert.is_nil((json.copy(123456789012345, "it")))
    end)

    it("accepts 32 levels and 10,000 values", function()
        local function nested(levels)
            local value = 1
            for _ = 1, levels do value = { value } end
            return value
        end
        assert.is_table((json.copy(nested(32), "it")))
        local copy, reason = json.copy(nested(33), "it")
        assert.is_nil(copy)
        assert.equal("it[1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][... is nested deeper than 32 " ..
            "levels (does it hold itself?)", reason)
        assert.is_string((json.encode(nested(32), "it")))
        local list = {}
        for i = 1, 9999 do list[i] = i end
        assert.equal(9999, #json.copy(list, "it"))
        list[10000] = 1
        assert.same({ n = 2, nil, "it[10000] is too large: more than 10000 values" }, pack(json.copy(list, "it")))
    end)
end)

describe("json.encode and json.write", function()
    it("write the value, or return the reason for the failure", function()
        assert.equal('{"a":[1,0.5,true,null,"x"]}', json.encode({ a = { 1, 0.5, true, json.null, "x" } }, "it"))
        assert.same({ n = 2, nil, "it is a function, which JSON cannot hold" }, pack(json.encode(print, "it")))
        assert.equal("false", json.encode(false, "it"))
        for _, wrong in ipairs { 0 / 0, { [1] = 1, [100] = 2 }, print } do
            local encoded, reason = json.write { wrong }
            assert.is_nil(encoded)
            assert.is_true(#reason > 0 and #reason <= 200)
        end
    end)
end)

describe("text", function()
    it("is counted in code points, and reports the first invalid byte", function()
        for s, length in pairs {
            [""] = 0, abc = 3, ["a\0b"] = 3, ["\195\164"] = 1, ["a\226\130\172b"] = 3, ["\240\159\166\138"] = 1,
            ["\194\128"] = 1, ["\224\160\128"] = 1,
            ["\237\159\191"] = 1, ["\240\144\128\128"] = 1, ["\244\143\191\191"] = 1, ["\127"] = 1,
        } do
            assert.same({ n = 1, length }, pack(text.length(s)))
        end
        for s, place in pairs {
            ["\128"] = 1, ["a\193\191"] = 2, ["\224\159\191"] = 1, ["ab\237\160\128"] = 3, ["\240\143\191\191"] = 1,
            ["\244\144\128\128"] = 1,
            ["\245\128\128\128"] = 1, ["\195"] = 1, ["\226\130"] = 1, ["\226\130\192"] = 1, ["\240\159\166"] = 1,
            ["\240\159\166\127"] = 1,
            ["\195\164\195"] = 3, ["\194\192"] = 1, ["\194\127"] = 1,
        } do
            assert.same({ n = 2, nil, place }, pack(text.length(s)))
        end
    end)

    it("is truncated between characters", function()
        for _, case in ipairs {
            { "abc", 3, "abc" }, { "abc", 2, "ab" }, { "abc", 0, "" }, { "a\195\164", 2, "a" },
            { "a\195\164", 3, "a\195\164" },
            { "\226\130\172x", 1, "" }, { "\226\130\172x", 2, "" }, { "\226\130\172x", 3, "\226\130\172" },
            { "\240\159\166\138", 3, "" },
            { "a\240\159\166\138", 4, "a" }, { "\128\128\128\128\128\128", 5, "\128\128" },
            { "\240\159\166\138\240\159\166\138", 7, "\240\159\166\138" },
        } do
            assert.equal(case[3], text.cut(case[1], case[2]))
        end
    end)

    it("is escaped to fit one line", function()
        for _, case in ipairs {
            { "  a \t\r\n b  ", 100, "a b" }, { "a\194\128b\194\159c\194\160d", 100, "a b c\194\160d" },
            { "a\226\128\142b\226\128\174c", 100, "a b c" },
            { "a\226\128\143b\226\128\168c\226\128\141d", 100, "a b c\226\128\141d" },
            { "a\226\129\166b\226\129\169c\226\129\170d", 100, "a b c\226\129\170d" },
            { "\127\27[1m", 100, "[1m" }, { "a\255\255b\255", 100, "a\239\191\189b\239\191\189" },
            { "12345", 5, "12345" }, { "123456", 5, "12..." },
            { "1\195\164456", 6, "1\195\164456" }, { "1\195\1644567", 6, "1\195\164..." },
            { "12\195\1644567", 6, "12..." }, { "", 5, "" }, { " ", 5, "" },
            { "~!\128", 9, "~!\239\191\189" },
        } do
            assert.equal(case[3], text.clean(case[1], case[2]))
        end
        assert.equal("a", text.clean((" "):rep(79) .. "a", 10), "eight times the limit is looked at")
        assert.equal("", text.clean((" "):rep(80) .. "a", 10))
    end)

    it("shows numbers and values in readable form", function()
        for _, case in ipairs {
            { 1, "1" }, { 1.0, "1" }, { -2, "-2" }, { 0.5, "0.5" }, { 2 ^ 53 - 1, "9007199254740991" },
            { -(2 ^ 53 - 1), "-9007199254740991" },
            { 2 ^ 53, "9.007199254741e+15" }, { -2 ^ 53, "-9.007199254741e+15" }, { 1 / 3, "0.33333333333333" },
        } do
            assert.equal(case[2], text.number(case[1]))
        end
        for _, case in ipairs {
            { "x\n", "'x'" }, { ("x"):rep(61), "'" .. ("x"):rep(57) .. "...'" }, { 7, "7" }, { true, "true" },
            { print, "a function" },
            { {}, "a table" }, { json.null, "null" }, { io.stdout, "a userdata" },
        } do
            assert.equal(case[2], text.show(case[1]))
        end
        assert.equal("nil", text.show(nil))
    end)

    it("shows a whole number without a fraction", function()
        for _, n in ipairs { 3, 0.5, 2 ^ 53, -2 ^ 53, -7 } do assert.equal(n, text.integer(n)) end
        local kind = rawget(math, "type")
        if kind then
            assert.same({ "integer", "integer", "float", "float", "float" }, {
                kind(text.integer(3.0)), kind(text.integer(2 ^ 53 - 1)), kind(text.integer(2 ^ 53)),
                kind(text.integer(-2 ^ 53)), kind(text.integer(0.5)),
            })
        end
    end)
end)

describe("the nearest name", function()
    it("may have more words, if it is the only one with that word", function()
        local names = { "api_key", "base_url", "max_tasks", "max_retries", "input-url" }
        for word, found in pairs { key = "api_key", RETRIES = "max_retries", base = "base_url" } do
            assert.equal(found, suggest.nearest(word, names))
        end
        for _, word in ipairs { "url", "max", "ke", "keys_of" } do assert.is_nil(suggest.nearest(word, names), word) end
    end)

    it("is at most one typo per three letters away; the first of equal candidates wins", function()
        for _, case in ipairs {
            { "abc", { "abd" }, "abd" }, { "abc", { "ade" }, nil }, { "ab", { "ac" }, nil },
            { "abcdef", { "abcdxy" }, "abcdxy" }, { "abcdef", { "abcxyz" }, nil },
            { "abc", { "abcd" }, "abcd" }, { "abcd", { "abc" }, "abc" }, { "ABC", { "abc" }, "abc" },
            { "a_b-c d", { "abcd" }, "abcd" }, { "acb", { "abc" }, "abc" },
            { "bac", { "abc" }, "abc" }, { "abc", { "abd", "abe" }, "abd" }, { "abc", { "abd", "abc" }, "abc" },
            { "abc", { "xyz", "abd" }, "abd" }, { "abc", {}, nil },
            { "", { "" }, "" }, { "cab", { "abc" }, nil }, { ("a"):rep(40), { ("a"):rep(39) }, ("a"):rep(39) },
            { ("a"):rep(41), { ("a"):rep(40) }, nil },
        } do
            assert.equal(case[3], suggest.nearest(case[1], case[2]), case[1])
        end
    end)
end)

describe("validate.options", function()
    local kinds = {
        string = { good = { "x" }, bad = { "", 7 }, says = "a string that is not empty" },
        boolean = { good = { true, false }, bad = { 1, "true" }, says = "true or false" },
        seconds = { good = { 0.1, 1e300 }, bad = { 0, -1, 1 / 0, "1" }, says = "a number of seconds above 0" },
        pixels = { good = { 0.1, 1e300 }, bad = { 0, -1, 1 / 0, "1" }, says = "a number of pixels above 0" },
        rate = { good = { 0.1, 1e300 }, bad = { 0, -1, 1 / 0, "1" }, says = "a number per second, above 0" },
        count = { good = { 0, 1, 2 ^ 53 - 1 }, bad = { -1, 0.5, 1 / 0, "1" }, says = "a whole number, 0 or more" },
        positive = { good = { 1, 2 ^ 53 - 1 }, bad = { 0, -1, 1.5, "1" }, says = "a whole number, 1 or more" },
        credits = { good = { 0, 0.5, 1e300 }, bad = { -0.1, 1 / 0, "1" }, says = "a number of credits, 0 or more" },
        bytes = { good = { 1, 2 ^ 53 - 1 }, bad = { 0, -1, 1.5, "1" }, says = "a number of bytes, 1 or more" },
        ["function"] = { good = { print }, bad = { 1, {} }, says = "a function" },
        log = { good = { print, true, false }, bad = { 1, "x" }, says = "a function, true or false" },
        table = { good = { {} }, bad = { 1, print }, says = "a table" },
        any = { good = { 1, "x", {}, print }, bad = {}, says = "any value" },
        provider = { good = { "acme", {} }, bad = { 1, print }, says = "the name of a provider, or a table" },
    }
    it("accepts each type of value, and reports the expected one", function()
        for kind in pairs(validate.kinds) do assert.truthy(kinds[kind], kind) end
        for kind, row in pairs(kinds) do
            for _, value in ipairs(row.good) do
                local given = { name = value }
                assert.same(given, validate.options("here", given, { name = kind }))
            end
            for _, value in ipairs(row.bad) do
                local ok, message = pcall(function() validate.options("here", { name = value }, { name = kind }) end)
                assert.is_false(ok, kind)
                assert.matches("^[^\n]*json_spec%.lua:%d+: ", message)
                assert.equal("here: name must be " .. row.says .. ", not " .. text.show(value), message:match ": (.*)$")
            end
        end
        assert.same({}, validate.options("here", nil, {}))
    end)

    it("enforces the maximum of a type or of an option", function()
        local function refused(value, known)
            local ok, message = pcall(validate.options, "here", { name = value }, { name = known })
            return not ok and message:match "name must be .*$" or nil
        end
        for kind, says in pairs { count = "a whole number, 0 or more", positive = "a whole number, 1 or more",
            bytes = "a number of bytes, 1 or more" } do
            assert.equal(("name must be %s, at most 9007199254740991, not 9.007199254741e+15"):format(says),
                refused(2 ^ 53, kind))
        end
        assert.is_nil(refused(5, { "seconds", most = 5 }))
        assert.equal("name must be a number of seconds above 0, at most 5, not 5.5",
            refused(5.5, { "seconds", most = 5 }))
        assert.equal("name must be a whole number, 0 or more, at most 5, not 6", refused(6, { "count", most = 5 }))
    end)

    it("suggests the nearest option name", function()
        local function refused(given, known)
            return select(2, pcall(validate.options, "here", given, known)):gsub("^.-: here", "here")
        end
        local known = { timeout = "seconds", price = "credits" }
        assert.equal("here: unknown option 'timeot': did you mean timeout?", (refused({ timeot = 1 }, known)))
        assert.equal("here: unknown option 'zzz': known are price, timeout", (refused({ zzz = 1 }, known)))
        assert.equal("here: unknown option 1: known are price, timeout", (refused({ "x" }, known)))
        assert.equal("here: options are a table, not 7", (refused(7, known)))
    end)
end)

describe("url.check", function()
    it("accepts http or https with a host and a valid port", function()
        for _, good in ipairs {
            "http://a", "https://a", "HTTP://A", "http://a:1", "http://a:65535", "http://a:", "http://a/",
            "http://a?x", "http://a#x", "http://u:p@a",
            "http://u@b:80/x@y", "http://[::1]", "http://[::1]:80", "http://[::ffff:1.2.3.4]/", "http://a/\195\164",
            "http://a/~!",
        } do
            assert.is_true(url.check(good), good)
        end
    end)

    it("reports why a URL is invalid", function()
        for _, case in ipairs {
            { 7, "it is 7, not a string" }, { nil, "it is nil, not a string" }, { "", "it is empty" },
            { "http://a b", "it holds a space or a control character (byte 9)" },
            { "http://a/\127", "it holds a space or a control character (byte 10)" },
            { "http://a\\b", "it holds a backslash" },
            { "http://a/\255", "it is not valid UTF-8 (byte 10)" },
            { "a", "it does not begin with http:// or https://" },
            { "://a", "it does not begin with http:// or https://" },
            { "1http://a", "it does not begin with http:// or https://" },
            { "ftp://a", "it begins with 'ftp:', not with http:// or https://" },
            { "http:/a", "it begins with 'http:', not with http:// or https://" },
            { "https:a", "it begins with 'https:', not with http:// or https://" },
            { "http://", "it names no host" }, { "http:///a", "it names no host" },
            { "http://:80", "it names no host" }, { "http://u@", "it names no host" },
            { "http://?x", "it names no host" }, { "http://#x", "it names no host" },
            { "http://[]", "it names no host" }, { "http://[x]", "it names no host" },
            { "http://[::1", "it names no host" },
            { "http://[::1]x", "its port is not a number" }, { "http://a:x", "its port is not a number" },
            { "http://a:1:2", "its port is not a number" },
            { "http://a:0", "its port is not one of 1 to 65535" },
            { "http://a:65536", "its port is not one of 1 to 65535" },
            { "http://a:000080", "its port is not one of 1 to 65535" },
        } do
            assert.same({ n = 2, nil, case[2] }, pack(url.check(case[1])))
        end
    end)
end)

describe("flux2's own codec", function()
    it("is independent of the host's cjson settings", function()
        cjson.decode_max_depth(2)
        assert.is_table((json.decode "[[[[1]]]]"))
        cjson.decode_max_depth(1000)
    end)
end)
