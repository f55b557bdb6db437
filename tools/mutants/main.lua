-- main.lua - mutation testing: the share of small faults that the specs detect. See `make mutants` in CONTRIBUTING.md.
--
--   main.lua [N=150] [SEED=1] [JOBS=2] [FILES="csrc/job.c lua/flux2/cli"] [ONLY=survivors]
--
-- Mutants are selected randomly by SEED from all points where an operator applies. Each is tested in a copy of the
-- project with the spec files that run its line. Results are stored in build/mutants/results-*, so that an interrupted
-- run can be continued.

package.path = arg[0]:match "^(.*)/mutants/" .. "/?.lua;" .. package.path

local coverage = require "mutants.coverage"
local files = require "files"
local points = require "mutants.points"
local results = require "mutants.results"
local tree = require "mutants.tree"

local SHORTEST_LIMIT = 20 -- minimum time limit in seconds of a spec file with a mutant
local LIMIT_FACTOR = 5 -- time limit relative to the time without a mutant

local function read_options()
    local options = { N = "150", SEED = "1", JOBS = "2", FILES = "", ONLY = "" }
    for _, word in ipairs(arg) do
        local name, value = word:match "^(%u+)=(.*)$"
        if not name or not options[name] then error("unknown option: " .. word, 0) end
        if value ~= "" then options[name] = value end
    end
    for _, name in ipairs { "N", "SEED", "JOBS" } do
        options[name] = math.tointeger(options[name]) or error(name .. " must be a whole number", 0)
    end
    if options.ONLY ~= "" and options.ONLY ~= "survivors" then error("ONLY must be survivors", 0) end
    return options
end

--- Updates the snapshot and the workers' copies. Returns the paths of the snapshot.
local function prepare(jobs)
    local list = files.tracked(tree.root)
    files.make_folder(tree.work)
    files.sync(tree.root, tree.source, list)
    for i = 0, jobs - 1 do
        local copy = tree.worker(i)
        tree.copy(copy, list)
        os.remove(copy .. ".mutated")
        if not tree.build(copy) then error("the project does not compile: see " .. copy .. ".log", 0) end
    end
    return list
end

--- Returns the places of all selected files.
local function find_places(list, only)
    local selected, places = {}, {}
    for path in only:gmatch "%S+" do selected[#selected + 1] = path:gsub("/+$", "") end
    for _, path in ipairs(list) do
        local language = tree.language(path)
        if language and (#selected == 0 or tree.is_in(path, selected)) then
            for _, place in ipairs(points.of(path, files.read(tree.source .. "/" .. path), language)) do
                places[#places + 1] = place
            end
        end
    end
    return places
end

--- Returns the survivors of the last run with this seed that still exist in the source.
local function find_survivors(places, last)
    local by_name, list = {}, {}
    for _, place in ipairs(places) do
        for _, point in ipairs(place) do by_name[points.name(point)] = point end
    end
    for _, result in ipairs(last) do
        if results.survives(result) then
            list[#list + 1] = by_name[result.name]
            if not by_name[result.name] then print("no longer in the source:\n" .. results.describe(result)) end
        end
    end
    return list
end

-- The run ------------------------------------------------------------------------------------------------------------

local function save_job(known, point, number, results_path)
    local specs = {}
    for i, spec in ipairs(coverage.specs_for(known, point)) do
        local limit = math.ceil(math.max(SHORTEST_LIMIT, LIMIT_FACTOR * known[spec].seconds))
        specs[i] = { path = spec, kind = known[spec].kind, limit = limit }
    end
    local path = ("%s/jobs/%d"):format(tree.work, number)
    files.save(path, { point = point, specs = specs, results = results_path })
    return path
end

--- Splits the first points of the list that are needed for `count` mutants into counted results and undecided points.
local function split(list, count, decided)
    local counted, open = {}, {}
    for _, point in ipairs(list) do
        if #counted + #open >= count then break end
        local result = decided[points.name(point)]
        if not result then
            open[#open + 1] = point
        elseif results.counts(result) then
            counted[#counted + 1] = result
        end
    end
    return counted, open
end

--- Tests points in the order of the list until `count` results count, in rounds. Returns the results; nil if
--- interrupted.
local function decide(list, count, known, jobs, path)
    local before
    files.make_folder(tree.work .. "/jobs")
    while true do
        local _, decided = results.read(path)
        local counted, open = split(list, count, decided)
        if #open == 0 then return counted end
        if open[1] == before then error("undecided: " .. points.name(before), 0) end
        before = open[1]
        local words = {}
        for i, point in ipairs(open) do words[i] = save_job(known, point, i, path) end
        if not tree.each(words, jobs, "decide.lua") then return nil end
    end
end

--- Returns the results of the last run, updated by the new ones.
local function merge(last, new)
    local by_name, merged = {}, {}
    for _, result in ipairs(new) do by_name[result.name] = result end
    for _, result in ipairs(last) do
        if not results.survives(result) then
            merged[#merged + 1] = result
        else
            merged[#merged + 1] = by_name[result.name]
        end
    end
    return merged
end

local function save_results(path, list)
    files.write(path, "")
    for _, result in ipairs(list) do results.append(path, result) end
end

local function interrupted()
    print "interrupted: run the same command to continue"
    os.exit(130)
end

local function main()
    local options = read_options()
    local list = prepare(options.JOBS)
    local known = coverage.all(list, options.JOBS) or interrupted()
    local places = find_places(list, options.FILES)
    print(("%d places in the source; seed %d"):format(#places, options.SEED))

    local relevant = tree.select(list, function(path) return tree.is_code(path) or tree.is_spec(path) end)
    local last_path = ("%s/last-%d"):format(tree.work, options.SEED)
    local last = options.ONLY ~= "" and results.read(last_path)
    local path = ("%s/%s-%d-%s"):format(tree.work, last and "recheck" or "results", options.SEED,
        files.digest(tree.source, relevant):sub(1, 12))
    local chosen = last and find_survivors(places, last) or points.shuffle(places, options.SEED)
    local counted = decide(chosen, last and #chosen or options.N, known, options.JOBS, path) or interrupted()
    if last then counted = merge(last, counted) end
    save_results(last_path, counted)

    local report = results.report(counted, ("%d mutants, seed %d"):format(#counted, options.SEED))
    files.write(tree.work .. "/report.txt", report)
    io.write("\n", report)
end

local ok, reason = pcall(main)
if not ok then
    io.stderr:write("mutants: ", tostring(reason), "\n")
    os.exit(1)
end
