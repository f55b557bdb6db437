-- The parts of the command line that run nothing: widths, durations, names, values, lists of prompts, lines of JSON.
local files = require "flux2.cli.files"
local jsonl = require "flux2.cli.jsonl"
local progress = require "flux2.cli.progress"
local prompts = require "flux2.cli.prompts"
local service = require "support.service"
local shell = require "flux2.cli.shell"
local terminal = require "flux2.cli.terminal"
local values = require "flux2.cli.values"

local function pack(...) return { n = select("#", ...), ... } end

-- A terminal that remembers what was written to it.
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
    it("draws a line where one can live, and takes it away before anything else is written", function()
        local t, written = fake { [1] = true, [2] = true, columns = 12 }
        t:draw "0123456789 and more"
        assert.equal("\r0123456789 \27[K", written "err")
        t:result "path"
        assert.equal("\r0123456789 \27[K\r\27[K", written "err")
        assert.equal("path\n", written "out")
    end)

    it("writes no escape code into a pipe, to a dumb terminal, or in colour with NO_COLOR", function()
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
        assert.equal("plain", t:style_result("red", "plain")) -- stdout is no terminal here
    end)

    it("says nothing when quiet, but warns", function()
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
    it("says durations, credits and what is left as people do", function()
        assert.equal("12 s", progress.duration(12.3))
        assert.equal("1:15", progress.duration(75))
        assert.equal("2:01:05", progress.duration(7265))
        assert.equal("1 credit", progress.credits(1))
        assert.equal("2.5 credits", progress.credits(2.5))
        assert.equal("1 line asks", progress.count(1, "line asks", "lines ask"))
        assert.same({ "━━", "──" }, { progress.bar(0.5, 4, true) })
        assert.same({ "####", "" }, { progress.bar(1.5, 4, false) })
        assert.equal(0, progress.remaining(0, 5, 10, 4))
        assert.equal(20, progress.remaining(10, 5, 10, 4))
        assert.equal(2 * progress.typical[1] - 5, progress.remaining(8, 0, 5, 4))
    end)
end)

describe("file names", function()
    it("remind of the prompt, and are safe whatever it holds", function()
        for prompt, stem in pairs {
            ["A red fox, in the snow!"] = "a-red-fox-in-the-snow", ["../../etc/passwd"] = "etc-passwd", ["---"] = "picture",
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

    it("are claimed by one at a time, and a claim that a dead program left is no obstacle", function()
        local dir = service.directory()
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
        service.remove(dir)
        local claim, err = files.claim(dir, "fox")
        assert.is_nil(claim)
        assert.equal("io", err.kind)
    end)
end)

describe("the core", function()
    it("counts interrupts once it is asked to, and gives the key its meaning back after three", function()
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

    it("knows what is no terminal", function()
        local code, printed = service.run_lua([[
            local core = require "flux2.core"
            assert(core.is_terminal(1) == false and core.columns(1) == nil and core.is_terminal(99) == false)
        ]])
        assert.equal(0, code, printed)
    end)
end)

describe("words on the command line", function()
    it("become values, or say what they must be", function()
        for _, case in ipairs {
            { "seconds", "1.5", 1.5 }, { "seconds", "1e1", 10 }, { "seconds", "0" }, { "seconds", "0x10" }, { "seconds", "nan" },
            { "seconds", "inf" }, { "seconds", "" }, { "count", "3", 3 }, { "count", "3.5" }, { "count", "-1" }, { "count", "." },
            { "credits", "0", 0 }, { "credits", "-1" }, { "port", "0", 0 }, { "port", "65536" }, { "share", "0.5", 0.5 },
            { "share", "2" }, { "range", "2", 2 }, { "range", "5-2" }, { "range", "a" }, { "object", "[1]" }, { "object", "{" },
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
    it("reads words back as they were", function()
        local words = { "plain", "it's", "a b", "$HOME `ls`", "", "new\nline", "--flag=x", "*" }
        local pipe = io.popen("for w in " .. shell.join(words) .. "; do printf '%s\\0' \"$w\"; done")
        local read = pipe:read "*a"
        pipe:close()
        assert.equal(table.concat(words, "\0") .. "\0", read)
    end)

    it("tells how a program ended", function()
        assert.equal(0, shell.run "true")
        assert.equal(7, shell.run "exit 7")
        assert.is_true(shell.run "kill -9 $$" > 128)
        assert.is_true(shell.has "sh")
        assert.is_false(shell.has "no-such-program")
    end)
end)

describe("lines of JSON", function()
    it("are the same for equal values, whatever order their tables have", function()
        local a, b = { prompt = "a/b", zeta = 1, alpha = { 1, 2 } }, {}
        b.zeta, b.alpha, b.prompt = 1, { 1, 2 }, "a/b"
        assert.equal('{"prompt":"a/b","alpha":[1,2],"zeta":1}', jsonl.encode(a))
        assert.equal(jsonl.encode(a), jsonl.encode(b))
        assert.equal("a/b", require("flux2.json").decode(jsonl.encode(a)).prompt)
    end)

    it("survive a line that was cut short", function()
        local dir = service.directory()
        local path = dir .. "/lines.jsonl"
        local file = assert(jsonl.open(path))
        assert(jsonl.append(file, { n = 1 }))
        file:write '{"n":2,"half'
        file:close()
        file = assert(jsonl.open(path))
        assert(jsonl.append(file, { n = 3 }))
        file:close()
        local read = {}
        for number, value, reason in jsonl.lines(service.read(path)) do read[#read + 1] = { number, value and value.n, reason ~= nil } end
        service.remove(dir)
        assert.same({ { 1, 1, false }, { 2, nil, true }, { 3, 3, false } }, read)
    end)
end)

describe("a list of prompts", function()
    local function parse(bytes, format, opts)
        local given = { format = format or "txt", defaults = {} }
        for name, value in pairs(opts or {}) do given[name] = value end
        return prompts.parse(bytes, given)
    end

    it("is one on a line, with comments, empty lines, and the line ends of any system", function()
        local entries = assert(parse "\239\187\191a fox\r\n# no\n\n   a hare  \n")
        assert.equal(2, #entries)
        assert.same({ 1, "a fox" }, { entries[1].line, entries[1].payload.prompt })
        assert.same({ 4, "a hare" }, { entries[2].line, entries[2].payload.prompt })
    end)

    it("or JSON Lines, each over the defaults", function()
        local entries = assert(parse('"a fox"\n{"prompt":"a hare","type":"pro","file":"hare.png","extra":{"seed":7}}\n', "jsonl",
            { defaults = { type = "flex" } }))
        assert.equal("flex", entries[1].payload.type)
        assert.same({ "pro", 7, "hare.png" }, { entries[2].payload.type, entries[2].payload.seed, entries[2].name })
        assert.is_nil(entries[2].payload.file)
    end)

    it("tells every line that is wrong, with its number", function()
        local entries, wrong = parse('{"prompt":"a fox"}\n{"prompt":1}\n[1]\nnot json\n{"promt":"a fox"}\n{"prompt":"x","file":"../x"}\n'
            .. '{"prompt":"one","file":"a.png"}\n{"prompt":"two","file":"a.png"}\n{"prompt":"two","file":"a.txt"}\n', "jsonl")
        assert.is_nil(entries)
        local lines = {}
        for i, item in ipairs(wrong) do lines[i] = item.line end
        assert.same({ 2, 3, 4, 5, 6, 8, 9 }, lines)
        assert.matches("prompt must be a string", wrong[1].message)
        assert.matches("did you mean prompt", wrong[4].message)
        assert.matches("line 7 too", wrong[6].message)
        entries, wrong = parse "ok then\nx\n"
        assert.is_nil(entries)
        assert.same({ 2, "prompt must have 3 to 5000 characters, has 1" }, { wrong[1].line, wrong[1].message })
        assert.matches("UTF%-8", select(2, parse "a \255 fox")[1].message)
    end)

    it("tells apart what is asked for twice", function()
        local entries, again = parse "a fox\na hare\na fox\n"
        assert.equal(1, again)
        assert.same({ 1, 1, 2 }, { entries[1].copy, entries[2].copy, entries[3].copy })
        assert.are_not.equal(entries[1].key, entries[3].key)
        assert.equal(2, #assert(parse("a fox\na hare\na fox\n", "txt", { unique = true })))
    end)

    it("is known by its name, or by how it begins", function()
        assert.equal("jsonl", prompts.format("x.jsonl", "a fox"))
        assert.equal("txt", prompts.format("x.txt", '{"prompt":"a"}'))
        assert.equal("jsonl", prompts.format("-", ' {"prompt":"a"}'))
        assert.equal("txt", prompts.format("-", "a fox"))
    end)
end)
