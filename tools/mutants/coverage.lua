--- Measures the covered lines and the duration of each spec file. Cached in build/mutants/coverage for each state of
--- the code and the spec file.
-- C is traced by basic blocks (-fsanitize-coverage), because gcov loses the data of killed processes; Lua by a hook in
-- C, because coroutines do not inherit hooks of debug.sethook. See trace_c.c and trace_lua.c.

local blocks = require "mutants.blocks"
local files = require "files"
local tree = require "mutants.tree"

local coverage = {}

local LINES = 4096 -- of a Lua file, as in trace_lua.c
local FILES = 256
local LIMIT = 600 -- seconds for one spec file

local copy = tree.work .. "/learn"
local folder = tree.work .. "/coverage"

-- The traced copy ----------------------------------------------------------------------------------------------------

--- Inserts the tracer into a Lua file without adding a line.
local function trace_lua_files(paths)
    local numbers = {}
    for i, path in ipairs(paths) do numbers[path] = i - 1 end
    if #paths > FILES then error("trace_lua.c traces no more than " .. FILES .. " files", 0) end
    -- LuaJIT does not call hooks in compiled code.
    local call = "if jit then jit.off() end do local trace = package.loadlib('%s.' .. _VERSION:sub(5) .. '.so', "
        .. "'mutants_trace') if trace then trace(%d) end end "
    return function(path, text)
        return numbers[path] and call:format(copy, numbers[path]) .. text
    end
end

local function compile(source, target, options)
    files.run(("${CC:-cc} -std=gnu11 -O2 -fPIC %s -o %s %s"):format(options, files.quote(target),
        files.quote(tree.tools .. "/" .. source)))
end

--- Builds the Lua tracer with the headers of one of the pkg-config names.
local function compile_tracer(abi, names)
    local headers = ("$(for name in %s; do pkg-config --cflags $name 2>/dev/null && break; done)"):format(names)
    compile("trace_lua.c", ("%s.%s.so"):format(copy, abi), "-shared -Wl,-z,nodelete " .. headers)
end

--- Builds the traced copy.
local function build(list, paths)
    tree.copy(copy, list, trace_lua_files(paths))
    compile("trace_c.c", copy .. ".o", "-c")
    compile_tracer("5.4", "lua5.4 lua-5.4 lua54")
    if tree.interpreters.luajit then compile_tracer("5.1", "luajit lua5.1 lua-5.1 lua51") end
    -- objdump takes headers for other files in DWARF 5.
    local flags = "CFLAGS='-O0 -gdwarf-4' EXTRA_CFLAGS=-fsanitize-coverage=trace-pc LDFLAGS="
    -- not built by make
    local state = flags .. files.read(copy .. ".o")
    if files.read(copy .. ".state") ~= state then files.run(files.command("rm", "-rf", copy .. "/build/obj")) end
    if not tree.build(copy, flags .. files.quote(copy .. ".o")) then
        error("the traced copy does not compile: see " .. copy .. ".log", 0)
    end
    files.write(copy .. ".state", state)
    local modules = {}
    for _, module in ipairs(tree.modules(copy)) do
        modules[blocks.trace_name(module)] = blocks.of(module, copy)
    end
    files.save(copy .. ".lines", { paths = paths, modules = modules })
end

-- What was traced ----------------------------------------------------------------------------------------------------

local function add(lines, path, line)
    if not tree.language(path) then return end
    lines[path] = lines[path] or {}
    lines[path][line] = true
end

local function add_c(lines, trace, names)
    for name, offsets in pairs(names) do
        for _, offset in ipairs(offsets) do
            if trace:byte(offset + 1) == 1 then
                local path, line = name:match "^(.*):(%d+)$"
                add(lines, path, tonumber(line))
                break
            end
        end
    end
end

local function add_lua(lines, trace, paths)
    local at = trace:find("\1", 1, true)
    while at do
        add(lines, paths[(at - 1) // LINES + 1], (at - 1) % LINES)
        at = trace:find("\1", at + 1, true)
    end
end

--- Returns path -> set of lines from the trace files of a spec file.
local function read_traces(from)
    local known, lines = files.load(copy .. ".lines"), {}
    for name, names in pairs(known.modules) do
        add_c(lines, files.read(from .. "/" .. name) or "", names)
    end
    add_lua(lines, files.read(from .. "/lua") or "", known.paths)
    return lines
end

--- Runs a spec file in the traced copy. Returns status and seconds, or nil if it has no test for this Lua.
local function run_traced(spec, kind, traces)
    files.run(files.command("rm", "-rf", traces))
    files.run(files.command("mkdir", "-p", "-m", "777", traces))
    local status, seconds, tests = tree.run_spec(copy, spec, kind, LIMIT, traces)
    if status == 0 and tests == 0 then return nil end
    return status, seconds
end

--- Measures the coverage of a spec file and saves it to `target`. A file that fails here may pass in another copy.
function coverage.learn(spec, target)
    local traces, kind = ("%s/traces/%s"):format(tree.work, (spec:gsub("/", "%%"))), "5.4"
    local status, seconds = run_traced(spec, kind, traces)
    if not status and tree.interpreters.luajit then
        kind = "luajit"
        status, seconds = run_traced(spec, kind, traces)
    end
    local lines = status and read_traces(traces) or {}
    if status and status ~= 0 then
        status, seconds = tree.run_spec(tree.worker(os.getenv "WORKER"), spec, kind, LIMIT)
    end
    local result = { seconds = seconds or 0, passes = status == 0, no_tests = not status, kind = kind, lines = lines }
    files.save(target, result)
    files.run(files.command("rm", "-rf", traces))
    return result
end

-- For the run --------------------------------------------------------------------------------------------------------

--- Returns the coverage file of a spec file.
local function targets(list)
    local code = files.digest(tree.source, tree.select(list, tree.is_code))
    local result = {}
    for _, spec in ipairs(tree.select(list, tree.is_spec)) do
        result[spec] = ("%s/%s-%s"):format(folder, code:sub(1, 12), files.digest(tree.source, { spec }):sub(1, 12))
    end
    return result
end

--- Measures missing coverage. Returns for each spec file its Lua, `seconds`, whether it passes, and path -> set of
--- lines. Returns nil if interrupted.
---@param list string[] the files of the source
function coverage.all(list, jobs)
    local words, result = {}, {}
    local wanted = targets(list)
    files.make_folder(folder)
    for spec, target in pairs(wanted) do
        if not files.read(target) then words[#words + 1] = spec .. "=" .. target end
    end
    if #words > 0 then
        print(("measuring the coverage of %d spec files"):format(#words))
        table.sort(words)
        build(list, tree.select(list, function(path) return tree.language(path) == "lua" end))
        if not tree.each(words, jobs, "learn.lua") then return nil end
    end
    for spec, target in pairs(wanted) do result[spec] = files.load(target) end
    return result
end

--- Returns the spec files that run one of the lines `first` to `last` of a file.
local function runs_between(known, path, first, last)
    local specs = {}
    for spec, what in pairs(known) do
        for line in pairs(what.passes and what.lines[path] or {}) do
            if line >= first and line <= last then
                specs[#specs + 1] = spec
                break
            end
        end
    end
    return specs
end

local function runs_any_c(known)
    local specs = {}
    for spec, what in pairs(known) do
        for path in pairs(what.passes and what.lines or {}) do
            if path:find "%.c$" then
                specs[#specs + 1] = spec
                break
            end
        end
    end
    return specs
end

--- Returns the spec files that may detect a change at a point, the fastest first: those that run its line, else its
--- function, else its file. A header with declarations only belongs to every C file.
function coverage.specs_for(known, point)
    local specs = runs_between(known, point.path, point.from_line, point.to_line)
    if #specs == 0 and point.body then specs = runs_between(known, point.path, point.body.first, point.body.last) end
    if #specs == 0 then specs = runs_between(known, point.path, 1, math.huge) end
    if #specs == 0 and point.path:find "%.h$" then specs = runs_any_c(known) end
    table.sort(specs, function(a, b)
        if known[a].seconds ~= known[b].seconds then return known[a].seconds < known[b].seconds end
        return a < b
    end)
    return specs
end

return coverage
