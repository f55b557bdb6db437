local core = require "flux2.core"
local bound = require "support.bound"

describe("core.unbase64", function()
    local good = {
        { "", "" }, { "Zg==", "f" }, { "Zm8=", "fo" }, { "Zm94", "fox" }, { "Zg", "f" }, { "Zm8", "fo" },
        { "AAECA/79/v8=", "\0\1\2\3\254\253\254\255" }, { "-_-_", "\251\255\191" }, { "+/+/", "\251\255\191" },
        { "Zm\r\n94 \t", "fox" }, { "Zg =\n=", "f" },
    }
    for _, case in ipairs(good) do
        it(("decodes %q"):format(case[1]), function() assert.equal(case[2], core.unbase64(case[1])) end)
    end

    local bad = { "Z", "Zm94Z", "Zg=", "Zm8==", "Zm94=", "=", "==", "====", "Zg===", "Z=g=", "Zg==Zg==", "Zm9%",
        "Zm9\0",
        "Zm9\255", "Zh==", "Zm9=", "-/-/", "Zm9\11" }
    for _, case in ipairs(bad) do
        it(("refuses %q"):format(case):gsub("%c", "?"), function()
            local bytes, reason = core.unbase64(case)
            assert.is_nil(bytes)
            assert.is_string(reason)
        end)
    end

    it("reports the cause of the error", function()
        assert.equal("it is cut short", select(2, core.unbase64 "Zm94Z"))
        assert.equal("its padding is wrong", select(2, core.unbase64 "Zg="))
        assert.equal("character 4 is not one of Base64", select(2, core.unbase64 "Zm9%"))
    end)

    it("decodes 8 MB in a few seconds", function()
        local unit = "AAECA/79/v8B" -- 9 bytes
        local before = os.clock()
        local bytes = core.unbase64(unit:rep(932068))
        assert.is_true(os.clock() - before < bound(5))
        assert.equal(932068 * 9, #bytes)
        assert.equal("\0\1\2\3\254\253\254\255\1", bytes:sub(-9))
    end)

    it("accepts arbitrary bytes", function()
        math.randomseed(7)
        local common = "AZaz09+/-_=  \n"
        for _ = 1, 3000 do
            local bytes = {}
            for i = 1, math.random(0, 40) do
                local at = math.random(#common)
                bytes[i] = math.random(20) == 1 and string.char(math.random(0, 255)) or common:sub(at, at)
            end
            local s = table.concat(bytes)
            local decoded, reason = core.unbase64(s)
            if decoded then
                assert.equal(decoded, core.unbase64(core.base64(decoded)))
                local plain = s:gsub("[%s=]", ""):gsub("-", "+"):gsub("_", "/")
                assert.equal(plain, (core.base64(decoded):gsub("=", "")))
            else
                assert.truthy(#reason > 0)
            end
        end
    end)
end)

describe("base64.encode", function()
    for bytes, text in pairs {
        [""] = "", f = "Zg==", fo = "Zm8=", fox = "Zm94", ["\251\255\191"] = "+/+/", ["\0\0"] = "AAA=",
    } do
        it(("encodes %q"):format(bytes), function() assert.equal(text, core.base64(bytes)) end)
    end

    it("is the inverse of decode for every length around a block boundary", function()
        local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        local function by_hand(s)
            local out = {}
            for i = 1, #s, 3 do
                local a, b, c = s:byte(i, i + 2)
                local n = a * 65536 + (b or 0) * 256 + (c or 0)
                for j = 3, 0, -1 do
                    local value = math.floor(n / 64 ^ j) % 64
                    out[#out + 1] = (j == 0 and not c or j == 1 and not b) and "=" or alphabet:sub(value + 1, value + 1)
                end
            end
            return table.concat(out)
        end
        local bytes = {}
        for n = 1, 300 do
            bytes[n] = string.char(n * 37 % 256)
            local s = table.concat(bytes)
            assert.equal(by_hand(s), core.base64(s))
            assert.equal(s, core.unbase64(core.base64(s)))
        end
    end)
end)
