-- Disk calls of flux2 generate and flux2 batch fail or are cut short; see disk_faults_spec.lua.
local sweep = require "support.disk_sweep"
if not sweep.runs_here then return describe("a disk of which one call fails", function() pending(sweep.REASON) end) end

local spec = sweep.thorough(it, pending)

describe("a disk of which one call fails", function()
    local emu, dir
    sweep.around_each(before_each, after_each, function(...) emu, dir = ... end)

    local function every(...) sweep.every(emu, dir, ...) end

    spec("leaves an image, or its task in the spool, of flux2 generate", function()
        every("generate", "write rename", 50)
    end)

    spec("leaves each image, or its task in the spool, of flux2 batch", function()
        every("batch", "write rename", 100)
    end)

    for _, name in ipairs { "batch_paid", "batch_saved", "batch_done", "batch_remake" } do
        spec("does not make flux2 batch pay again (" .. name .. ")", function() every(name, nil, 15) end)
    end
end)
