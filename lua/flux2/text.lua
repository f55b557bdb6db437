--- UTF-8 text: counting, cleaning, cutting, showing. Lua 5.3's utf8 library accepts surrogates in some versions.

local text = {}

local byte, find, sub, gsub, format = string.byte, string.find, string.sub, string.gsub, string.format

local REPLACEMENT = "\239\191\189" -- U+FFFD

-- The range of the second byte is narrower after these lead bytes: overlong forms, surrogates, beyond U+10FFFF.
local SECOND_MIN = { [0xE0] = 0xA0, [0xF0] = 0x90 }
local SECOND_MAX = { [0xED] = 0x9F, [0xF4] = 0x8F }

local function is_continuation(b)
    return b ~= nil and b >= 0x80 and b <= 0xBF
end

--- Returns the last byte of the multi-byte sequence that starts at `i`, nil if it is invalid.
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

--- Removes white space at both ends.
---@param s string
---@return string
function text.trim(s)
    local from = find(s, "%S")
    return from and string.match(s, "^.*%S", from) or "" -- "%s+$" would be tried at each space: hours for a megabyte
end

--- Removes the byte order mark that some editors write at the start of a file.
---@param s string
---@return string
function text.without_bom(s)
    return (gsub(s, "^\239\187\191", ""))
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

--- Replaces each run of bytes that are not UTF-8 with U+FFFD.
---@param s string
---@return string
-- Example: `text.utf8 "a\255\255b"` is "a\239\191\189b"
function text.utf8(s)
    if text.length(s) then return s end
    local out, i, replaced = {}, 1, false
    while i <= #s do
        local _, last = find(s, "^[^\128-\255]+", i)
        last = last or sequence_end(s, i)
        if last then
            out[#out + 1] = sub(s, i, last)
            replaced = false
        elseif not replaced then
            out[#out + 1] = REPLACEMENT
            replaced = true
        end
        i = (last or i) + 1
    end
    return table.concat(out)
end

--- Makes any text safe to print on one line: valid UTF-8, no control characters, no characters that change the reading
--- direction, single spaces, bounded.
---@param s string
---@param limit integer bytes
---@return string
function text.clean(s, limit)
    s = text.utf8(text.cut(s, limit * 8)) -- the text may have megabytes
    s = gsub(s, "\194[\128-\159]", " ") -- C1 controls
    s = gsub(s, "\226\128[\142\143\168-\174]", " ") -- direction marks, line and paragraph separators
    s = gsub(s, "\226\129[\166-\169]", " ")
    s = gsub(s, "[^\33-\126\128-\255]+", " ")
    s = gsub(gsub(s, "^ ", ""), " $", "")
    if #s <= limit then return s end
    return text.cut(s, limit - 3) .. "..."
end

--- Formats a number, without ".0" on Lua 5.3 and later.
---@param n number
---@return string
function text.number(n)
    if n % 1 == 0 and n > -2 ^ 53 and n < 2 ^ 53 then return format("%.0f", n) end
    return format("%.14g", n)
end

--- Returns a whole number as an integer, on Lua versions with integers: JSON decoders return floats.
---@param n number
---@return number
function text.integer(n)
    if n % 1 == 0 and n > -2 ^ 53 and n < 2 ^ 53 then return tonumber(format("%.0f", n)) end
    return n
end

--- Formats a number of credits.
---@param n number
---@return string
-- Example: `text.credits(1)` is "1 credit"
function text.credits(n)
    return text.number(n) .. (n == 1 and " credit" or " credits")
end

--- Formats a time in UTC.
---@param seconds? number since 1970; default: now
---@return string time such as "2026-01-31T12:00:00Z"
function text.time(seconds)
    return os.date("!%Y-%m-%dT%H:%M:%SZ", seconds and math.floor(seconds))
end

--- Lists the words that are allowed.
---@param words string[] at least one
---@return string
-- Example: `text.choice { "a", "b", "c" }` is "'a', 'b' or 'c'"
function text.choice(words)
    if #words == 1 then return "'" .. words[1] .. "'" end
    return "'" .. table.concat(words, "', '", 1, #words - 1) .. "' or '" .. words[#words] .. "'"
end

--- Shows any value in a message: strings in quotes, numbers, otherwise the type.
---@param value any
---@return string
function text.show(value)
    local kind = type(value)
    if kind == "string" then return "'" .. text.clean(value, 60) .. "'" end
    if kind == "number" then return text.number(value) end
    if kind == "boolean" or kind == "nil" then return tostring(value) end
    if kind == "userdata" and not getmetatable(value) then return "null" end -- that of lua-cjson
    return "a " .. kind
end

return text
