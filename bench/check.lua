--- Counts instructions and fails if a code path has grown by more than 5 %.
--   lua bench/check.lua [--write]
-- callgrind counts N and 3 N rounds; the difference excludes the start and end of the program. The counts depend on the
-- compiler and the libraries (libcurl, Lua): after an update of those, check the differences and rewrite the file.

local support = require "support"

local TOLERANCE = 0.05
local BUDGET = "bench/budget.txt"

local function native(name) return support.build .. "/paths " .. name end
local function lua(script) return support.lua("5.4", script):format "" end
-- Lua 5.4 seeds its string hashes by the clock; collisions change a count by up to 10 %. LuaJIT does not.
local function steady_lua(script) return (support.lua("luajit", script):format "":gsub(" bench/", " -joff bench/")) end

-- `only`: counts this function only, because the code around it depends on thread scheduling.
local PATHS = {
    { name = "read_response", command = native "read_response", rounds = 500 },
    { name = "prepare", command = native "prepare", rounds = 500 },
    { name = "cycle", command = native "cycle", rounds = 500 },
    { name = "schedule", command = native "schedule", rounds = 1000 },
    { name = "event_queue", command = native "event_queue", rounds = 2000 },
    { name = "job_table", command = native "job_table", rounds = 5000 },
    { name = "update_idle", command = lua "idle.lua", rounds = 20000 },
    { name = "event_to_lua", command = steady_lua "events_child.lua", rounds = 1000, only = "engine_next", tries = 3 },
}

local function count(path, rounds)
    local only = path.only and ("--toggle-collect=%s"):format(path.only) or ""
    local valgrind = ("valgrind --tool=callgrind --callgrind-out-file=/dev/null %s "):format(only)
    local command = path.command
    -- Environment variables come before the program.
    local settings, program = command:match "^(.*;' )(%S.*)$"
    local line = (settings or "") .. valgrind .. (program or command) .. " " .. rounds
    local printed, code = support.run(support.clean .. line)
    local instructions = tonumber(printed:match "Collected : (%d+)")
    if code ~= 0 or not instructions then error(path.name .. " could not be counted:\n" .. printed) end
    return instructions
end

local written_for = "an unknown compiler"

local function read_budget()
    local budget = {}
    for line in io.lines(BUDGET) do
        written_for = line:match "^#.*%-%-write%. (.*)" or written_for
        local name, n = line:match "^(%S+)%s+(%d+)"
        if name and not line:find "^#" then budget[name] = tonumber(n) end
    end
    return budget
end

local function per_round(path)
    local few, many = count(path, path.rounds), count(path, 3 * path.rounds)
    return math.floor((many - few) / (2 * path.rounds) + 0.5)
end

local counted, failed = {}, false
for i, path in ipairs(PATHS) do
    counted[i] = per_round(path)
    -- Contention in the allocator adds instructions: the minimum is the path itself.
    for _ = 2, path.tries or 1 do counted[i] = math.min(counted[i], per_round(path)) end
end

local compiler = support.run("${CC:-gcc} --version"):match "[^\n]*"

if arg[1] == "--write" then
    local out = assert(io.open(BUDGET, "w"))
    out:write("# Instructions per round, by bench/check.lua --write. ", compiler, "\n")
    for i, path in ipairs(PATHS) do out:write(("%-14s %d\n"):format(path.name, counted[i])) end
    out:close()
    return
end

local budget = read_budget()
for i, path in ipairs(PATHS) do
    local allowed = budget[path.name]
    local verdict = "not in " .. BUDGET
    if allowed then
        verdict = ("budget %d, %+.1f %%"):format(allowed, (counted[i] / allowed - 1) * 100)
        if counted[i] < allowed * (1 - TOLERANCE) then verdict = verdict .. ": improved; rewrite the budget" end
    end
    local bad = not allowed or counted[i] > allowed * (1 + TOLERANCE)
    failed = failed or bad
    print(("%-14s %7d instructions, %s%s"):format(path.name, counted[i], verdict, bad and ": TOO MANY" or ""))
end
if failed then
    print(("\n%s was measured with %s, this is %s. If they differ or the growth is justified, rewrite it and explain "
        .. "it in the commit: BENCH_CHECK=--write make bench-check"):format(BUDGET, written_for, compiler))
end
os.exit(failed and 1 or 0)
