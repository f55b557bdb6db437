-- The program for the browser specs: an emulator with its tester, controlled by lines of JSON on stdin.
--
--     {"verb":"fault","argument":{...}}    calls a method of the emulator; responds with one line of JSON
--     {"verb":"sleep","argument":60}       blocks for this time, like a program that does not pump
--
-- It ends at the end of stdin.
local json = require "flux2.json"
local emulator = require "flux2.emulator"
local tester = require "flux2.tester"

local options = assert(json.decode(arg[1]))
local emu = assert(emulator.start(options.emulator))
local page
if options.tester then
    -- The tester treats this emulator as a live service.
    options.tester.base_url, options.tester.api_key = emu.url, emu.api_key
    page = assert(tester.start(options.tester))
end

local function write_json(value)
    io.stdout:write(assert(json.encode(value, "the response")), "\n")
    io.stdout:flush()
end

write_json { url = page and page.url or emu:tester().url, base_url = emu.url, api_key = emu.api_key }
for line in io.lines() do
    local command = assert(json.decode(line))
    local result = emu[command.verb](emu, command.argument)
    if command.verb == "stats" then result.by_status = nil end -- JSON has no numeric keys
    write_json { result = result }
end
if page then page:stop() end
emu:stop()
