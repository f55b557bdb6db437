--- Checks of http(s) URLs and proxy addresses, and the query of a URL.

local core = require "flux2.load_core" "flux2.core"
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

--- Whether `s` is an absolute http or https URL with a host.
---@param s any
---@return true? ok
---@return string? reason continues "the URL was refused: "
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

local PROXY_SCHEMES = {
    http = true, https = true, socks = true, socks4 = true, socks4a = true, socks5 = true, socks5h = true,
}

--- Whether `s` is a proxy address for libcurl: scheme://user:password@host:port, of which only the host is required.
---@param s string
---@return true? ok
---@return string? reason continues "the address was refused: "; does not contain the address
-- Example: `url.check_proxy "joe:secret@proxy.example:3128"` is true
function url.check_proxy(s)
    if s:find "[^\33-\126]" then return nil, "it holds a space, a control character or a letter that is not ASCII" end
    local scheme, rest = s:match "^([%w+.-]*)://(.*)$"
    rest = rest or s
    if scheme and not PROXY_SCHEMES[scheme:lower()] then return nil, "its scheme is no kind of proxy" end
    if not rest:find "^[^/?#]*/?$" then
        return nil, "something follows its host and port; in a password, / ? # and @ are written %2F %3F %23 and %40"
    end
    local parts, reason = core.url((scheme or "http") .. "://" .. rest)
    if not parts or rest:find "@.*@" then return nil, reason or "there is more than one @ in it; %40 stands for one" end
    return true
end

--- Returns an address without its user name and password, for messages.
---@param s string
---@return string
-- Example: `url.mask "http://joe:secret@proxy.example"` is "http://***@proxy.example"
function url.mask(s)
    local scheme, rest = s:match "^(%a[%w+.-]*://)(.*)$"
    return (scheme or "") .. (rest or s):gsub("^.*@", "***@")
end

--- Replaces the escapes of a part of a URL.
---@param s string
---@return string
-- Example: `url.unescape "a%20b"` is "a b"
function url.unescape(s)
    return (s:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

--- Returns the forms in which the user name and password of an address may occur in texts.
---@param s string
---@return string[] secrets
function url.secrets(s)
    local given = s:gsub("^%a[%w+.-]*://", ""):match "^(.*)@"
    if not given then return {} end
    local plain = url.unescape(given)
    return { given, plain, core.base64(plain), given:match ":(.*)$", plain:match ":(.*)$" }
end

--- Decodes the query of a URL.
---@param encoded string "a=1&b=%20", without "?"
---@return table<string, string> query by name; of a repeated name the last value
-- Example: `url.parse_query "a=1&b=%20"` is { a = "1", b = " " }
function url.parse_query(encoded)
    local query = {}
    for name, value in encoded:gsub("+", " "):gmatch "([^&=]+)=([^&]*)" do
        query[url.unescape(name)] = url.unescape(value)
    end
    return query
end

return url
