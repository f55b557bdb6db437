-- Every response shape of a finished task in the emulator, with the place of the image or the failure reason.

local cjson = require "cjson"
local curl = require "emulator_curl"
local emulator = require "flux2.emulator"

--- Returns the value at a dotted path. A number is an index of an array, from 1; "@" decodes a string as JSON.
local function at(value, path)
    for name in path:gmatch "[^.]+" do
        if name == "@" then
            value = cjson.decode(value)
        else
            value = value[tonumber(name) or name]
        end
        if value == nil then return nil end
    end
    return value
end

local where = { -- paths of the status and the image
    output_image_url = { "data.status", "data.output.image_url" },
    output_string = { "data.status", "data.output" },
    output_array = { "data.status", "data.output.1" },
    result_images = { "data.status", "data.result.images.1.url" },
    result_images_nested = { "data.status", "data.result.images.1.url.1" },
    result_strings = { "data.status", "data.result.1" },
    result_objects = { "data.status", "data.result.1.url" },
    images = { "data.status", "data.images.1.url" },
    image_url = { "data.status", "data.image_url" },
    url = { "data.status", "data.url" },
    result_urls = { "data.status", "data.result_urls.1" },
    response_result_urls = { "data.status", "data.response.result_urls.1" },
    openai_url = { "status", "data.1.url" },
    openai_b64 = { "status", "data.1.b64_json" },
    result_json = { "data.state", "data.resultJson.@.resultUrls.1" },
    state_field = { "data.state", "data.output.image_url" },
    top_level = { "status", "output.image_url" },
    no_image = { "data.status" },
}

describe("the emulator's shapes", function()
    local emu

    before_each(function()
        emu = assert(emulator.start { duration = 60, image_bytes = 300 })
    end)
    after_each(function()
        emu:stop()
    end)

    for name in pairs(emulator.shapes) do
        it("include " .. name .. ", running, finished and failed", function()
            local paths = assert(where[name], "no row for this shape")
            emu:set { shape = name }
            local id = curl.accepted(emu)
            local running = curl.poll(emu, id).body
            assert.equal("IN_PROGRESS", at(cjson.decode(running), paths[1]))
            assert.falsy(running:find "http" or running:find("$", 1, true))
            emu:finish()
            local text = curl.poll(emu, id).body
            local done = cjson.decode(text)
            assert.equal("SUCCESS", at(done, paths[1]))
            assert.falsy(text:find("$", 1, true))
            if name == "openai_b64" then
                assert.equal("iVBORw0KGgo", at(done, paths[2]):sub(1, 11))
            elseif paths[2] then
                assert.equal(emu.url .. "/images/" .. id .. "/1.png", at(done, paths[2]))
            end
            emu:fail_next(1, "no luck")
            id = curl.accepted(emu)
            emu:finish()
            local failed = curl.poll(emu, id).body
            assert.equal("FAILED", at(cjson.decode(failed), paths[1]))
            assert.equal("no luck", at(cjson.decode(failed), "data.error"))
            assert.falsy(failed:find "http")
        end)
    end

    for name, path in pairs {
        error_string = "data.error", error_object = "data.error.message", fail_reason = "data.fail_reason",
        failMsg = "data.failMsg", top_error = "error.message", no_reason = false,
    } do
        it("contain the failure reason with " .. name, function()
            assert.truthy(emulator.failure_shapes[name])
            emu:set { failure_shape = name }
            emu:fail_next(1, "no luck")
            local id = curl.accepted(emu)
            emu:finish()
            local body = curl.poll(emu, id).body
            assert.equal("FAILED", cjson.decode(body).data.status)
            if path then
                assert.equal("no luck", at(cjson.decode(body), path))
            else
                assert.falsy(body:find "no luck")
            end
        end)
    end

    it("repeat the element with the URL for each image", function()
        emu:set { images_per_task = 3 }
        local id = curl.accepted(emu)
        emu:finish()
        local function url(n)
            return ("%s/images/%s/%d.png"):format(emu.url, id, n)
        end
        emu:set { shape = "result_images_nested" }
        assert.same({ { url = { url(1) } }, { url = { url(2) } }, { url = { url(3) } } },
            cjson.decode(curl.poll(emu, id).body).data.result.images)
        emu:set { shape = "result_objects" }
        assert.same({ type = "image", url = url(3) }, cjson.decode(curl.poll(emu, id).body).data.result[3])
        assert.equal(200, curl.request(url(3)).status)
        assert.not_equal(curl.request(url(1)).body, curl.request(url(3)).body)
        assert.equal(404, curl.request(url(4)).status)
    end)

    it("can be defined by the user", function()
        emu:set { shape = '{"job":{"id":"$task_id","phase":"$status","deep":[[{"pic":"$url"}]]}}' }
        local id = curl.accepted(emu)
        assert.same({ job = { id = id, phase = "IN_PROGRESS" } }, cjson.decode(curl.poll(emu, id).body))
        emu:finish()
        assert.equal(emu.url .. "/images/" .. id .. "/1.png",
            at(cjson.decode(curl.poll(emu, id).body), "job.deep.1.1.pic"))
    end)

    it("include OpenAI's synchronous response to a submission", function()
        emu:set { sync = "url", duration = 0.1 }
        local response = cjson.decode(curl.submit(emu).body)
        local id = emu:ledger()[1].task_id
        assert.equal("succeeded", emu:task(id).state)
        assert.same({ { url = emu.url .. "/images/" .. id .. "/1.png" } }, response.data)
        assert.equal("number", type(response.created))
        emu:set { sync = "b64_json", duration = 0 }
        assert.equal("iVBORw0KGgo", cjson.decode(curl.submit(emu).body).data[1].b64_json:sub(1, 11))
        emu:fail_next(1, "no luck")
        response = curl.submit(emu)
        assert.equal(400, response.status)
        assert.equal("no luck", cjson.decode(response.body).error.message)
    end)
end)
