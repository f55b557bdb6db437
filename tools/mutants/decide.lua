-- decide.lua - tests one mutant in the worker's copy: decide.lua JOB. Started by main.lua. JOB is a file: { point,
-- specs = { { path, kind, limit }... }, results }. Appends the outcome to `results` and prints it. First restores the
-- original source if an interrupted run left a mutant.

package.path = arg[0]:match "^(.*)/mutants/" .. "/?.lua;" .. package.path

local files = require "files"
local operators = require "mutants.operators"
local points = require "mutants.points"
local results = require "mutants.results"
local tree = require "mutants.tree"

local job = files.load(arg[1])
local point = job.point
local copy = tree.worker(os.getenv "WORKER")
local marker = copy .. ".mutated" -- contains the path of the mutated file

--- Restores the original file.
local function restore()
    local path = files.read(marker)
    if not path then return end
    files.write(copy .. "/" .. path, files.read(tree.source .. "/" .. path))
    local ok = tree.language(path) == "lua" or tree.build(copy)
    if not ok then error(copy .. " does not compile without a mutant", 0) end
    os.remove(marker)
end

local function split_lines(text)
    local list = {}
    for line in (text .. "\n"):gmatch "(.-)\n" do list[#list + 1] = line end
    return list
end

--- Returns the difference of two texts as "-" and "+" lines.
local function difference(old, new)
    local a, b, first, last = split_lines(old), split_lines(new), 1, 0
    while a[first] == b[first] do first = first + 1 end
    while #a - last > first and #b - last > first and a[#a - last] == b[#b - last] do last = last + 1 end
    local lines = {}
    for i = first, #a - last do lines[#lines + 1] = "    -" .. a[i] end
    for i = first, #b - last do lines[#lines + 1] = "    +" .. b[i] end
    return table.concat(lines, "\n")
end

local function compiled_lua(source)
    local chunk = load(source, "=mutant", "t")
    return chunk and string.dump(chunk, true)
end

local function built()
    local parts = {}
    for i, module in ipairs(tree.modules(copy)) do parts[i] = files.read(module) end
    return table.concat(parts)
end

--- Builds the mutant. Returns "invalid" or "same" if it cannot be tested.
local function mutate(old, new)
    local before = point.language == "c" and built() or compiled_lua(old)
    files.write(marker, point.path)
    files.write(copy .. "/" .. point.path, new)
    if point.language == "c" and not tree.build(copy) then return "invalid" end
    local after = point.language == "c" and built() or compiled_lua(new)
    if not after then return "invalid" end
    return before == after and "same" or nil
end

--- Returns the name of the failed test from busted's output; empty if there is none, as after a crash.
local function failed_test()
    local log = files.read(copy .. ".log") or ""
    return log:match "\nFailure %-> [^\n]+\n([^\n]+)" or log:match "\nError %-> [^\n]+\n([^\n]+)" or ""
end

--- Runs the spec files until one fails. Returns the status, the failed spec file and the test.
local function try()
    for _, spec in ipairs(job.specs) do
        local status = tree.run_spec(copy, spec.path, spec.kind, spec.limit)
        if status == 124 or status == 137 then return "timed out", spec.path end
        if status ~= 0 then return "killed", spec.path, failed_test() end
    end
    if #job.specs == 0 then return "uncovered", "no covering spec" end
    return "survived", ("%d spec files"):format(#job.specs)
end

local function decide()
    local began = files.now()
    local old = files.read(tree.source .. "/" .. point.path)
    local new = operators.apply(old, point.edits)
    restore()
    local status, spec, test = mutate(old, new), "", ""
    if not status then status, spec, test = try() end
    restore()
    return {
        status = status, name = points.name(point), line = point.line, spec = spec, test = test or "",
        seconds = ("%.1f"):format(files.now() - began), difference = difference(old, new),
    }
end

local ok, result = pcall(decide)
if not ok then
    -- After Ctrl-C main.lua prints the message.
    if not tostring(result):find "interrupted!" then io.stderr:write("mutants: ", tostring(result), "\n") end
    os.exit(1)
end
results.append(job.results, result)
if results.counts(result) then io.write(results.describe(result) .. "\n") end
