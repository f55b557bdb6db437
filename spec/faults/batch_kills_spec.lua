-- A batch is killed a hundred times and resumed, with a service that responds wrongly and leaves the outcome of tasks
-- open: each image is paid once, and once more for each failure that the service reports. KILLS sets the number of
-- kills, KILLS_SEED the seed. Takes about a minute.
local program = require "support.program"
local seeded = require "support.seeded"
local service = require "support.service"

local KILLS = tonumber(os.getenv "KILLS") or 100
local PROMPTS = 120
local SUBMIT, TASKS, IMAGES = "/api/v1/images/generations", "/api/v1/tasks/*", "/images/*"
local HTML = { ["Content-Type"] = "text/html" }

-- Wrong responses of the service, and their probability.
local FAULTS = {
    -- Submissions: not accepted; accepted, and the response is lost or contains an error beside the id.
    { method = "POST", path = SUBMIT, chance = 0.05, status = 429, retry_after = 0, body = "slow down" },
    { method = "POST", path = SUBMIT, chance = 0.03, status = 503, retry_after = 0, body = "busy" },
    { method = "POST", path = SUBMIT, chance = 0.02, reset = "after" },
    { method = "POST", path = SUBMIT, chance = 0.02, status = 500, accept = true, body = "<h1>Bad Gateway" },
    { method = "POST", path = SUBMIT, chance = 0.02, accept = true,
        body = '{"code":500,"data":{"task_id":"{task_id}"}}' },
    -- Polls: unknown task, an error beside the task, another server's page, an image that is missing.
    { path = TASKS, chance = 0.1, status = 404, body = '{"error":{"code":404,"message":"no such task"}}' },
    { path = TASKS, chance = 0.05, status = 429, retry_after = 0, body = "slow down" },
    { path = TASKS, chance = 0.05, status = 500, body = "" },
    { path = TASKS, chance = 0.05, body = "<title>Just a moment</title>", headers = HTML },
    { path = TASKS, chance = 0.05, status = 403, body = "no" },
    { path = TASKS, chance = 0.03, body = '{"code":500,"message":"broken"}' }, { path = TASKS, chance = 0.03, cut = 9 },
    { path = TASKS, chance = 0.03, reset = "before" },
    -- Image downloads.
    { path = IMAGES, chance = 0.1, status = 404, body = "" },
    { path = IMAGES, chance = 0.1, status = 403, body = "blocked" },
    { path = IMAGES, chance = 0.05, body = "<html>soon</html>", headers = HTML },
    { path = IMAGES, chance = 0.05, body = "" },
    { path = IMAGES, chance = 0.05, cut = 100 }, { path = IMAGES, chance = 0.03, status = 204 },
    { path = IMAGES, chance = 0.03, reset = "before" },
}

describe("a batch that is killed repeatedly", function()
    local dir, emu
    before_each(function()
        dir = service.directory()
        emu = service.start { duration = { 0.02, 0.2 }, failure_rate = 0.05,
            seed = tonumber(os.getenv "KILLS_SEED") or 7 }
    end)
    after_each(function()
        service.stop_all()
        service.remove(dir)
    end)

    local words = { "batch", "list.txt", "--out", "out", "--concurrency", "6", "--timeout", "5", "--budget", "100000" }

    --- Returns how often each prompt was accepted, how often its task failed, and the total number of failures.
    local function payments()
        local bought, failed, failures = {}, {}, 0
        for _, entry in ipairs(emu:ledger()) do
            bought[entry.prompt] = (bought[entry.prompt] or 0) + 1
            if entry.state == "failed" then
                failed[entry.prompt], failures = (failed[entry.prompt] or 0) + 1, failures + 1
            end
        end
        return bought, failed, failures
    end

    it("pays for each image once, and again only after the service reports a failure", function()
        local draw, list = seeded.new(os.getenv "KILLS_SEED"), {}
        for i = 1, PROMPTS do list[i] = "prompt number " .. i end
        service.write(dir .. "/list.txt", table.concat(list, "\n") .. "\n")
        for _, fault in ipairs(FAULTS) do emu:fault(fault) end
        for _ = 1, KILLS do
            local pid = program.start(emu, dir, words)
            os.execute(("sleep %.3f"):format(0.1 + draw.random(300) / 1000))
            program.stop(pid, "KILL")
        end
        emu:clear_faults()
        -- Failed tasks are generated again, and may fail again.
        local code, err
        for _ = 1, 20 do
            code, _, err = program.run(emu, dir, words)
            if code == 0 or code == 19 then break end
        end
        assert.is_true(code == 0 or code == 19, err)
        local unknown = tonumber(err:match "(%d+) of unknown outcome" or 0)
        local bought, failed, failures = payments()
        local done, lost = {}, 0
        for _, line in ipairs(program.json_lines(service.read(dir .. "/out/manifest.jsonl"))) do
            if line.state == "done" then
                assert.truthy(service.exists(dir .. "/out/" .. line.file), line.file)
                done[line.prompt] = true
            end
        end
        for _, prompt in ipairs(list) do
            local paid, again = bought[prompt] or 0, failed[prompt] or 0
            if done[prompt] then
                assert.equal(1 + again, paid, prompt)
            else
                -- Interrupted during the submission: reported, and not paid again.
                lost = lost + 1
                assert.is_true(paid == again or paid == again + 1, prompt)
            end
        end
        assert.equal(unknown, lost, err)
        assert.equal(PROMPTS - lost, #program.images(dir .. "/out"))
        -- The budget knows all of it.
        local _, _, again = program.run(emu, dir, words)
        local counted = tonumber(again:match "Earlier runs spent (%d+) credits") / 10
        assert.is_true(counted >= #emu:ledger() and counted <= #emu:ledger() + lost, again)
        print(("\nkilled %d times: %d submissions for %d images, of which the service said that %d failed, and %d are "
            .. "of unknown outcome"):format(
            KILLS, #emu:ledger(), PROMPTS, failures, lost))
    end)
end)
