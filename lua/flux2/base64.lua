--- Base64 to bytes: strict, and fast enough for a picture of several megabytes. A leaf.

local base64 = {}

local byte, char, concat = string.byte, string.char, table.concat

-- What each character adds to the bytes that it is part of, by its place in the group of four. Looking up and adding
-- is all that is left to do per group; bit operators are not there on every Lua.
local A1, B1, B2, C2, C3, D3 = {}, {}, {}, {}, {}, {}
do
    local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    local floor = math.floor
    for value = 0, 63 do
        local code = byte(alphabet, value + 1)
        A1[code] = value * 4
        B1[code], B2[code] = floor(value / 16), value % 16 * 16
        C2[code], C3[code] = floor(value / 4), value % 4 * 64
        D3[code] = value
    end
end

local FLUSH = 4096 -- strings of 12 bytes to gather before joining them

local function group(s, i)
    local a, b, c, d = byte(s, i, i + 3)
    return char(A1[a] + B1[b], B2[b] + C2[c], C3[c] + D3[d])
end

--- The last two or three characters of a text that does not fill its last group.
local function remainder(s, i)
    local a, b, c = byte(s, i, #s)
    if not c then
        if B2[b] ~= 0 then return nil end
        return char(A1[a] + B1[b])
    end
    if C3[c] ~= 0 then return nil end
    return char(A1[a] + B1[b], B2[b] + C2[c])
end

local function decode_groups(s)
    local parts, out, n, i = {}, {}, 0, 1
    local whole = #s - #s % 4
    while i + 15 <= whole do
        local a, b, c, d, e, f, g, h, j, k, l, m, o, p, q, r = byte(s, i, i + 15)
        n = n + 1
        out[n] = char(A1[a] + B1[b], B2[b] + C2[c], C3[c] + D3[d], A1[e] + B1[f], B2[f] + C2[g], C3[g] + D3[h],
            A1[j] + B1[k], B2[k] + C2[l], C3[l] + D3[m], A1[o] + B1[p], B2[p] + C2[q], C3[q] + D3[r])
        if n == FLUSH then
            parts[#parts + 1] = concat(out, "", 1, n)
            n = 0
        end
        i = i + 16
    end
    parts[#parts + 1] = concat(out, "", 1, n)
    while i <= whole do
        parts[#parts + 1] = group(s, i)
        i = i + 4
    end
    if i <= #s then
        local last = remainder(s, i)
        if not last then return nil end
        parts[#parts + 1] = last
    end
    return concat(parts)
end

--- Decodes standard or URL-safe Base64; blanks and line ends between characters are skipped, padding may be left out.
---@param s string
---@return string? bytes
---@return string? reason what is malformed
-- Example: `base64.decode "Zm94"` is "fox".
function base64.decode(s)
    if s:find("[ \t\r\n]") then s = s:gsub("[ \t\r\n]+", "") end
    if s:find("[-_]") then
        if s:find("[+/]") then return nil, "it mixes the standard and the URL-safe alphabet" end
        s = s:gsub("[-_]", { ["-"] = "+", ["_"] = "/" })
    end
    local body = s:sub(-2) == "==" and s:sub(1, -3) or s:sub(-1) == "=" and s:sub(1, -2) or s
    if #body ~= #s and #s % 4 ~= 0 then return nil, "its padding is wrong" end
    local odd = body:find("[^A-Za-z0-9+/]")
    if odd then return nil, "character " .. odd .. " is not one of Base64" end
    if #body % 4 == 1 then return nil, "it is cut short" end
    local bytes = decode_groups(body)
    if not bytes then return nil, "its last character holds bits that belong to no byte" end
    return bytes
end

return base64
