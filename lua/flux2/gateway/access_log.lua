--- The access log: one JSON object per line. It holds no token and no name of an image, and prompts only on demand.

local core = require "flux2.core"
local json = require "flux2.json"
local text = require "flux2.text"

local access_log = {}

---@class flux2.gateway.AccessLog
local AccessLog = {}
AccessLog.__index = AccessLog

---@param file? file* nil: no log
---@param with_prompts boolean
---@return flux2.gateway.AccessLog
function access_log.new(file, with_prompts)
    return setmetatable({ file = file, with_prompts = with_prompts }, AccessLog)
end

--- Writes a line.
---@param request flux2.gateway.Request with `route`, and `token`, its name, and `prompt` if they are known
---@param response flux2.gateway.Response
function AccessLog:write(request, response)
    if not self.file then return end
    local line = json.write {
        time = text.time(), address = request.address, method = request.method, route = request.route,
        status = response.status, seconds = math.floor((core.now() - request.began) * 1e4) / 1e4,
        token = request.token, task = response.task, prompt = self.with_prompts and request.prompt or nil,
    }
    -- A log that cannot be written does not stop the gateway.
    if line then self.file:write(line:gsub("\\/", "/"), "\n") end
end

--- Passes the lines on.
function AccessLog:flush()
    if self.file then self.file:flush() end
end

return access_log
