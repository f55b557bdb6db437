-- The images that clients upload to `flux2 serve`, as its own process: for how long it keeps them, and how the service gets
-- them.
local has_gateway, gateway = pcall(require, "support.gateway")
if not has_gateway or not gateway.is_available then return end -- a checkout without the gateway
if not gateway.is_worth_running then
    return describe("the uploads of a gateway", function() pending "runs on Lua 5.1 and 5.4, without instrumentation" end)
end

local core = require "flux2.core"
local flux2 = require "flux2"
local json = require "flux2.json"
local program = require "support.program"
local service = require "support.service"

local PNG = "\137PNG\r\n\26\n" .. ("\0\1\2\255pixels"):rep(3000)

describe("the uploads of a gateway", function()
    local emu, dir
    gateway.around_each(before_each, after_each, function(...) emu, dir = ... end)

    local function start(...) return gateway.start(emu, dir .. "/a", ...) end

    it("keeps uploads of a token for a while, under names that cannot be guessed", function()
        local gw = start()
        local token, other = gw:token("arcade", { per_minute = 1 }), gw:token "other"
        local function upload(bytes, given)
            service.write(dir .. "/upload", bytes)
            return gw:request("POST", "/uploads", given, { args = { "--data-binary", "@" .. dir .. "/upload" } })
        end
        assert.equal(401, upload(PNG).status)
        assert.equal(415, upload("<html>", token).status)
        assert.equal(413, upload(PNG .. ("x"):rep(16 * 2 ^ 20), token).status)
        assert.equal(405, gw:request("GET", "/uploads", token).status)
        local url = upload(PNG, token).json.data.url
        local name = url:match("^" .. gw.url:gsub("%W", "%%%0") .. "/uploads/([%w_-]+)$")
        assert.is_true(#name >= 24, url)
        local got = gw:request("GET", "/uploads/" .. name)
        assert.equal(PNG, got.body)
        assert.equal("image/png", got.headers["content-type"])
        assert.equal("nosniff", got.headers["x-content-type-options"])
        assert.equal(404, gw:request("GET", "/images/" .. name).status)
        assert.equal(404, gw:request("GET", "/uploads/" .. ("x"):rep(24)).status)
        assert.equal(url, upload(PNG, token).json.data.url, "the same content of the same token")
        assert.not_equal(url, upload(PNG, other).json.data.url)
        for i = 1, 7 do assert.equal(200, upload(PNG .. i, token).status) end
        local refused = upload(PNG .. 8, token)
        assert.equal(429, refused.status, "eight uploads count as one submission")
        assert.equal("60", refused.headers["retry-after"])
        assert.is_nil(service.read(gw.dir .. "/.stdout"):find(name, 1, true))
        assert.equal(0, gw:metric "credits_spent")
    end)

    it("passes the local images of a client on as URLs", function()
        local gw = start()
        local token = gw:token "arcade"
        service.write(dir .. "/fox.png", PNG)
        local client = assert(flux2.new { provider = "gateway", api_key = token, base_url = gw.url })
        assert(client:generate({ prompt = "a fox in winter", input_images = { dir .. "/fox.png", { bytes = PNG .. "!" } } }))
        assert.equal(0, (program.run({ url = gw.url, api_key = token }, dir, { "generate", "a fox at night", "-q", "--input",
            dir .. "/fox.png", "-o", dir .. "/night.png" }, { env = { FLUX2_PROVIDER = "gateway" } })))
        local first, second = emu:ledger()[1].input_urls, emu:ledger()[2].input_urls
        assert.equal(PNG, gw:request("GET", first[1]:match "(/uploads/.*)$").body)
        assert.equal(PNG .. "!", gw:request("GET", first[2]:match "(/uploads/.*)$").body)
        assert.same({ first[1] }, second)
        assert.is_true(service.exists(dir .. "/night.png"))
    end)

    it("has Black Forest Labs behind it, with more fields and types, and uploads as files", function()
        local bfl = service.start { dialect = "bfl", duration = 0.01, image_bytes = 600, log_body_bytes = 2 ^ 20 }
        local env = { FLUX2_PROVIDER = "bfl", BFL_BASE_URL = bfl.url, BFL_API_KEY = bfl.api_key }
        local gw = gateway.start(nil, dir .. "/b", env)
        local token = gw:token "arcade"
        local client = assert(flux2.new { provider = "gateway", api_key = token, base_url = gw.url, poll = { interval = 0.05 } })
        assert(client:generate { prompt = "a fox in winter", input_images = { { bytes = PNG }, "https://a.example/2.png" } })
        local function submission(n)
            local posts = {}
            for _, request in ipairs(bfl:requests()) do
                if request.method == "POST" then posts[#posts + 1] = request end
            end
            return json.decode(posts[n].body), posts[n].path
        end
        local sent = submission(1)
        assert.same({ core.base64(PNG), "https://a.example/2.png" }, { sent.input_image, sent.input_image_2 })
        local task = gw:finish(token, gw:accepted(token, { prompt = "a red fox", type = "max", seed = 7 }))
        assert.equal("SUCCESS", task.status)
        local path
        sent, path = submission(2)
        assert.same({ "/v1/flux-2-max", 7 }, { path, sent.seed })
        assert.is_number(task.credits_used)
        -- No limit is passed by other fields, and no file of this machine is named.
        local small = gw:token("small", { budget = 50, allowed = { resolution = { "1K" } } })
        service.write(dir .. "/private.png", PNG)
        for _, case in ipairs {
            { 400, input_images = { dir .. "/private.png" } }, { 403, resolution = "2K" },
            { 403, width = 2048, height = 2048 }, { 402, input_urls = { "https://a.example/2.png" } },
            { 402, extra = { input_image = "https://a.example/2.png" } },
        } do
            local status = table.remove(case, 1)
            case.prompt = "a fox"
            assert.equal(status, gw:submit(small, case).status, json.write(case))
        end
        assert.equal(403, gw:request("POST", "/v1/images/generations", small, {
            body = { prompt = "a fox", size = "2048x2048" } }).status)
        assert.equal(2, #bfl:ledger())
        gw:stop()
        gw:restart()
        assert.equal("SUCCESS", gw:poll(token, task.task_id).json.data.status)
    end)
end)
