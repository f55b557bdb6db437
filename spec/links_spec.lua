-- The pictures that the engine reads on its own thread: what it reads is what flux2.response would have read.
local core = require "flux2.core"
local response = require "flux2.response"
local service = require "spec.support.service"
local shapes = require "flux2.shapes"

local profile = core.profile { watch = response.watch }
local A, B = "https://img.example/1.png", "http://127.0.0.1:8080/a/2.webp?x=1&y=%20"

local function links(body) return core._pure.links(profile, body) end

--- What the two readers make of a body is the same, wherever the engine's says anything at all.
local function agree(body)
    local images, credits = links(body)
    if not images then return false end
    local answer = assert(response.task(200, body))
    assert.equal("succeeded", answer.state, body)
    assert.same(answer.images, images, body)
    assert.equal(answer.credits, credits, body)
    return true
end

describe("the engine reads the pictures of", function()
    local usual = {
        [('{"code":200,"data":{"status":"SUCCESS","output":{"image_url":"%s"}}}'):format(A)] = { A },
        [('{"data":{"status":"success","result":{"images":[{"url":"%s"},{"url":"%s"}]}}}'):format(A, B)] = { A, B },
        [('{"data":{"status":"completed","output":["%s","%s","%s"]}}'):format(A, A, B)] = { A, B },
        [('{"status":"Ready","result":{"sample":"%s"}}'):format(A)] = { A },
        [('{"data":{"state":"success","response":{"resultUrls":["%s"]},"resultJson":null}}'):format(A)] = { A },
        [('{"status":"succeeded","output":"%s","input":{"image_url":"%s"}}'):format(A, B)] = { A },
        [('{"data":[{"status":"SUCCESS","url":"%s"}]}'):format(A)] = { A },
        [('{"code":402,"data":{"status":"SUCCESS","image_url":"%s"}}'):format(B)] = { B },
    }
    for body, urls in pairs(usual) do
        it(body, function()
            local found = {}
            for i, image in ipairs(assert(links(body))) do found[i] = image.url end
            assert.same(urls, found)
            assert.is_true(agree(body))
        end)
    end
    it("their media types, and the credits", function()
        local body = ('{"data":{"status":"SUCCESS","credits_used":15,"output":[{"url":"%s","content_type":"image/PNG"},' ..
            '{"image_url":"%s","mime_type":"text/html"}]}}'):format(A, B)
        local images, credits = links(body)
        assert.same({ { url = A, content_type = "image/png" }, { url = B } }, images)
        assert.equal(15, credits)
        assert.is_true(agree(body))
    end)
end)

describe("the engine leaves to flux2.response", function()
    local function success(output)
        return '{"data":{"status":"SUCCESS","output":' .. output .. "}}"
    end
    local many = {}
    for i = 1, 20 do many[i] = ('"https://img.example/%d.png"'):format(i) end
    local cases = {
        ["a picture in the answer"] = success '{"b64_json":"iVBORw0KGgo="}',
        ["a data: URL"] = success '"data:image/png;base64,iVBORw0KGgo="',
        ["one beside a link"] = success(('["%s","data:image/png;base64,iVBORw0KGgo="]'):format(A)),
        ["JSON in a string"] = ('{"data":{"state":"success","resultJson":"{}","output":"%s"}}'):format(A),
        ["a user in the URL"] = success '"https://me@img.example/1.png"',
        ["a scheme in capitals"] = success '"HTTPS://img.example/1.png"',
        ["a URL with a blank"] = success '"https://img.example/1 2.png"',
        ["a URL with a letter outside ASCII"] = success '"https://img.example/\195\164.png"',
        ["an address in brackets"] = success '"https://[::1]/1.png"',
        ["a port that is none"] = success '"https://img.example:99999/1.png"',
        ["credits in words"] = ('{"credits":"15","status":"done","output":"%s"}'):format(A),
        ["more pictures than are usual"] = success("[" .. table.concat(many, ",") .. "]"),
        ["a deep nest"] = success(("["):rep(9) .. '"' .. A .. '"' .. ("]"):rep(9)),
        ["an answer without a status"] = ('{"data":{"output":"%s"}}'):format(A),
        ["a task that runs"] = ('{"data":{"status":"RUNNING","output":"%s"}}'):format(A),
        ["a task that failed"] = ('{"data":{"status":"FAILED","output":"%s"}}'):format(A),
        ["a member that is named like a place in an array"] = ('{"status":"done","data":{"0":{"output":"%s"}}}'):format(A),
        ["a success without a picture"] = success "{}",
        ["what is no JSON"] = "SUCCESS",
    }
    for name, body in pairs(cases) do
        it(name, function() assert.is_nil((links(body))) end)
    end
end)

describe("the two readers agree", function()
    local seed = 20260229
    local function random(n)
        seed = (seed * 16807) % 2147483647
        return seed % n + 1
    end
    local function pick(list) return list[random(#list)] end
    local leaves = {
        '"' .. A .. '"', '"' .. B .. '"', '"https://img.example"', '"https://img.example:1?x#y"', '"https://a.example/\\u0000"',
        '"https://"', '"https://-._/"', '"http://a.example:/"', '"http://a.example:0/"', '"http://a.example:080/1"', '"ftp://a/b"',
        '"soon"', '"done"', '"image/png"', '"image/"', '"image/x y"', '"image/SVG+xml"', "null", "7", "-7", "0.5", "9007199254740992",
        '"7"', "true", "[]", "{}", "[null]", '""', '"data:image/png;base64,AAAA"', '"/1.png"',
    }
    local keys = {}
    for _, name in ipairs { "picture_keys", "picture_keys", "bytes_keys", "media_type_keys" } do
        for _, key in ipairs(shapes[name]) do keys[#keys + 1] = key end
    end

    local function value(depth)
        local roll = random(6)
        if depth > 5 or roll <= 3 then return pick(leaves) end
        local parts = {}
        for i = 1, random(3) do
            parts[i] = roll == 4 and value(depth + 1) or ('"%s":%s'):format(pick(keys), value(depth + 1))
        end
        if roll == 4 then return "[" .. table.concat(parts, ",") .. "]" end
        return "{" .. table.concat(parts, ",") .. "}"
    end

    --- JSON with `member` at `path`; the rest of what lies on the way is made up.
    local function place(path, member)
        for step in path:reverse():gmatch("[^.]+") do
            step = step:reverse()
            if step:find("^%d+$") then
                member = "[" .. (random(5) == 1 and value(3) .. "," or "") .. member .. "]"
            else
                member = ('{"%s":%s%s}'):format(step, member, random(3) == 1 and (',"%s":%s'):format(pick(keys), value(3)) or "")
            end
        end
        return member
    end

    --- Puts members of one object into another, at the top level, where both are objects.
    local function merge(a, b)
        if a:sub(1, 1) ~= "{" or b:sub(1, 1) ~= "{" or #a < 3 or #b < 3 then return a end
        return a:sub(1, -2) .. "," .. b:sub(2)
    end

    it("on 8,000 answers that are made up", function()
        local read = 0
        for _ = 1, 8000 do
            local body = merge('{"status":"SUCCESS"}', place(pick(shapes.picture_places), value(1)))
            if random(4) == 1 then body = merge(body, place(pick(shapes.credits), pick(leaves))) end
            if random(8) == 1 then body = merge(body, place(pick(shapes.packed_places), pick(leaves))) end
            if random(8) == 1 then body = merge(body, place(pick(shapes.picture_places), value(1))) end
            if agree(body) then read = read + 1 end
        end
        assert.is_true(read > 800, "only " .. read .. " were plain")
    end)
end)

describe("a task that the engine has read", function()
    after_each(service.stop_all)

    it("has its answer when it is asked for", function()
        local task = assert(service.client(service.start()):submit { prompt = "a red fox" })
        local result = assert(task:wait(20))
        assert.is_nil(rawget(result, "raw"))
        assert.equal(task.id, result.raw.data.task_id)
        assert.equal(rawget(result, "raw"), result.raw)
        assert.equal(1, #result.images)
        assert.equal(1, task.progress)
        assert.is_nil(result.nonsense)
    end)
end)
