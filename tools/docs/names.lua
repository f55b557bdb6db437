--- Checks that names in README and guides exist: functions, fields, options, files, make targets, environment
--- variables.
-- Only code is checked: fenced blocks and text in backticks.

local names = {}

local Check = {}
Check.__index = Check

--- Creates a check for one run.
---@param known table see tree.lua; and modules (sets of members by name), classes (the same, by the name of a
---  variable), types, kinds
---@return table check
function names.new(known)
    return setmetatable({ known = known, problems = {} }, Check)
end

function Check:problem(file, line, message)
    self.problems[#self.problems + 1] = { file = file, line = line, message = message }
end

-- Names in code -------------------------------------------------------------------------------------------------------

--- Whether a full name is a module, a class, or a member of the nearest module: `flux2.errors.kinds` of `flux2.errors`.
local function is_known(known, full)
    if known.modules[full] or known.types[full] then return true end
    local module, member = full:match "^(.+)%.([^%.]+)$"
    while module and not known.modules[module] do
        module, member = module:match "^(.+)%.([^%.]+)$"
    end
    return module ~= nil and known.modules[module][member] ~= nil
end

local function check_module_members(self, file, line, code)
    for full in code:gmatch "%f[%w_%./%-]flux2%.[%a_][%w_%.]*" do
        full = full:gsub("%.+$", "")
        if not is_known(self.known, full) then self:problem(file, line, "there is no " .. full) end
    end
end

--- `task:wait`, `err.kind`: members of the variables that the guides use.
local function check_object_members(self, file, line, code)
    for variable, mark, name in code:gmatch "%f[%w_%.:]([%l_]+)([:%.])([%l_][%w_]*)" do
        local members = self.known.classes[variable]
        local is_path = mark == "." and self.known.extensions[name]
        if members and not members[name] and not is_path then
            self:problem(file, line, ("there is no %s%s%s"):format(variable, mark, name))
        end
    end
end

local function check_environment(self, file, line, code)
    for name in code:gmatch "%f[%w_](FLUX2_[%u%d_]+)" do
        if not self.known.environment[name] then self:problem(file, line, "nothing reads " .. name) end
    end
end

local function check_kinds(self, file, line, code)
    for word in code:gmatch 'kind%s*[=~]=?%s*"([%w_]+)"' do
        if not self.known.kinds[word] then self:problem(file, line, "there is no kind of error '" .. word .. "'") end
    end
end

--- Commands only, not "make sure" in a sentence. Two spaces begin an explanation.
local function check_make(self, file, line, code)
    for command in (code .. "&&"):gmatch "(.-)&&" do
        local words = command:match "^%s*make(.*)" or command:match "^%s*sudo make(.*)" or ""
        for word in (words:match "^(.-)%s%s" or words):gmatch "%S+" do
            if not word:find "^%l[%l%-]*$" then break end
            if not self.known.targets[word] then self:problem(file, line, "make has no target '" .. word .. "'") end
        end
    end
end

local IN_TREE = "^%.?[%w_%-]+/[%w_%-%./%*]*$"

--- `lua/flux2/task.lua`, `spec/host_*_spec.lua`, and `task.lua` alone.
local function check_path(self, file, line, code)
    local path = code:match "^([%w_%-%./%*]+)$"
    if not path then return end
    local folder = path:match "^(%.?[%w_%-]+)/"
    if folder and path:find(IN_TREE) and self.known.folders[folder] then
        if not self.known.has_file(path) then self:problem(file, line, "there is no " .. path) end
    elseif path:find "^[%w_%-%*]+%.[%l]+$" and self.known.source_extensions[path:match "[^%.]+$"] then
        if not self.known.has_name(path) then self:problem(file, line, "there is no file " .. path) end
    end
end

local RULES = {
    check_module_members, check_object_members, check_environment, check_kinds, check_make,
}

-- Reading Markdown ----------------------------------------------------------------------------------------------------

local function check_link(self, file, line, link)
    if link:find "^%a+:" then return end
    local target, place = link:match "^([^#]*)#?(.*)$"
    local folder = file:match "^(.*/)" or ""
    local path = target == "" and file or folder .. target
    repeat
        local count
        path, count = path:gsub("[^/]+/%.%./", "", 1)
    until count == 0
    if not self.known.has_file(path) then return self:problem(file, line, "the link " .. link .. " leads nowhere") end
    if place ~= "" and not self.known.has_place(path, place) then
        self:problem(file, line, "the link " .. link .. " leads to a heading that is not there")
    end
end

--- Checks one file.
---@param file string its path from the project's folder
---@param text string
function Check:check_markdown(file, text)
    local n, fenced = 0, false
    for line in (text .. "\n"):gmatch "(.-)\r?\n" do
        n = n + 1
        if line:find "^%s*```" then
            fenced = not fenced
        elseif fenced or line:find "^    " then
            for _, rule in ipairs(RULES) do rule(self, file, n, line) end
        else
            for code in line:gmatch "`([^`]+)`" do
                for _, rule in ipairs(RULES) do rule(self, file, n, code) end
                for word in code:gmatch "%S+" do check_path(self, file, n, word) end
            end
            for link in line:gmatch "%]%(([^%)%s]+)%)" do check_link(self, file, n, link) end
        end
    end
end

--- Checks the example of a comment.
---@param file string
---@param line integer
---@param code string
function Check:check_code(file, line, code)
    for _, rule in ipairs(RULES) do rule(self, file, line, code) end
end

return names
