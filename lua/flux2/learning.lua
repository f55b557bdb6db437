--- What is known about how long tasks take, by kind of task: the polling schedule is drawn from it.
-- Owns the names of the kinds, and one memory for each file. The engine learns, forgets and writes (csrc/sketch.c,
-- csrc/memory.c). A file that cannot be used is reported, and costs nothing but what it knew.

if jit then jit.off(true, true) end -- see flux2.scheduler

local core = require "flux2.core"
local reports = require "flux2.reports"
local text = require "flux2.text"

---@class flux2.Learning
---@field private _memory userdata
---@field private _kinds table<string, userdata>
local Learning = {}
Learning.__index = Learning

local learning = {}

local LARGEST_FILE = 2 ^ 20 -- bytes; larger than any that the engine writes
local LONGEST_WORD = 40

--- One for each file, and one without, for as long as the Lua state lives: clients that ask alike share what is
--- learned.
local opened = {}

local function report(path, reason)
    reports.report("flux2: what polling learned is not taken from " .. text.show(path) .. ": " .. reason)
end

--- Reads the file, if it is there.
local function load(memory, path)
    local file = io.open(path, "rb")
    if not file then return end
    local content, err = file:read(LARGEST_FILE + 1)
    file:close()
    -- An empty file says nothing, and is nobody's loss.
    if content == nil and not err then return end
    if not content then
        memory:detach()
        return report(path, err)
    end
    local ok, reason = memory:load(content)
    if not ok then report(path, reason) end
end

--- What was learned in this process, or with `path` also by earlier runs. Never fails: a file that cannot be read or
--- written is reported and left alone, a damaged one is reported and replaced.
---@param path? string
---@return flux2.Learning
function learning.open(path)
    local self = opened[path or false]
    if self then return self end
    local memory = core.memory(path)
    if path then
        load(memory, path)
        local ok, reason = core.check_file(path)
        if not ok then
            memory:detach()
            reports.report("flux2: what polling learns will not be kept in " .. text.show(path) .. ": " .. reason)
        end
    end
    self = setmetatable({ _memory = memory, _kinds = {} }, Learning)
    opened[path or false] = self
    return self
end

local function word(value, default)
    if type(value) ~= "string" then return default end
    return (value:sub(1, LONGEST_WORD):gsub("[%c%s]", "_"))
end

--- What is known about tasks like this one, for the engine.
---@param base_url string
---@param payload table the request
---@return userdata? kind nil: nothing can be known, in a forked child
function Learning:kind(base_url, payload)
    local inputs = type(payload.input_urls) == "table" and #payload.input_urls > 0
    local name = base_url .. " " .. word(payload.type, "pro") .. " " .. word(payload.resolution, "1K")
        .. (inputs and " inputs" or " prompt")
    local kind = self._kinds[name] or self._memory:kind(name)
    self._kinds[name] = kind
    return kind
end

return learning
