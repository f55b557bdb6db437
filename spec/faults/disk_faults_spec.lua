-- Each third disk call fails or is cut short, one per run, with DISK_STEP=1 (make test-every) each: the error is
-- reported, no file is half-written, no paid image is lost, and none is paid twice. Starts hundreds of pairs of
-- processes, as disk_faults_cli_spec.lua does: spec/disk_spec.lua covers the most critical calls.
local sweep = require "support.disk_sweep"
if not sweep.runs_here then return describe("a disk of which one call fails", function() pending(sweep.REASON) end) end

local spec = sweep.thorough(it, pending)

describe("a disk of which one call fails", function()
    local emu, dir
    sweep.around_each(before_each, after_each, function(...) emu, dir = ... end)

    local function every(...) sweep.every(emu, dir, ...) end

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

    spec("does not lead to a submission with an image that cannot be read", function()
        emu:set { dialect = "bfl" }
        every("inputs", "open read create write fsync rename", 40)
    end)

    spec("makes recover return all tasks or an error", function() every("recover", "create write rename", 60) end)

    spec("damages at most one line of a file", function() every("lines", "write", 10) end)

    spec("is reported by a durable write", function() every("write_file", "create write fsync rename", 10) end)
end)
