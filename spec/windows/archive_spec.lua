-- The archive for Windows as its users have it: unpacked into an empty folder beside an interpreter and its DLL. The
-- service is an emulator on Linux.
if package.config:sub(1, 1) ~= "\\" then
    return describe("the archive for Windows", function() pending "needs Windows" end)
end

local bound = require "support.bound"
local core = require "flux2.core"
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
local client = assert(flux2.new { poll = { interval = 0.1 } })
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

-- The command line, with a place for its records that no other spec uses: Wine sets this variable itself.
local RUN = "@set LOCALAPPDATA=%CD%\\local\r\n@bin\\flux2.cmd %*\r\n"

describe("the archive", function()
    local emu, dir

    setup(function()
        dir = service.directory()
        local code, printed = shell.run(([[
            cd '%s' && unzip -q '%s'/../dist/windows/flux2-*-windows-x64-%s.zip && mkdir -p local '%s' &&
            cp '%s/%s/%s' '%s/%s/%s' .
        ]]):format(dir, BUILD, DLL:match "^%w+", FOLDER, BUILD, ABI, EXE, BUILD, ABI, DLL))
        assert.equal(0, code, printed)
        service.write(dir .. "/game.lua", GAME)
        service.write(dir .. "/run.cmd", RUN)
    end)
    teardown(function() service.remove(dir) end)
    before_each(function() emu = service.start { duration = 0.2, image_bytes = 5000 } end)
    after_each(service.stop_all)

    --- A command in the folder, for a shell. The modules of the checkout are not found.
    local function command(words)
        return ("cd '%s' && env -u LUA_PATH -u LUA_CPATH -u SSL_CERT_FILE FLUX2_BASE_URL=%s FLUX2_API_KEY=%s "):format(
            dir, emu.url, emu.api_key) .. "FLUX2_POLL_INTERVAL=0.05 timeout --foreground -k 5 " .. bound(60)
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

    local function is_png(path)
        local bytes = core.read_file(dir .. "/" .. path, 1e6)
        return bytes ~= nil and bytes:sub(1, 8) == PNG
    end

    it("saves fifty images at once in a folder with names of any language", function()
        assert.same({ 0, "running\n50 images\ttrue\n", "" }, { run { EXE, "game.lua", "50" } })
        for i = 1, 50 do assert.is_true(is_png(FOLDER .. "/" .. i .. ".png"), i) end
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
end)
