--- Parses option values and environment variables. Each function returns the value, or nil and the rule that it breaks.

local json = require "flux2.json"
local provider = require("flux2.provider").resolve()
local request = require "flux2.request"
local text = require "flux2.text"
local url = require "flux2.url"

local values = {}

local MOST_SECONDS = 1e6 -- as the module accepts

local function is_number(n) return n ~= nil and n == n and n > -math.huge and n < math.huge end

local function must_be(what, word)
    return nil, "must be " .. what .. ", not " .. text.show(word)
end

--- Decimal only: tonumber also accepts "0x10" and " 7 ".
local function number(word)
    return word:find "^[+-]?%d*%.?%d*[eE]?[+-]?%d*$" and tonumber(word) or nil
end

--- Returns the parser of a number.
local function numeric(meaning, is_valid)
    return function(word)
        local n = number(word)
        if not is_number(n) or not is_valid(n) then return must_be(meaning, word) end
        return text.integer(n)
    end
end

values.credits = numeric("a number of credits, 0 or more", function(n) return n >= 0 end)
values.count = numeric("a whole number, 1 or more", function(n) return n >= 1 and n % 1 == 0 and n <= 1e6 end)
values.port = numeric("a port, 0 to 65535", function(n) return n >= 0 and n % 1 == 0 and n <= 65535 end)
values.share = numeric("a number from 0 to 1", function(n) return n >= 0 and n <= 1 end)

local positive = numeric("a number of seconds above 0", function(n) return n > 0 end)

---@param word string
---@return number? seconds
---@return string? reason
function values.seconds(word)
    local n, reason = positive(word)
    if n and n > MOST_SECONDS then
        return must_be("a number of seconds, at most " .. text.number(MOST_SECONDS), word)
    end
    return n, reason
end

--- Parses "2", or "2-5" for a range.
---@param word string
---@return number|number[]|nil seconds
---@return string? reason
-- Example: `values.range "1.5-3"` is { 1.5, 3 }
function values.range(word)
    local least, most = word:match "^([%d.]+)%-([%d.]+)$"
    local low, high = number(least or word), number(most or word)
    if not is_number(low) or not is_number(high) or low < 0 or high < low then
        return must_be("a number of seconds, or a range such as 2-5", word)
    end
    return least and { low, high } or low
end

---@param word string
---@return string? word
---@return string? reason
function values.text(word)
    if word == "" then return nil, "is empty" end
    local at = word:find "[%c]"
    if at then return nil, ("has a control character (byte %d)"):format(at) end
    return word
end

--- Returns the parser of a word from a list.
local function choice(words, meaning)
    return function(word)
        local value = words[word]
        if value == nil then return must_be(meaning, word) end
        return value
    end
end

values.boolean = choice({ ["true"] = true, ["1"] = true, ["false"] = false, ["0"] = false }, "true or false")
values.color = choice({ auto = "auto", always = "always", never = "never" }, "auto, always or never")
--- The values of FLUX2_LOG, and those of a configuration file.
values.log = choice({ debug = true, ["true"] = true, off = false, ["false"] = false }, "'debug' or 'off'")

--- Returns the parser of a field of the request.
---@param name string
---@return fun(word: string): string?, string?
function values.field(name)
    local field = provider.by_name[name]
    return function(word)
        local reason = request.check(field, word)
        if reason then return nil, (reason:gsub("^" .. name .. " ", "")) end
        return word
    end
end

local NO_LOCAL_FILE = "\nThe service downloads input images, so it cannot read a local file, and it has no upload. " ..
    "Put the file where the internet can read it, such as a bucket with a link that expires, and give that URL."

--- Parses the URL of an input image. A path of a local file gets an explanation, after a line break.
---@param word string
---@return string? address
---@return string? reason
function values.input_url(word)
    local ok, reason = url.check(word)
    if ok then return word end
    local is_path = word ~= "" and not word:find "^%a[%w+.-]+:" or word:find "^[fF][iI][lL][eE]:"
    return nil, "must be an http(s) URL, not " .. text.show(word) .. (is_path and NO_LOCAL_FILE or ": " .. reason)
end

--- Parses a JSON object.
---@param word string
---@return table? object
---@return string? reason
-- Example: `values.object '{"seed": 7}'`
function values.object(word)
    local value, reason = json.decode(word)
    if type(value) ~= "table" or not word:find "^%s*{" then
        reason = reason and ": " .. reason or ""
        return nil, "must be a JSON object such as '{\"seed\": 7}'" .. reason
    end
    return value
end

return values
