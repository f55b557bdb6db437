-- Parts of the command line: widths, durations, names, values, lists of prompts, JSON Lines.
local arguments = require "flux2.cli.arguments"
local batch_runner = require "flux2.cli.batch_runner"
local bound = require "support.bound"
local core = require "flux2.core"
local error_output = require "flux2.cli.error_output"
local exit = require "flux2.cli.exit"
local files = require "flux2.cli.files"
local flux2 = require "flux2"
local json = require "flux2.json"
local jsonl = require "flux2.cli.jsonl"
local loop = require "flux2.cli.loop"
local manifest = require "flux2.cli.manifest"
local plan = require "flux2.cli.plan"
local progress = require "flux2.cli.progress"
local prompts = require "flux2.cli.prompts"
local result_json = require "flux2.cli.result_json"
local service = require "support.service"
local session = require "flux2.cli.session"
local settings = require "flux2.cli.settings"
local shell = require "flux2.cli.shell"
local terminal = require "flux2.cli.terminal"
local text = require "flux2.text"
local values = require "flux2.cli.values"
local watch = require "flux2.cli.watch"

local function pack(...) return { n = select("#", ...), ... } end

-- A terminal that records its output.
local function fake(options)
    local written = { out = {}, err = {} }
    local function stream(name)
        return {
            write = function(_, ...) for _, s in ipairs { ... } do table.insert(written[name], s) end end,
            flush = function() end,
        }
    end
    local env = options.env or { LANG = "C.UTF-8" }
    local made = terminal.new {
        out = stream "out", err = stream "err", getenv = function(name) return env[name] end,
        is_terminal = function(fd) return options[fd] or false end, columns = function() return options.columns end,
    }
    return made, function(name) return table.concat(written[name]) end
end

describe("the terminal", function()
    it("draws a progress line only on a terminal, and clears it before other output", function()
        local t, written = fake { [1] = true, [2] = true, columns = 12 }
        t:draw "0123456789 and more"
        assert.equal("\r0123456789 \27[K", written "err")
        t:result "path"
        assert.equal("\r0123456789 \27[K\r\27[K", written "err")
        assert.equal("path\n", written "out")
    end)

    it("writes no escape sequence to a pipe or dumb terminal, and no colour with NO_COLOR", function()
        for _, case in ipairs {
            { { [1] = true }, false }, { { [1] = true, [2] = true, env = { TERM = "dumb" } }, false },
            { { [1] = true, [2] = true, env = { NO_COLOR = "1" } }, true },
        } do
            local t, written = fake(case[1])
            t:draw "line"
            t:warn(t:style("red", "wrong"))
            assert.is_nil(written "err":find "\27%[%d*m")
            assert.equal(case[2], written "err":find "\27%[K" ~= nil)
        end
        local t = fake { [2] = true, env = { NO_COLOR = "" } }
        assert.equal("\27[31mwrong\27[0m", t:style("red", "wrong"))
        assert.equal("plain", t:style_result("red", "plain")) -- stdout is not a terminal here
    end)

    it("replaces control characters except its own styles, and records failed result writes", function()
        local t, written = fake { [1] = true, [2] = true }
        local hostile = "a\27[2J\27]0;x\7b\0\1[31m\155\194\155\r\127c\27[31"
        t:warn(t:style("red", "no") .. hostile)
        t:result(hostile)
        t:draw(hostile)
        local clean = "a?[2J?]0;x?b??[31m\155??" .. "?c?[31"
        assert.equal("\27[31mno\27[0m" .. clean .. "\n\r"
            .. select(2, terminal.fit(hostile, 79)):gsub("[%c\127]", "?"):gsub("\194\155", "?") .. "\27[K",
            written "err")
        assert.equal(clean .. "\n", written "out")
        t, written = fake {}
        t:result(hostile)
        assert.equal(hostile .. "\n", written "out", "a pipe receives the path unchanged")
        assert.is_nil(t.unwritten)
        local full = terminal.new {
            out = { write = function() return true end, flush = function() return nil, "disk full", 28 end },
            err = io.stderr,
            getenv = function() end, is_terminal = function() return false end, columns = function() end,
        }
        full:result "x"
        assert.equal("disk full", full.unwritten)
    end)

    it("prints only warnings when quiet", function()
        local t, written = fake { [2] = true }
        t.quiet = true
        t:say "hello"
        t:draw "line"
        assert.equal("", written "err")
        t:warn "careful"
        assert.equal("careful\n", written "err")
    end)

    it("counts columns, not bytes", function()
        assert.same({ n = 2, 5, "a red" }, pack(terminal.fit("a red fox", 5)))
        assert.same({ n = 2, 4, "狐狸" }, pack(terminal.fit("狐狸狗", 5)))
        assert.same({ n = 2, 1, "e\204\129" }, pack(terminal.fit("e\204\129", 5))) -- a combining accent
        assert.equal(2, (terminal.fit "🦊"))
        assert.equal('"a red f..."', terminal.quote("a red fox in the snow", 12))
        assert.equal('"a fox"', terminal.quote("a\27[31m fox" and "a fox", 12))
        assert.is_nil(terminal.quote("a\27[31mfox", 40):find "\27")
    end)
end)

describe("progress", function()
    it("formats durations, credits and remaining time", function()
        assert.equal("12 s", progress.duration(12.3))
        assert.equal("1:15", progress.duration(75))
        assert.equal("2:01:05", progress.duration(7265))
        assert.equal("1 credit", text.credits(1))
        assert.equal("2.5 credits", text.credits(2.5))
        assert.equal("1 line repeats", progress.count(1, "line repeats", "lines repeat"))
        assert.same({ "━━", "──" }, { progress.bar(0.5, 4, true) })
        assert.same({ "####", "" }, { progress.bar(1.5, 4, false) })
        assert.equal(0, progress.remaining(0, 5, 10, 4))
        assert.equal(20, progress.remaining(10, 5, 10, 4))
        assert.equal(2 * progress.typical[1] - 5, progress.remaining(8, 0, 5, 4))
    end)
end)

describe("file names", function()
    it("resemble the prompt, and are safe for any prompt", function()
        for prompt, stem in pairs {
            ["A red fox, in the snow!"] = "a-red-fox-in-the-snow", ["../../etc/passwd"] = "etc-passwd",
            ["---"] = "image",
            ["a\0b\nc"] = "a-b-c", ["ein Fuchs in Öl"] = "ein-fuchs-in-Öl", ["雪の中の狐"] = "雪の中の狐", ["-rf"] = "rf",
            ["con\226\128\174gnp"] = "con-gnp",
        } do
            assert.equal(stem, files.stem(prompt))
        end
        local long = files.stem(("狐"):rep(100))
        assert.is_true(#long <= 48 and #long % 3 == 0)
        assert.equal("out/fox-2.png", files.numbered("out/fox.png", 2))
        assert.equal("out.d/fox-2", files.numbered("out.d/fox", 2))
        assert.equal(".png-2", files.numbered(".png", 2))
        assert.equal("out/2-a-fox-{x}.png", files.fill("out/{n}-{prompt}-{x}.png", { n = "2", prompt = "../A fox" }))
    end)

    it("are claimed by one program at a time, and a claim of a dead program is ignored #special", function()
        local dir = service.directory()
        os.execute(("mkfifo '%s/pipe.webp'"):format(dir)) -- opening it would block
        local beside = assert(files.claim(dir, "pipe"))
        assert.equal("pipe-2", beside.stem)
        beside.release()
        os.remove(dir .. "/pipe.webp")
        assert(core.directory(dir .. "/owl.png"))
        local owl = assert(files.claim(dir, "owl", { ["owl-2"] = true }))
        assert.equal("owl-3", owl.stem)
        owl.release()
        os.execute(("rmdir '%s/owl.png'"):format(dir))
        service.write(dir .. "/crow.webp.json", "of another program, where the metadata would be")
        local crow = assert(files.claim(dir, "crow"))
        assert.equal("crow-2", crow.stem)
        crow.release()
        os.remove(dir .. "/crow.webp.json")
        local first = assert(files.claim(dir, "fox"))
        local second = assert(files.claim(dir, "fox"))
        assert.same({ "fox", "fox-2" }, { first.stem, second.stem })
        second.release()
        first.release()
        assert.same({}, service.list(dir))
        service.write(dir .. "/.fox.name", "")
        service.write(dir .. "/fox-2.webp", "")
        local again = assert(files.claim(dir, "fox"))
        assert.equal("fox", again.stem)
        assert.equal("fox-3", assert(files.claim(dir, "fox")).stem)
        -- Another program saves under the name between the check and the lock.
        local lock = core.lock
        rawset(core, "lock", function(path, ...)
            service.write(path:gsub("%.([^/]*)%.name$", "%1.png"), "another program's")
            rawset(core, "lock", lock)
            return lock(path, ...)
        end)
        local next_one = files.claim(dir, "hare")
        rawset(core, "lock", lock)
        assert.equal("hare-2", next_one.stem)
        next_one.release()
        assert.is_false(service.exists(dir .. "/.hare.name"))
        service.remove(dir)
        local claim, err = files.claim(dir, "fox")
        assert.is_nil(claim)
        assert.equal("io", err.kind)
    end)
end)

describe("a batch", function()
    after_each(service.stop_all)

    it("submits nothing after it is stopped, not even submissions that wait after a 429", function()
        local emu, dir = service.start(), service.directory()
        emu:fault { method = "POST", times = 99, status = 429, retry_after = bound(60), body = "slow down" }
        local function entry(line)
            local request = { model = "flux-2", prompt = "picture " .. line }
            return { payload = request, request = request, copy = 1, line = line }
        end
        local known, ended = assert(manifest.open(dir)), 0
        local runner = batch_runner.new {
            client = service.client(emu, { max_retries = 0, timeout = bound(60) }), manifest = known,
            directory = dir, concurrency = 1,
            digits = 1, plan = { fetch = {}, make = { entry(1), entry(2) } }, on_end = function() ended = ended + 1 end,
        }
        local work, began = flux2.spawn(runner.work, runner), core.now()
        service.pump_until(function()
            return emu:stats().requests == 1 and flux2.pending() > 0 and type(next(runner.running)) == "table"
        end)
        service.pump_until(function() return runner.running[runner.queue[1]].state == "failed" end)
        runner:stop()
        assert(select("#", work:join()) == 0 or work.state == "done")
        assert.is_true(core.now() - began < bound(20))
        assert.same({ 0, 0, 2, 1 }, { ended, runner.failed, runner:left(), emu:stats().requests })
        known:close()
        service.remove(dir)
    end)
end)

describe("the core", function()
    it("counts interrupts on request, and restores their default effect after three #signals", function()
        local code, printed = service.run_lua [[
            local core = require "flux2.core"
            local pid = ("%d"):format(io.open "/proc/self/stat":read "*n")
            assert(core.interrupts(true) == 0)
            for i = 1, 3 do
                io.popen("kill -INT " .. pid):close()
                assert(core.interrupts() == i, core.interrupts())
            end
            print "three"
            io.stdout:flush()
            io.popen("kill -INT " .. pid):close()
            print "four"
        ]]
        assert.equal(130, code)
        assert.equal("three\n", printed)
    end)

    it("detects that a file is not a terminal", function()
        local code, printed = service.run_lua([[
            local core = require "flux2.core"
            assert(core.is_terminal(1) == false and core.columns(1) == nil and core.is_terminal(99) == false)
        ]])
        assert.equal(0, code, printed)
    end)
end)

describe("command-line values", function()
    it("are converted, or the error lists valid values", function()
        for _, case in ipairs {
            { "seconds", "1.5", 1.5 }, { "seconds", "1e1", 10 }, { "seconds", "0" }, { "seconds", "0x10" },
            { "seconds", "nan" },
            { "seconds", "inf" }, { "seconds", "" }, { "count", "3", 3 }, { "count", "3.5" },
            { "count", "-1" }, { "count", "." },
            { "credits", "0", 0 }, { "credits", "-1" }, { "port", "0", 0 }, { "port", "65536" },
            { "share", "0.5", 0.5 },
            { "share", "2" }, { "range", "2", 2 }, { "range", "5-2" }, { "range", "a" },
            { "object", "[1]" }, { "object", "{" },
            { "object", "7" },
        } do
            local value, reason = values[case[1]](case[2])
            assert.equal(case[3], value, case[1] .. " " .. case[2])
            if not case[3] then assert.matches("^must be ", reason) end
        end
        assert.same({ 1.5, 3 }, values.range "1.5-3")
        assert.same({ seed = 7 }, values.object '{"seed":7}')
    end)
end)

describe("the shell", function()
    it("reads quoted words back unchanged #shell", function()
        local words = { "plain", "it's", "a b", "$HOME `ls`", "", "new\nline", "--flag=x", "*" }
        local pipe = io.popen("for w in " .. shell.join(words) .. "; do printf '%s\\0' \"$w\"; done")
        local read = pipe:read "*a"
        pipe:close()
        assert.equal(table.concat(words, "\0") .. "\0", read)
    end)

    it("reports how a program ended #shell", function()
        assert.equal(0, shell.run "true")
        assert.equal(7, shell.run "exit 7")
        assert.is_true(shell.run "kill -9 $$" > 128)
        assert.is_true(shell.has "sh")
        assert.is_false(shell.has "no-such-program")
    end)
end)

describe("JSON Lines", function()
    it("are the same for equal values, in any order of keys", function()
        local a, b = { prompt = "a/b", zeta = 1, alpha = { 1, 2 } }, {}
        b.zeta, b.alpha, b.prompt = 1, { 1, 2 }, "a/b"
        assert.equal('{"prompt":"a/b","alpha":[1,2],"zeta":1}', jsonl.encode(a))
        assert.equal(jsonl.encode(a), jsonl.encode(b))
        assert.equal("a/b", require("flux2.json").decode(jsonl.encode(a)).prompt)
    end)

    it("are readable after a truncated line", function()
        local dir = service.directory()
        local path = dir .. "/lines.jsonl"
        local file = assert(jsonl.open(path))
        assert(jsonl.append(file, { n = 1 }))
        service.write(path, service.read(path) .. '{"n":2,"half')
        file = assert(jsonl.open(path))
        assert(jsonl.append(file, { n = 3 }))
        local read = {}
        for number, value, reason in jsonl.lines(service.read(path)) do
            read[#read + 1] = { number, value and value.n, reason ~= nil }
        end
        service.remove(dir)
        assert.same({ { 1, 1, false }, { 2, nil, true }, { 3, 3, false } }, read)
    end)
end)

local function parse(bytes, format, opts)
    local given = { format = format or "txt", defaults = {} }
    for name, value in pairs(opts or {}) do given[name] = value end
    return prompts.parse(bytes, given)
end

describe("a list of prompts", function()
    it("has one prompt per line, with comments, empty lines and all line endings", function()
        local entries = assert(parse "\239\187\191a fox\r\n# no\n\n   a hare  \n")
        assert.equal(2, #entries)
        assert.same({ 1, "a fox" }, { entries[1].line, entries[1].payload.prompt })
        assert.same({ 4, "a hare" }, { entries[2].line, entries[2].payload.prompt })
    end)

    it("can be JSON Lines, where each line overrides the defaults", function()
        local entries = assert(parse('"a fox"\n{"prompt":"a hare","type":"pro","file":"hare.png","extra":{"seed":7}}\n',
            "jsonl",
            { defaults = { type = "flex" } }))
        assert.equal("flex", entries[1].payload.type)
        assert.same({ "pro", 7, "hare.png" }, { entries[2].payload.type, entries[2].payload.seed, entries[2].name })
        assert.is_nil(entries[2].payload.file)
    end)

    it("reports every invalid line with its number", function()
        local entries, wrong = parse('{"prompt":"a fox"}\n{"prompt":1}\n[1]\nnot json\n{"promt":"a fox"}\n'
            .. '{"prompt":"x","file":"../x"}\n'
            .. '{"prompt":"one","file":"a.png"}\n{"prompt":"two","file":"a.png"}\n{"prompt":"two","file":"a.txt"}\n',
            "jsonl")
        assert.is_nil(entries)
        local lines = {}
        for i, item in ipairs(wrong) do lines[i] = item.line end
        assert.same({ 2, 3, 4, 5, 6, 8, 9 }, lines)
        assert.matches("prompt must be a string", wrong[1].message)
        assert.matches("did you mean prompt", wrong[4].message)
        assert.matches("also the file of line 7", wrong[6].message)
        entries, wrong = parse "ok then\nx\n"
        assert.is_nil(entries)
        assert.same({ 2, "prompt must have 3 to 5000 characters, has 1" }, { wrong[1].line, wrong[1].message })
        assert.matches("UTF%-8", select(2, parse "a \255 fox")[1].message)
    end)

    it("is read in a time that grows with its size, even if it has long runs of white space", function()
        local began, run = os.clock(), 500000
        local _, wrong = parse("a" .. (" "):rep(run) .. "b\n")
        assert.matches("prompt must have 3 to 5000 characters, has " .. run + 2, wrong[1].message)
        assert.equal(run + 3, assert(parse("prompt\na fox\n" .. ("\n"):rep(run) .. "a hare\n\n", "csv"))[2].line)
        assert.is_true(os.clock() - began < bound(30))
        for given, trimmed in pairs { [" a  b\t\n"] = "a  b", [" \n "] = "", [""] = "", a = "a" } do
            assert.equal(trimmed, text.trim(given))
        end
    end)

    it("distinguishes duplicate prompts", function()
        local entries, again = parse "a fox\na hare\na fox\n"
        assert.equal(1, again)
        assert.same({ 1, 1, 2 }, { entries[1].copy, entries[2].copy, entries[3].copy })
        assert.are_not.equal(entries[1].key, entries[3].key)
        assert.equal(2, #assert(parse("a fox\na hare\na fox\n", "txt", { unique = true })))
    end)

    it("is recognized by its file name or its first bytes", function()
        assert.equal("jsonl", prompts.format("x.jsonl", "a fox"))
        assert.equal("txt", prompts.format("x.txt", '{"prompt":"a"}'))
        assert.equal("jsonl", prompts.format("-", ' {"prompt":"a"}'))
        assert.equal("txt", prompts.format("-", "a fox"))
    end)
end)

describe("the terminal's width and lines", function()
    it("fit to the column, with characters of width 0 and 2", function()
        for _, case in ipairs {
            { "", 5, 0, "" }, { "abc", 3, 3, "abc" }, { "abc", 2, 2, "ab" }, { "abc", 0, 0, "" },
            { "狐", 1, 0, "" }, { "狐", 2, 2, "狐" },
            { "狐a", 2, 2, "狐" }, { "aé", 2, 2, "aé" }, { "e\204\129x", 1, 1, "e\204\129" }, { "🦊🦊", 3, 2, "🦊" },
        } do
            assert.same({ n = 2, case[3], case[4] }, pack(terminal.fit(case[1], case[2])), case[1])
        end
        assert.same({ n = 2, 6, "abc狐x" }, pack(terminal.fit "abc狐x"))
        -- The first and last character of each range, and their neighbours.
        for character, width in pairs {
            ["\225\132\128"] = 2, ["\225\131\191"] = 1, ["\225\133\159"] = 2, ["\225\133\160"] = 1,
            ["\204\128"] = 0, ["\203\191"] = 1,
            ["\205\175"] = 0, ["\205\176"] = 1, ["\226\128\139"] = 0, ["\226\128\143"] = 0, ["\226\128\144"] = 1,
            ["\239\184\143"] = 0,
            ["\240\159\140\128"] = 2, ["\240\159\153\143"] = 2, ["\240\159\153\144"] = 1, ["\240\160\128\128"] = 2,
            ["\240\191\191\189"] = 2, ["\240\191\191\190"] = 1,
            ["\243\160\132\128"] = 0, ["\243\160\135\175"] = 0, ["\243\160\135\176"] = 1,
            ["\234\147\143"] = 2, ["\234\147\144"] = 1, ["\227\129\129"] = 2, ["\227\129\128"] = 1,
            ["\239\188\129"] = 2, ["\239\189\161"] = 1,
        } do
            assert.equal(width, (terminal.fit(character)), ("%q"):format(character))
        end
    end)

    it("are quoted to the column", function()
        assert.equal('"12345678"', terminal.quote("12345678", 10))
        assert.equal('"12345..."', terminal.quote("123456789", 10))
        assert.equal('"a b"', terminal.quote("a\27\n b", 10))
        assert.equal('"狐..."', terminal.quote("狐狐狐狐", 8))
    end)

    it("detect UTF-8 by the first set variable of three", function()
        for _, case in ipairs {
            { { LC_ALL = "C", LANG = "C.UTF-8" }, false },
            { { LC_ALL = "", LC_CTYPE = "de_DE.utf8", LANG = "C" }, true },
            { { LANG = "en_GB.UTF-8" }, true }, { { LANG = "C" }, false }, { {}, false },
            { { LC_CTYPE = "C", LANG = "x.UTF-8" }, false },
        } do
            assert.equal(case[2], (fake { env = case[1] }).unicode)
        end
    end)

    it("use the terminal's width, or 80", function()
        assert.equal(80, (fake {}):columns())
        assert.equal(33, (fake { columns = 33 }):columns())
        local checked = {}
        local t = terminal.new {
            out = io.stdout, err = io.stderr, getenv = function() end, is_terminal = function() return false end,
            columns = function(fd)
                checked[#checked + 1] = fd
                return fd == 1 and 44 or nil
            end,
        }
        assert.equal(44, t:columns())
        assert.same({ 2, 1 }, checked)
    end)

    it("have separate styles for stdout and stderr, only on a terminal", function()
        local t = fake { [1] = true, env = {} }
        assert.same({ "x", "\27[1mx\27[0m", true },
            { t:style("bold", "x"), t:style_result("bold", "x"), t:shows_images() })
        t = fake { [2] = true, env = {} }
        for style, code in pairs { bold = 1, dim = 2, red = 31, green = 32, yellow = 33, cyan = 36 } do
            assert.equal(("\27[%dmx\27[0m"):format(code), t:style(style, "x"))
        end
        assert.same({ "x", "x", false }, { t:style("blinking", "x"), t:style_result("bold", "x"), t:shows_images() })
        t = fake { [1] = true, [2] = true, env = { TERM = "dumb" } }
        assert.is_false(t:shows_images())
        assert.same({ "x", "x" }, { t:style("bold", "x"), t:style_result("bold", "x") })
        assert.is_false(t.live)
        assert.is_true(t.shows)
    end)

    it("have styles always, never or on a terminal, and images only on a terminal with styles", function()
        for _, case in ipairs {
            { { [1] = true, [2] = true, env = {} }, "auto", true, true, true },
            { { [1] = true, [2] = true, env = {} }, "never", false, false, false },
            { { [1] = true, [2] = true, env = { NO_COLOR = "1" } }, "always", true, true, true },
            { { [1] = true, [2] = true, env = { NO_COLOR = "1" } }, nil, false, false, false },
            { { [1] = true, env = {} }, "auto", true, false, true },
            { { env = {} }, "auto", false, false, false },
            { { env = {} }, "always", true, true, false },
            { { [1] = true, [2] = true, env = { TERM = "dumb" } }, "always", true, true, false },
        } do
            local t = fake(case[1])
            if case[2] then t:set_color(case[2]) end
            local function is_styled(s) return s ~= "x" end
            assert.same({ case[3], case[4], case[5] },
                { is_styled(t:style_result("red", "x")), is_styled(t:style("red", "x")), t:shows_images() })
        end
    end)

    it("wrap texts at words", function()
        assert.same({ "a red", "fox in", "the", "snow" }, terminal.wrap("a red fox in the snow", 6))
        assert.same({ "a", "waterfall", "in" }, terminal.wrap(" a  waterfall in", 5))
        assert.same({ "狐狸", "狗" }, terminal.wrap("狐狸 狗", 5))
        assert.same({ "" }, terminal.wrap("", 5))
        assert.same({ "a b" }, terminal.wrap("a b", math.huge))
    end)

    it("are drawn at most ten times a second, and immediately after other output", function()
        local t, written = fake { [1] = true, [2] = true, columns = 40 }
        t:draw "first"
        t:draw "second, too early"
        assert.equal("\rfirst\27[K", written "err")
        t:say "said"
        assert.equal("\rfirst\27[K\r\27[Ksaid\n", written "err")
        t:draw(function(columns) return "third of " .. columns end)
        assert.equal("\rfirst\27[K\r\27[Ksaid\n\rthird of 39\27[K", written "err")
        t:clear()
        t:clear()
        assert.equal("\rfirst\27[K\r\27[Ksaid\n\rthird of 39\27[K\r\27[K", written "err")
    end)

    it("are not printed beside JSON, except on a terminal", function()
        local t, written = fake { env = {} }
        t.json = true
        t:say "hello"
        assert.equal("", written "err")
        t:warn "careful"
        t, written = fake { [2] = true, env = {} }
        t.json = true
        t:say "hello"
        assert.equal("hello\n", written "err")
    end)
end)

describe("progress in detail", function()
    it("advances the spinner ten times a second", function()
        assert.same({ "|", "/", "-", "\\", "|" }, {
            progress.spinner(0, false), progress.spinner(0.1, false), progress.spinner(0.25, false),
            progress.spinner(0.3, false),
            progress.spinner(0.41, false),
        })
        assert.same({ "⠋", "⠙", "⠋" }, { progress.spinner(0, true), progress.spinner(0.15, true),
            progress.spinner(1, true) })
    end)

    it("rounds durations at the minute and at the hour", function()
        for seconds, words in pairs {
            [0] = "0 s", [0.49] = "0 s", [0.5] = "1 s", [59.4] = "59 s", [59.5] = "1:00", [60] = "1:00",
            [61] = "1:01", [3599] = "59:59",
            [3600] = "1:00:00", [3661] = "1:01:01", [36000] = "10:00:00",
        } do
            assert.equal(words, progress.duration(seconds))
        end
    end)

    it("uses singular and plural", function()
        assert.same({ "0 credits", "1 credit", "2 credits" },
            { text.credits(0), text.credits(1), text.credits(2) })
        assert.same({ "0 fishes", "1 fish", "2 fishes" }, {
            progress.count(0, "fish", "fishes"), progress.count(1, "fish", "fishes"),
            progress.count(2, "fish", "fishes"),
        })
        assert.same({ "0 lines", "1 line" }, { progress.count(0, "line"), progress.count(1, "line") })
    end)

    it("fills a bar between empty and full", function()
        for _, case in ipairs {
            { 0, 4, "", "...." }, { -1, 4, "", "...." }, { 1, 4, "####", "" }, { 2, 4, "####", "" },
            { 0.12, 4, "", "...." },
            { 0.13, 4, "#", "..." }, { 0.5, 5, "###", ".." }, { 0.5, 0, "", "" },
        } do
            assert.same({ case[3], case[4] }, { progress.bar(case[1], case[2], false) })
        end
        assert.same({ "━━━", "─" }, { progress.bar(0.75, 4, true) })
    end)

    it("estimates the remaining time from measured or typical durations", function()
        assert.same({ 15, 40 }, progress.typical)
        for _, case in ipairs {
            { 0, 0, 5, 4, 0 }, { 1, 1, 7, 4, 7 }, { 3, 2, 10, 4, 15 }, { 4, 0, 0, 4, 15 },
            { 5, 0, 0, 4, 30 }, { 4, 0, 20, 4, 0 },
            { 4, 0, 14, 4, 1 }, { 3, 0, 0, 0, 45 },
        } do
            assert.equal(case[5], progress.remaining(case[1], case[2], case[3], case[4]))
        end
    end)

    it("shows a run in one line that fits the columns", function()
        local standing = { total = 10, finished = 3, failed = 1, running = 2, elapsed = 40,
            credits = 40, concurrency = 2 }
        local t = fake { env = {} }
        local line = "3/10 done  1 failed  2 running  ETA 1:00  40 credits"
        assert.equal("##########..............  " .. line, progress.line(standing, 200, t))
        assert.equal("##########..............  " .. line, progress.line(standing, #line + 26, t))
        assert.equal("#########..............  " .. line, progress.line(standing, #line + 25, t))
        assert.equal("##...  " .. line, progress.line(standing, #line + 7, t))
        assert.equal(line, progress.line(standing, #line + 6, t))
        assert.equal(line, progress.line(standing, #line, t))
        assert.equal(line:sub(1, -2), progress.line(standing, #line - 1, t))
        standing.failed, standing.finished, standing.total = 0, 3, 3
        assert.equal("########################  3/3 done  2 running  40 credits", progress.line(standing, 80, t))
        standing.total, standing.finished, standing.credits = 0, 0, 1
        assert.equal("########################  0/0 done  2 running  1 credit", progress.line(standing, 80, t))
        standing.total, standing.failed = 4, 1
        t = fake { [2] = true }
        assert.equal("\27[36m━━━━━━\27[0m\27[2m──────────────────\27[0m  0/4 done  \27[31m1 failed\27[0m  2 running  "
            .. "ETA 2:00  1 credit",
            progress.line(standing, 100, t))
        assert.equal("0/4 done  1 failed", progress.line(standing, 18, t), "without styles where it is cut")
    end)

    it("writes a result_json with seconds rounded to hundredths", function()
        local task, result = { id = "n41" },
            { elapsed = 1.2345, credits = 10, images = { { content_type = "image/png", url = "http://a/1" } } }
        local request = { prompt = "a fox", model = "flux-2" }
        assert.same({
            prompt = "a fox", request = request, task_id = "n41", file = "a.png", seconds = 1.23, credits = 10,
            content_type = "image/png",
            url = "http://a/1",
        }, result_json.of(request, task, result, { "a.png" }))
        assert.same({ "a.png", "b.png" }, result_json.of(request, task, result, { "a.png", "b.png" }).files)
        local bare = result_json.of(nil, task, { images = {} }, {})
        assert.same({ task_id = "n41" }, bare)
        assert.same({ 0, 0.01, 1.24 }, { result_json.rounded(0.004), result_json.rounded(0.005),
            result_json.rounded(1.236) })
    end)
end)

describe("file names in detail", function()
    it("have at most 48 bytes, without a leading or trailing dash", function()
        assert.equal(("a"):rep(48), files.stem(("a"):rep(48)))
        assert.equal(("a"):rep(48), files.stem(("a"):rep(49)))
        assert.equal(("a"):rep(47), files.stem(("a"):rep(47) .. " b"))
        assert.equal("a-b", files.stem "--a - b!--")
        assert.equal("image", files.stem "")
        assert.equal("az09-az", files.stem "AZ09/:@[`{~az")
    end)

    it("are recognized as image names by their extension", function()
        for name, is in pairs {
            ["a.png"] = true, ["a.PNG"] = true, ["a.jpg"] = true, ["a.jpeg"] = true, ["a.webp"] = true,
            ["a.gif"] = true, ["a.avif"] = true,
            ["a.txt"] = false, ["a"] = false, ["png"] = false, ["a.png.txt"] = false, [".png"] = true, ["a."] = false,
        } do
            assert.equal(is, files.has_extension(name), name)
        end
        assert.same({ "a", "a.b", "a.txt", "a" }, {
            files.without_extension "a.png", files.without_extension "a.b.jpg", files.without_extension "a.txt",
            files.without_extension "a",
        })
    end)

    it("are found with any image extension", function()
        local dir = service.directory()
        assert.is_nil(files.find(dir, "fox"))
        for _, extension in ipairs { "avif", "gif", "webp", "jpg", "png" } do
            service.write(dir .. "/fox." .. extension, "")
            assert.equal("fox." .. extension, files.find(dir, "fox"), "the first of the list")
        end
        assert.is_nil(files.find(dir, "fo"))
        service.remove(dir)
    end)

    it("are numbered and filled in", function()
        assert.equal("a/b.c/fox-3.tar.png",
            files.numbered("a/b.c/fox.tar.png", 3):gsub("tar%-3", "tar"):gsub("fox", "fox-3"))
        assert.equal("fox.tar-3.png", files.numbered("fox.tar.png", 3))
        assert.equal("a.b/.png-2", files.numbered("a.b/.png", 2))
        assert.equal("{N}-{no}-x-x", files.fill("{N}-{no}-{n}-{n}", { n = "x" }))
    end)

    it("for output are a file, a directory, or stdout", function()
        local dir = service.directory()
        assert.same({ stdout = true }, files.target("-", "fox"))
        assert.same({ path = dir .. "/fox.png" }, files.target(dir .. "/fox.png", "stem"))
        assert.same({ directory = dir, stem = "stem" }, files.target(dir, "stem"))
        assert.same({ directory = dir, stem = "stem" }, files.target(dir .. "/", "stem"))
        assert.same({ directory = dir .. "/new/er", stem = "stem" }, files.target(dir .. "/new/er//", "stem"))
        assert.same({ "er" }, service.list(dir .. "/new"))
        assert.same({ directory = ".", stem = "stem" }, files.target(nil, "stem"))
        service.write(dir .. "/file", "")
        for output, words in pairs {
            [dir .. "/file/"] = "cannot make '" .. dir .. "/file/': ",
            [dir .. "/none/fox.png"] = "cannot write '" .. dir .. "/none/fox.png': ",
            ["/proc"] = "cannot write into '/proc': ",
        } do
            local target, err = files.target(output, "stem")
            assert.is_nil(target)
            assert.equal("io", err.kind)
            assert.equal(1, (err.message:find(words, 1, true)), err.message)
        end
        service.remove(dir)
    end)

    it("get the extension of the image type", function()
        local dir = service.directory()
        --- An image of type `real` once it is saved, and of type `before` until then.
        local function image(real, before, url)
            return {
                content_type = before, url = url,
                save = function(self, path)
                    service.write(path, "bytes")
                    self.content_type = real
                    return path
                end,
            }
        end
        local target = { directory = dir, stem = "fox" }
        for _, case in ipairs {
            { "fox.png", "image/png", nil, nil }, { "fox.jpg", "image/jpeg", nil, "http://a/1.png" },
            { "fox.webp", "image/webp", nil, "http://a/1.jpg" },
            { "fox.gif", "image/gif", "image/gif", "http://a/x" }, { "fox.avif", "image/avif", "image/png", nil },
            { "fox.jpg", nil, nil, "http://a/1.jpg" }, { "fox.webp", nil, nil, "http://a/1.webp" },
            { "fox.png", nil, "text/html", "http://a/1.html" },
        } do
            assert.same({ dir .. "/" .. case[1] },
                files.save({ images = { image(case[2], case[3], case[4]) } }, target))
            assert.same({ case[1] }, service.list(dir))
            os.remove(dir .. "/" .. case[1])
        end
        local three = { images = { image "image/png", image "image/jpeg", image "image/png" } }
        assert.same({ dir .. "/fox.png", dir .. "/fox-2.jpg", dir .. "/fox-3.png" }, files.save(three, target))
        assert.same({ dir .. "/fox-4.png", dir .. "/fox-2-2.png" },
            files.save({ images = { image "image/png", image "image/png" } }, target))
        assert.same({ dir .. "/x.png", dir .. "/x-2.png" },
            files.save({ images = { image "image/png", image "image/jpeg" } }, { path = dir .. "/x.png" }))
        assert.same({ dir .. "/fox.png" },
            files.save({ images = { image "image/png" } }, { directory = dir, stem = "fox", ours = true }))
        for _, name in ipairs(service.list(dir)) do assert.is_nil(name:find "%.name$", name) end
        local paths, err = files.save({ images = { { save = function() return nil, "no" end } } }, target)
        assert.same({ nil, "no" }, { paths, err })
        assert.is_nil(table.concat(service.list(dir), " "):find ".name", 1, true)
        service.remove(dir)
    end)
end)

describe("values at their limits", function()
    it("are accepted up to the limit, and not beyond", function()
        for _, case in ipairs {
            { "seconds", "0.001", 0.001 }, { "seconds", "-1" }, { "seconds", "1e400" }, { "seconds", "+2", 2 },
            { "seconds", " 2" },
            { "credits", "0.5", 0.5 }, { "credits", "-0.1" }, { "credits", "1e400" }, { "credits", "x" },
            { "count", "1", 1 }, { "count", "0" },
            { "count", "1000000", 1000000 }, { "count", "1000001" }, { "count", "1e3", 1000 },
            { "port", "65535", 65535 }, { "port", "-1" },
            { "port", "1.5" }, { "port", "80", 80 }, { "port", "" }, { "share", "0", 0 }, { "share", "1", 1 },
            { "share", "-0.1" },
            { "share", "1.1" }, { "range", "0", 0 }, { "range", "-1" }, { "range", "1-" },
            { "range", "1..2-3" }, { "range", "" },
            { "object", "null" }, { "object", "" },
        } do
            local value, reason = values[case[1]](case[2])
            assert.equal(case[3], value, case[1] .. " " .. case[2])
            if not case[3] then assert.matches("^must be a", reason) end
        end
        for kind, words in pairs {
            seconds = "a number of seconds above 0", credits = "a number of credits, 0 or more",
            count = "a whole number, 1 or more",
            port = "a port, 0 to 65535", share = "a number from 0 to 1",
            range = "a number of seconds, or a range such as 2-5",
        } do
            assert.equal("must be " .. words .. ", not 'x'", select(2, values[kind] "x"))
        end
        assert.same({ { 0, 0 }, { 2, 2 } }, { values.range "0-0", values.range "2-2" })
        assert.equal("must be a JSON object such as '{\"seed\": 7}'", select(2, values.object "[1]"))
        assert.matches("^must be a JSON object such as '{\"seed\": 7}': .", select(2, values.object "{"))
        assert.same({}, values.object " {}")
        local math_type = rawget(math, "type")
        if math_type then
            assert.same({ "integer", "integer" }, { math_type(values.count "3"), math_type(values.port "80") })
        end
    end)
end)

describe("shell words", function()
    it("are quoted only if necessary #shell", function()
        for word, quoted in pairs {
            ["plain"] = "plain", ["a_1-./:=@,+%"] = "a_1-./:=@,+%", [""] = "''", ["a b"] = "'a b'",
            ["it's"] = "'it'\\''s'", ["$x"] = "'$x'",
            ["a;b"] = "'a;b'", ["~"] = "'~'",
        } do
            assert.equal(quoted, shell.quote(word))
        end
        assert.equal("a 'b c' ''", shell.join { "a", "b c", "" })
        assert.equal(137, shell.run "kill -9 $$")
    end)
end)

describe("output directories", function()
    it("are created with their parents, or the reason is returned", function()
        local dir = service.directory()
        assert.is_true(files.make_directory(dir .. "/a b/c"))
        assert.is_true(files.make_directory(dir .. "/a b/c"))
        service.write(dir .. "/file", "")
        local ok, reason = files.make_directory(dir .. "/file/x")
        assert.same({ nil, "Not a directory" }, { ok, reason })
        service.remove(dir)
    end)
end)

describe("JSON Lines in detail", function()
    it("begin with the most important keys", function()
        assert.equal('{"state":1,"line":2,"prompt":3,"file":4,"files":5,"task_id":6,"seconds":7,"credits":8,"error":9,"kind":10,"message":11,'
            .. '"request":12,"aaa":13,"zzz":14}', jsonl.encode {
                zzz = 14, aaa = 13, request = 12, message = 11, kind = 10, error = 9, credits = 8, seconds = 7,
                task_id = 6, files = 5,
                file = 4, prompt = 3, line = 2, state = 1,
            })
        assert.equal('{"a":[],"b":["x",{"c":null},[true,false]],"q":"\\"\\\\\\n/\\u0001é"}', jsonl.encode {
            q = '"\\\n/\1é', b = { "x", { c = json.null }, { true, false } }, a = {},
        }:gsub("{}", "[]", 1))
        assert.equal("7", jsonl.encode(7))
        assert.has_error(function() jsonl.encode { a = print } end)
    end)

    it("escape all server data: no value raises or controls a terminal", function()
        assert.equal('{"a":null,"b":null,"c":1e+300,"d":123456789012345,"e":-7,"f":0.5}', jsonl.encode {
            a = 0 / 0, b = -math.huge, c = 1e300, d = 123456789012345, e = -7, f = 0.5,
        })
        assert.equal('"x\239\191\189y"', jsonl.encode "x\255\254y")
        assert.equal([["\u001b[2J\u007f\u009b\u202e\u2066é"]],
            jsonl.encode "\27[2J\127\194\155\226\128\174\226\129\166é")
        assert.equal("x\27[2J\127\194\155\226\128\174",
            json.decode(jsonl.encode { "x\27[2J\127\194\155\226\128\174" })[1])
    end)

    it("are read with their numbers, and empty lines are skipped", function()
        local read = {}
        for number, value in jsonl.lines '{"a":1}\n\n  \t\n[2]\r\n"x"' do read[number] = value end
        assert.same({ [1] = { a = 1 }, [4] = { 2 }, [5] = "x" }, read)
        for _ in jsonl.lines "" do error "there is none" end
    end)

    it("are appended completely", function()
        local dir = service.directory()
        local path = dir .. "/x.jsonl"
        local file = assert(jsonl.open(path))
        assert.is_true(jsonl.append(file, { n = 1 }))
        assert.equal('{"n":1}\n', service.read(path), "flushed at once")
        assert.is_true(jsonl.append(file, { n = 2 }))
        file = assert(jsonl.open(path))
        assert.is_true(jsonl.append(file, { n = 3 }))
        assert.equal('{"n":1}\n{"n":2}\n{"n":3}\n', service.read(path))
        service.write(path, "x")
        assert.is_true(jsonl.append(assert(jsonl.open(path)), { n = 4 }))
        assert.equal('x\n{"n":4}\n', service.read(path))
        local full = jsonl.open "/dev/full"
        if full then
            local ok, why = jsonl.append(full, { n = 1 })
            assert.is_nil(ok)
            assert.matches("No space", why)
            full.path = path
            assert.is_true(jsonl.append(full, { n = 5 }))
            assert.equal('x\n{"n":4}\n\n{"n":5}\n', service.read(path), "a failed line may be incomplete")
        end
        local none, reason = jsonl.open(dir .. "/no/x")
        assert.is_nil(none)
        assert.matches("No such file", reason)
        service.remove(dir)
    end)
end)

describe("a list of prompts in detail", function()
    local function wrong(bytes)
        local entries, list = parse(bytes, "jsonl")
        assert.is_nil(entries)
        assert.equal(1, #list)
        assert.equal(1, list[1].line)
        return list[1].message
    end

    it("reports an invalid file name", function()
        local function named(name) return ('{"prompt":"a fox","file":%s}'):format(name) end
        assert.equal("file must be a file name, not 7", wrong(named "7"))
        assert.equal("file must be a file name, not ''", wrong(named '""'))
        for _, name in ipairs { '"a/b.png"', '"a\\\\b.png"', '".png"', '"a\\u0001.png"',
            '"' .. ("a"):rep(197) .. '.png"' } do
            assert.matches("^file must be a name without a directory, not '", wrong(named(name)))
        end
        assert.equal("file must end in .png, .jpg, .webp, .gif or .avif, not 'a.txt'", wrong(named '"a.txt"'))
        assert.equal(("a"):rep(196) .. ".png", assert(parse(named('"' .. ("a"):rep(196) .. '.png"'), "jsonl"))[1].name)
        local _, list = parse('{"prompt":"one","file":"a.png"}\n{"prompt":"two","file":"b.png"}\n'
            .. '{"prompt":"two","file":"A.png"}', "jsonl")
        assert.same({ { line = 3, message = "file 'A.png' is also the file of line 1" }, unit = "line" }, list)
    end)

    it("reports a line that is neither a string nor an object", function()
        assert.equal("expected a JSON object or a JSON string", wrong "[1]")
        assert.equal("expected a JSON object or a JSON string", wrong "7")
        assert.matches("^expected a JSON object or a JSON string: .", wrong "{x")
    end)

    it("prefers the fields of a line to the defaults", function()
        local defaults = { type = "flex", resolution = "2K" }
        local entries = assert(parse('{"prompt":"a fox","resolution":"1K"}', "jsonl", { defaults = defaults }))
        assert.same({ model = "flux-2", prompt = "a fox", type = "flex", resolution = "1K" }, entries[1].payload)
        assert.same({ type = "flex", resolution = "2K" }, defaults)
        assert.equal("flex", assert(parse("a fox", "txt", { defaults = defaults }))[1].payload.type)
    end)

    it("numbers lines like an editor, and duplicates in input order", function()
        local entries, again = parse " # is no comment\n#is one\na fox\n\na fox\na fox"
        assert.equal(2, again)
        assert.same({ 1, 3, 5, 6 }, { entries[1].line, entries[2].line, entries[3].line, entries[4].line })
        assert.same({ 1, 1, 2, 3 }, { entries[1].copy, entries[2].copy, entries[3].copy, entries[4].copy })
        assert.equal('{"prompt":"a fox","model":"flux-2"}#2', entries[3].key)
        entries, again = parse("a fox\na fox\na hare", "txt", { unique = true })
        assert.same({ 2, 1, "a hare" }, { #entries, again, entries[2].payload.prompt })
        assert.same({ {}, 0 }, { parse "" })
    end)

    it("is recognized by its name before its first bytes", function()
        for _, case in ipairs {
            { "a.jsonl", "x", "jsonl" }, { "a.ndjson", "x", "jsonl" }, { "a.txt", "{", "txt" },
            { "a.list", "{", "jsonl" },
            { "a.list", "x{", "txt" }, { "-", '\239\187\191{"prompt":"a fox"}', "jsonl" }, { "a.jsonl.txt", "{", "txt" }, { "jsonl", "x", "txt" },
        } do
            assert.equal(case[3], prompts.format(case[1], case[2]), case[1])
        end
    end)
end)

describe("the plan of a batch", function()
    local dir
    before_each(function() dir = service.directory() end)
    after_each(function() service.remove(dir) end)

    local function entries_of(...)
        return (assert(prompts.parse(table.concat({ ... }, "\n"), { format = "jsonl", defaults = {} })))
    end

    --- Returns the plan for `entries` with `lines` of a manifest. A task or record is { id = , prompt = }.
    local function plan_of(entries, lines, found, opts)
        local out = {}
        for i, line in ipairs(lines or {}) do
            line.request = line.request or { model = "flux-2", prompt = line.prompt }
            out[i] = jsonl.encode(line)
        end
        service.write(dir .. "/manifest.jsonl", table.concat(out, "\n"))
        local known = assert(manifest.open(dir))
        local function items(list)
            for _, item in ipairs(list or {}) do item.request = { model = "flux-2", prompt = item.prompt } end
            return list or {}
        end
        local all = { directory = dir }
        for name, value in pairs(opts or {}) do all[name] = value end
        found = found or {}
        local made = plan.make(entries, known, {
            tasks = items(found.tasks), unknown = items(found.unknown), damaged = found.damaged or {},
        }, all)
        known:close()
        return made, known
    end

    local function sizes(made)
        return ("%d done %d fetch %d make %d unknown %d refused"):format(#made.done, #made.fetch, #made.make,
            #made.unknown, #made.refused)
    end

    it("generates new entries, with their cost", function()
        local made = plan_of(entries_of('"a fox"', '{"prompt":"a hare","type":"flex"}',
            '{"prompt":"an owl","type":"flex","resolution":"2K"}'))
        assert.equal("0 done 0 fetch 3 make 0 unknown 0 refused", sizes(made))
        assert.same({ 16, 1, 0 }, { made.credits, made.unpriced, made.strays })
    end)

    it("skips existing images, and downloads missing images that are paid", function()
        local function line()
            return { state = "done", prompt = "a fox", file = "fox.png", task_id = "n1", credits = 10 }
        end
        local entries = entries_of '"a fox"'
        local made = plan_of(entries, { line() })
        assert.equal("0 done 1 fetch 0 make 0 unknown 0 refused", sizes(made))
        assert.same({ "n1", true, "fox" }, { made.fetch[1].id, made.fetch[1].gone, made.fetch[1].stem })
        made = plan_of(entries_of '"a fox"', { line() }, nil, { remake = true })
        assert.equal("0 done 0 fetch 1 make 0 unknown 0 refused", sizes(made))
        assert.equal(10, made.credits)
        local without = line()
        without.task_id = nil
        assert.equal("0 done 0 fetch 1 make 0 unknown 0 refused", sizes(plan_of(entries_of '"a fox"', { without })))
        service.write(dir .. "/fox.png", "")
        for _, remake in ipairs { true, false } do
            made = plan_of(entries_of '"a fox"', { line() }, nil, { remake = remake })
            assert.equal("1 done 0 fetch 0 make 0 unknown 0 refused", sizes(made))
            assert.equal(0, made.credits)
        end
    end)

    it("finds an image under its old name, also without a new one", function()
        service.write(dir .. "/old.png", "")
        local made = plan_of(entries_of '"a fox"', { { state = "done", prompt = "a fox", was = "old.png" } })
        assert.same({ "1 done 0 fetch 0 make 0 unknown 0 refused", {} }, { sizes(made), made.moves })
        made = plan_of(entries_of '"a fox"', { { state = "done", prompt = "a fox", file = "new.png", was = "old.png" } })
        assert.same({ from = "old.png", to = "new.png" }, made.moves[1].move)
    end)

    it("downloads ready images, unless the file exists", function()
        local function line() return { state = "ready", prompt = "a fox", stem = "1-fox", task_id = "n1" } end
        local made = plan_of(entries_of '"a fox"', { line() })
        assert.equal("0 done 1 fetch 0 make 0 unknown 0 refused", sizes(made))
        assert.same({ "1-fox", "n1" }, { made.fetch[1].stem, made.fetch[1].id })
        service.write(dir .. "/1-fox.webp", "")
        made = plan_of(entries_of '"a fox"', { line() })
        assert.same({ "1 done 0 fetch 0 make 0 unknown 0 refused", "1-fox.webp" }, { sizes(made), made.done[1].found })
        -- The record is still in the spool: the image was not saved, and the existing file is ignored.
        made = plan_of(entries_of '"a fox"', { line() }, { tasks = { { id = "n1", prompt = "a fox" } } })
        assert.equal("0 done 1 fetch 0 make 0 unknown 0 refused", sizes(made))
        assert.equal("n1", made.fetch[1].task.id)
        -- A file name from the list.
        made = plan_of(entries_of '{"prompt":"a fox","file":"own.png"}', { line() })
        assert.same({ "1 done 0 fetch 0 make 0 unknown 0 refused", { from = "1-fox.webp", to = "own.png" } },
            { sizes(made), made.done[1].move })
        local function named()
            local own = line()
            own.stem = "own.png"
            return own
        end
        made = plan_of(entries_of '{"prompt":"a fox","file":"own.png"}', { named() })
        assert.equal("0 done 1 fetch 0 make 0 unknown 0 refused", sizes(made))
        service.write(dir .. "/own.png", "")
        made = plan_of(entries_of '{"prompt":"a fox","file":"own.png"}', { named() })
        assert.same({ "1 done 0 fetch 0 make 0 unknown 0 refused", "own.png" }, { sizes(made), made.done[1].found })
        -- A file of another image.
        made = plan_of(entries_of '"a fox"', { line(),
            { state = "done", prompt = "a hare", file = "1-fox.webp", task_id = "n2" } })
        assert.equal("0 done 1 fetch 0 make 0 unknown 0 refused", sizes(made))
        assert.is_nil(made.fetch[1].stem)
    end)

    it("assigns each entry its own task, and places unmatched tasks after the entries", function()
        local tasks = { { id = "n1", prompt = "a fox" }, { id = "n2", prompt = "a fox" },
            { id = "n3", prompt = "an old hare" } }
        local made = plan_of(entries_of('"a fox"', '"a new hare"'),
            { { state = "failed", prompt = "a fox", task_id = "n2" } }, { tasks = tasks })
        assert.equal("0 done 3 fetch 1 make 0 unknown 0 refused", sizes(made))
        assert.equal("n2", made.fetch[1].task.id)
        assert.equal(2, made.strays)
        local strays = {}
        for i = 2, 3 do strays[made.fetch[i].task.id] = made.fetch[i] end
        assert.same({ 2, 1 }, { strays.n1.copy, strays.n3.copy })
        assert.equal(prompts.key(strays.n1.payload, 2), strays.n1.key)
        assert.equal("an old hare", strays.n3.payload.prompt)
        -- The manifest holds the number of the copy.
        made = plan_of(entries_of '"a fox"', { { state = "failed", prompt = "a fox", copy = 3, task_id = "n1" },
            { state = "done", prompt = "a fox", copy = 2 } },
            { tasks = { { id = "n9", prompt = "a fox" }, { id = "n1", prompt = "a fox" },
                { id = "n8", prompt = "a fox" } } })
        assert.equal(2, made.strays)
        assert.equal("n9", made.fetch[1].task.id)
        local copies = {}
        for i = 2, 3 do copies[made.fetch[i].task.id] = made.fetch[i].copy end
        assert.same({ n1 = 3, n8 = 4 }, copies)
    end)

    it("does not repeat possible payments by default", function()
        local function unknown() return { unknown = { { prompt = "a fox", path = "x" } } } end
        local made = plan_of(entries_of '"a fox"', nil, unknown())
        assert.equal("0 done 0 fetch 0 make 1 unknown 0 refused", sizes(made))
        assert.equal("x", made.unknown[1].record.path)
        made = plan_of(entries_of '"a fox"', nil, unknown(), { resubmit = true })
        assert.equal("0 done 0 fetch 1 make 0 unknown 0 refused", sizes(made))
        assert.equal("x", made.make[1].record.path)
        local line = { state = "unknown", prompt = "a fox" }
        assert.equal("0 done 0 fetch 0 make 1 unknown 0 refused", sizes(plan_of(entries_of '"a fox"', { line })))
        assert.equal("0 done 0 fetch 1 make 0 unknown 0 refused",
            sizes(plan_of(entries_of '"a fox"', { line }, nil, { resubmit = true })))
        -- An unreadable record may belong to any entry.
        local damaged = { damaged = { { path = "x", reason = "y" } } }
        made = plan_of(entries_of('"a fox"', '"a hare"'), nil, damaged)
        assert.equal("0 done 0 fetch 0 make 2 unknown 0 refused", sizes(made))
        assert.equal(0, made.credits)
        made = plan_of(entries_of('"a fox"', '"a hare"'), nil, damaged, { resubmit = true })
        assert.equal("0 done 0 fetch 2 make 0 unknown 0 refused", sizes(made))
        -- One record belongs to one entry.
        made = plan_of(entries_of('"a fox"', '"a fox"'), nil, unknown())
        assert.equal("0 done 0 fetch 1 make 1 unknown 0 refused", sizes(made))
    end)

    it("pays once for an image whose --remake was killed", function()
        for _, state in ipairs { "done", "failed" } do
            local function plan_with(found)
                return plan_of(entries_of '"a fox"', { { state = state, prompt = "a fox", task_id = "n1", file = "a.png" } },
                    found, { remake = true })
            end
            assert.equal("0 done 0 fetch 1 make 0 unknown 0 refused", sizes(plan_with()))
            local made = plan_with { tasks = { { id = "n1", prompt = "a fox" }, { id = "n2", prompt = "a fox" } } }
            assert.equal("0 done 1 fetch 0 make 0 unknown 0 refused", sizes(made))
            assert.same({ "n2", "n1", 0 }, { made.fetch[1].task.id, made.fetch[1].replaces.id, made.strays })
            assert.is_nil(made.fetch[1].gone)
            assert.equal("0 done 0 fetch 0 make 1 unknown 0 refused",
                sizes(plan_with { unknown = { { prompt = "a fox", path = "x" } } }))
            assert.equal("0 done 0 fetch 0 make 1 unknown 0 refused",
                sizes(plan_with { damaged = { { path = "x", reason = "y" } } }))
        end
    end)

    it("gives no entry the task or the record of another one with the same request", function()
        local made = plan_of(entries_of('"a fox"', '"a fox"'),
            { { state = "failed", prompt = "a fox", error = { kind = "server", paid = false } },
                { state = "failed", prompt = "a fox", copy = 2, task_id = "n2", error = { kind = "io", paid = true } } },
            { tasks = { { id = "n2", prompt = "a fox" } } })
        assert.equal("0 done 1 fetch 1 make 0 unknown 0 refused", sizes(made))
        assert.same({ 2, "n2", 1 }, { made.fetch[1].copy, made.fetch[1].task.id, made.make[1].copy })
        made = plan_of(entries_of('"a fox"', '"a fox"'),
            { { state = "unknown", prompt = "a fox", copy = 2, submitted = "then" } },
            { unknown = { { submitted = "then", prompt = "a fox" } } })
        assert.equal("0 done 0 fetch 1 make 1 unknown 0 refused", sizes(made))
        assert.same({ 1, 2 }, { made.make[1].copy, made.unknown[1].copy })
        -- An image that was deleted needs a task less than one that was never there.
        made = plan_of(entries_of('"a fox"', '"a fox"'),
            { { state = "done", prompt = "a fox", task_id = "n1", file = "1.png" } },
            { tasks = { { id = "n2", prompt = "a fox" } } })
        assert.equal("0 done 2 fetch 0 make 0 unknown 0 refused", sizes(made))
        assert.same({ "n1", "n2" }, { made.fetch[1].id, made.fetch[2].task.id })
    end)

    it("keeps the files of requests that repeat, whatever their order", function()
        local function variant(n) return ('{"prompt":"a fox","file":"%d.png"}'):format(n) end
        local function lines()
            local list = {}
            for n = 1, 3 do
                service.write(dir .. "/" .. n .. ".png", "")
                list[n] = { state = "done", prompt = "a fox", file = n .. ".png", task_id = "n" .. n, copy = n > 1 and n or nil }
            end
            return list
        end
        for _, order in ipairs { { 2, 1, 3 }, { 3, 2 }, { 3 }, { 4, 3, 2, 1 } } do
            local list = {}
            for i, n in ipairs(order) do list[i] = variant(n) end
            local made = plan_of(entries_of(table.concat(list, "\n")), lines())
            assert.same({ ("%d done 0 fetch %d make 0 unknown 0 refused"):format(math.min(#order, 3), #order - math.min(#order, 3)),
                {}, {} }, { sizes(made), made.moves, made.stuck })
        end
        local made = plan_of(entries_of(variant(5), variant(2)), lines())
        assert.same({ "2 done 0 fetch 0 make 0 unknown 0 refused", { from = "1.png", to = "5.png" } },
            { sizes(made), made.moves[1].move })
    end)

    it("skips refused entries by default, and retries failed ones", function()
        for kind, expected in pairs {
            moderated = "0 done 0 fetch 0 make 0 unknown 1 refused",
            rejected = "0 done 0 fetch 0 make 0 unknown 1 refused",
            task_failed = "0 done 0 fetch 1 make 0 unknown 0 refused",
        } do
            local line = { state = "failed", prompt = "a fox", error = { kind = kind, message = "no" } }
            local made = plan_of(entries_of '"a fox"', { line })
            assert.equal(expected, sizes(made))
            if made.refused[1] then assert.equal(kind, made.refused[1].refusal.kind) end
            assert.equal("0 done 0 fetch 1 make 0 unknown 0 refused",
                sizes(plan_of(entries_of '"a fox"', { line }, nil, { retry = true })))
        end
        local line = { state = "failed", prompt = "a fox", error = "moderated" }
        assert.equal("0 done 0 fetch 1 make 0 unknown 0 refused", sizes(plan_of(entries_of '"a fox"', { line })))
    end)

    it("overwrites a file named in the list only if the batch created it", function()
        local list = '{"prompt":"a fox","file":"fox.png"}'
        local made, known = plan_of(entries_of(list))
        assert.same({}, plan.conflicts(made, known, dir))
        service.write(dir .. "/fox.png", "")
        made, known = plan_of(entries_of(list))
        assert.same({ {
            line = 1, message = "fox.png already exists and belongs to another request: move it, or choose another "
                .. "name",
        } }, plan.conflicts(made, known, dir))
        for _, line in ipairs {
            { state = "failed", prompt = "a fox", file = "fox.png" },
            { state = "failed", prompt = "a fox", stem = "fox.png" },
            { state = "ready", prompt = "a fox", stem = "fox.png" },
        } do
            made, known = plan_of(entries_of(list), { line }, { tasks = { { id = "n1", prompt = "a fox" } } })
            assert.equal(1, #made.fetch)
            assert.same({}, plan.conflicts(made, known, dir))
        end
        for _, line in ipairs {
            { state = "failed", prompt = "a fox", file = "other.png" }, { state = "ready", prompt = "a fox", stem = "x" },
        } do
            made, known = plan_of(entries_of(list), { line }, { tasks = { { id = "n1", prompt = "a fox" } } })
            assert.equal(1, #plan.conflicts(made, known, dir), "the paid image would overwrite another file")
        end
        made, known = plan_of(entries_of '"a fox"')
        assert.same({}, plan.conflicts(made, known, dir))
    end)

    it("reads a manifest, counts each task once, and counts damaged lines", function()
        local function line(fields)
            fields.request = { model = "flux-2", prompt = fields.prompt }
            return jsonl.encode(fields)
        end
        service.write(dir .. "/manifest.jsonl", table.concat({
            line { state = "ready", prompt = "a fox", task_id = "n1", credits = 10, line = 4 },
            line { state = "done", prompt = "a fox", task_id = "n1", credits = 10, file = "fox.png" },
            line { state = "failed", prompt = "a hare", task_id = "n2", credits = 6 },
            line { state = "failed", prompt = "an owl", credits = 99 },
            line { state = "done", prompt = "a fox", copy = 2, task_id = "n3", credits = "7" },
            '{"state":"done","line":3,"prom', '{"state":"do', ("\0"):rep(20),
            line { state = "done", prompt = "a bear", task_id = "n4" },
        }, "\n"))
        local known = assert(manifest.open(dir))
        assert.same({ 122, 3 }, { known:spent(), known.spoiled })
        local fox = known:find(prompts.key({ model = "flux-2", prompt = "a fox" }, 1))
        assert.same({ "done", 4, "n1" }, { fox.state, fox.line, fox.task_id })
        assert.equal("n3", known:find(prompts.key({ model = "flux-2", prompt = "a fox" }, 2)).task_id)
        assert.equal("failed", known.by_id.n2.state)
        assert.is_nil(known:find "nothing")
        assert.is_true(known:note { state = "done", request = { model = "flux-2", prompt = "a hare" },
            prompt = "a hare", task_id = "n2", credits = 6 })
        assert.is_true(known:note { state = "done", request = { model = "flux-2", prompt = "new" }, prompt = "new",
            task_id = "n5", credits = 1 })
        assert.equal(123, known:spent())
        known:complete(prompts.key({ model = "flux-2", prompt = "an owl" }, 1), "owl.png")
        local other, err = manifest.open(dir)
        assert.is_nil(other)
        assert.equal("io", err.kind)
        assert.equal("another flux2 batch is running in '" .. dir .. "': wait for it, or give another --out",
            err.message)
        known:close()
        local prompts_there, states = {}, {}
        for _, value in jsonl.lines(service.read(dir .. "/manifest.jsonl")) do
            prompts_there[#prompts_there + 1], states[#states + 1] = value.prompt, value.state
        end
        assert.same({ "a fox", "a hare", "an owl", "a fox", "a bear", "new" }, prompts_there)
        assert.same({ "done", "done", "done", "done", "done", "done" }, states)
        assert.same({ "manifest.jsonl" }, service.list(dir))
        known = assert(manifest.open(dir))
        assert.same({ 123, 0, "owl.png" },
            { known:spent(), known.spoiled, known:find(prompts.key({ model = "flux-2", prompt = "an owl" }, 1)).file })
        known:close()
    end)

    it("refuses a manifest with a line that was edited, which may be of a paid image", function()
        local done = jsonl.encode { state = "done", prompt = "a fox", request = { prompt = "a fox" }, task_id = "n1" }
        for _, line in ipairs { "{ bad", '{"state":"done"}', '{"request":{}}', "[]", '"x"', "null", '"request": {',
            (done:gsub('"state":"done"', '"state":7')), (done:gsub('"done"', '"great"')), (done:gsub("^{", "{,")) } do
            service.write(dir .. "/manifest.jsonl", done .. "\n\n" .. line .. "\n" .. done .. "\n")
            local known, err = manifest.open(dir)
            assert.is_nil(known, line)
            assert.same({ "io", "line 3 of '" .. dir .. "/manifest.jsonl' is no entry of a manifest; it may be of a " ..
                "paid image: correct or delete it" }, { err.kind, err.message })
            assert.same({ "manifest.jsonl" }, service.list(dir))
        end
    end)

    it("ignores fields that no version writes, and names of other folders", function()
        for _, more in ipairs {
            '"copy":1.5', '"copy":1e300', '"copy":NaN', '"copy":"1"', '"earlier":[{"task_id":NaN,"submitted":7}]',
            '"earlier":7', '"file":"..","was":".","stem":".x"', '"file":"a/b"', '"error":7',
        } do
            service.write(dir .. "/manifest.jsonl", '{"state":"done","request":{"prompt":"a fox"},' .. more .. "}\n")
            local known = assert(manifest.open(dir))
            local line = known:find(prompts.key({ prompt = "a fox" }, 1))
            assert.same({ "done", nil, nil, nil }, { line.state, line.file, line.was, line.stem })
            known:close()
        end
    end)

    it("reads a manifest that an editor saved with a byte order mark and CR LF", function()
        local done = jsonl.encode { state = "done", prompt = "a fox", request = { prompt = "a fox" }, task_id = "n1" }
        service.write(dir .. "/manifest.jsonl", "\239\187\191" .. done .. "\r\n\r\n")
        local known = assert(manifest.open(dir))
        assert.equal("n1", known:find(prompts.key({ prompt = "a fox" }, 1)).task_id)
        known:close()
    end)

    it("uses a directory from which files of a killed run are removed #names", function()
        for _, name in ipairs {
            ".fox.png.0123456789abcdef.part", ".fox.name", ".flux2-batch-0123.lock", ".keep.part", "fox.name",
            ".fox.png.0123456789abcdeg.part",
        } do
            service.write(dir .. "/" .. name, "")
        end
        service.write(dir .. "/.hare.name", "the user's own file")
        assert(manifest.open(dir)):close()
        assert.same({ ".fox.png.0123456789abcdeg.part", ".hare.name", ".keep.part", "fox.name", "manifest.jsonl" },
            service.list(dir))
        local known, err = manifest.open(dir .. "/none")
        assert.is_nil(known)
        assert.equal("io", err.kind)
        assert.matches("^cannot use '.*': No such file or directory$", err.message)
        os.execute("mkdir -p " .. dir .. "/bad/manifest.jsonl")
        known, err = manifest.open(dir .. "/bad")
        assert.is_nil(known)
        assert.equal("cannot use '" .. dir .. "/bad/manifest.jsonl': Is a directory", err.message)
        assert.same({ "manifest.jsonl" }, service.list(dir .. "/bad"))
    end)
end)

describe("the exit status and the error output", function()
    it("match the error, in terms of the command line", function()
        local errors = require "flux2.errors"
        for i, kind in ipairs {
            "invalid_request", "auth", "credits", "budget", "rate_limited", "not_found", "rejected", "task_failed",
            "moderated", "server", "network",
            "tls", "timeout", "cancelled", "too_large", "not_an_image", "protocol", "unknown_outcome", "io",
        } do
            assert.equal(i + 1, exit.of(errors.new(kind, "x")), kind)
            assert.equal(i + 1, exit.of_many { [kind] = 3 }, kind)
        end
        assert.same({ 1, 1, 1, 0, 2, 130 },
            { exit.of(nil), exit.of {}, exit.of_many { new = 1 }, exit.OK, exit.USAGE, exit.INTERRUPTED })

        local function report(err, command, options)
            local t, written = fake { [2] = options and options.live, env = { NO_COLOR = "1" } }
            for name, value in pairs(options or {}) do t[name] = value end
            t.command = command
            local code = error_output.print(t, err)
            return { code, written "out", written "err" }
        end
        assert.same({ 2, "", "flux2: bad\nTry: flux2 batch --help\n" },
            report(errors.new("invalid_request", "bad"), "batch"))
        assert.same({ 2, "", "flux2: bad\n" }, report(errors.new("invalid_request", "bad")))
        assert.same({ 2, "", "flux2: bad\n" }, report(errors.new("invalid_request", "bad"), "batch", { quiet = true }))
        assert.same({ 15, "", "flux2: cancelled: x\n" }, report(errors.new("cancelled", "x")))
        assert.same({ 20, "", "flux2: io: full\nCheck that the directory exists, is writable and has room.\n" },
            report(errors.new("io", "full"), "batch"))
        assert.same({ 20, "", "flux2: io: full\nbe gone\n" }, report(errors.new("io", "full", { advice = "be gone" })))
        assert.same({ 20, "", "flux2: io: full\n" }, report(errors.new("io", "full", { advice = false })))
        assert.same({ 14, "", "flux2: timeout: late (task n1)\n"
            .. "The task is still running and paid for. To download its image: flux2 task n1 --wait\n" },
            report(errors.new("timeout", "late", { task_id = "n1", paid = true })))
        assert.same({ 14, "", "flux2: timeout: late (task n1)\n"
            .. "The image is paid for. To download it: flux2 task n1 --wait\n" },
            report(errors.new("timeout", "late", { task_id = "n1", paid = true, cause = "timeout" })))
        assert.same({ 14, "", "flux2: timeout: late\nTry again with a longer --timeout.\n" },
            report(errors.new("timeout", "late")))
        assert.same({ 11, '{"error":{"kind":"server","message":"no","attempts":3,"code":"c","field":"f",'
            .. '"request_id":"r","retryable":true,"status":500,'
            .. '"task_id":"t","type":"y"}}\n', "" }, (function()
            local result = report(errors.new("server", "no", {
                status = 500, code = "c", type = "y", task_id = "t", request_id = "r", attempts = 3, field = "f",
                raw = "the response", limit = 3,
            }), "batch", { json = true })
            local printed = json.decode(result[2])
            assert.same({
                kind = "server", message = "no", status = 500, code = "c", type = "y", task_id = "t",
                request_id = "r", attempts = 3,
                retryable = true, field = "f", raw = "the response",
            }, printed.error)
            result[2] = '{"error":{"kind":"server","message":"no","attempts":3,"code":"c","field":"f","request_id":"r",'
                .. '"retryable":true,"status":500,'
                .. '"task_id":"t","type":"y"}}\n'
            return result
        end)())
        for kind, words in pairs {
            auth = "FLUX2_API_KEY", credits = "--type flex", budget = "--budget",
            rate_limited = "--concurrency", not_found = "--base-url or FLUX2_BASE_URL",
            network = "flux2 doctor", tls = "--ca-file", protocol = "--json", unknown_outcome = "twice",
        } do
            assert.truthy(error_output.advice(errors.new(kind, "x")):find(words, 1, true), kind)
        end
        local of_task = error_output.advice(errors.new("not_found", "x", { task_id = "n1" }))
        assert.equal("Check the task id. `flux2 doctor` checks the address of the service.", of_task)
        assert.is_nil(error_output.advice(errors.new("cancelled", "x")))
        assert.is_nil(error_output.advice(errors.new("invalid_request", "x")))
        assert.equal(errors.advice.server, error_output.advice(errors.new("server", "x")))
    end)
end)

describe("the spool directory", function()
    it("follows the environment variables for program state", function()
        local function place(env) return session.default_spool(function(name) return env[name] end) end
        assert.equal("/s/flux2/spool", place { XDG_STATE_HOME = "/s", HOME = "/h" })
        assert.equal("/h/.local/state/flux2/spool", place { XDG_STATE_HOME = "s", HOME = "/h" })
        assert.equal("/h/.local/state/flux2/spool", place { XDG_STATE_HOME = "", HOME = "/h" })
        assert.equal("C:/l/flux2/spool", place { LOCALAPPDATA = "C:/l", HOME = "/h" })
        assert.equal("D:/s/flux2/spool", place { LOCALAPPDATA = "C:/l", XDG_STATE_HOME = "D:/s" })
        assert.is_nil(place { HOME = "" })
        assert.is_nil(place {})
        local t = fake { env = {} }
        assert.same({ "/x" }, { session.spool({ spool = "/x" }, t) })
        assert.same({ nil }, { session.spool({ spool = "/x", no_spool = true }, t) })
    end)

    it("is one of the options that must not be empty", function()
        assert.same({ nil, "is empty" }, { values.text "" })
        assert.same({ nil, "has a control character (byte 2)" }, { values.text "a\n" })
        assert.equal("a", values.text "a")
        assert(session.client({ base_url = "http://127.0.0.1:1", poll_interval = 2, timeout = 3 },
            { api_key = "aio_k" }))
    end)
end)

describe("options of several commands", function()
    it("have defaults in environment variables, parsed like the options", function()
        local env = {
            FLUX2_BASE_URL = "http://a", FLUX2_TYPE = "flex", FLUX2_RESOLUTION = "2K", FLUX2_ASPECT_RATIO = "1:2",
            FLUX2_CONCURRENCY = "3",
            FLUX2_BUDGET = "0", FLUX2_TIMEOUT = "1.5", FLUX2_POLL_INTERVAL = "2", FLUX2_PATIENCE = "3",
            FLUX2_PROXY = "http://p", FLUX2_CA_FILE = "/ca", FLUX2_SPOOL = "/s",
            FLUX2_API_KEY = "aio_not_an_argument",
        }
        local function getenv(name) return env[name] end
        local args = { timeout = 7 }
        assert.is_true(settings.complete(args, getenv))
        assert.same({
            base_url = "http://a", type = "flex", resolution = "2K", aspect_ratio = "1:2", concurrency = 3,
            budget = 0, timeout = 7,
            poll_interval = 2, patience = 3, proxy = "http://p", ca_file = "/ca", spool = "/s",
        }, args)
        for name, words in pairs {
            FLUX2_CONCURRENCY = "a whole number, 1 or more", FLUX2_BUDGET = "a number of credits, 0 or more",
            FLUX2_TIMEOUT = "a number of seconds above 0", FLUX2_POLL_INTERVAL = "a number of seconds above 0",
            FLUX2_PATIENCE = "a number of seconds above 0",
        } do
            local ok, err = settings.complete({}, function(variable) return variable == name and "x" or nil end)
            assert.is_nil(ok)
            assert.equal(name .. " must be " .. words .. ", not 'x'", err.message)
        end
        args = {}
        assert.is_true(settings.complete(args, function() return "" end))
        assert.same({}, args)
    end)

    it("become a request", function()
        assert.same({ prompt = "a fox" }, arguments.to_request({ input_urls = {} }, "a fox"))
        assert.same({ prompt = "a fox", type = "pro", aspect_ratio = "1:1", resolution = "1K", input_urls = { "u" },
            extra = { a = 1 } },
            arguments.to_request({ type = "pro", aspect_ratio = "1:1", resolution = "1K", input_urls = { "u" },
                extra = { a = 1 }, other = 1 }, "a fox"))
    end)

    it("read a whole file, or report the failure", function()
        local dir = service.directory()
        service.write(dir .. "/x", "a\0b\r\n")
        assert.equal("a\0b\r\n", arguments.read(dir .. "/x"))
        for path, reason in pairs { [dir .. "/none"] = "No such file or directory", [dir] = "." } do
            local bytes, err = arguments.read(path)
            assert.is_nil(bytes)
            assert.equal("io", err.kind)
            assert.matches("^cannot read '[^']*': [^:]*" .. reason, err.message)
        end
        service.remove(dir)
    end)
end)

describe("an image in progress", function()
    it("is described by its state and progress", function()
        assert.equal("starting", watch.state(nil))
        assert.equal("submitting", watch.state { state = "submitting" })
        assert.equal("running", watch.state { state = "running" })
        assert.equal("BUSY   50 %", watch.state { state = "running", status = "BUSY\27", progress = 0.504 })
        assert.equal("BUSY  100 %", watch.state { state = "running", status = "BUSY", progress = 1 })
        assert.equal(("x"):rep(27) .. "...    0 %",
            watch.state { state = "running", status = ("x"):rep(31), progress = 0 })
        for _, state in ipairs { "succeeded", "failed", "cancelled" } do
            assert.equal("fetching", watch.state { state = state })
            assert.is_false(watch.is_alive { state = state })
        end
        assert.is_true(watch.is_alive { state = "submitting" } and watch.is_alive { state = "running" })
    end)

    it("is drawn in a line that fits", function()
        local t, written = fake { [2] = true, columns = 200, env = {} }
        watch.draw(t, "BUSY", 12.3, { "about 10 credits", false, "n41" })
        assert.equal("\r\\ BUSY   12 s, typically 15 to 40 s   about 10 credits   n41\27[K", written "err")
        t, written = fake { [2] = true, columns = 21, env = {} }
        watch.draw(t, "BUSY", 0, {})
        assert.equal("\r| BUSY   0 s, typica\27[K", written "err")
    end)

    it("is reported with warnings, the cost, and the path last", function()
        local function report(done, options)
            local t, written = fake { env = {} }
            for name, value in pairs(options or {}) do t[name] = value end
            done.task = done.task or { id = "n41" }
            done.result.images = done.result.images
                or { { content_type = "image/png" }, { content_type = "image/png" } }
            watch.hand_over(t, done)
            return { written "out", written "err" }
        end
        assert.same({ "a.png\n", "2 s, 10 credits, task n41\n" },
            report { result = { elapsed = 2, credits = 10 }, paths = { "a.png" } })
        assert.same({ "a.png\nb.PNG\n", "2 s, task n41\n2 s, task n41\n" },
            report { result = { elapsed = 2 }, paths = { "a.png", "b.PNG" } })
        assert.same({ "", "2 s, 1 credit, task ?\n" },
            report { task = {}, result = { elapsed = 2, credits = 1 }, paths = { "-" } })
        assert.same({ "a.png\n", "" }, report({ result = { elapsed = 2 }, paths = { "a.png" } }, { quiet = true }))
        for path, content_type in pairs { ["a.jpg"] = "image/jpeg", ["a.jpeg"] = "image/jpeg", ["a"] = "image/png",
            ["a.webp"] = "image/webp" } do
            assert.same({ path .. "\n", "2 s, task n41\n" },
                report { result = { elapsed = 2, images = { { content_type = content_type } } }, paths = { path } })
        end
        for path, content_type in pairs { ["a.jpg"] = "image/png", ["a.png"] = "image/jpeg",
            ["a.txt"] = "image/avif" } do
            assert.same({ path .. "\n", ("'%s' contains an image of type %s\n2 s, task n41\n"):format(path,
                content_type:sub(7):upper()) },
                report { result = { elapsed = 2, images = { { content_type = content_type } } }, paths = { path } })
        end
        local printed = report({ result = { elapsed = 2.345, credits = 3 }, paths = { "a.png" },
            request = { prompt = "a fox" } }, { json = true })
        assert.same({ '{"prompt":"a fox","file":"a.png","task_id":"n41",'
            .. '"seconds":2.35,"credits":3,"request":{"prompt":"a fox"},"content_type":"image/png"}\n', "" },
            { (printed[1]:gsub("%.34,", ".35,")), printed[2] })
    end)
end)

describe("the loop of a command", function()
    it("returns the result of its work, or raises its error", function()
        local draws = 0
        assert.same({ true, "result" }, { loop.run {
            work = function() flux2.sleep(0.01) return "result" end,
            draw = function() draws = draws + 1 end, interrupted = function() end,
        } })
        assert.is_true(draws >= 1)
        assert.same({ n = 2, true, nil }, pack(loop.run { work = function() end, interrupted = function() end }))
        local e = { "a fault" }
        assert.equal(e, select(2, pcall(loop.run,
            { work = function() flux2.sleep(0.001) error(e) end, interrupted = function() end })))
    end)

    it("begins no work after an interrupt", function()
        local interrupts, began, handled = core.interrupts, false, {}
        rawset(core, "interrupts", function() return 2 end)
        local ok, finished = pcall(loop.run, {
            work = function() began = true end,
            interrupted = function(n)
                handled[#handled + 1] = n
                return n == 2
            end,
        })
        rawset(core, "interrupts", interrupts)
        assert.same({ true, false, false, { 1, 2 } }, { ok, finished, began, handled })
    end)

    it("processes several items concurrently, each once", function()
        local at_work, most, done, next_one = 0, 0, {}, 0
        loop.run { interrupted = function() end, work = function()
            loop.each(3, function()
                next_one = next_one + 1
                return next_one <= 7 and next_one or nil
            end, function(item)
                at_work = at_work + 1
                most = math.max(most, at_work)
                flux2.sleep(0.002)
                at_work = at_work - 1
                done[#done + 1] = item
            end)
        end }
        table.sort(done)
        assert.same({ 1, 2, 3, 4, 5, 6, 7 }, done)
        assert.equal(3, most)
        local finished = 0
        local ok, e = pcall(loop.run, { interrupted = function() end, work = function()
            local items = { "bad", "good" }
            loop.each(2, function() return table.remove(items, 1) end, function(item)
                flux2.sleep(item == "bad" and 0.001 or 0.01)
                if item == "bad" then error("the first fault", 0) end
                finished = finished + 1
            end)
        end })
        assert.same({ false, "the first fault", 1 }, { ok, e, finished })
    end)
end)
