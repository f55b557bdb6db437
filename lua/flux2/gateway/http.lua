--- What the gateway reads from an HTTP request: path, query, address of the client, own address.

local url = require "flux2.url"

local http = {}

---@class flux2.gateway.Request
---@field id number for the server
---@field method string
---@field path string undecoded, without the query
---@field query table<string, string>
---@field headers table<string, string> names in lower case
---@field body string
---@field peer string address of the connection
---@field address string of the client: the peer, or what a trusted proxy says
---@field is_proxied boolean
---@field began number seconds of a monotonic clock
---@field may_be_taken? boolean its tasks are in the ledger, or may be after a failed commit

--- The address of the client: X-Forwarded-For from its end, as far as the addresses are trusted.
local function client_of(peer, forwarded, trusted)
    local address = peer
    if not forwarded then return address end
    local list = {}
    for word in forwarded:gmatch "[^,%s]+" do list[#list + 1] = word end
    for i = #list, 1, -1 do
        if not trusted[address] then return address end
        local next_one = list[i]:match "^%[?([%x.:]+)%]?$"
        if not next_one then return address end
        address = next_one
    end
    return address
end

--- Makes a request.
---@param trusted table<string, boolean> the addresses of proxies
---@param id number
---@param method string
---@param target string
---@param peer string
---@param headers table<string, string>
---@param body string
---@param began number
---@return flux2.gateway.Request
function http.request(trusted, id, method, target, peer, headers, body, began)
    local path, query = target:match "^([^?#]*)%??([^#]*)"
    return {
        id = id, method = method, path = path, query = url.parse_query(query), headers = headers, body = body,
        peer = peer, address = client_of(peer, headers["x-forwarded-for"], trusted), began = began,
        is_proxied = headers["x-forwarded-for"] ~= nil or headers["forwarded"] ~= nil,
    }
end

--- The address of the gateway as the client sees it, for the URLs of images.
---@param request flux2.gateway.Request
---@param trusted table<string, boolean>
---@return string url
function http.own_url(request, trusted)
    local host = (request.headers.host or ""):match "^[%w.:%[%]_-]+$" or "127.0.0.1"
    local scheme = trusted[request.peer] and request.headers["x-forwarded-proto"] == "https" and "https" or "http"
    return scheme .. "://" .. host
end

return http
