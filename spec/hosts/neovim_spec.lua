-- flux2 inside Neovim, and the plugin: nvim processes without a screen, with the emulator inside.
-- Neovim uses LuaJIT, so these specs run with LuaJIT only. An instrumented build would need an instrumented Neovim.

if not rawget(_G, "jit") or require "support.build".is_sanitized then
    return describe("the host for Neovim", function() pending "needs LuaJIT without instrumentation" end)
end

local json = require "cjson"
local service = require "support.service"
local shell = require "support.shell"

local BOUND = require "support.bound"(60) -- seconds until a program counts as hanging

-- The beginning of every script. A script ends with leave(), which writes its report.
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

-- Checks the condition from the main loop, and calls fn when it is true.
local function when(condition, fn)
    local timer = uv.new_timer()
    timer:start(5, 5, vim.schedule_wrap(function()
        if timer:is_closing() or not condition() then return end
        timer:close()
        fn()
    end))
end

local emulators = {} -- keeps them from being collected, which would stop them

local function new_client(duration)
    local emulator = assert(require("flux2.emulator").start { duration = duration })
    emulators[#emulators + 1] = emulator
    return assert(require("flux2").new {
        api_key = emulator.api_key, base_url = emulator.url, poll = { interval = 0.02 },
    })
end

local function setup(duration, more)
    require("flux2.host.neovim").setup(vim.tbl_extend("force", {
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

    --- Runs a script in nvim and returns its report. The script must exit with status 0.
    local function nvim(script)
        service.write(folder .. "/script.lua", PRELUDE .. script)
        local command = ("FLUX2_SPEC_FOLDER='%s' XDG_DATA_HOME='%s' XDG_STATE_HOME='%s' LUA_PATH='%s' LUA_CPATH='%s' "
            .. "timeout -k 5 %d nvim --headless -u NONE -i NONE -n --cmd 'set rtp+=.' "
            .. "--cmd 'runtime plugin/flux2.lua' -S '%s/script.lua' </dev/null"):format(
            folder, folder, folder, package.path, package.cpath, BOUND, folder)
        local status, output = shell.run(command)
        assert.equal(0, status, output)
        local report = service.read_if_there(folder .. "/report.json")
        assert(report, output)
        return json.decode(report)
    end

    --- Runs a script in nvim with a copy of the plugin as lazy.nvim installs it: nothing else is found.
    local function nvim_with_copy(script)
        service.write(folder .. "/script.lua", PRELUDE .. script)
        local status, output = shell.run(([[
            mkdir -p '%s/plugin' && cp -R plugin lua doc '%s/plugin' && unset LUA_PATH LUA_CPATH &&
            XDG_DATA_HOME='%s' XDG_STATE_HOME='%s' FLUX2_SPEC_FOLDER='%s' timeout -k 5 %d nvim --headless -i NONE -n \
            -u NONE --cmd 'set rtp^=%s/plugin' --cmd 'helptags %s/plugin/doc' --cmd 'runtime plugin/flux2.lua' \
            -S '%s/script.lua' </dev/null
        ]]):format(folder, folder, folder, folder, folder, BOUND, folder, folder, folder))
        assert.equal(0, status, output)
        return json.decode(service.read(folder .. "/report.json"))
    end

    it("has help for its commands and each option of setup", function()
        local report = nvim_with_copy [[
            report.found = {}
            for _, tag in ipairs { "flux2", ":Flux2", ":Flux2Cancel", "flux2-setup", "flux2-lua", "flux2-problems" } do
                vim.cmd("help " .. tag)
                local place = vim.api.nvim_get_current_line():find("*" .. tag .. "*", 1, true)
                report.found[tag] = (place and "yes" or "no") .. " in " .. vim.fn.expand "%:t"
            end
            leave()
        ]]
        for tag, found in pairs(report.found) do assert.equal("yes in flux2.txt", found, tag) end
        local source, help = service.read "lua/flux2/host/neovim.lua", service.read "doc/flux2.txt"
        local count = 0
        for name in source:match("local options = (%b{})"):gmatch "\n    (%l+) =" do
            assert.truthy(help:find("\n" .. name .. " ", 1, true), name)
            count = count + 1
        end
        assert.equal(6, count)
        for line in help:gmatch "[^\n]+" do assert.is_true(#line <= 78, line) end
    end)

    it("refuses an unknown option of setup at the caller's line", function()
        local report = nvim [[
            report.refused = { pcall(function() require("flux2.host.neovim").setup { folder = "~/images" } end) }
            report.done = select(2, pcall(function() require("flux2.host.neovim").setup { done = "show" } end))
            leave()
        ]]
        assert.is_false(report.refused[1])
        assert.matches("script.lua:%d+: flux2.host.neovim.setup: unknown option 'folder'", report.refused[2])
        assert.matches("script.lua:%d+: flux2.host.neovim.setup: done must be 'insert', 'open' or a function$",
            report.done)
    end)

    it("reports in one line that the module is not built", function()
        local report = nvim_with_copy 'vim.cmd "Flux2 a red fox"; leave()'
        assert.equal(1, #report.notified)
        assert.matches("flux2: cannot load flux2.core: it is not in package.cpath; build it for Lua 5.1 with make",
            report.notified[1][1], 1, true)
        assert.is_nil(report.notified[1][1]:find("\n", 1, true))
    end)

    it("finds the module once it is built, for commands and for programs of the user", function()
        local report = nvim_with_copy [[
            vim.cmd "Flux2 a red fox"
            vim.cmd "Flux2 a red fox" -- the same message again
            assert(uv.fs_mkdir(folder .. "/plugin/build", 493))
            assert(uv.fs_symlink(uv.cwd() .. "/build/5.1", folder .. "/plugin/build/5.1"))
            require("flux2.host.neovim") -- as a program of the user that runs after plugin/flux2.lua
            setup(0.02)
            vim.cmd "Flux2 a red fox"
            when(function() return lines()[1] ~= "" end, leave)
        ]]
        assert.equal(2, #report.notified)
        assert.equal(report.notified[1][1], report.notified[2][1])
        assert.same({ folder .. "/a-red-fox.png" }, report.lines)
        report = nvim_with_copy 'report.loaded = require("flux2")._VERSION leave()'
        assert.equal(require("flux2")._VERSION, report.loaded)
    end)

    it("reports in one line that the emulator is not built", function()
        local report = nvim_with_copy [[
            assert(uv.fs_mkdir(folder .. "/plugin/build", 493) and uv.fs_mkdir(folder .. "/plugin/build/5.1", 493))
            assert(uv.fs_mkdir(folder .. "/plugin/build/5.1/flux2", 493))
            assert(uv.fs_symlink(uv.cwd() .. "/build/5.1/flux2/core.so", folder .. "/plugin/build/5.1/flux2/core.so"))
            setup(0.02)
            for _ = 1, 2 do vim.cmd "Flux2 a red fox" end
            leave()
        ]]
        local words = "Flux2: the emulator is not built: install libmicrohttpd, jansson and cairo, then run make"
        assert.same({ { words, 4 }, { words, 4 } }, report.notified)
    end)

    it("has :Flux2, which inserts the path at the position of the command while editing continues", function()
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

    it("generates several images concurrently with different names, and inserts images in Markdown", function()
        local report = nvim [[
            setup(0.1)
            vim.bo.filetype = "markdown"
            vim.cmd "cd $FLUX2_SPEC_FOLDER"
            for _ = 1, 3 do vim.cmd "Flux2 A fox, red!" end
            when(function() return #lines() == 3 end, leave)
        ]]
        table.sort(report.lines)
        assert.same({ "![A fox, red!](a-fox-red-2.png)", "![A fox, red!](a-fox-red-3.png)",
            "![A fox, red!](a-fox-red.png)" },
            report.lines)
        assert.equal(3, files "png$")
    end)

    it("links images in Markdown relative to the file, in any current directory of Neovim", function()
        os.execute(("mkdir -p '%s/docs/a (b)' '%s/pictures #1'"):format(folder, folder))
        local report = nvim [[
            report.links = {}
            require "flux2.host.neovim" -- loaded relative to the start directory
            vim.cmd "cd $FLUX2_SPEC_FOLDER"
            local steps = {
                { "docs/page.md", "." }, { "docs/page.md", "docs" }, { "docs/page.md", "docs/a (b)" },
                { "docs/a (b)/page.md", "pictures #1" }, { "page.md", "docs" }, { nil, "docs" },
                { "scheme://of-a-plugin/page.md", "." },
            }
            local function step(i)
                if not steps[i] then return leave() end
                local file, dir = unpack(steps[i], 1, 2)
                setup(0.02, { dir = folder .. "/" .. dir })
                if file then vim.cmd("edit! " .. vim.fn.fnameescape(file)) else vim.cmd "enew!" end
                vim.bo.filetype = "markdown"
                vim.cmd("Flux2 fox" .. i)
                when(function() return lines()[1] ~= "" end, function()
                    report.links[i] = lines()[1]
                    step(i + 1)
                end)
            end
            step(1)
        ]]
        assert.same({
            "![fox1](../fox1.png)", "![fox2](fox2.png)", "![fox3](a%20%28b%29/fox3.png)",
            "![fox4](../../pictures%20%231/fox4.png)", "![fox5](docs/fox5.png)", "![fox6](docs/fox6.png)",
            "![fox7](fox7.png)",
        }, report.links)
    end)

    it("creates the folder of the images, and reports one that cannot be created", function()
        local report = nvim [[
            setup(0.02, { dir = folder .. "/new/images" })
            vim.cmd "Flux2 a fox"
            when(function() return lines()[1] ~= "" end, function()
                local path = lines()[1]
                setup(0.02, { dir = path .. "/below a file" })
                vim.cmd "Flux2 a fox"
                when(function() return #notified > 0 end, leave)
            end)
        ]]
        assert.same({ folder .. "/new/images/a-fox.png" }, report.lines)
        assert.matches("^Flux2: io: cannot write [^\n]*: Not a directory$", report.notified[1][1])
    end)

    it("calls the user's function at the end", function()
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

    it("reports errors with vim.notify", function()
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

    it("stops on :Flux2Cancel", function()
        local report = nvim [[
            setup(30)
            vim.cmd "Flux2 one"
            vim.cmd "Flux2 two"
            vim.cmd "Flux2Cancel"
            report.pending = require("flux2").pending()
            leave()
        ]]
        assert.equal(0, report.pending)
        assert.matches("cancelled  one", report.messages)
        assert.matches("cancelled  two", report.messages)
        assert.same({}, report.notified)
    end)

    it("exits quickly and cleanly with pending images", function()
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

    it("exits quickly after flux2.host.luv was stopped, and continues after start()", function()
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

    it("can be stopped between the descriptor's event and the main loop's callback", function()
        local report = nvim [[
            local schedule, host, before = vim.schedule, nil, nil
            vim.schedule = function(fn)
                local is_pump = debug.getinfo(2, "S").source:find("host/luv.lua", 1, true)
                return schedule(function()
                    if before and is_pump then before() end
                    fn()
                end)
            end
            local flux2 = require "flux2"
            host = require "flux2.host.luv"
            local slept, stops = nil, 0
            before = function()
                stops, before = stops + 1, nil
                host.stop()
            end
            flux2.spawn(function() slept = flux2.sleep(0.01) end)
            when(function() return stops > 0 end, function()
                report.early = slept ~= nil
                assert(host.start())
                when(function() return slept end, leave)
            end)
        ]]
        assert.is_false(report.early)
        assert.equal("", report.messages:gsub("%s", ""))
    end)

    it("resumes coroutines and calls listeners where the full Neovim API is available", function()
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

    it("runs timers and scheduled functions during a wait outside a coroutine", function()
        local report = nvim [[
            require "flux2.host.luv"
            local client, ticks, timer = new_client(0.3), 0, uv.new_timer()
            timer:start(5, 5, vim.schedule_wrap(function() ticks = ticks + 1 end))
            local task = assert(client:submit "a fox")
            task:on("done", function() -- a nested wait
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

    it("ends this wait although a timer callback waited inside it and took its event", function()
        local report = nvim [[
            require "flux2.host.luv"
            local client, timer = new_client(0.1), uv.new_timer()
            local outer, inner = assert(client:submit "outer"), nil
            timer:start(1, 0, vim.schedule_wrap(function()
                timer:close()
                repeat -- until the wait inside has taken the event that the outer one waits for
                    inner = assert(client:submit("inner"):wait(30))
                until outer.state ~= "running"
                report.taken = outer.state
            end))
            local began = uv.hrtime()
            report.outer = assert(outer:wait()).images[1] ~= nil
            report.seconds = (uv.hrtime() - began) / 1e9
            report.inner = inner ~= nil
            leave()
        ]]
        assert.equal("succeeded", report.taken)
        assert.is_true(report.outer and report.inner)
        assert.is_true(report.seconds < BOUND / 2)
    end)

    it("ends this wait on Ctrl-C, and does not cancel the task", function()
        local report = nvim [[
            require "flux2.host.luv"
            local task = assert(new_client(60):submit "a fox")
            local pressed = false
            task:on("status", function()
                if task.state ~= "running" or pressed then return end
                pressed = true
                vim.api.nvim_input "<C-c>"
            end)
            local ok, err = pcall(task.wait, task)
            report.ok, report.err, report.state = ok, tostring(err), task.state
            emulators[1]:finish()
            report.result = task:wait(30) ~= nil
            leave()
        ]]
        assert.is_false(report.ok)
        assert.matches("Keyboard interrupt", report.err)
        assert.equal("running", report.state)
        assert.is_true(report.result)
    end)

    it("does not deadlock on a wait in a fast event", function()
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

    it("reports the error of a coroutine without a join", function()
        local report = nvim [[
            local flux2 = require "flux2"
            require "flux2.host.luv"
            flux2.spawn(function() flux2.sleep(0.01) error "an unjoined error" end)
            flux2.spawn(error, "but this"):join()
            when(function() return #notified > 0 end, leave)
        ]]
        assert.equal(1, #report.notified)
        assert.matches("an unjoined error", report.notified[1][1])
    end)

    it("does not spin while the main loop is blocked", function()
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
            -- libuv's loop runs and the main loop does not, as at the "Press ENTER" prompt.
            vim.wait(300, function() return false end, 10, true)
            report.held_up, report.slept = report.scheduled, slept
            when(function() return slept end, leave)
        ]]
        assert.equal(1, report.held_up)
        assert.is_nil(report.slept)
    end)
end)
