--- JSON by lua-cjson, without raised errors. Uses a separate instance of cjson, because settings belong to an instance.

local cjson = require "cjson"
local text = require "flux2.text"

local json = {}

local MAX_DEPTH_IN, MAX_DEPTH_OUT = 100, 32
local MAX_VALUES_OUT, MAX_VALUES_IN = 10000, 100000

local codec = cjson.new()
codec.decode_max_depth(MAX_DEPTH_IN)
codec.decode_invalid_numbers(true) -- NaN and Infinity, as Python writes them
codec.encode_max_depth(MAX_DEPTH_OUT + 2)
codec.encode_invalid_numbers(false)
codec.encode_sparse_array(false, 1, 0)

--- The value of a JSON null.
json.null = cjson.null

--- `cjson.new` reads the decimal point of the locale, for all instances. A program may change the locale at any time.
local locale = os.setlocale(nil, "numeric")
local function follow_locale()
    local now = os.setlocale(nil, "numeric")
    if now == locale then return end
    locale = now
    cjson.new()
end

--- Whether a text has few values: "{},{}," decodes to dozens of times its size. Plain searches are fast, even in an
--- image in Base64.
local function has_few_values(body)
    if #body <= MAX_VALUES_IN then return true end
    local count = 0
    for _, sign in ipairs { ",", "{", "[" } do
        local at = body:find(sign, 1, true)
        while at do
            count = count + 1
            if count > MAX_VALUES_IN then return false end
            at = body:find(sign, at + 1, true)
        end
    end
    return true
end

-- The tokens in the messages of cjson.
local TOKENS = {
    T_OBJ_BEGIN = "'{'", T_OBJ_END = "'}'", T_ARR_BEGIN = "'['", T_ARR_END = "']'", T_COLON = "':'", T_COMMA = "','",
    T_STRING = "a string", T_NUMBER = "a number", T_INTEGER = "a number", T_BOOLEAN = "true or false",
    T_NULL = "null", T_END = "the end",
}

--- Decodes a JSON text. Never raises.
---@param body any
---@return any value nil when the text is not JSON
---@return string? reason
function json.decode(body)
    if type(body) ~= "string" then return nil, "there is no text" end
    if not has_few_values(body) then return nil, "it holds more than " .. MAX_VALUES_IN .. " values" end
    follow_locale()
    local ok, value = pcall(codec.decode, body)
    -- The failed allocation has collected garbage, and the text may contain the id of a paid task: try again.
    if not ok and value == "not enough memory" then ok, value = pcall(codec.decode, body) end
    if not ok then return nil, (text.clean(tostring(value), 200):gsub("T_[%u_]+", TOKENS)) end
    return value
end

--- Returns the name of the current value, such as "extra.seeds[2]", for an error.
---@param walk table `root`, the name of the whole, and the keys that lead to the current value
---@param depth integer the number of keys
local function place(walk, depth)
    local parts = { walk.root }
    for i = 1, depth do
        local key = walk[i]
        parts[i + 1] = type(key) == "number" and "[" .. text.number(key) .. "]" or "." .. text.clean(key, 60)
    end
    return table.concat(parts)
end

--- Raises `lead`, if given, then the place and the complaint.
local function refuse(walk, depth, complaint, lead)
    error({ reason = (lead or "") .. place(walk, depth) .. complaint }, 0)
end

--- cjson writes 14 digits. A rounded fraction is accepted; a rounded integer is not, because it may be a seed.
local function check_number(n, walk, depth)
    if n ~= n or n == math.huge or n == -math.huge then
        refuse(walk, depth, " is not a finite number, which JSON cannot hold")
    end
    if n % 1 == 0 and (n >= 1e14 or n <= -1e14) and codec.decode(codec.encode({ n }))[1] ~= n then
        refuse(walk, depth, " has more than the 14 digits that can be sent exactly: give it as a string")
    end
    return n
end

local function check_string(s, walk, depth, lead)
    local valid, position = text.length(s)
    if not valid then refuse(walk, depth, " is not valid UTF-8 (byte " .. position .. ")", lead) end
    return s
end

local function check_keys(t, walk, depth)
    local count, strings = 0, 0
    for key in next, t do
        count = count + 1
        if type(key) == "string" then
            strings = strings + 1
            check_string(key, walk, depth, "a name in ")
        elseif type(key) ~= "number" then
            refuse(walk, depth, " has a key that is " .. text.show(key) .. ": keys are strings, or 1 to n")
        end
    end
    if strings == count then return end
    if strings > 0 then refuse(walk, depth, " mixes names and numbers as keys, which JSON cannot hold") end
    for i = 1, count do
        if rawget(t, i) == nil then refuse(walk, depth, "[" .. i .. "] is missing: an array has no holes") end
    end
end

local function copy(value, walk, depth)
    walk.values = walk.values + 1
    if walk.values > MAX_VALUES_OUT then refuse(walk, depth, " is too large: more than 10000 values") end
    local kind = type(value)
    if kind == "boolean" or value == json.null then return value end
    if kind == "number" then return check_number(value, walk, depth) end
    if kind == "string" then return check_string(value, walk, depth) end
    if kind ~= "table" then refuse(walk, depth, " is a " .. kind .. ", which JSON cannot hold") end
    if depth >= MAX_DEPTH_OUT then
        error({ reason = place(walk, depth):sub(1, 60) .. "... is nested deeper than " .. MAX_DEPTH_OUT
            .. " levels (does it hold itself?)" }, 0)
    end
    check_keys(value, walk, depth)
    local out = {}
    for key, member in next, value do
        walk[depth + 1] = key
        out[key] = copy(member, walk, depth + 1)
    end
    return out
end

--- Returns a deep copy of a value that JSON can represent.
---@param value any
---@param where string the name of the value, for the reason
---@return any copy nil with a reason; `false` is a value
---@return string? reason
function json.copy(value, where)
    local ok, result = pcall(copy, value, { root = where, values = 0 }, 0)
    if ok then return result end
    return nil, type(result) == "table" and result.reason or tostring(result)
end

--- Encodes a result of `json.copy`, or a table of such results, without checks. Never raises.
---@param value any
---@return string? encoded
---@return string? reason
function json.write(value)
    follow_locale()
    local ok, encoded = pcall(codec.encode, value)
    if not ok then return nil, text.clean(tostring(encoded), 200) end
    return encoded
end

--- Encodes a value. Never raises. Refuses holes, mixed keys and NaN.
---@param value any
---@param where string the name of the value, for the reason
---@return string? encoded
---@return string? reason
function json.encode(value, where)
    local checked, reason = json.copy(value, where)
    if reason then return nil, reason end
    return json.write(checked)
end

--- Encodes a value like `json.encode`, without the escapes that cjson adds to slashes.
---@param value any
---@param where string the name of the value, for the reason
---@return string? encoded
---@return string? reason
function json.readable(value, where)
    local encoded, reason = json.encode(value, where)
    if not encoded then return nil, reason end
    return (encoded:gsub("\\/", "/"))
end

return json
