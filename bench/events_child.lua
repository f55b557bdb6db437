--- For bench/check.lua: delivers COUNT events from the engine's queue to callbacks.
local scheduler = require "flux2.scheduler"
collectgarbage "stop" -- its steps are not deterministic
local count, heard = tonumber(arg[1]), 0
for _ = 1, count do assert(scheduler.after(1e-9, function() heard = heard + 1 end)) end
while heard < count do
    scheduler.block(1)
    scheduler.update()
end
