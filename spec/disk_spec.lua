-- Disk failures and kills at the most critical calls: the first call of each kind for an image, a record, or the
-- manifest. spec/faults/ covers every call.
-- In Lua 5.1 os.exit does not close the state: locks remain as after a kill.
if _VERSION == "Lua 5.1" and not rawget(_G, "jit") then
    return describe("a disk that fails", function() pending "needs a Lua whose os.exit closes the state" end)
end
if require "support.build".flavour == "tsan" then
    return describe("a disk that fails", function() pending "ThreadSanitizer calls the system past preloaded libraries" end)
end

local service = require "support.service"
local sweep = require "support.disk_sweep"

describe("a disk that fails", function()
    local emu, dir
    sweep.around_each(before_each, after_each, function(...) emu, dir = ... end)

    --- Returns one sweep per call "kind part n", for files whose path contains `part`; with "!" the case has to fail.
    local function single(action, calls, more)
        local sweeps = {}
        for _, call in ipairs(calls) do
            local kind, part, n, fails = call:match "^(%S+) (%S+) (%d+)(!?)$"
            local fault = { action = action, kinds = kind, part = part, from = tonumber(n), to = tonumber(n) }
            fault.fails = fails == "!" or nil
            for key, value in pairs(more or {}) do fault[key] = value end
            sweeps[#sweeps + 1] = fault
        end
        return sweeps
    end

    --- Runs the sweeps. Each fault must occur.
    local function run(name, ...)
        local all = {}
        for _, sweeps in ipairs { ... } do
            for _, one in ipairs(sweeps) do all[#all + 1] = one end
        end
        assert.equal(#all, sweep.run(emu, dir, name, all))
    end

    it("keeps the old file when an image cannot be saved, and the error reports it", function()
        run("save_over", single("fail", {
            "create fox.png 1!", "create fox.png 2!", "write fox.png 1!", "close fox.png 1!", "rename fox.png 1!",
        }), single("cut", { "write fox.png 1!" }), single("short", { "write fox.png 1" }))
    end)

    it("leaves an image whole, or none, when its metadata cannot be written", function()
        run("save_described", single("fail", { "read fox.png 1!", "write fox.png 2!", "close fox.png 1!" }),
            single("cut", { "write fox.png 2!" }))
        sweep.seal(emu)
        run("sidecar", single("fail", {
            "create fox.png.json 1!", "write fox.png.json 1!", "close fox.png.json 1!", "rename fox.png.json 1!",
            "rename fox.png 1!",
        }))
    end)

    it("sends nothing without a record, and keeps the record of an image that cannot be saved", function()
        run("spool", single("fail", {
            "mkdir spool 1!", "flock owner- 1", "create task- 1!", "write task- 1!", "fsync task- 1!", "close task- 1!",
            "rename task- 1!", "open spool$ 1!", "fsync spool$ 1!", "fsync fox.png 1!",
            "rename fox.png 1!", "fsync d$ 1!",
            "unlink task- 1",
        }), single("fail", { "flock owner- 1!" }, { stays = true }))
    end)

    it("is tolerated when a call is interrupted or a name is taken", function()
        run("spool", single("fail", { "write task- 1", "flock owner- 1" }, { error = "EINTR" }),
            single("fail", { "create task- 1" }, { error = "EEXIST" }))
    end)

    it("is tolerated on a file system without locks where locks only reserve names", function()
        run("generate", single("fail", { "flock .name 1" }, { error = "ENOLCK", stays = true }))
    end)

    it("keeps a task id, or reports that it cannot, and records it later", function()
        emu:set { duration = 600 }
        run("id", single("fail", {
            "create task- 1!", "fsync spool$ 1!", "create task- 2", "write task- 2", "fsync task- 2",
            "close task- 2", "rename task- 2",
        }), single("fail", { "write task- 2", "open task- 2", "fsync task- 2" }, { stays = true }),
            single("cut", { "write task- 2" }))
    end)

    it("keeps the id when there is no room for the response", function()
        sweep.answer_at_once(emu)
        run("id", single("fail", { "create task- 2", "write task- 2", "rename task- 2" }))
    end)

    it("does not make recover skip a record", function()
        run("recover", single("fail", {
            "open 0001.json$ 1!", "read 0001.json$ 1!", "rename 0001.json$ 1!", "open .part$ 1!", "read .part$ 1!",
            "rename 0002.json$ 1!",
            "rename 0002.json$ 2!", "flock 00000000000000aa.lock 1!",
        }))
    end)

    it("does not make flux2 batch overwrite a file that cannot be opened", function()
        run("batch", single("fail", { "open 1-fox-batch-1.png$ 1" }, { stays = true }))
    end)

    it("does not make flux2 batch pay again", function()
        run("batch", single("fail", {
            "write manifest.jsonl 1!", "write manifest.jsonl 2!", "write manifest.jsonl 3!", "create .png 2!",
        }), single("cut", { "write manifest.jsonl 1!", "write manifest.jsonl 2!" }),
            { { action = "fail", kinds = "rename", from = 2, to = 2, stays = true } })
        run("batch_remake", single("fail", {
            "open manifest.jsonl 1!", "read manifest.jsonl 1!", "open out$ 1!", "open .png 1",
        }))
        run("batch_paid", single("fail", { "open task- 1!", "flock owner- 2!", "unlink task- 1" }))
        run("batch_saved", single("fail", { "open .png 1" }))
    end)

    it("damages no other lines or files", function()
        run("lines", single("fail", { "write file 1!", "write file 2!" }), single("cut", { "write file 2!" }))
        run("write_file", single("fail", { "write file 1!", "close file 1!", "rename file 1!" }))
    end)
end)

describe("a program that is killed", function()
    local emu, dir
    sweep.around_each(before_each, after_each, function(...) emu, dir = ... end)

    local function run(name, points)
        local sweeps = {}
        for i, point in ipairs(points) do
            local action, kind, part, n = point:match "^(%S+) (%S+) (%S*) (%d+)$"
            sweeps[i] = { action = action, kinds = kind, part = part, from = tonumber(n), to = tonumber(n) }
        end
        assert.equal(#sweeps, sweep.run(emu, dir, name, sweeps))
    end

    it("between the steps of a batch loses no image, pays for none again, and keeps the budget exact", function()
        run("batch", {
            "kill send POST 1", -- unknown outcome, not paid
            "kill create task- 2", -- unknown outcome, paid
            "kill rename task- 2", -- the id is in the temporary file
            "kill write manifest.jsonl 1", -- the id is in the record, not in the manifest
            "kill create .png 2", -- in the manifest and in the spool
            "kill rename .png 1", "kill unlink task- 1", "kill write manifest.jsonl 2", -- saved, marked ready
            "tear write manifest.jsonl 1", "tear write manifest.jsonl 2",
            "kill create manifest.jsonl 2", "kill rename manifest.jsonl 1", -- while the manifest is compacted
        })
    end)

    it("between the steps of an image and its metadata leaves the image without it, or nothing", function()
        run("generate", { "kill read .part 1", "kill write .png 2", "tear write .png 2" })
        sweep.seal(emu)
        run("sidecar", {
            "kill create fox.png.json 1", "tear write fox.png.json 1", "kill rename fox.png 1",
            "kill rename fox.png.json 1",
        })
    end)

    it("between the steps of the recovery loses nothing", function()
        run("batch_paid", { "kill rename task- 1", "kill unlink owner- 1", "kill unlink task- 1" })
        run("batch_saved", { "kill write manifest.jsonl 1", "tear write manifest.jsonl 1" })
        run("recover", { "kill rename 0001.json 1", "kill rename 0002.json 1", "kill unlink owner- 1",
            "kill unlink task- 1" })
    end)
end)

describe("a disk that blocks", function()
    local emu, dir
    service.around_each(before_each, after_each, { duration = 0 }, function(...) emu, dir = ... end)

    --- Submits with a time limit while the engine waits for the disk: the response arrives in time, but the disk goes on
    --- only after the limit. Returns the exit code and the output.
    local function submit(seconds)
        emu:clear_faults()
        emu:fault { method = "POST", nth = 2, delay = seconds / 2 }
        os.remove(dir .. "/go")
        return service.run_preloaded("disk_faults", [[
            local url, dir, limit = arg[1], arg[2], tonumber(arg[4])
            local core, flux2 = require "flux2.core", require "flux2"
            local child = require "support.child"
            local function load_c(name) return assert(package.loadlib(arg[3], name)) end
            local plan, state = load_c "disk_plan", load_c "disk_state"
            load_c "disk_watch"(dir)
            local image = assert(child.clients(url)():submit "a slow disk"):wait().images[1]
            plan("hold", "rename", 1, "fox.png")
            local task = assert(child.clients(url)({ max_retries = 0 }):submit("a fox", { timeout = limit }))
            child.pump(function() return state() == 1 end, 60)
            local sent = core.now()
            local saving = flux2.spawn(function() assert(image:save(dir .. "/fox.png")) end)
            child.pump(function() return select(2, state()) end, 60)
            core.pause(math.max(sent + 1.5 * limit - core.now(), 0))
            assert(io.open(dir .. "/go", "w")):close()
            saving:join()
            local _, err = task:wait()
            print(task.id or err)
        ]], emu, dir, tostring(seconds))
    end

    it("lets no submission end without the response that has arrived", function()
        local code, printed
        service.with_enough_time(0.4, function(seconds)
            code, printed = submit(seconds)
            return code == 0 and not printed:find "unknown_outcome"
        end)
        assert.equal(0, code, printed)
        assert.is_nil(printed:find("unknown_outcome", 1, true), printed)
        assert.matches("_flux2", printed)
    end)
end)
