-- The request handlers of examples/nginx/nginx.conf.

require "flux2.host.nginx" -- the only integration step
local flux2 = require "flux2"

local ngx = ngx -- luacheck: read_globals ngx
local images = {}

-- Created before nginx forks its workers; each worker starts its own engine with the first image.
local client = assert(flux2.new())

local STATUS = { invalid_request = 400, moderated = 422, rate_limited = 503, rejected = 422, timeout = 504 }

local function refuse(err)
    ngx.status = STATUS[err.kind] or 502
    ngx.header.content_type = "text/plain"
    ngx.say(tostring(err))
end

--- GET /generate?prompt=a+red+fox: responds with the image.
function images.generate()
    local task, err = client:submit(ngx.unescape_uri(ngx.var.arg_prompt or ""))
    if not task then return refuse(err) end

    -- Cancels the task if the client disconnects. The wait below then returns an error of kind "cancelled".
    ngx.on_abort(function() task:cancel() end)

    local result, bytes
    result, err = task:wait() -- this request waits; nginx continues
    if result then bytes, err = result.images[1]:bytes() end
    if not bytes then return refuse(err) end

    ngx.header.content_type = result.images[1].content_type
    ngx.header.content_length = #bytes
    ngx.print(bytes)
end

--- GET /status: responds with the number of pending submissions, tasks and downloads.
function images.status()
    ngx.header.content_type = "text/plain"
    ngx.say(flux2.pending())
end

return images
