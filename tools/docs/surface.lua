--- The public API of flux2: public modules, objects of each class, and accepted options.
-- The objects are created with the real core and the emulator. A new module or class must be added to these lists.

local surface = {}

--- Public modules. README and guides may name no other ones.
surface.public = {
    "flux2",
    "flux2.emulator",
    "flux2.errors",
    "flux2.openai",
    "flux2.tester",
    "flux2.host.copas",
    "flux2.host.cqueues",
    "flux2.host.love",
    "flux2.host.luv",
    "flux2.host.neovim",
    "flux2.host.nginx",
}

--- Classes that describe a table of the user.
surface.tables = {
    "flux2.Options", "flux2.PollOptions", "flux2.Request", "flux2.EmulatorSettings", "flux2.EmulatorFault",
    "flux2.NeovimOptions", "flux2.TesterOptions", "flux2.Provider", "flux2.ProviderField",
}

--- The variable names of classes in the guides.
surface.variables = {
    ["flux2.Buffer"] = "buffer", ["flux2.Client"] = "client", ["flux2.Emulator"] = "emu", ["flux2.Error"] = "err",
    ["flux2.Handle"] = "handle", ["flux2.Image"] = "image", ["flux2.Map"] = "each", ["flux2.OpenAI"] = "openai",
    ["flux2.OpenAIResponse"] = "response", ["flux2.OpenAIImages"] = "images", ["flux2.Record"] = "record",
    ["flux2.Result"] = "result", ["flux2.Task"] = "task", ["flux2.Tester"] = "tester",
}

-- A stub of the host program, such as LÖVE, which only allows the host module to be loaded.
local function stand_in()
    local anything = {}
    return setmetatable(anything, {
        __index = function() return anything end,
        __newindex = function() end,
        __call = function() return anything end,
        __concat = function(_, text) return text end,
    })
end

local FOREIGN = {
    ["flux2.host.copas"] = { modules = { "copas" } },
    ["flux2.host.cqueues"] = { modules = { "cqueues", "cqueues.condition" } },
    ["flux2.host.love"] = { modules = { "love.thread" }, global = "love" },
    ["flux2.host.luv"] = { modules = { "luv" } },
    ["flux2.host.neovim"] = { modules = { "luv" }, global = "vim" },
    ["flux2.host.nginx"] = { modules = { "ngx.semaphore" }, global = "ngx" },
}

--- Loads a host module with stubs and a separate copy of flux2, because hosts modify flux2.
local function load_host(name)
    local foreign, loaded, given = FOREIGN[name], {}, {}
    for other, module in pairs(package.loaded) do
        if other:find "^flux2%f[%z.]" and not other:find "core$" then loaded[other] = module end
    end
    for other in pairs(loaded) do package.loaded[other] = nil end
    for _, other in ipairs(foreign.modules) do
        given[other] = package.loaded[other] or false
        package.loaded[other] = stand_in()
    end
    if foreign.global then rawset(_G, foreign.global, stand_in()) end
    local ok, host = pcall(require, name)
    local own = { image = package.loaded["flux2.image"], validate = package.loaded["flux2.validate"] }
    if foreign.global then rawset(_G, foreign.global, nil) end
    for other, module in pairs(given) do package.loaded[other] = module or nil end
    for other in pairs(package.loaded) do
        if other:find "^flux2%f[%z.]" and not other:find "core$" then package.loaded[other] = nil end
    end
    for other, module in pairs(loaded) do package.loaded[other] = module end
    if not ok then error("tools/docs: " .. name .. " cannot be loaded: " .. tostring(host), 0) end
    return host, own
end

--- Loads the public modules. Returns names and module tables.
---@return { name: string, value: table }[]
function surface.modules()
    local list = {}
    for _, name in ipairs(surface.public) do
        local value = FOREIGN[name] and load_host(name) or require(name)
        list[#list + 1] = { name = name, value = value }
    end
    return list
end

--- A class with objects. Its methods are those of the metatable, unless it is hidden.
local function class(name, object, ...)
    return { name = name, methods = getmetatable(object) or {}, objects = { object, ... } }
end

--- Creates objects by a real generation.
---@param directory string an empty one, for the spool
---@return { name: string, methods: table, objects: table[] }[] classes
---@return fun() close stops the emulator
function surface.classes(directory)
    local flux2 = require "flux2"
    local emulator = assert(require("flux2.emulator").start { duration = 0, image_bytes = 100, seed = 1 })
    local client = assert(flux2.new {
        base_url = emulator.url, api_key = emulator.api_key, poll = { interval = 0.01 }, spool = directory,
    })
    local info
    local task = assert(client:submit("a red fox in the snow", { on_request = function(_, x) info = x end }))
    local result = assert(task:wait(10))
    local image = result.images[1]
    assert(image:save(directory .. "/fox.png"))
    local failed = assert(client:submit "[fail] a red fox")
    local _, err = failed:wait(10)
    local poor = assert(flux2.new { base_url = emulator.url, api_key = emulator.api_key, budget = 1 })
    local _, dear = poor:submit "a red fox"
    local handle = flux2.spawn(function() return true end)
    local map = client:map({}, {})
    emulator:fault { method = "POST", path = "/api/v1/images/generations", reset = "after" }
    local unclear = assert(client:submit "a red fox without a response")
    unclear:wait(10)
    local record = unclear._record
    local openai = assert(require("flux2.openai").new(client))
    local response = assert(openai.images:generate "a red fox, as OpenAI has it")
    return {
        class("flux2.Client", client),
        class("flux2.Task", task, failed),
        class("flux2.Result", result),
        class("flux2.Image", image),
        class("flux2.Buffer", assert(image:buffer())),
        class("flux2.Error", err, unclear.error, dear),
        class("flux2.Handle", handle),
        class("flux2.Map", map),
        class("flux2.Record", record),
        class("flux2.Stats", flux2.stats()),
        class("flux2.OpenAI", openai),
        class("flux2.OpenAIImages", openai.images),
        class("flux2.OpenAIResponse", response),
        class("flux2.TaskStatus", assert(client:status(task.id))),
        class("flux2.Emulator", emulator),
        class("flux2.Tester", emulator:tester()),
        class("flux2.RequestInfo", info),
    }, function() emulator:stop() end
end

-- Options -----------------------------------------------------------------------------------------------------------

--- Returns the option names and kinds that `call` passes to validate.options, and aborts the call. `which` selects one
--- of several checks.
local function known_to(validate, call, which)
    local check, heard = validate.options, {}
    validate.options = function(what, given, known)
        if which and what ~= which then return given end
        heard.known = known
        error(heard, 0)
    end
    local _, raised = pcall(call)
    validate.options = check
    if raised ~= heard then return nil, tostring(raised) end
    return heard.known
end

local function set(names)
    local known = {}
    for _, name in ipairs(names) do known[name] = "any" end
    return known
end

local function any_of(map)
    local known = {}
    for name in pairs(map) do known[name] = "any" end
    return known
end

--- Returns the accepted options with their kinds (see flux2.validate) by function or class.
---@return table<string, table<string, string>>
function surface.options()
    local flux2, validate = require "flux2", require "flux2.validate"
    local Client, core = require "flux2.client", require "flux2.emulator.core"
    local function of(call, which) return assert(known_to(validate, call, which)) end
    local client = setmetatable({}, Client)
    local host, own = load_host "flux2.host.love"
    local neovim, neovim_own = load_host "flux2.host.neovim"
    local image = setmetatable({}, own.image)
    return {
        ["flux2.Options"] = require("flux2.config").known,
        ["flux2.OpenAIImages:generate"] = of(function()
            local fake = assert(require("flux2.openai").new { api_key = "aio_none", base_url = "http://127.0.0.1" })
            fake.images:generate("a fox", {})
        end, "images:generate"),
        ["flux2.Provider"] = any_of(require("flux2.provider").known.provider),
        ["flux2.ProviderField"] = any_of(require("flux2.provider").known.field),
        ["flux2.PollOptions"] = of(function() flux2.new { poll = {} } end, "flux2.new: poll"),
        ["flux2.Request"] = surface.request_fields(),
        ["flux2.EmulatorSettings"] = set(core.settings),
        ["flux2.EmulatorFault"] = set(core.fault_fields),
        ["flux2.NeovimOptions"] = assert(known_to(neovim_own.validate, function() neovim.setup {} end)),
        ["flux2.TesterOptions"] = of(function() require("flux2.tester").start {} end),
        ["flux2.all"] = of(function() flux2.all({}, {}) end),
        ["flux2.any"] = of(function() flux2.any({}, {}) end),
        ["flux2.Client:generate"] = of(function() Client.generate(client, "a fox", {}) end),
        ["flux2.Client:status"] = of(function() Client.status(client, "id", {}) end),
        ["flux2.Client:map"] = of(function() Client.map(client, {}, {}) end),
        ["flux2.Client:recover"] = of(function() Client.recover(client, {}) end),
        ["flux2.Client:submit"] = of(function() Client.submit(client, "a fox", {}) end),
        ["flux2.Client:task"] = of(function() Client.task(client, "id", {}) end),
        ["flux2.host.love.generate"] = assert(known_to(own.validate, function()
            host.generate({ submit = function() end }, "a fox", {}, function() end)
        end)),
        ["flux2.host.love.texture"] = assert(known_to(own.validate, function()
            host.texture(image, {}, function() end)
        end)),
    }
end

--- Defaults by class. Times in seconds, sizes in bytes.
surface.defaults = { ["flux2.Options"] = require("flux2.config").defaults }

local KINDS = { urls = "table", text = "string", ratio = "string", word = "any" }

--- Returns the request fields of flux2.request.
function surface.request_fields()
    local known = { extra = "table", input_images = "table" }
    for _, field in ipairs(require("flux2.provider").resolve().fields) do
        known[field.name] = KINDS[field.type]
    end
    return known
end

return surface
