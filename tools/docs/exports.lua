--- Compares the exports of modules with their comments: functions, classes and values.
-- Checks the real tables and objects. The comment of a function is found by the line of its definition.

local comments = require "docs.comments"
local types = require "docs.types"
local units = require "docs.units"

local exports = {}

local Check = {}
Check.__index = Check

--- Creates a check for one run.
---@param root string the folder of the project, with a slash at its end
---@param kinds table<string, any> the kinds of errors
---@param accepted table<string, table> the options that functions and classes accept, see surface.options
function exports.new(root, kinds, accepted)
    return setmetatable({
        root = root, kinds = kinds, accepted = accepted, files = {}, problems = {}, seen = {}, classes = {},
    }, Check)
end

function Check:problem(file, line, message)
    if file:sub(1, #self.root) == self.root then file = file:sub(#self.root + 1) end
    self.problems[#self.problems + 1] = { file = file, line = line, message = message }
end

--- Returns the comments of a file. Syntax errors are reported once.
function Check:read(file)
    local read = self.files[file]
    if read then return read end
    read = comments.read(file)
    self.files[file] = read
    for _, problem in ipairs(read.problems) do self:problem(problem.file, problem.line, problem.message) end
    for _, class in ipairs(read.classes) do self.classes[class.name] = class end
    return read
end

-- Words ---------------------------------------------------------------------------------------------------------------

local function described(text)
    return text ~= nil and text:find "%a" ~= nil
end

--- Checks that the error kinds in a text exist.
function Check:check_kinds(block, what, text)
    for word in text:gmatch '%f[%w]kinds? "([%w_]+)"' do
        if not self.kinds[word] then
            self:problem(block.file, block.line, what .. ": there is no kind of error '" .. word .. "'")
        end
    end
end

function Check:names_a_kind(text)
    for word in text:gmatch '"([%w_]+)"' do
        if self.kinds[word] then return true end
    end
    return text:find("any kind", 1, true) ~= nil
end

-- Options -----------------------------------------------------------------------------------------------------------

-- The LuaCATS types of the option kinds in flux2.validate.
local TYPE_OF = {
    boolean = "boolean", bytes = "integer", count = "integer", credits = "number", ["function"] = "function",
    pixels = "number", positive = "integer", rate = "number", seconds = "number", string = "string", table = "table",
}

local function is_of_kind(node, kind)
    local want = TYPE_OF[kind]
    if want == nil then return true end
    local found = types.is(node, want)
    types.walk(node, function(inner)
        local is_class = inner.kind == "name" and inner.name:find("%.") ~= nil
        if want == "table" and (inner.kind == "array" or is_class) then found = true end
        if (want == "function" or want == "table") and inner.kind == want then found = true end
    end)
    return found
end

--- Compares documented members with accepted options.
function Check:check_members(block, what, members, accepted)
    local documented = {}
    for _, member in ipairs(members) do
        documented[member.name] = true
        local kind = accepted[member.name]
        if not kind then
            self:problem(block.file, member.line or block.line,
                what .. ": documents the option '" .. member.name .. "', which the code does not accept")
        elseif member.type and not is_of_kind(member.type, kind) then
            self:problem(block.file, member.line or block.line,
                what .. ": the code takes " .. kind .. " for '" .. member.name .. "', the documentation says otherwise")
        end
    end
    for name in pairs(accepted) do
        if not documented[name] then
            self:problem(block.file, block.line, what .. ": the option '" .. name .. "' is not documented")
        end
    end
end

--- Checks that numbers in a table type have a unit.
function Check:check_record(block, what, record, text)
    for _, member in ipairs(record.fields) do
        if member.type and (types.is(member.type, "number") or types.is(member.type, "integer"))
            and not units.named_for(text, member.name) then
            self:problem(block.file, block.line, what .. ": no unit is given for '" .. member.name .. "'")
        end
    end
end

-- Functions -----------------------------------------------------------------------------------------------------------

--- Returns the parameter names from the debug information, on Lua 5.1 from the line of the definition.
local function real_params(fn, block)
    local info, names = debug.getinfo(fn, "u"), {}
    if not info.nparams then return block.real_params or {} end
    for i = 1, info.nparams do names[i] = debug.getlocal(fn, i) end
    if info.isvararg then names[#names + 1] = "..." end
    if names[1] == "self" then table.remove(names, 1) end
    return names
end

function Check:check_params(block, what, fn)
    local real, documented = real_params(fn, block), {}
    for i, param in ipairs(block.params) do
        documented[#documented + 1] = param.name
        local label = what .. ", " .. param.name
        if not described(param.text) then self:problem(block.file, param.line, label .. ": it has no description") end
        local is_number = types.is(param.type, "number") or types.is(param.type, "integer")
        if is_number and not units.named(param.text) then self:problem(block.file, param.line, label .. ": no unit") end
        local record = types.record(param.type)
        if record then
            self:check_record(block, label, record, param.text)
            if param.name == "opts" or param.name == "options" then
                local accepted = self.accepted[what]
                if accepted then
                    self:check_members(block, what, record.fields, accepted)
                else
                    self:problem(block.file, param.line, label .. ": tools/docs/surface.lua does not know its options")
                end
            end
        end
        if real[i] ~= param.name then break end
    end
    if table.concat(real, ", ") ~= table.concat(documented, ", ") then
        self:problem(block.file, block.line, ("%s: its parameters are (%s), documented are (%s)"):format(what,
            table.concat(real, ", "), table.concat(documented, ", ")))
    end
end

function Check:check_returns(block, what)
    for _, one in ipairs(block.returns) do
        local about = (one.name or "") .. " " .. one.text
        if types.is(one.type, "number") and not units.named(about) then
            self:problem(block.file, one.line, what .. ": the number that it returns has no unit")
        end
        if types.is(one.type, "flux2.Error") and not self:names_a_kind(about) then
            self:problem(block.file, one.line, what .. ": says of no kind when an error has it")
        end
        self:check_kinds(block, what, about)
    end
end

--- Whether the function ends with a `return` of a value.
local function ends_with_a_value(file, last)
    local n = 0
    for line in io.lines(file) do
        n = n + 1
        if n == last - 1 then return line:find "^%s*return%s+[^%s;]" ~= nil end
    end
end

local load_text = rawget(_G, "loadstring") or load

--- Returns the code of an example: the text between the first backticks.
local function code_of(example)
    return example:match "`(.-)`" or ""
end

function Check:check_examples(block, what)
    if #block.examples == 0 then
        return self:problem(block.file, block.line, what .. ": it has no example (a line '-- Example: `code`')")
    end
    for _, example in ipairs(block.examples) do
        local code = code_of(example)
        -- "..." is a placeholder.
        if not (load_text(code) or load_text("return " .. code)) or code == "" then
            self:problem(block.file, block.line, what .. ": the example is not Lua: " .. example)
        end
        self.examples = self.examples or {}
        self.examples[#self.examples + 1] = { file = block.file, line = block.line, code = code }
    end
end

--- Checks one exported function.
---@param what string as users call it, for messages and for surface.options: "flux2.new", "flux2.Task:wait"
---@param fn function
---@return table? block its comment
function Check:check_function(what, fn)
    local info = debug.getinfo(fn, "S")
    if info.what == "C" then return self:problem("csrc", 0, what .. ": exported, but written in C: wrap it") end
    local file = info.source:gsub("^@", "")
    local block = self:read(file).by_line[info.linedefined]
    if not block then
        return self:problem(file, info.linedefined, what .. ": exported, but it has no documentation")
    end
    if block.private then return nil end
    self.seen[block] = what
    if not described(block.text) then self:problem(file, block.line, what .. ": it has no description") end
    self:check_kinds(block, what, block.text)
    self:check_params(block, what, fn)
    self:check_returns(block, what)
    if #block.returns == 0 and ends_with_a_value(file, info.lastlinedefined) then
        self:problem(file, block.line, what .. ": it returns something, and has no @return")
    end
    self:check_examples(block, what)
    return block
end

-- Modules and classes -------------------------------------------------------------------------------------------------

local function sorted_names(t)
    local names = {}
    for name in pairs(t) do
        if type(name) == "string" and name:sub(1, 1) ~= "_" then names[#names + 1] = name end
    end
    table.sort(names)
    return names
end

--- Finds the comment above an assignment, because values have no debug information. In another file than the module's
--- own, the table must have the name of the module.
function Check:value_block(own, module, name)
    local last = module:match "[^%.]+$"
    for file, read in pairs(self.files) do
        local variable = file == own and "[%w_]+" or last
        for _, block in ipairs(read.blocks) do
            if block.code:find("^%s*" .. variable .. "%." .. name .. "%s*=") then return block end
        end
    end
end

--- Checks a module: its exports and the first comment of its file.
---@param name string
---@param value table what it returns
---@param file string its path
---@return { name: string, file: string, about: table, functions: table[], values: table[] } page for the site
function Check:check_module(name, value, file)
    local read = self:read(file)
    local page = { name = name, file = file, about = read.about, functions = {}, values = {} }
    if not read.about or not described(read.about.text) then
        self:problem(file, 1, name .. ": the file does not begin with what it is")
    end
    for _, member in ipairs(sorted_names(value)) do
        local what, exported = name .. "." .. member, value[member]
        if type(exported) == "function" then
            local block = self:check_function(what, exported)
            if block then page.functions[#page.functions + 1] = { name = member, block = block } end
        else
            local block = self:value_block(file, name, member)
            if block and described(block.text) then
                page.values[#page.values + 1] = { name = member, block = block }
            else
                self:problem(file, 1, what .. ": exported, but it has no documentation")
            end
        end
    end
    local class = self.classes[name]
    if class then
        for _, field in ipairs(class.fields) do
            self:check_field(class, field)
            if not types.fits(field.type, value[field.name]) and not (field.optional and value[field.name] == nil) then
                self:problem(class.file, field.line, name .. "." .. field.name .. ": it is not what is documented")
            end
        end
        page.class = class
    end
    return page
end

function Check:check_field(class, field)
    local what = class.name .. "." .. field.name
    if field.private then return end
    if not described(field.text) then self:problem(class.file, field.line, what .. ": it has no description") end
    if (types.is(field.type, "number") or types.is(field.type, "integer")) and not units.named(field.text) then
        self:problem(class.file, field.line, what .. ": no unit")
    end
end

--- Compares the fields of a class with a real object.
function Check:check_object(class, object)
    local documented = {}
    for _, field in ipairs(class.fields) do
        documented[field.name] = true
        local value = object[field.name]
        if not (value == nil and field.optional) and not types.fits(field.type, value) then
            local found = value == nil and "not there" or "a " .. type(value)
            self:problem(class.file, field.line,
                ("%s.%s: documented as %s, but it is %s"):format(class.name, field.name, field.written, found))
        end
    end
    -- The members of a userdata cannot be listed.
    for _, name in ipairs(type(object) == "table" and sorted_names(object) or {}) do
        if not documented[name] then
            self:problem(class.file, class.line, class.name .. ": its field '" .. name .. "' is not documented")
        end
    end
end

--- Checks a class: its comment, its fields on real objects, its methods.
---@param name string
---@param methods table
---@param objects table[] made by the real module
---@return table? page as check_module returns it, with the fields
function Check:check_class(name, methods, objects)
    local class = self.classes[name]
    if not class then return self:problem("lua", 0, name .. ": there is no ---@class of that name") end
    local page = { name = name, file = class.file, class = class, functions = {}, values = {} }
    if not described(class.text) then self:problem(class.file, class.line, name .. ": it has no description") end
    for _, field in ipairs(class.fields) do self:check_field(class, field) end
    for _, object in ipairs(objects) do self:check_object(class, object) end
    for _, member in ipairs(sorted_names(methods)) do
        if type(methods[member]) == "function" then
            local block = self:check_function(name .. ":" .. member, methods[member])
            if block then page.functions[#page.functions + 1] = { name = member, block = block } end
        end
    end
    return page
end

local FACTOR = { KiB = 1024, MiB = 2 ^ 20 }

--- Compares "default 64 MiB" in the text of a field with the actual default.
function Check:check_default(class, field, value)
    local number, unit = field.text:match "default (%d[%d%.,]*)%s*(%a*)"
    local said = number and tonumber((number:gsub(",", ""))) * (FACTOR[unit] or 1)
    if said ~= value then
        self:problem(class.file, field.line, ("%s.%s: the default is %s, documented is %s"):format(class.name,
            field.name, tostring(value), tostring(said)))
    end
end

--- Checks a class that only describes a table of options.
---@param name string
---@param defaults? table<string, number> defaults of the code
---@return table? page
function Check:check_options(name, defaults)
    local class = self.classes[name]
    if not class then return self:problem("lua", 0, name .. ": there is no ---@class of that name") end
    if not described(class.text) then self:problem(class.file, class.line, name .. ": it has no description") end
    for _, field in ipairs(class.fields) do
        self:check_field(class, field)
        local default = (defaults or {})[field.name]
        if default then self:check_default(class, field, default) end
    end
    local members, parent = {}, class
    while parent do
        for _, field in ipairs(parent.fields) do members[#members + 1] = field end
        parent = self.classes[parent.parent]
    end
    self:check_members({ file = class.file, line = class.line }, name, members, self.accepted[name])
    return { name = name, file = class.file, class = class, functions = {}, values = {} }
end

-- Every file ----------------------------------------------------------------------------------------------------------

local BUILT_IN = {}
for name in ("any boolean false function integer lightuserdata nil number self string table thread true unknown " ..
    "userdata void file* love.FileData love.Image"):gmatch "%S+" do
    BUILT_IN[name] = true
end

local function each_type(block, fn)
    for _, list in ipairs { block.params, block.returns, block.class and block.class.fields or {} } do
        for _, one in ipairs(list) do fn(one.type, one.line) end
    end
    if block.type then fn(block.type, block.line) end
end

function Check:check_file(file)
    local read = self:read(file)
    for _, block in ipairs(read.blocks) do
        each_type(block, function(node, line)
            for _, name in ipairs(types.names(node)) do
                if not BUILT_IN[name] and not self.classes[name] then
                    self:problem(file, line, "there is no type '" .. name .. "'")
                end
            end
        end)
        if block.real_params and #block.params > 0 then
            local names = {}
            for i, param in ipairs(block.params) do names[i] = param.name end
            local documented, real = table.concat(names, ", "), table.concat(block.real_params, ", ")
            if documented ~= real and not self.seen[block] then
                self:problem(file, block.line,
                    ("the parameters are (%s), documented are (%s)"):format(real, documented))
            end
        end
    end
end

--- Checks the comments of all files, public or not: syntax, types and parameters.
---@param files string[]
function Check:check_files(files)
    for _, file in ipairs(files) do self:check_file(file) end
end

return exports
