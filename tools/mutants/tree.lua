--- The project: mutated files, its copies, and how to build them and run their specs.
-- The copies are in build/mutants: `source`, the snapshot of a run; `worker-N`, where mutants are tested; `learn`, the
-- traced copy. Each has its own build/ for Lua 5.4 and LuaJIT.

local files = require "files"

local tree = {}

local FOLDERS = { "csrc", "lua/flux2" }
-- The emulator, and what only the emulator needs.
local EXCLUDED = { "csrc/emulator", "csrc/gateway", "csrc/server", "csrc/tester" }

tree.root = os.getenv "MUTANTS_ROOT" or files.output("pwd -P"):gsub("\n", "")
tree.work = tree.root .. "/build/mutants"
tree.source = tree.work .. "/source"
-- The folder of these programs, first in `package.path`.
tree.tools = package.path:match "^(.-)/%?%.lua" .. "/mutants"

-- Lua version -> interpreter. LuaJIT runs specs without a test for Lua 5.4, such as those of LÖVE.
tree.interpreters = {}
for _, kind in ipairs { "5.4", "luajit" } do
    tree.interpreters[kind] = files.output(files.command(tree.tools .. "/../find-lua", kind)):match "[^\n]+"
end

--- Whether a path is one of `folders`, or in one of them.
function tree.is_in(path, folders)
    for _, folder in ipairs(folders) do
        if path == folder or path:sub(1, #folder + 1) == folder .. "/" then return true end
    end
    return false
end

--- "c" or "lua" for a file that is mutated, else nil.
function tree.language(path)
    if not tree.is_in(path, FOLDERS) or tree.is_in(path, EXCLUDED) then return nil end
    return path:find "%.[ch]$" and "c" or path:match "%.(lua)$"
end

function tree.is_spec(path)
    return path:find "^spec/.*_spec%.lua$" ~= nil
end

local CODE = { "csrc", "lua", "bin", "spec" }

--- Whether a change of the file may invalidate the coverage.
function tree.is_code(path)
    return not tree.is_spec(path) and tree.is_in(path, CODE) or path:find "^tools/mutants/trace" ~= nil
end

--- Returns the paths of a list for which `wanted(path)` is true.
function tree.select(list, wanted)
    local selected = {}
    for _, path in ipairs(list) do
        if wanted(path) then selected[#selected + 1] = path end
    end
    return selected
end

function tree.worker(number)
    return tree.work .. "/worker-" .. number
end

--- Copies the source, and programs of others from `build`.
function tree.copy(copy, list, transform)
    files.sync(tree.source, copy, list, transform)
    files.make_folder(copy .. "/build")
    for _, name in ipairs { "nginx-lua", "openai-sdk" } do
        files.run(files.command("ln", "-sfn", tree.root .. "/build/" .. name, copy .. "/build/" .. name))
    end
end

--- Builds a copy; `variables` are make arguments. Returns false if it does not compile, see `<copy>.log`.
function tree.build(copy, variables)
    local clean = 'env -i PATH="$PATH" HOME="$HOME" ${CC:+CC="$CC"} '
    local make = files.command("timeout", "-k", 5, 600, "make", "-s", "-j2", "-C", copy, "all", "spec-libraries",
        "ABIS=" .. (tree.interpreters.luajit and "5.1 5.4" or "5.4"))
    local log = files.quote(copy .. ".log")
    return (os.execute(("%s %s %s >%s 2>&1"):format(clean, make, variables or "CFLAGS=-O2", log)))
end

function tree.modules(copy)
    return files.lines(("find %s/build/5.[14]/flux2 -name '*.so' 2>/dev/null | sort"):format(files.quote(copy)))
end

--- Runs a spec file in a copy for at most `limit` seconds. `trace` is the folder for the trace files of a traced copy.
--- Returns the status, the seconds, and the number of tests.
function tree.run_spec(copy, spec, kind, limit, trace)
    local environment = files.command("env", "LUA=" .. tree.interpreters[kind], "TRACE=" .. (trace or ""))
    local command = files.command(tree.tools .. "/run-spec", copy, spec, limit, (trace or copy) .. ".log")
    local output = files.output(environment .. " " .. command)
    local status, nanoseconds, tests = output:match "(%d+) (%d+) (%d+)"
    return assert(tonumber(status), "run-spec printed nothing"), tonumber(nanoseconds) / 1e9, tonumber(tests)
end

--- Runs `program` of this folder once per word, several at a time; WORKER is the number of its copy. Returns false if
--- interrupted.
function tree.each(words, jobs, program)
    local list = tree.work .. "/words"
    files.write(list, table.concat(words, "\0"))
    local ok, how, code = os.execute(files.command("env", "MUTANTS_ROOT=" .. tree.root, "xargs", "-a", list, "-0", "-r",
        "-n", 1, "-P", jobs, "--process-slot-var=WORKER", tree.interpreters["5.4"], tree.tools .. "/" .. program))
    -- 123: some failed, which their results show.
    return ok or how == "exit" and code == 123
end

return tree
