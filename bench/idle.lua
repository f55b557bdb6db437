--- For bench/check.lua: COUNT calls of flux2.update() without events.
local scheduler, update = require "flux2.scheduler", require("flux2").update
local heard = false
assert(scheduler.after(0.001, function() heard = true end))
while not heard do
    scheduler.block(1)
    update()
end
for _ = 1, tonumber(arg[1]) do update() end
