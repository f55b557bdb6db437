local base64 = require "flux2.base64"
local bound = require "support.bound"

describe("base64.decode", function()
    local good = {
        { "", "" }, { "Zg==", "f" }, { "Zm8=", "fo" }, { "Zm94", "fox" }, { "Zg", "f" }, { "Zm8", "fo" },
        { "AAECA/79/v8=", "\0\1\2\3\254\253\254\255" }, { "-_-_", "\251\255\191" }, { "+/+/", "\251\255\191" },
        { "Zm\r\n94 \t", "fox" }, { "Zg =\n=", "f" },
    }
    for _, case in ipairs(good) do
        it(("decodes %q"):format(case[1]), function() assert.equal(case[2], base64.decode(case[1])) end)
    end

    local bad = { "Z", "Zm94Z", "Zg=", "Zm8==", "Zm94=", "=", "==", "====", "Zg===", "Z=g=", "Zg==Zg==", "Zm9%",
        "Zm9\0",
        "Zm9\255", "Zh==", "Zm9=", "-/-/", "Zm9\11" }
    for _, case in ipairs(bad) do
        it(("refuses %q"):format(case):gsub("%c", "?"), function()
            local bytes, reason = base64.decode(case)
            assert.is_nil(bytes)
            assert.is_string(reason)
        end)
    end

    it("says what is wrong", function()
        assert.equal("it is cut short", select(2, base64.decode "Zm94Z"))
        assert.equal("its padding is wrong", select(2, base64.decode "Zg="))
        assert.equal("character 4 is not one of Base64", select(2, base64.decode "Zm9%"))
    end)

    it("decodes 8 MB in a few seconds", function()
        local unit = "AAECA/79/v8B" -- 9 bytes
        local before = os.clock()
        local bytes = base64.decode(unit:rep(932068))
        assert.is_true(os.clock() - before < bound(5))
        assert.equal(932068 * 9, #bytes)
        assert.equal("\0\1\2\3\254\253\254\255\1", bytes:sub(-9))
    end)

    it("takes any bytes", function()
        math.randomseed(7)
        local common = "AZaz09+/-_=  \n"
        for _ = 1, 3000 do
            local bytes = {}
            for i = 1, math.random(0, 40) do
                local at = math.random(#common)
                bytes[i] = math.random(20) == 1 and string.char(math.random(0, 255)) or common:sub(at, at)
            end
            local s = table.concat(bytes)
            local decoded, reason = base64.decode(s)
            if decoded then
                assert.equal(decoded, base64.decode(base64.encode(decoded)))
                local plain = s:gsub("[%s=]", ""):gsub("-", "+"):gsub("_", "/")
                assert.equal(plain, (base64.encode(decoded):gsub("=", "")))
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
        it(("encodes %q"):format(bytes), function() assert.equal(text, base64.encode(bytes)) end)
    end

    it("and decode agree on every length around their blocks", function()
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
            assert.equal(by_hand(s), base64.encode(s))
            assert.equal(s, base64.decode(base64.encode(s)))
        end
    end)
end)
