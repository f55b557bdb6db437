-- Hostile answers: made up, damaged, endless. Seeded, so that what fails once fails again.

local bound = require "support.bound"
local errors = require "flux2.errors"
local response = require "flux2.response"
local seeded = require "support.seeded"
local shapes = require "flux2.shapes"
local text = require "flux2.text"

local URL = "https://img.example/1.png"

describe("whatever a server sends", function()
    local draw = seeded.new()
    local random, one_of = draw.random, draw.one_of
    local values = {
        "null", "true", "false", "0", "-1", "1e999", "-1e999", "NaN", "1e308", "0.5", '""', '"x"', '"SUCCESS"',
            '"FAILED"',
        '"\255\254"', '"\\u0000"', "[]", "{}", "[null]", "[[[]]]", '{"url":{"url":{"url":1}}}', '{"0":1}',
            '[{"url":[[1]]}]',
        '"' .. URL .. '"', '{"message":{"message":[]}}', '{"code":{},"message":7,"type":[]}', '"data:;base64,"',
            '"{"', '"50%"',
        ("["):rep(5000), ("["):rep(60) .. ("]"):rep(60), '{"a":1,"a":{"a":2}}', '{"":""}', "1,2", "}",
            '"' .. ("x"):rep(2000) .. '"',
    }
    local names, seen = { "a", "loc", "msg" }, {}
    for _, list in pairs(shapes) do
        for _, path in ipairs(type(list) == "table" and list or {}) do
            for step in (type(path) == "string" and path or ""):gmatch("[^.]+") do
                if not seen[step] and not step:find("^%d") then
                    seen[step] = true
                    names[#names + 1] = step
                end
            end
        end
    end
    table.sort(names)

    local function make(depth)
        local roll = random(8)
        if depth > 4 or roll <= 3 then return one_of(values) end
        local parts = {}
        for i = 1, random(4) do
            local member = make(depth + 1)
            parts[i] = roll == 4 and member or '"' .. one_of(names) .. '":' .. member
        end
        if roll == 4 then return "[" .. table.concat(parts, ",") .. "]" end
        return "{" .. table.concat(parts, ",") .. "}"
    end

    local function check(status, body)
        local infos = { {}, { retry_after = 0 / 0, attempts = 2, request_id = "\27", content_type = "text/html" } }
        for _, info in ipairs(infos) do
            for _, read in ipairs { response.task, response.submission } do
                local out, err = read(status, body, info)
                assert.is_true((out == nil) == errors.is(err))
                local failure = err or out.error
                if failure then assert.is_truthy(text.length(tostring(failure))) end
            end
        end
    end

    it("is a result or an error of a known kind: made-up answers", function()
        for _ = 1, 1500 do
            local body
            repeat body = make(1) until body:find("^{")
            check(one_of { 200, 200, 200, 400, 422, 500, 302 }, body)
        end
    end)

    it("is a result or an error of a known kind: damaged answers", function()
        local good = '{"code":200,"message":"success","data":{"task_id":"n41_flux2","status":"SUCCESS",'
            .. '"progress":"50%",'
            .. '"output":{"image_url":"' .. URL .. '"},"error":{"code":400,"message":"x","type":"y"}}}'
        for _ = 1, 3000 do
            local at, length = random(#good), random(6) - 1
            local junk = one_of(values)
            check(200, good:sub(1,
                at) .. (random(2) == 1 and junk or string.char(random(256) - 1)) .. good:sub(at + length + 1))
            check(200, good:sub(1, at))
        end
    end)

    it("may be no text at all, with no status", function()
        for _, body in ipairs { 42, {}, false } do
            for _, status in ipairs { 200, "200", {}, 0 / 0, -1 } do check(status, body) end
        end
        check(nil, nil)
        assert.is_nil((response.task(200)))
    end)

    it("is read in bounded time", function()
        local before = os.clock()
        local list = ("\"x\","):rep(200000)
        check(200, '{"data":[' .. list .. "1]}")
        check(200, '{"data":{"status":"SUCCESS","output":[' .. list .. '1],"result":[' .. list .. "1]}}")
        check(200, '{"data":{"status":"' .. ("S"):rep(1000000) .. '","progress":"' .. ("1"):rep(1000000) .. '"}}')
        assert.is_true(os.clock() - before < bound(5))
    end)
end)
