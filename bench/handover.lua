--- For bench/check.lua: COUNT events from the engine's queue to a callback each.
local scheduler = require "flux2.scheduler"
collectgarbage "stop" -- its steps come when they please
local count, heard = tonumber(arg[1]), 0
for _ = 1, count do assert(scheduler.after(1e-9, function() heard = heard + 1 end)) end
while heard < count do
    scheduler.block(1)
    scheduler.update()
end
