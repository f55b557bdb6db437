-- The archive for Windows as its users have it: unpacked into an empty folder beside an interpreter and its DLL. The
-- service is an emulator on Linux.
if package.config:sub(1, 1) ~= "\\" then
    return describe("the archive for Windows", function() pending "needs Windows" end)
end

local bound = require "support.bound"
local core = require "flux2.core"
local json = require "flux2.json"
local png = require "support.png"
local program = require "support.program"
local service = require "support.service"
local shell = require "support.shell"

local BUILD = os.getenv "FLUX2_BUILD"
local ABI = _VERSION:match "%d%.%d"
local EXE, DLL = "lua54.exe", "lua54.dll"
if rawget(_G, "jit") then EXE, DLL = "luajit.exe", "lua51.dll" end
local PNG = "\137PNG\r\n\26\n"
local FOLDER = "Bilder \195\188/\230\151\165\230\156\172" -- characters of which no code page has all

local GAME = ([[
local flux2 = require "flux2"
local pause = require("flux2.core").pause -- in the place of the screen
local client = assert(flux2.new { metadata = true, poll = { interval = 0.1 } })
local wanted, images, frames = tonumber(arg[1]), 0, 0

for i = 1, wanted do
    flux2.spawn(function()
        assert(client:generate("a red fox " .. i, { save = "FOLDER/" .. i .. ".png" }))
        images = images + 1
    end)
end

print "running"
io.stdout:flush()
while images < wanted do
    flux2.update()
    frames = frames + 1
    pause(1 / 60)
end
print(images .. " images", frames > 10)
]]):gsub("FOLDER", FOLDER)

local WITH_INPUT = ([[
local flux2 = require "flux2"
local client = assert(flux2.new { poll = { interval = 0.05 } })
assert(client:generate({ prompt = "winter", input_images = { "FOLDER/fox.png" } }, { save = "FOLDER/winter.png" }))
]]):gsub("FOLDER", FOLDER)

-- The command line, with a place for its records that no other spec uses: Wine sets this variable itself.
local RUN = "@set LOCALAPPDATA=%CD%\\local\r\n@bin\\flux2.cmd %*\r\n"

describe("the archive", function()
    local emu, dir
    local provider = "apiin"

    setup(function()
        dir = service.directory()
        local code, printed = shell.run(([[
            cd '%s' && unzip -q '%s'/../dist/windows/flux2-*-windows-x64-%s.zip && mkdir -p local '%s' &&
            cp '%s/%s/%s' '%s/%s/%s' .
        ]]):format(dir, BUILD, DLL:match "^%w+", FOLDER, BUILD, ABI, EXE, BUILD, ABI, DLL))
        assert.equal(0, code, printed)
        service.write(dir .. "/game.lua", GAME)
        service.write(dir .. "/input.lua", WITH_INPUT)
        service.write(dir .. "/run.cmd", RUN)
    end)
    teardown(function() service.remove(dir) end)
    before_each(function() emu = service.start { duration = 0.2, image_bytes = 5000 } end)
    after_each(service.stop_all)

    --- A command in the folder, for a shell. The modules of the checkout are not found.
    local function command(words)
        return ("cd '%s' && env -u LUA_PATH -u LUA_CPATH -u SSL_CERT_FILE FLUX2_BASE_URL=%s FLUX2_API_KEY=%s "):format(
            dir, emu.url, emu.api_key) .. ("BFL_BASE_URL=%s BFL_API_KEY=%s "):format(emu.url, emu.api_key) ..
            "FLUX2_PROVIDER=" .. provider .. " FLUX2_POLL_INTERVAL=0.05 timeout --foreground -k 5 " .. bound(60)
            .. " wine " .. shell.join(words)
    end

    --- Runs a command. Returns its exit status, stdout and stderr without carriage returns.
    local function run(words)
        local code = shell.run(command(words) .. " >.stdout 2>.stderr </dev/null")
        local function read(name) return (service.read(dir .. "/" .. name):gsub("\r", "")) end
        return code, read ".stdout", read ".stderr"
    end

    local function flux2(...) return run { "cmd", "/c", "run.cmd", ... } end

    --- Starts a command in the background. Returns its process id; its output goes to .stdout.
    local function start(words)
        local pipe = io.popen(("{ { %s >.stdout 2>&1 & } && echo $!; } </dev/null"):format(
            command(words):gsub("timeout .- wine", "wine", 1)))
        local pid = tonumber(pipe:read "*l")
        pipe:close()
        return pid
    end

    --- Lua's io opens no name that is not in the code page.
    local function read(path) return core.read_file(dir .. "/" .. path, 1e6) or "" end
    local function is_png(path) return read(path):sub(1, 8) == PNG end

    it("saves fifty images at once in a folder with names of any language", function()
        assert.same({ 0, "running\n50 images\ttrue\n", "" }, { run { EXE, "game.lua", "50" } })
        for i = 1, 50 do
            local bytes = read(FOLDER .. "/" .. i .. ".png")
            assert.equal("a red fox " .. i, png.description(bytes).request.prompt)
            assert.equal(5000, #png.without_metadata(bytes))
        end
    end)

    it("has a program that prints how an image was made, and makes one like it", function()
        local prompt, path = "ein Fuchs im \195\188bel, \230\151\165\230\156\172", FOLDER .. "/Fuchs.png"
        assert.same({ 0, path .. "\n", "" }, { flux2("generate", prompt, "--type", "flex", "-q", "-o", path) })
        local code, out, err = flux2("show", path)
        assert.same({ 0, "" }, { code, err })
        assert.matches("^prompt         " .. prompt .. "\nmodel          flux%-2\ntype           flex\n", out)
        code, out = flux2("show", path, "--json")
        assert.same({ 0, path, prompt }, { code, json.decode(out).file, json.decode(out).prompt })
        assert.same({ 0, FOLDER .. "/like.png\n", "" },
            { flux2("generate", "--like", path, "-q", "-o", FOLDER .. "/like.png") })
        local ledger = emu:ledger()
        assert.same({ 2, json.decode(ledger[1].body) }, { #ledger, json.decode(ledger[2].body) })
        assert.equal(20, (flux2("show", FOLDER .. "/none.png")))
    end)

    it("sends input images from a folder with names of any language", function()
        emu, provider = service.start { dialect = "bfl", duration = 0.2, log_body_bytes = 2 ^ 16 }, "bfl"
        finally(function() provider = "apiin" end)
        local fox = png.with(png.chunk("teSt", "\0\r\n\26\255"))
        assert(core.write_file(dir .. "/" .. FOLDER .. "/fox.png", fox))
        assert.same({ 0, "", "" }, { run { EXE, "input.lua" } })
        assert.is_true(is_png(FOLDER .. "/winter.png"))
        assert.equal(0, (flux2("generate", "autumn", "--input", FOLDER .. "/fox.png", "-q", "-o", "autumn.png")))
        assert.is_true(is_png "autumn.png")
        local ledger = emu:ledger()
        for i, prompt in ipairs { "winter", "autumn" } do
            assert.same({ prompt = prompt, input_image = core.base64(fox) }, json.decode(ledger[i].body))
        end
    end)

    it("has a program that generates, batches and examines", function()
        assert.same({ 0, "a-red-fox.png\n", "" }, { flux2("generate", "a red fox", "-q") })
        assert.is_true(is_png "a-red-fox.png")
        local drive = "Z:" .. dir
        assert.same({ 0, drive .. "/hare.png\n", "" },
            { flux2("generate", "a red hare", "-q", "-o", drive:gsub("/", "\\") .. "\\hare.png") })
        assert.is_true(is_png "hare.png")
        service.write(dir .. "/list.txt", "a red fox\na grey heron\n")
        assert.equal(0, (flux2("batch", "list.txt", "--out", "birds")))
        assert.same({ "1-a-red-fox.png", "2-a-grey-heron.png" }, program.images(dir .. "/birds"))
        local code, out, err = flux2 "doctor"
        assert.equal(0, code, out .. err)
        assert.matches("Schannel", out)
        assert.matches("those of Windows", out)
        assert.matches("does not run on Windows", out)
        assert.matches("local/flux2/spool", out)
        assert.equal(2, (flux2("generate", "a red fox", "--colour", "red")))
    end)

    it("has a program that writes the same bytes to a pipe and to a file", function()
        assert.equal(0, shell.run(command { EXE, "bin/flux2", "generate", "a red fox", "-q", "--no-metadata", "-o", "-" } ..
            " >pipe.png"))
        local bytes = service.read(dir .. "/pipe.png")
        assert.same({ PNG, 5000 }, { bytes:sub(1, 8), #bytes })
    end)

    it("has a program that refuses a name before payment", function()
        for _, name in ipairs { ("n"):rep(256) .. ".png", "a:b.png", "NUL", "what?.png" } do
            local code, _, err = flux2("generate", "a red fox", "-o", name)
            assert.equal(20, code, err)
        end
        assert.same({}, emu:ledger())
    end)

    it("stops at Ctrl-C", function()
        emu:set { duration = 60 }
        local pid = start { EXE, "game.lua", "5" }
        program.until_(function() return #emu:ledger() == 5 end)
        program.stop(pid, "INT")
        assert.matches("^running\r\n.*interrupted!", service.read(dir .. "/.stdout"))
    end)

    it("loses no image if its program is killed during a batch, and pays for none twice", function()
        emu:set { duration = 60 }
        service.write(dir .. "/list.txt", "a red fox\na grey heron\na lynx\n")
        local pid = start { EXE, "bin/flux2", "batch", "list.txt", "--out", "killed" }
        program.until_(function() return program.accepted(dir .. "/killed/.flux2-spool") == 3 end)
        program.stop(pid, "KILL")
        emu:finish()
        local code, out, err = flux2("recover", "--spool", "killed/.flux2-spool", "-o", "killed")
        assert.equal(0, code, out .. err)
        assert.same({ "a-grey-heron.png", "a-lynx.png", "a-red-fox.png" }, program.images(dir .. "/killed"))
        assert.equal(3, #emu:ledger())
    end)

    it("finds the record of an interrupted program in the local application data", function()
        emu:set { duration = 60 }
        assert.is_true((flux2("generate", "a red fox", "--timeout", "1")) ~= 0)
        emu:finish()
        assert.same({ 0, "again/a-red-fox.png\n", "" }, { flux2("recover", "-q", "-o", "again") })
        assert.equal(1, #emu:ledger())
    end)

    it("removes damaged records from a folder with names of any language", function()
        local spool = FOLDER .. "/spool"
        assert(core.directory(dir .. "/" .. spool))
        assert(core.write_file(dir .. "/" .. spool .. "/task-0a-0001.json.damaged", "{"))
        local code, out, err = flux2("recover", "--discard-unknown", "--spool", spool)
        assert.equal(0, code, out .. err)
        for _, name in ipairs(core.list(dir .. "/" .. spool)) do assert.is_nil(name:find "^task", name) end
    end)

    it("has a program that says which commands need another system", function()
        for words, named in pairs { emulator = "flux2.emulator", serve = "the gateway", tester = "the tester" } do
            local code, out, err = flux2(words)
            assert.same({ 20, "" }, { code, out })
            assert.matches("^flux2: io: " .. named .. " does not run on Windows: start [^\n]*\n$", err)
        end
    end)
end)
