-- flux2 show, generate --like, --no-metadata: what images say about themselves, on the command line.
local bound = require "support.bound"
local image_metadata = require "flux2.cli.image_metadata"
local in_process = require "support.in_process"
local json = require "flux2.json"
local png = require "support.png"
local program = require "support.program"
local service = require "support.service"

local XMP_NAME = "http://ns.adobe.com/xap/1.0/\0"

describe("on the command line", function()
    local emu, dir, env
    in_process.around_each(before_each, after_each, function(...) emu, dir, env = ... end)

    local function run(...) return in_process.run(dir, ...) end
    local function read(name) return service.read(dir .. "/" .. name) end
    local function write(name, bytes) service.write(dir .. "/" .. name, bytes) end
    --- What the n-th submission was.
    local function sent(n) return json.decode(emu:ledger()[n].body) end

    it("an image says how it was made, and flux2 show prints it", function()
        assert.equal(0, run("generate", "a red fox", "--type", "flex", "--extra", '{"seed":7}', "-o", "DIR/fox.png"))
        assert.equal(600, #png.without_metadata(read "fox.png"))
        local code, out, err = run("show", "DIR/fox.png")
        assert.same({ 0, "" }, { code, err })
        assert.matches("^prompt         a red fox\nmodel          flux%-2\nseed           7\ntype           flex\n" ..
            "provider       apiin\ntask_id        ID\ntime           TIME\n" ..
            "software       flux2 [%d.]+\n$", out)
        code, out = run("show", "DIR/fox.png", "--json")
        local said = json.decode(out)
        assert.same({ 0, "DIR/fox.png", "a red fox" }, { code, said.file, said.prompt })
        assert.same({ model = "flux-2", prompt = "a red fox", type = "flex", seed = 7 }, said.request)
        assert.is_nil(out:find("\n."))
    end)

    it("--no-metadata, the environment and the configuration file turn it off", function()
        assert.equal(0, run("generate", "a fox", "-o", "DIR/a.png", "--no-metadata"))
        env.FLUX2_METADATA = "false"
        assert.equal(0, run("generate", "a fox", "-o", "DIR/b.png"))
        env.FLUX2_METADATA = nil
        os.execute(("mkdir -p '%s/.config/flux2'"):format(dir))
        write(".config/flux2/config.lua", "metadata = false\n")
        assert.equal(0, run("generate", "a fox", "-o", "DIR/c.png"))
        write("list.txt", "a fox\n")
        assert.equal(0, run("batch", "DIR/list.txt", "--out", "DIR/"))
        for _, name in ipairs { "a.png", "b.png", "c.png", "1-a-fox.png" } do assert.equal(600, #read(name), name) end
        assert.matches("\nmetadata +false +[^\n]*config.lua:1\n", (select(2, run "config")))
        local code, _, err = run("show", "DIR/a.png")
        assert.equal(2, code)
        assert.matches("flux2: 'DIR/a.png' does not say how it was made", err)
    end)

    it("-o - writes the same bytes as into a file", function()
        local _, out = program.run(emu, dir, { "generate", "a fox", "-o", "-" })
        assert.equal(600, #png.without_metadata(out))
        assert.equal("a fox", png.description(out).request.prompt)
        _, out = program.run(emu, dir, { "generate", "a fox", "-o", "-", "--no-metadata" })
        assert.equal(600, #out)
    end)

    it("task and recover describe the images of others", function()
        emu:set { duration = 60 }
        local id = program.abandon(emu, dir, { "generate", "a lost fox" }, dir .. "/state/flux2/spool")
        emu:set { duration = 0.02 }
        emu:finish(id)
        assert.equal(0, run("recover", "-o", "DIR/"))
        assert.equal("a lost fox", png.description(read "a-lost-fox.png").request.prompt)
        assert.equal(0, run("task", id, "--wait", "-o", "DIR/again.png"))
        local said = png.description(read "again.png")
        assert.same({ id, {} }, { said.task_id, said.request })
    end)

    describe("an image with a manifest", function()
        local SEALED = png.with(png.chunk("caBX", "jumb"))
        before_each(function()
            emu:fault { method = "GET", path = "/images/*", status = 200, times = 100, body = SEALED }
        end)

        it("stays as it is, and IMAGE.json says how it was made", function()
            assert.equal(0, run("generate", "a fox", "-o", "DIR/fox.png"))
            assert.equal(SEALED, read "fox.png")
            local code, out, err = run("show", "DIR/fox.png")
            assert.same({ 0, "According to DIR/fox.png.json.\n" }, { code, err })
            assert.matches("^prompt         a fox\n", out)
            assert.equal("DIR/fox.png.json", json.decode((select(2, run("show", "DIR/fox.png", "--json")))).sidecar)
        end)

        it("keeps the file beside it when it gets another name", function()
            emu:fault {
                method = "GET", path = "/api/v1/tasks/*", status = 200, times = 100,
                body = '{"data":{"task_id":"x","status":"completed","output":{"image_url":"/images/n41.jpg"}}}',
            }
            local _, out = run("generate", "a fox", "-o", "DIR/")
            assert.equal("DIR/a-fox.png\n", out)
            assert.matches('"a fox"', read "a-fox.png.json")
            write("list.jsonl", '{"prompt":"a hare","file":"one.png"}\n')
            assert.equal(0, run("batch", "DIR/list.jsonl", "--out", "DIR/out"))
            write("list.jsonl", '{"prompt":"a hare","file":"two.png"}\n')
            assert.equal(0, run("batch", "DIR/list.jsonl", "--out", "DIR/out"))
            assert.equal(SEALED, read "out/two.png")
            assert.matches('"a hare"', read "out/two.png.json")
            assert.is_false(service.exists(dir .. "/out/one.png.json"))
            assert.equal(2, #emu:ledger())
        end)
    end)

    it("batch describes its images, and a second run generates none again", function()
        write("list.txt", "a fox\na hare\n")
        assert.equal(0, run("batch", "DIR/list.txt", "--out", "DIR/out", "--type", "flex"))
        local said = png.description(read "out/2-a-hare.png")
        assert.same({ model = "flux-2", prompt = "a hare", type = "flex" }, said.request)
        local code, _, err = run("batch", "DIR/list.txt", "--out", "DIR/out", "--type", "flex")
        assert.equal(0, code)
        assert.matches("2 done", err)
        assert.equal(2, #emu:ledger())
    end)

    describe("generate --like", function()
        before_each(function()
            assert.equal(0, run("generate", "a fox", "--type", "flex", "--aspect-ratio", "16:9", "-o", "DIR/fox.png"))
        end)

        it("uses prompt and parameters of the image; options win, settings do not", function()
            assert.equal(0, run("generate", "--like", "DIR/fox.png", "-o", "DIR/"))
            assert.same(sent(1), sent(2))
            env.FLUX2_ASPECT_RATIO, env.FLUX2_RESOLUTION = "1:1", "2K"
            assert.equal(0, run("generate", "a hare", "--like", "DIR/fox.png", "--type", "pro", "-o", "DIR/"))
            assert.same({ model = "flux-2", prompt = "a hare", type = "pro", aspect_ratio = "16:9" }, sent(3))
            assert.is_true(service.exists(dir .. "/a-hare.png"))
        end)

        it("sends no undocumented field of the image", function()
            assert.equal(0, run("generate", "a fox", "--extra", '{"seed":7,"n":9}', "-o", "DIR/seed.png"))
            local code, _, err = run("generate", "--like", "DIR/seed.png", "--extra", '{"seed":8}', "-o", "DIR/")
            assert.equal(0, code)
            assert.matches("Not sent, because they are undocumented: n%. ", err)
            assert.same({ model = "flux-2", prompt = "a fox", seed = 8 }, sent(3))
        end)

        it("refuses images that say nothing usable, before anything is paid", function()
            local function said_by(provider, more)
                return png.with(png.chunk("iTXt", "flux2\0\0\0\0\0" ..
                    '{"provider":"' .. provider .. '","software":"flux2 9","request":{"prompt":"a fox"' .. more))
            end
            write("plain.png", png.with "")
            write("text.png", "a text")
            write("bfl.png", said_by("bfl", "}}"))
            write("inputs.png", said_by("apiin", '},"input_images":2}'))
            write("broken.png", said_by("apiin", ',"type":"huge"}}'))
            for _, case in ipairs {
                { "DIR/none.png", 20, "cannot read 'DIR/none.png'" },
                { "DIR/text.png", 17, "'DIR/text.png' is not an image" },
                { "DIR/plain.png", 2, "'DIR/plain.png' does not say how it was made" },
                { "DIR/bfl.png", 2, "made by provider 'bfl', not by apiin" },
                { "DIR/inputs.png", 2, "made from input images" },
                { "DIR/broken.png", 2, "must be 'pro' or 'flex'" },
            } do
                local code, out, err = run("generate", "--like", case[1])
                assert.same({ case[1], case[2], "" }, { case[1], code, out })
                assert.matches(case[3], err, 1, true)
            end
            local url = "https://a.example/fox.png"
            assert.equal(0, run("generate", "--like", "DIR/inputs.png", "-o", "DIR/", "--input-url", url))
            assert.same({ url }, sent(2).input_urls)
            local code, _, err = run "generate"
            assert.equal(2, code)
            assert.matches("flux2 generate needs a prompt", err)
            assert.equal(2, #emu:ledger())
        end)
    end)

    it("show prints no control characters", function()
        write("a.png", png.with(png.chunk("iTXt", "flux2\0\0\0\0\0" ..
            '{"provider":"x\\u001b[2J","software":"flux2 9","task_id":"\\u009b31m","time":"\\u202e",' ..
            '"request":{"prompt":"a\\u0007\255fox","k\\u001b":{"a":["\\u001b"]}}}')))
        for _, option in ipairs { "--color=never", "--json" } do
            local code, out, err = run("show", "DIR/a.png", option)
            assert.equal(0, code, err)
            assert.is_nil(out:find "[%z\1-\9\11-\31\127]")
            assert.is_nil(out:find("\194\155", 1, true) or out:find("\226\128\174", 1, true))
        end
    end)
end)

describe("reading what an image says", function()
    local dir
    before_each(function() dir = service.directory() end)
    after_each(function() service.remove(dir) end)

    local SAID = '{"provider":"apiin","software":"flux2 1","task_id":"n41","request":{"prompt":"a \\u003cfox\\u003e"}}'
    local function read(bytes, sidecar)
        service.write(dir .. "/a", bytes)
        if sidecar then service.write(dir .. "/a.json", sidecar) end
        local said, err = image_metadata.read(dir .. "/a")
        return said and said.request.prompt, err and err.kind, err and err.message
    end
    local function itxt(head, text) return png.with(png.chunk("iTXt", head .. text)) end
    local function packet(content) return "<x:xmpmeta>" .. content .. "</x:xmpmeta>" end
    local function jpeg(content)
        local size = #content + 2
        return "\255\216\255\224\0\4xx\255\255\225" .. string.char(math.floor(size / 256), size % 256) .. content ..
            "\255\219\0\3q\255\218\0\3s\1\255\217"
    end
    local element = "<flux2:generation>" .. SAID .. "</flux2:generation>"
    local attribute = SAID:gsub('"', "&quot;")

    it("finds it in each form that flux2 or an editor writes", function()
        for _, bytes in ipairs {
            itxt("flux2\0\0\0\0\0", SAID), itxt("flux2\0\0\0en\0Flux\0", SAID),
            itxt("XML:com.adobe.xmp\0\0\0\0\0", packet(element)), jpeg(XMP_NAME .. packet(element)),
            jpeg(XMP_NAME .. packet('<a flux2:generation="' .. attribute .. '"/>')),
            jpeg(XMP_NAME .. packet("<a flux2:generation = '" .. SAID .. "'/>")),
            jpeg(XMP_NAME .. packet("<flux2:generation>" .. SAID:gsub('"', "&#34;"):gsub("{", "&#x7B;") ..
                "</flux2:generation>")),
            png.with("", png.chunk("iTXt", "flux2\0\0\0\0\0" .. SAID)),
        } do
            assert.same({ "a <fox>" }, { read(bytes) })
        end
        assert.same({ "a <fox>" }, { read("GIF89a", SAID) })
        assert.same({ "a <fox>" }, { read(png.with "", SAID) })
    end)

    it("ends for any bytes, and does not decompress", function()
        local good = itxt("flux2\0\0\0\0\0", SAID)
        for n = 12, #good, 7 do read(good:sub(1, n)) end
        for _, bytes in ipairs {
            "\137PNG\r\n\26\n\255\255\255\255iTXtflux2", "\137PNG\r\n\26\n" .. ("\0"):rep(5e6), "\255\216\255",
            "\255\216\255\225\0\0", "\255\216\255\225\255\255" .. XMP_NAME .. "<flux2:generation>",
            itxt("flux2\0\1\0\0\0", ("x\156"):rep(1000)), png.with(png.chunk("zTXt", "flux2\0\0" .. ("x"):rep(1000))),
            itxt("flux2", ""), itxt("flux2\0\0\0", ""),
        } do
            local prompt, kind = read(bytes)
            assert.same({ nil, "invalid_request" }, { prompt, kind })
        end
    end)

    it("takes no time that grows with the square of the size", function()
        local opened = ("<flux2:generation>"):rep(50000) -- 900,000 bytes
        local size = #"XML:com.adobe.xmp\0\0\0\0\0" + #opened
        local began = os.clock()
        local prompt, kind = read("\137PNG\r\n\26\n" .. string.char(0, math.floor(size / 65536),
            math.floor(size / 256) % 256, size % 256) .. "iTXtXML:com.adobe.xmp\0\0\0\0\0" .. opened)
        assert.same({ nil, "invalid_request" }, { prompt, kind })
        assert.is_true(os.clock() - began < bound(5))
    end)

    it("refuses texts of another form", function()
        for _, said in ipairs {
            "", "{", "7", "[]", "null", '"x"', SAID:gsub("flux2 1", "gimp"), SAID:gsub('{"prompt.*', "7}"),
            SAID:gsub('"a .-"', "7"), ('{"a":'):rep(5000),
        } do
            local prompt, kind, message = read(itxt("flux2\0\0\0\0\0", said))
            assert.same({ nil, "invalid_request", true },
                { prompt, kind, message:find "damaged metadata" ~= nil or message:find "of another program" ~= nil })
        end
        assert.matches("a.json' has damaged", (select(3, read("GIF89a", "x"))))
    end)
end)
