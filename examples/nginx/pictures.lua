-- What examples/nginx/nginx.conf serves.

require "flux2.host.nginx" -- all that a program in nginx has to do
local flux2 = require "flux2"

local ngx = ngx -- luacheck: read_globals ngx
local pictures = {}

-- Made before nginx forks its workers; the engine behind it starts in each worker, with its first picture.
local client = assert(flux2.new())

local STATUS = { invalid_request = 400, moderated = 422, rate_limited = 503, rejected = 422, timeout = 504 }

local function refuse(err)
    ngx.status = STATUS[err.kind] or 502
    ngx.header.content_type = "text/plain"
    ngx.say(tostring(err))
end

--- GET /generate?prompt=a+red+fox: the picture.
function pictures.generate()
    local task, err = client:submit(ngx.unescape_uri(ngx.var.arg_prompt or ""))
    if not task then return refuse(err) end

    -- Nobody will look at the picture of a client that has gone. The wait below ends with an error of kind "cancelled".
    ngx.on_abort(function() task:cancel() end)

    local result, bytes
    result, err = task:wait() -- this request waits; nginx goes on
    if result then bytes, err = result.images[1]:bytes() end
    if not bytes then return refuse(err) end

    ngx.header.content_type = result.images[1].content_type
    ngx.header.content_length = #bytes
    ngx.print(bytes)
end

--- GET /status: how many submissions, tasks and downloads are under way.
function pictures.status()
    ngx.header.content_type = "text/plain"
    ngx.say(flux2.pending())
end

return pictures
