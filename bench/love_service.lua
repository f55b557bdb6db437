--- Runs the emulator for bench/love.lua in its own process until it is killed. Prints port, API key and process id.

local emulator = assert(require("flux2.emulator").start { duration = { 2, 6 } })
print(("%d\n%s\n%s"):format(emulator.port, emulator.api_key, io.open "/proc/self/stat":read "*l":match "^%d+"))
io.stdout:flush()
require("flux2").sleep(3600)
