--- The emulator in a process of its own, for bench/love.lua: prints its port, its key and its process id, and serves
-- until it is ended.

local emulator = assert(require("flux2.emulator").start { duration = { 2, 6 } })
print(("%d\n%s\n%s"):format(emulator.port, emulator.api_key, io.open "/proc/self/stat":read "*l":match "^%d+"))
io.stdout:flush()
require("flux2").sleep(3600)
