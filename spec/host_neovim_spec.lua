-- flux2 inside Neovim, and the plugin of examples/neovim: real nvim processes without a screen, the emulator in them.
-- Neovim is a LuaJIT, and takes the build for it: these specs belong to the run with LuaJIT. One that is instrumented
-- would need a Neovim that is.

if not rawget(_G, "jit") or (os.getenv "FLUX2_BUILD" or ""):find "/[at]san$" then return end

local json = require "cjson"
local service = require "support.service"
local shell = require "support.shell"

local BOUND = require "support.bound"(60) -- seconds: longer is a hang

-- What every script begins with. It ends by leave(), which hands its report over.
local PRELUDE = [[
local uv, folder = vim.loop, os.getenv "FLUX2_SPEC_FOLDER"
local report, notified = {}, {}
function vim.notify(message, level) notified[#notified + 1] = { message, level } end

local function lines() return vim.api.nvim_buf_get_lines(0, 0, -1, false) end

local function leave()
    report.notified, report.lines, report.messages = notified, lines(), vim.fn.execute "messages"
    local file = assert(io.open(folder .. "/report.json", "w"))
    file:write(vim.fn.json_encode(report))
    file:close()
    vim.cmd "qa!"
end

-- Looks from the main loop, now and then, while Neovim does what it always does.
local function when(condition, fn)
    local timer = uv.new_timer()
    timer:start(5, 5, vim.schedule_wrap(function()
        if timer:is_closing() or not condition() then return end
        timer:close()
        fn()
    end))
end

local function new_client(duration)
    local emulator = assert(require("flux2.emulator").start { duration = duration })
    return assert(require("flux2").new {
        api_key = emulator.api_key, base_url = emulator.url, poll = { interval = 0.02 },
    })
end

local function setup(duration, more)
    require("flux2_nvim").setup(vim.tbl_extend("force", {
        emulator = { duration = duration }, client = { poll = { interval = 0.02 } }, dir = folder,
    }, more or {}))
end
]]

local PNG = "\137PNG\r\n\26\n"

describe("Neovim", function()
    local folder

    before_each(function()
        folder = service.directory()
    end)

    after_each(function() service.remove(folder) end)

    local function files(pattern)
        local pipe = io.popen("cd '" .. folder .. "' && ls -A | grep -c '" .. pattern .. "'")
        local n = tonumber(pipe:read "*l")
        pipe:close()
        return n
    end

    --- Runs a script in nvim: what it reported. It must leave by itself, and well.
    local function nvim(script)
        service.write(folder .. "/script.lua", PRELUDE .. script)
        local command = ("FLUX2_SPEC_FOLDER='%s' XDG_DATA_HOME='%s' XDG_STATE_HOME='%s' LUA_PATH='%s' LUA_CPATH='%s' "
            .. "timeout -k 5 %d nvim --headless -u NONE -i NONE -n --cmd 'set rtp+=examples/neovim' "
            .. "--cmd 'runtime plugin/flux2.lua' -S '%s/script.lua' </dev/null"):format(
            folder, folder, folder, package.path, package.cpath, BOUND, folder)
        local status, output = shell.run(command)
        assert.equal(0, status, output)
        local report = service.read_if_there(folder .. "/report.json")
        assert(report, output)
        return json.decode(report)
    end

    it("has :Flux2, which puts the path where it was given while the editor goes on", function()
        local report = nvim [[
            setup(1)
            vim.api.nvim_buf_set_lines(0, 0, -1, false, { "first", "second", "third" })
            vim.api.nvim_win_set_cursor(0, { 2, 0 })
            report.log, report.ticks = {}, 0
            vim.api.nvim_buf_attach(0, false, { on_lines = function(_, buffer, _, from, _, to)
                vim.list_extend(report.log, vim.api.nvim_buf_get_lines(buffer, from, to, false))
            end })
            local timer = uv.new_timer()
            timer:start(10, 10, function() report.ticks = report.ticks + 1 end)

            vim.cmd "Flux2 a red fox"
            vim.api.nvim_input "ggOtyped meanwhile<Esc>"
            when(function() return #lines() == 5 end, leave)
        ]]
        local path = folder .. "/a-red-fox.png"
        assert.same({ "typed meanwhile", "first", "second", path, "third" }, report.lines)
        assert.equal(PNG, service.read(path):sub(1, 8))
        assert.same({ "typed meanwhile", path }, { report.log[#report.log - 1], report.log[#report.log] })
        assert.is_true(report.ticks > 5)
        assert.matches("Flux2: %u[%u_]+[%d %%]*  a red fox\n", report.messages)
        assert.matches("Flux2: saved [^\n]*a%-red%-fox%.png", report.messages)
        assert.same({}, report.notified)
    end)

    it("makes several at once, each with a name of its own; in Markdown it inserts pictures", function()
        local report = nvim [[
            setup(0.1)
            vim.bo.filetype = "markdown"
            vim.cmd "cd $FLUX2_SPEC_FOLDER"
            for _ = 1, 3 do vim.cmd "Flux2 A fox, red!" end
            when(function() return #lines() == 3 end, leave)
        ]]
        table.sort(report.lines)
        assert.same({ "![A fox, red!](a-fox-red-2.png)", "![A fox, red!](a-fox-red-3.png)", "![A fox, red!](a-fox-red.png)" },
            report.lines)
        assert.equal(3, files "png$")
    end)

    it("calls a function of the user's when it is done", function()
        local report = nvim [[
            setup(0.1, { request = { aspect_ratio = "16:9" }, done = function(path, prompt)
                report.done, report.fast = { path, prompt }, vim.in_fast_event()
                leave()
            end })
            vim.cmd "Flux2 a fox"
        ]]
        assert.same({ folder .. "/a-fox.png", "a fox" }, report.done)
        assert.is_false(report.fast)
        assert.same({ "" }, report.lines)
    end)

    it("says by vim.notify what went wrong", function()
        local report = nvim [[
            setup(0.1, { client = { api_key = "wrong" } })
            vim.cmd "Flux2 a fox"
            when(function() return #notified > 0 end, leave)
        ]]
        assert.matches("^Flux2: auth", report.notified[1][1])
        assert.equal(4, report.notified[1][2]) -- vim.log.levels.ERROR
        assert.same({ "" }, report.lines)
        assert.equal(0, files "png")
    end)

    it("puts the path into a register when the buffer is gone", function()
        local report = nvim [[
            setup(0.1)
            vim.cmd "Flux2 a fox"
            vim.cmd "new"
            vim.cmd "bwipeout 1"
            when(function() return #notified > 0 end, function()
                report.register = vim.fn.getreg '"'
                leave()
            end)
        ]]
        assert.equal(folder .. "/a-fox.png", report.register)
    end)

    it("gives up with :Flux2Cancel", function()
        local report = nvim [[
            setup(30)
            vim.cmd "Flux2 one"
            vim.cmd "Flux2 two"
            vim.cmd "Flux2Cancel"
            report.pending = require("flux2").pending()
            leave()
        ]]
        assert.equal(0, report.pending)
        assert.matches("gave up  one", report.messages)
        assert.matches("gave up  two", report.messages)
        assert.same({}, report.notified)
    end)

    it("leaves at once, and cleanly, while pictures are on their way", function()
        local started = os.time()
        local report = nvim [[
            setup(300)
            for i = 1, 5 do vim.cmd("Flux2 picture " .. i) end
            when(function() return vim.fn.execute("messages"):find("picture 5", 1, true) end, function()
                report.pending = require("flux2").pending()
                leave()
            end)
        ]]
        assert.equal(5, report.pending)
        assert.equal(0, files "png")
        assert.is_true(os.time() - started < BOUND)
    end)

    it("leaves at once after flux2.host.luv was stopped, and goes on after start()", function()
        local report = nvim [[
            local flux2, host = require "flux2", require "flux2.host.luv"
            local client, image = new_client(0.1), nil
            flux2.spawn(function() image = assert(client:generate "a fox") end)
            host.stop()
            vim.wait(300)
            report.early = image ~= nil
            assert(host.start())
            when(function() return image end, leave)
        ]]
        assert.is_false(report.early)
    end)

    it("resumes coroutines and calls listeners where all of its API may be called", function()
        local report = nvim [[
            local flux2 = require "flux2"
            require "flux2.host.luv"
            local client = new_client(0.1)
            flux2.spawn(function()
                local task = assert(client:submit "a fox")
                task:on("done", function() report.listener = vim.in_fast_event() end)
                assert(task:wait())
                report.coroutine = vim.in_fast_event()
                vim.api.nvim_buf_set_lines(0, 0, -1, false, { "from the coroutine" })
                leave()
            end)
        ]]
        assert.is_false(report.listener)
        assert.is_false(report.coroutine)
        assert.same({ "from the coroutine" }, report.lines)
    end)

    it("lets timers and scheduled functions run during a wait outside a coroutine", function()
        local report = nvim [[
            require "flux2.host.luv"
            local client, ticks, timer = new_client(0.3), 0, uv.new_timer()
            timer:start(5, 5, vim.schedule_wrap(function() ticks = ticks + 1 end))
            local task = assert(client:submit "a fox")
            task:on("done", function() -- a wait within a wait
                local before = ticks
                report.nested = assert(client:submit("another"):wait(30)).images[1] ~= nil
                report.ticks_nested = ticks - before
            end)
            report.outer = assert(task:wait(30)).images[1] ~= nil
            report.ticks, report.size = ticks, #assert(client:generate "third"):bytes()
            local late, err = assert(client:submit "too late"):wait(0.01)
            report.late = { late == nil, err.kind }
            leave()
        ]]
        assert.is_true(report.outer)
        assert.is_true(report.nested)
        assert.is_true(report.ticks_nested > 3)
        assert.is_true(report.ticks > report.ticks_nested)
        assert.is_true(report.size > 8)
        assert.same({ true, "timeout" }, report.late)
    end)

    it("ends such a wait on Ctrl-C, and leaves the task alone", function()
        local report = nvim [[
            require "flux2.host.luv"
            local task = assert(new_client(1):submit "a fox")
            local pressed = false
            task:on("status", function()
                if task.state ~= "running" or pressed then return end
                pressed = true
                vim.api.nvim_input "<C-c>"
            end)
            local ok, err = pcall(task.wait, task)
            report.ok, report.err, report.state = ok, tostring(err), task.state
            report.result = task:wait(30) ~= nil
            leave()
        ]]
        assert.is_false(report.ok)
        assert.matches("Keyboard interrupt", report.err)
        assert.equal("running", report.state)
        assert.is_true(report.result)
    end)

    it("does not deadlock in a wait in a fast event", function()
        local report = nvim [[
            require "flux2.host.luv"
            local client, timer = new_client(0.1), uv.new_timer()
            local other = assert(client:submit "the other")
            timer:start(1, 0, function()
                timer:close()
                report.fast = vim.in_fast_event()
                report.result = assert(client:submit("a fox"):wait(30)).images[1] ~= nil
            end)
            when(function() return report.result and other.state == "succeeded" end, leave)
        ]]
        assert.is_true(report.fast)
        assert.is_true(report.result)
    end)

    it("tells of an error in a coroutine that nobody joins", function()
        local report = nvim [[
            local flux2 = require "flux2"
            require "flux2.host.luv"
            flux2.spawn(function() flux2.sleep(0.01) error "nobody joins this" end)
            flux2.spawn(error, "but this"):join()
            when(function() return #notified > 0 end, leave)
        ]]
        assert.equal(1, #report.notified)
        assert.matches("nobody joins this", report.notified[1][1])
    end)

    it("does not spin while the main loop is held up", function()
        local report = nvim [[
            local schedule = vim.schedule
            report.scheduled = 0
            vim.schedule = function(fn)
                report.scheduled = report.scheduled + 1
                return schedule(fn)
            end
            local flux2 = require "flux2"
            require "flux2.host.luv"
            local slept
            flux2.spawn(function() slept = flux2.sleep(0.01) end)
            -- The loop of libuv turns, the main loop does not: as in front of "Press ENTER".
            vim.wait(300, function() return false end, 10, true)
            report.held_up, report.slept = report.scheduled, slept
            when(function() return slept end, leave)
        ]]
        assert.equal(1, report.held_up)
        assert.is_nil(report.slept)
    end)
end)
