--- Text as bytes that must be UTF-8: counting, cleaning, cutting, showing.
-- A leaf: knows neither errors nor requests. Works without Lua 5.3's utf8 library,
-- which also accepts surrogates in some versions.

local text = {}

local byte, find, sub, gsub, format = string.byte, string.find, string.sub, string.gsub, string.format

local REPLACEMENT = "\239\191\189" -- U+FFFD

-- The second byte's range is narrower after these lead bytes: overlong forms, surrogates, beyond U+10FFFF.
local SECOND_MIN = { [0xE0] = 0xA0, [0xF0] = 0x90 }
local SECOND_MAX = { [0xED] = 0x9F, [0xF4] = 0x8F }

local function is_continuation(b)
    return b ~= nil and b >= 0x80 and b <= 0xBF
end

--- Last byte of the multi-byte sequence that starts at `i`, or nil where there is no valid one.
local function sequence_end(s, i)
    local a, b, c, d = byte(s, i, i + 3)
    if a < 0xC2 or a > 0xF4 or not b then return nil end
    if b < (SECOND_MIN[a] or 0x80) or b > (SECOND_MAX[a] or 0xBF) then return nil end
    if a < 0xE0 then return i + 1 end
    if not is_continuation(c) then return nil end
    if a < 0xF0 then return i + 2 end
    if not is_continuation(d) then return nil end
    return i + 3
end

--- Counts the code points of a strictly valid UTF-8 string.
---@param s string
---@return integer? count nil when `s` is not valid UTF-8
---@return integer? position of the first offending byte, from 1
-- Example: `text.length "\195\164"` is 1; `text.length "a\255"` is nil, 2.
function text.length(s)
    local count, i = 0, 1
    while i <= #s do
        local _, last = find(s, "^[^\128-\255]+", i)
        if last then
            count = count + (last - i + 1)
        else
            last = sequence_end(s, i)
            if not last then return nil, i end
            count = count + 1
        end
        i = last + 1
    end
    return count
end

--- Cuts to at most `limit` bytes, never inside a code point of valid UTF-8.
---@param s string
---@param limit integer bytes
---@return string
function text.cut(s, limit)
    if #s <= limit then return s end
    local last = limit
    while last > 0 and last > limit - 3 and is_continuation(byte(s, last + 1)) do
        last = last - 1
    end
    return sub(s, 1, last)
end

--- Puts U+FFFD in the place of each run of bytes that are not UTF-8.
local function mend(s)
    if text.length(s) then return s end
    local out, i, mended = {}, 1, false
    while i <= #s do
        local _, last = find(s, "^[^\128-\255]+", i)
        last = last or sequence_end(s, i)
        if last then
            out[#out + 1] = sub(s, i, last)
            mended = false
        elseif not mended then
            out[#out + 1] = REPLACEMENT
            mended = true
        end
        i = (last or i) + 1
    end
    return table.concat(out)
end

--- Makes text from anywhere safe to print on one line: valid UTF-8, no control characters (they could drive a
--- terminal), no characters that reverse the direction of reading, single spaces, bounded.
---@param s string
---@param limit integer bytes
---@return string
function text.clean(s, limit)
    -- Only so much is looked at: the rest of a body of megabytes cannot come into the result.
    s = mend(text.cut(s, limit * 8))
    s = gsub(s, "\194[\128-\159]", " ") -- C1 controls
    s = gsub(s, "\226\128[\142\143\168-\174]", " ") -- direction marks, line and paragraph separators
    s = gsub(s, "\226\129[\166-\169]", " ")
    s = gsub(s, "[^\33-\126\128-\255]+", " ")
    s = gsub(gsub(s, "^ ", ""), " $", "")
    if #s <= limit then return s end
    return text.cut(s, limit - 3) .. "..."
end

--- A number for people: no ".0" on Lua 5.3 and later.
---@param n number
---@return string
function text.number(n)
    if n % 1 == 0 and n > -2 ^ 53 and n < 2 ^ 53 then return format("%.0f", n) end
    return format("%.14g", n)
end

--- Reads digits, with or without a point: tonumber wants the locale's before Lua 5.3.
---@param s string
---@return number? n nil if there is anything else in it
-- Example: `text.to_number "0.5"` is 0.5, also where people write 0,5.
function text.to_number(s)
    local whole, fraction = s:match "^(%d*)%.?(%d*)$"
    if not whole or #whole + #fraction == 0 then return nil end
    return (tonumber(whole) or 0) + (tonumber(fraction) or 0) / 10 ^ #fraction
end

--- The number itself, as an integer where the Lua version knows integers: JSON gives floats.
---@param n number
---@return number
function text.integer(n)
    if n % 1 == 0 and n > -2 ^ 53 and n < 2 ^ 53 then return tonumber(format("%.0f", n)) end
    return n
end

--- Any value, short enough to stand in a message: strings in quotes, numbers, otherwise the type.
---@param value any
---@return string
function text.show(value)
    local kind = type(value)
    if kind == "string" then return "'" .. text.clean(value, 60) .. "'" end
    if kind == "number" then return text.number(value) end
    if kind == "boolean" or kind == "nil" then return tostring(value) end
    if kind == "userdata" then return "null" end
    return "a " .. kind
end

return text
