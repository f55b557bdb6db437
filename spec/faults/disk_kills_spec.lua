-- A program is killed before each change of the disk, before a submission is sent, and during each write: the next run
-- loses no paid image, pays for none again, and keeps the budget exact. An outcome is unknown only if the process ended
-- between a submission and the record of its id.
local sweep = require "support.disk_sweep"
if not sweep.runs_here then return describe("a program that is killed", function() pending(sweep.REASON) end) end

local STEPS = "create write rename unlink mkdir send"

local spec = sweep.thorough(it, pending)

describe("a program that is killed between two steps", function()
    local emu, dir
    sweep.around_each(before_each, after_each, function(...) emu, dir = ... end)

    local function every(name, at_least)
        local struck = sweep.run(emu, dir, name,
            { { action = "kill", kinds = STEPS }, { action = "tear", kinds = "write" } })
        assert(struck >= at_least, "only " .. struck .. " steps")
    end

    for _, sync in ipairs { "none", "b64_json" } do
        spec("of a generation with a spool leaves the image or its record: " .. sync, function()
            emu:set { sync = sync }
            every("spool", 12)
        end)
    end

    spec("of an image and the file beside it leaves the image, or nothing", function()
        sweep.seal(emu)
        every("sidecar", 10)
    end)

    spec("of a submission leaves its id, or an unknown outcome", function()
        emu:set { duration = 600 }
        every("id", 8)
    end)

    spec("of recover leaves the remaining tasks recoverable", function() every("recover", 20) end)

    spec("of flux2 generate leaves the image or its record", function() every("generate", 15) end)

    spec("of flux2 batch, one image at a time, pays for no image twice", function() every("batch_three", 60) end)

    spec("of flux2 batch, three images at a time, pays for no image twice", function() every("batch_at_once", 60) end)

    for _, name in ipairs { "batch_paid", "batch_saved", "batch_done" } do
        spec("of flux2 batch, after an earlier one was killed (" .. name .. ")", function() every(name, 5) end)
    end

    spec("of a durable write leaves the old file or the new one", function() every("write_file", 3) end)

    spec("of appending lines damages at most one line", function() every("lines", 6) end)
end)
