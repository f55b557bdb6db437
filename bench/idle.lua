--- For bench/check.lua: flux2.update() when nothing has happened, COUNT times.
local scheduler, update = require "flux2.scheduler", require("flux2").update
local heard = false
assert(scheduler.after(0.001, function() heard = true end))
while not heard do
    scheduler.block(1)
    update()
end
for _ = 1, tonumber(arg[1]) do update() end
