-- Local images as input: what arrives at the service is compared with the files, byte by byte.

local cjson = require "cjson"
local core = require "flux2.core"
local flux2 = require "flux2"
local program = require "support.program"
local service = require "support.service"

local PNG = "\137PNG\r\n\26\n" .. ("\0\1\2\255pixels"):rep(3000)
local JPEG = "\255\216\255\224" .. ("a photograph"):rep(10)

describe("input_images, with a provider that takes Base64,", function()
    local emu, client, dir
    service.around_each(before_each, after_each, { dialect = "bfl", log_body_bytes = 2 ^ 22 }, function(fresh, folder)
        emu, dir = fresh, folder
        client = service.client(emu, { provider = "bfl" })
        service.write(dir .. "/fox.png", PNG)
    end)

    local function arrived(number)
        return cjson.decode(emu:requests()[number or 1].body)
    end

    it("are files, bytes and URLs in their order, encoded as Base64", function()
        local task = assert(client:submit {
            prompt = 'the "same" fox', input_urls = { "https://a.example/0.png" },
            input_images = { dir .. "/fox.png", { bytes = JPEG }, "https://a.example/1.png",
                { bytes = core.buffer(PNG) } },
        })
        assert(task:wait())
        assert.same({
            prompt = 'the "same" fox', input_image = "https://a.example/0.png", input_image_2 = core.base64(PNG),
            input_image_3 = core.base64(JPEG), input_image_4 = "https://a.example/1.png",
            input_image_5 = core.base64(PNG),
        }, arrived())
        assert.same({ "https://a.example/0.png", dir .. "/fox.png", "(image/jpeg, 124 bytes)",
            "https://a.example/1.png", "(image/png, " .. #PNG .. " bytes)" }, task.request.input_urls)
        assert.equal(PNG, core.unbase64(arrived().input_image_2))
    end)

    for size = 12, 15 do
        it("are encoded exactly, " .. size .. " bytes", function()
            local bytes = PNG:sub(1, size)
            service.write(dir .. "/small.png", bytes)
            assert(client:generate { prompt = "fox", input_images = { dir .. "/small.png", { bytes = bytes } } })
            local body = arrived()
            assert.same({ bytes, bytes }, { core.unbase64(body.input_image), core.unbase64(body.input_image_2) })
        end)
    end

    it("are sent again whole after a refusal", function()
        emu:fault { method = "POST", status = 429, headers = { ["Retry-After"] = "0" } }
        assert(client:generate { prompt = "fox", input_images = { dir .. "/fox.png" } })
        assert.equal(core.base64(PNG), arrived(1).input_image)
        assert.equal(core.base64(PNG), arrived(2).input_image)
    end)

    it("are sent when the service is there, after refused connections, as they are then", function()
        local probe, refused = service.start(), 0
        probe:stop()
        local late = service.client(probe, { provider = "bfl", api_key = emu.api_key, max_retries = 1000 })
        local task = assert(late:submit({ prompt = "fox", input_images = { dir .. "/fox.png", { bytes = JPEG } } }, {
            on_request = function(_, info) refused = refused + (info.failure == "connect" and 1 or 0) end,
        }))
        service.pump_until(function() return refused > 0 end)
        service.write(dir .. "/fox.png", PNG .. PNG)
        emu = service.start { port = probe.port, dialect = "bfl", log_body_bytes = 2 ^ 20 }
        assert(task:wait())
        assert.same({ core.base64(PNG .. PNG), core.base64(JPEG) }, { arrived().input_image, arrived().input_image_2 })
        assert.same({ 1, 0 }, { #emu:ledger(), (select(2, late:spent())) })
    end)

    it("may be images of flux2: their URL while it is alive, else their bytes", function()
        local image = assert(client:generate "fox")
        local url, bytes = image.url, assert(image:bytes())
        assert(client:generate { prompt = "fox in winter", input_images = { image } })
        assert.equal(url, cjson.decode(emu:ledger()[2].body).input_image)
        image._born = core.now() - 600
        assert(client:generate { prompt = "fox in autumn", input_images = { image } })
        assert.equal(bytes, core.unbase64(cjson.decode(emu:ledger()[3].body).input_image))
    end)

    it("may be images that were saved", function()
        local task = assert(client:submit "fox")
        local image = assert(task:wait()).images[1]
        assert(image:save(dir .. "/saved.png"))
        image._born = core.now() - 600
        assert(client:generate { prompt = "fox in winter", input_images = { image } })
        assert.equal(service.read(dir .. "/saved.png"), core.unbase64(cjson.decode(emu:ledger()[2].body).input_image))
    end)

    --- Each row: input_images, kind, message, index.
    for i, row in ipairs {
        { { "DIR/none.png" }, "io", "input_images[1] cannot be read: 'DIR/none.png': No such file or directory", 1 },
        { { "DIR" }, "io", "input_images[1] cannot be read: 'DIR': Is a directory", 1 },
        { { "DIR/fox.png", "DIR/text" }, "not_an_image", "input_images[2] 'DIR/text' is not an image (PNG, ", 2 },
        { { { bytes = "<html>" } }, "not_an_image", "input_images[1] (bytes) is not an image", 1 },
        { { { bytes = 7 } }, "invalid_request", "input_images[1] has no bytes: a string is needed, got 7", 1 },
        { { {} }, "invalid_request", "input_images[1] has no bytes: a string is needed, got nil", 1 },
        { { { bytes = io.stdout } }, "invalid_request", "input_images[1] has no bytes: a string or a buffer of flux2 is", 1 },
        { { { bytes = cjson.null } }, "invalid_request", "input_images[1] has no bytes: a string or a buffer of ", 1 },
        { { 7 }, "invalid_request", "input_images[1] must be the path of a file, an image or { bytes = ", 1 },
        { "fox.png", "invalid_request", "input_images must be a list of files and images, got 'fox.png'" },
        { {}, "invalid_request", "input_images is empty: give files and images, or leave it out" },
        { { bytes = PNG }, "invalid_request",
            "input_images must be an array of files and images, has the key 'bytes'" },
        { { "DIR/fox.png", [3] = "DIR/fox.png" }, "invalid_request",
            "input_images[2] is missing: an array has no holes", 2 },
        { { "DIR/large.png" }, "too_large",
            "input_images[1] 'DIR/large.png' has 40000 bytes, more than max_image_bytes (39000)", 1 },
    } do
        it("are checked before anything is paid, " .. i .. (tostring(row[3]):find "a pipe" and " #special" or ""), function()
            local function in_dir(s) return (s:gsub("DIR", function() return dir end)) end
            service.write(dir .. "/text", "no image at all")
            service.write(dir .. "/large.png", PNG .. ("x"):rep(40000 - #PNG))
            local list = row[1]
            for k, value in ipairs(type(list) == "table" and list or {}) do
                if type(value) == "string" then list[k] = in_dir(value) end
            end
            local careful = service.client(emu, { provider = "bfl", max_image_bytes = 39000 })
            local task, err = careful:submit { prompt = "fox", input_images = list }
            assert.is_nil(task)
            local message = in_dir(row[3])
            assert.same({ row[2], message, "input_images", row[4] },
                { err.kind, err.message:sub(1, #message), err.field, err.index })
            assert.same({ 0, 0 }, { careful:spent() })
            assert.equal(0, #emu:requests())
        end)
    end

    it("beside invalid input_urls are refused", function()
        for _, row in ipairs {
            { "https://a.example/0.png", "input_urls must be an array of URLs, got one string: write input_urls = { '" },
            { { "https://a.example/0.png", "0.png" }, "input_urls[2] must be an http(s) URL, got '0.png': ", 2 },
            { {}, "input_urls is empty: " }, { 7, "input_urls must be an array of 1 to 8 URLs, got 7" },
        } do
            local _, err = client:submit { prompt = "fox", input_urls = row[1], input_images = { dir .. "/fox.png" } }
            assert.same({ "invalid_request", row[2], "input_urls", row[3] },
                { err.kind, err.message:sub(1, #row[2]), err.field, err.index })
        end
        assert.equal(0, #emu:requests())
    end)

    it("are not one image, which is no list", function()
        local image = assert(client:generate "a fox")
        local _, err = client:submit { prompt = "the fox in winter", input_images = image }
        assert.equal("input_images must be a list of files and images, got one image: write input_images = { image }",
            err.message)
        assert.equal(1, emu:stats().submissions)
    end)

    it("leave a request the fields of its metatable", function()
        local given = setmetatable({ prompt = "fox", input_images = { dir .. "/fox.png" } },
            { __index = { type = "klein-4b", extra = { tint = "red" } } })
        assert(client:generate(given))
        assert.matches("/flux%-2%-klein%-4b$", emu:requests()[1].path)
        assert.same({ "red", core.base64(PNG) }, { arrived().tint, arrived().input_image })
    end)

    it("that disappear before they are read end the task, unsent and unpaid", function()
        local slow = service.client(emu, { provider = "bfl", max_submissions_per_second = 1, spool = dir .. "/spool" })
        local first = assert(slow:submit "the first one uses this second's turn")
        local task = assert(slow:submit { prompt = "fox", input_images = { dir .. "/fox.png" } }, { price = 1 })
        os.remove(dir .. "/fox.png")
        local result, err = task:wait()
        assert.is_nil(result)
        assert.equal("io", err.kind)
        assert.equal("nothing was sent, because an input image could not be read: No such file or directory", err.message)
        service.pump_until(function() return first.id end)
        assert.equal(1, emu:stats().submissions)
        assert.equal(3, (slow:spent()))
    end)

    it("count against the limits of the type, and have no estimate", function()
        local list = {}
        for i = 1, 5 do list[i] = dir .. "/fox.png" end
        local _, err = client:submit { prompt = "fox", type = "klein-4b", input_images = list }
        assert.equal("input_urls holds 5 URLs, type 'klein-4b' takes at most 4", err.message)
        assert.same({ nil, "the price depends on the sizes of the input images" },
            { client:estimate { prompt = "fox", input_images = { dir .. "/fox.png" } } })
    end)

    it("are named in the spool's record, without their bytes", function()
        emu:set { duration = 60 }
        local task = assert(service.client(emu, { provider = "bfl", spool = dir .. "/spool" }):submit {
            prompt = "fox", input_images = { dir .. "/fox.png", { bytes = PNG } },
        })
        service.pump_until(function() return task.id end)
        local record
        for _, name in ipairs(service.list(dir .. "/spool")) do
            if name:find "%.json$" then record = service.read(dir .. "/spool/" .. name) end
        end
        assert.same({ dir .. "/fox.png", "(image/png, " .. #PNG .. " bytes)" },
            cjson.decode(record).request.input_urls)
        assert.is_true(#record < 2000)
    end)

    it("may have names that are not UTF-8 #names", function()
        local path, record = dir .. "/f\252chsin.png", nil
        service.write(path, PNG)
        local careful = service.client(emu, { provider = "bfl", spool = dir .. "/spool", budget = 5 })
        local task = assert(careful:submit({ prompt = "fox", input_images = { path } }, { price = 5 }))
        service.pump_until(function() return task.id end)
        for _, name in ipairs(service.list(dir .. "/spool")) do
            if name:find "%.json$" then record = cjson.decode(service.read(dir .. "/spool/" .. name)) end
        end
        assert.same({ dir .. "/f\239\191\189chsin.png" }, record.request.input_urls)
        assert(task:wait())
        assert.equal(core.base64(PNG), arrived().input_image)
    end)
end)

describe("input_images, with a provider that takes URLs only,", function()
    local emu, dir
    service.around_each(before_each, after_each, nil, function(fresh, folder)
        emu, dir = fresh, folder
        service.write(dir .. "/fox.png", PNG)
    end)

    it("are refused with the ways to publish them", function()
        local client = service.client(emu)
        local task, err = client:submit { prompt = "a fox", input_images = { dir .. "/fox.png" } }
        assert.is_nil(task)
        assert.equal("invalid_request: input_images[1] is a local image, but provider apiin takes URLs only: " ..
            "publish it and give its URL, let flux2.new { upload = function(file) return url end } do that, or use a " ..
            "gateway: flux2 serve", tostring(err))
        assert.equal(0, #emu:requests())
    end)

    it("are uploaded, once per content, and their URLs are sent", function()
        local files = {}
        local client = service.client(emu, { upload = function(file)
            files[#files + 1] = file
            flux2.sleep(0.001)
            return "https://up.example/" .. #files
        end })
        service.write(dir .. "/copy.png", PNG)
        service.in_coroutine(function()
            assert(client:generate { prompt = "a fox", input_images = { dir .. "/fox.png", { bytes = JPEG } } })
        end)
        assert(client:generate { prompt = "a fox", input_images = { dir .. "/copy.png" },
            input_urls = { "https://a.example/0" } })
        assert.same({ { bytes = PNG, content_type = "image/png", path = dir .. "/fox.png" },
            { bytes = JPEG, content_type = "image/jpeg" } }, files)
        local ledger = emu:ledger()
        assert.same({ "https://up.example/1", "https://up.example/2" }, ledger[1].input_urls)
        assert.same({ "https://a.example/0", "https://up.example/1" }, ledger[2].input_urls)
    end)

    it("have their names in the spool's record, because the URLs of uploads change", function()
        local client = service.client(emu, { spool = dir .. "/spool", upload = function(file)
            return "https://up.example/" .. #file.bytes
        end })
        local task = assert(client:submit {
            prompt = "a fox", input_urls = { "https://a.example/0" }, input_images = { dir .. "/fox.png", { bytes = JPEG } },
        })
        assert(task:wait())
        assert.same({ "https://a.example/0", "https://up.example/" .. #PNG, "https://up.example/" .. #JPEG },
            emu:ledger()[1].input_urls)
        local record
        for _, name in ipairs(service.list(dir .. "/spool")) do
            if name:find "%.json$" then record = cjson.decode(service.read(dir .. "/spool/" .. name)) end
        end
        assert.same({ "https://a.example/0", dir .. "/fox.png", "(image/jpeg, " .. #JPEG .. " bytes)" },
            record.request.input_urls)
    end)

    it("are estimated with the fields of the request's metatable", function()
        local given = setmetatable({ input_images = { dir .. "/fox.png" } }, { __index = { type = "flex" } })
        assert.equal(6, (service.client(emu):estimate(given)))
    end)

    it("whose upload fails cost nothing", function()
        local client = service.client(emu, { upload = function() return nil, "the disk is full" end })
        local _, err = client:submit { prompt = "a fox", input_images = { dir .. "/fox.png" } }
        assert.equal("io: input_images[1] was not uploaded: the disk is full", tostring(err))
        local given = { "fox.png", "https://up.example/fox.png" }
        client = service.client(emu, { upload = function() return table.remove(given, 1) end })
        _, err = client:submit { prompt = "a fox", input_images = { dir .. "/fox.png" } }
        assert.equal("io: input_images[1] was not uploaded: upload gave 'fox.png': it does not begin with http:// or " ..
            "https://", tostring(err))
        assert.equal(0, #emu:requests())
        assert(client:generate { prompt = "a fox", input_images = { dir .. "/fox.png" } })
    end)

    it("pass the URL of a generated image", function()
        local client = service.client(emu)
        local image = assert(client:generate "a fox")
        assert(client:generate { prompt = "the fox in winter", input_images = { image } })
        assert.same({ image.url }, emu:ledger()[2].input_urls)
        assert.equal(10, (client:estimate { prompt = "a fox", input_images = { image } }))
    end)
end)

describe("flux2 generate --input", function()
    local emu, dir
    service.around_each(before_each, after_each, { dialect = "bfl", log_body_bytes = 2 ^ 22 }, function(fresh, folder)
        emu, dir = fresh, folder
        service.write(dir .. "/fox.png", PNG)
    end)

    local function run(words, env)
        env.BFL_BASE_URL, env.BFL_API_KEY = emu.url, emu.api_key
        return program.run(nil, dir, words, { env = env })
    end

    it("sends the files with a provider that takes them", function()
        local code, out, err = run({ "generate", "a fox in winter", "--input", "fox.png", "--type", "max", "-q",
            "-o", "winter.png", "--extra", '{"seed":7,"steps":20}' }, { FLUX2_PROVIDER = "bfl" })
        assert.equal(0, code, out .. err)
        local sent = emu:requests()[1]
        assert.equal("/v1/flux-2-max", sent.path)
        assert.same({ prompt = "a fox in winter", input_image = core.base64(PNG), seed = 7, steps = 20 },
            cjson.decode(sent.body))
        assert.is_true(service.exists(dir .. "/winter.png"))
        local _, estimate = run({ "estimate", "--type", "klein-4b" }, { FLUX2_PROVIDER = "bfl" })
        assert.equal("about 1.4 credits for 1 image\n", estimate)
    end)

    it("says why the default provider does not take them, and which providers there are", function()
        local code, _, err = program.run(emu, dir, { "generate", "a fox", "--input", "fox.png" })
        assert.equal(2, code)
        assert.equal("flux2: --input is a local image, but provider apiin takes URLs only: publish it and give its URL "
            .. "with --input-url, or use a gateway: flux2 serve\nTry: flux2 generate --help\n", err)
        code, _, err = run({ "generate", "a fox" }, { FLUX2_PROVIDER = "blackforest", FLUX2_API_KEY = "k" })
        assert.equal(2, code)
        assert.matches("FLUX2_PROVIDER names no provider: 'blackforest'; known are apiin, bfl", err, 1, true)
        assert.equal(0, #emu:requests())
    end)
end)

describe("flux2 batch --input", function()
    local emu, dir
    service.around_each(before_each, after_each, { dialect = "bfl", duration = 60 }, function(fresh, folder)
        emu, dir = fresh, folder
        service.write(dir .. "/fox.png", PNG)
        service.write(dir .. "/list.txt", "a fox\na hare\n")
    end)

    it("pays for no image again after it was killed", function()
        local env = { FLUX2_PROVIDER = "bfl", BFL_BASE_URL = emu.url, BFL_API_KEY = emu.api_key }
        local words = { "batch", "list.txt", "--input", "fox.png", "--input", "https://a.example/1.png", "--out", "out" }
        local pid = program.start(nil, dir, words, env)
        program.until_(function() return program.accepted(dir .. "/out/.flux2-spool") == 2 end)
        program.stop(pid, "KILL")
        -- As if it had been killed before the second response.
        for _, name in ipairs(core.list(dir .. "/out/.flux2-spool")) do
            local path = dir .. "/out/.flux2-spool/" .. name
            local record = name:find "^task" and service.read(path)
            if record and record:find "a hare" then
                service.write(path, (record:gsub('"task_id": "[^"]+"', '"task_id": ""')))
            end
        end
        emu:finish()
        local code, _, err = program.run(nil, dir, words, { env = env })
        assert.equal(19, code, err)
        assert.matches("2 prompts: 1 to download, 1 of unknown outcome", err)
        assert.equal(2, emu:stats().submissions)
        assert.equal(1, #program.images(dir .. "/out"))
    end)

    it("reads numbers from a table", function()
        emu:set { duration = 0.02 }
        service.write(dir .. "/list.csv", "prompt,seed,width,height\na fox,7, 64 ,64\n")
        local env = { FLUX2_PROVIDER = "bfl", BFL_BASE_URL = emu.url, BFL_API_KEY = emu.api_key }
        local code, _, err = program.run(nil, dir, { "batch", "list.csv", "--out", "out" }, { env = env })
        assert.equal(0, code, err)
        local sent = cjson.decode(emu:ledger()[1].body)
        assert.same({ 7, 64, 64 }, { sent.seed, sent.width, sent.height })
        service.write(dir .. "/list.csv", "prompt,seed\na fox,0x7\n")
        code, _, err = program.run(nil, dir, { "batch", "list.csv", "--out", "out" }, { env = env })
        assert.equal(2, code)
        assert.matches("seed must be a whole number from 0 to 4294967295, got '0x7'", err, 1, true)
    end)
end)
