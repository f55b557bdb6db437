--- JSON in and out, without raising, and reading values out of what came in.
-- A leaf over lua-cjson. Owns the one codec of flux2: an instance of its own, so that neither the host's settings
-- reach us nor ours the host.

local cjson = require "cjson"
local text = require "flux2.text"

local json = {}

local MAX_DEPTH_IN, MAX_DEPTH_OUT = 100, 32
local MAX_VALUES_OUT, MAX_VALUES_IN = 10000, 100000

local codec = cjson.new()
codec.decode_max_depth(MAX_DEPTH_IN)
-- Python services write NaN and Infinity; the rest of such an answer is still worth reading.
codec.decode_invalid_numbers(true)
codec.encode_max_depth(MAX_DEPTH_OUT + 2)
codec.encode_invalid_numbers(false)
codec.encode_sparse_array(false, 1, 0)

--- What a JSON null becomes in a decoded table.
json.null = cjson.null

--- cjson looks at the locale's decimal point when a codec is made, and misreads "0.5" after the host has chosen another
--- country. A program may do that at any time.
local locale = os.setlocale(nil, "numeric")
local function follow_locale()
    local now = os.setlocale(nil, "numeric")
    if now == locale then return end
    locale = now
    cjson.new()
end

--- A text that is nothing but "{},{}," takes dozens of times its size once it is decoded. What is short enough is fine.
-- One sign after the other, as plain text: that is fast, and a picture in Base64 has millions of characters.
local function is_modest(body)
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

--- Decodes a JSON text. Never raises.
---@param body any
---@return any value nil when the text is not JSON
---@return string? reason
function json.decode(body)
    if type(body) ~= "string" then return nil, "there is no text" end
    if not is_modest(body) then return nil, "it holds more than " .. MAX_VALUES_IN .. " values" end
    follow_locale()
    local ok, value = pcall(codec.decode, body)
    -- Not the fault of the text, which may hold the id of a paid task: once more, after a collection of garbage.
    if not ok and value == "not enough memory" then ok, value = pcall(codec.decode, body) end
    if not ok then return nil, text.clean(tostring(value), 200) end
    return value
end

--- What is being looked at, as people write it: "extra.seeds[2]". Only for a refusal: it costs more than a copy.
---@param walk table `root` is what the whole is called; then the keys that lead to where the copy stands
---@param depth integer how many of them
local function place(walk, depth)
    local parts = { walk.root }
    for i = 1, depth do
        local key = walk[i]
        parts[i + 1] = type(key) == "number" and "[" .. text.number(key) .. "]" or "." .. text.clean(key, 60)
    end
    return table.concat(parts)
end

--- `lead` comes before the place, if it is given.
local function refuse(walk, depth, complaint, lead)
    error({ reason = (lead or "") .. place(walk, depth) .. complaint }, 0)
end

--- cjson writes 14 digits. A rounded float is a rounded float; a rounded integer is another seed.
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

--- `depth` keys of `walk` lead to `value`.
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

--- Copies a value through and through, provided that JSON can hold it.
---@param value any
---@param where string what to call the value in the reason
---@return any copy nil with a reason; beware that `false` is a value
---@return string? reason
function json.copy(value, where)
    local ok, result = pcall(copy, value, { root = where, values = 0 }, 0)
    if ok then return result end
    return nil, type(result) == "table" and result.reason or tostring(result)
end

--- Encodes what `json.copy` has returned, or what is put together of such values: it is not looked at again. Never
--- raises.
---@param value any
---@return string? encoded
---@return string? reason
function json.write(value)
    follow_locale()
    local ok, encoded = pcall(codec.encode, value)
    if not ok then return nil, text.clean(tostring(encoded), 200) end
    return encoded
end

--- Encodes a value. Never raises, and never changes what it says: holes, mixed keys and NaN are refused.
---@param value any
---@param where string what to call the value in the reason
---@return string? encoded
---@return string? reason
function json.encode(value, where)
    local checked, reason = json.copy(value, where)
    if reason then return nil, reason end
    return json.write(checked)
end

-- Path -> its steps. The paths are those of flux2.shapes, and each answer is tried on more than a hundred of them:
-- taking them apart anew would be most of what an answer costs.
local STEPS = setmetatable({}, {
    __index = function(all, path)
        local steps = {}
        for step in path:gmatch("[^.]+") do
            steps[#steps + 1] = step:find("^%d+$") and tonumber(step) + 1 or step
        end
        all[path] = steps
        return steps
    end,
})

--- Follows a dotted path such as "data.0.url"; a number is a place in an array, from 0.
---@param value any
---@param path string "" is the value itself
---@return any found nil when there is nothing, or a null
function json.dig(value, path)
    local steps = STEPS[path]
    for i = 1, #steps do
        if type(value) ~= "table" then return nil end
        value = value[steps[i]]
    end
    if value == json.null then return nil end
    return value
end

--- The first value along `paths` that `accept` turns into something.
---@param value any
---@param paths string[]
---@param accept fun(found: any): any nil for "not usable, look on"
---@return any
function json.first(value, paths, accept)
    for _, path in ipairs(paths) do
        local found = json.dig(value, path)
        if found ~= nil then
            local usable = accept(found)
            if usable ~= nil then return usable end
        end
    end
    return nil
end

return json
