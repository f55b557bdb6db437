--- What may pass as an http(s) URL. A leaf: looks at the text, never at the network.

local text = require "flux2.text"

local url = {}

local function check_host(authority)
    local place = authority:match("([^@]*)$")
    local host, port
    if place:sub(1, 1) == "[" then
        host, port = place:match("^(%[[%x:.]+%])(.*)$")
    else
        host, port = place:match("^([^:]*)(.*)$")
    end
    if not host or host == "" then return nil, "it names no host" end
    local digits = port:match("^:(%d*)$")
    if port ~= "" and not digits then return nil, "its port is not a number" end
    if digits and digits ~= "" and (#digits > 5 or tonumber(digits) > 65535 or tonumber(digits) < 1) then
        return nil, "its port is not one of 1 to 65535"
    end
    return true
end

--- Tells whether `s` is an absolute http or https URL with a host.
---@param s any
---@return true? ok
---@return string? reason reads on after "the URL was refused: "
-- Example: `url.check "ftp://a/b"` is nil, "it begins with 'ftp:', not with http:// or https://".
function url.check(s)
    if type(s) ~= "string" then return nil, "it is " .. text.show(s) .. ", not a string" end
    if s == "" then return nil, "it is empty" end
    local odd = s:find("[^\33-\126\128-\255]")
    if odd then return nil, "it holds a space or a control character (byte " .. odd .. ")" end
    if s:find("\\", 1, true) then return nil, "it holds a backslash" end
    local valid, position = text.length(s)
    if not valid then return nil, "it is not valid UTF-8 (byte " .. position .. ")" end
    local scheme, rest = s:match("^(%a[%w+.-]*):(.*)$")
    if not scheme then return nil, "it does not begin with http:// or https://" end
    local known = scheme:lower()
    if known ~= "http" and known ~= "https" or rest:sub(1, 2) ~= "//" then
        return nil, "it begins with " .. text.show(scheme .. ":") .. ", not with http:// or https://"
    end
    return check_host(rest:sub(3):match("^[^/?#]*"))
end

return url
