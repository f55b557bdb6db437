-- Each single disk call fails or is cut short, one per run: the error is reported, no file is half-written, no paid
-- image is lost, and none is paid twice. Starts about 800 pairs of processes: spec/disk_spec.lua covers the most
-- critical calls.
-- The file code is in C, so one Lua version without instrumentation is enough.
if _VERSION ~= "Lua 5.4" or (os.getenv "FLUX2_BUILD" or ""):find "/[at]san$" then
    return describe("a disk of which one call fails", function() pending "needs Lua 5.4 without instrumentation" end)
end

local sweep = require "support.disk_sweep"

local spec = sweep.thorough(it, pending)

describe("a disk of which one call fails", function()
    local emu, dir
    sweep.around_each(before_each, after_each, function(...) emu, dir = ... end)

    --- Fails each call of each kind, for one case. `stays` lists kinds of which all later calls fail as well.
    local function every(name, stays, at_least)
        local sweeps = {}
        local function add(fault) sweeps[#sweeps + 1] = fault end
        for kind in ("open read write fsync close rename mkdir flock unlink link truncate"):gmatch "%S+" do
            add { action = "fail", kinds = kind }
        end
        add { action = "short", kinds = "write" }
        add { action = "cut", kinds = "write" }
        for kind in (stays or ""):gmatch "%S+" do add { action = "fail", kinds = kind, stays = true } end
        local struck = sweep.run(emu, dir, name, sweeps)
        assert(struck >= at_least, "only " .. struck .. " calls were struck")
    end

    for _, name in ipairs { "save", "save_over", "save_described" } do
        spec("leaves a complete image or the old file (" .. name .. ")", function()
            every(name, "create write close rename", 18)
        end)
    end

    spec("leaves an image and the file beside it, or an error", function()
        sweep.seal(emu)
        every("sidecar", "create write close rename", 40)
    end)

    spec("is tolerated when a call is interrupted or a name is taken", function()
        local struck = sweep.run(emu, dir, "spool", {
            { action = "fail", kinds = "write", error = "EINTR" },
            { action = "fail", kinds = "flock", error = "EINTR" },
            { action = "fail", kinds = "create", part = ".part", error = "EEXIST" },
        })
        assert(struck >= 8, struck)
    end)

    for _, sync in ipairs { "none", "b64_json" } do
        spec("loses no image with a spool that holds a task or a response: " .. sync, function()
            emu:set { sync = sync }
            every("spool", "create write fsync close rename flock", 50)
        end)
    end

    spec("does not lead to a submission whose id is neither recorded nor reported", function()
        emu:set { duration = 600 }
        every("id", "open create write fsync rename", 25)
    end)

    spec("does not lead to a synchronous response whose id is not recorded", function()
        sweep.answer_at_once(emu)
        every("id", nil, 15)
    end)

    spec("makes recover return all tasks or an error", function() every("recover", "create write rename", 60) end)

    spec("leaves an image, or its task in the spool, of flux2 generate", function()
        every("generate", "write rename", 50)
    end)

    spec("leaves each image, or its task in the spool, of flux2 batch", function()
        every("batch", "write rename", 100)
    end)

    for _, name in ipairs { "batch_paid", "batch_saved", "batch_done", "batch_remake" } do
        spec("does not make flux2 batch pay again (" .. name .. ")", function() every(name, nil, 15) end)
    end

    spec("damages at most one line of a file", function() every("lines", "write", 10) end)

    spec("is reported by a durable write", function() every("write_file", "create write fsync rename", 10) end)
end)
