-- What the browser specs run against: an emulator with its tester, told what to do by lines of JSON on stdin.
--
--     {"verb":"fault","argument":{...}}    a method of the emulator; answered by one line of JSON
--     {"verb":"sleep","argument":60}       does nothing at all for so long, as a program that never pumps does
--
-- It ends with its stdin.
local json = require "flux2.json"
local emulator = require "flux2.emulator"
local tester = require "flux2.tester"

local options = assert(json.decode(arg[1]))
local emu = assert(emulator.start(options.emulator))
local page
if options.tester then
    -- A service that is not the tester's own emulator: its page says so.
    options.tester.base_url, options.tester.api_key = emu.url, emu.api_key
    page = assert(tester.start(options.tester))
end

local function say(value)
    io.stdout:write(assert(json.encode(value, "the answer")), "\n")
    io.stdout:flush()
end

say { url = page and page.url or emu.tester_url, base_url = emu.url, api_key = emu.api_key }
for line in io.lines() do
    local order = assert(json.decode(line))
    local result = emu[order.verb](emu, order.argument)
    if order.verb == "stats" then result.by_status = nil end -- numbers as keys, which JSON has not
    say { result = result }
end
if page then page:stop() end
emu:stop()
