--- What users of flux2 can reach: its public modules, the objects that they get, the options that functions accept.
-- Owns the list of public modules, and how to get hold of one object of each class: from the real core, at the
-- emulator. Never reads a comment. Whoever adds a module or a class adds it here; a file that is in no list fails.

local surface = {}

--- Modules that users require. The others are flux2's own rooms.
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
    "flux2.host.nginx",
}

--- A name that ends in ".*" means all modules below.
surface.internal = {
    "flux2.api",
    "flux2.arrival",
    "flux2.base64",
    "flux2.budget",
    "flux2.cli",
    "flux2.cli.*",
    "flux2.client",
    "flux2.combine",
    "flux2.exchange",
    "flux2.failure",
    "flux2.host.love_decoder",
    "flux2.image",
    "flux2.json",
    "flux2.learning",
    "flux2.look",
    "flux2.map",
    "flux2.options",
    "flux2.pictures",
    "flux2.pricing",
    "flux2.reports",
    "flux2.request",
    "flux2.response",
    "flux2.scheduler",
    "flux2.settings",
    "flux2.shapes",
    "flux2.slots",
    "flux2.spawn",
    "flux2.spool",
    "flux2.suggest",
    "flux2.task",
    "flux2.tester.*",
    "flux2.text",
    "flux2.url",
    "flux2.version",
    "flux2.yielding",
}

--- Classes that only describe a table that users make.
surface.tables = {
    "flux2.Options", "flux2.PollOptions", "flux2.Request", "flux2.EmulatorSettings", "flux2.EmulatorFault",
    "flux2.TesterOptions",
}

--- What an object of a class is called in the guides.
surface.variables = {
    ["flux2.Client"] = "client", ["flux2.Emulator"] = "emu", ["flux2.Error"] = "err", ["flux2.Handle"] = "handle",
    ["flux2.Image"] = "image", ["flux2.Map"] = "each", ["flux2.OpenAI"] = "openai", ["flux2.OpenAIAnswer"] = "answer",
    ["flux2.OpenAIImages"] = "images", ["flux2.Record"] = "record", ["flux2.Result"] = "result",
    ["flux2.Task"] = "task", ["flux2.Tester"] = "tester",
}

-- The other side of a host: a program such as LÖVE, of which nothing is needed here but that the host can be loaded.
local function stand_in()
    local anything = {}
    return setmetatable(anything, {
        __index = function() return anything end,
        __newindex = function() end,
        __call = function() return anything end,
    })
end

local FOREIGN = {
    ["flux2.host.copas"] = { modules = { "copas" } },
    ["flux2.host.cqueues"] = { modules = { "cqueues", "cqueues.condition" } },
    ["flux2.host.love"] = { modules = { "love.thread" }, global = "love" },
    ["flux2.host.luv"] = { modules = { "luv" } },
    ["flux2.host.nginx"] = { modules = { "ngx.semaphore" }, global = "ngx" },
}

--- Loads a host as if its other side were there, beside a flux2 of its own: hosts change what they find.
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
    local own = { image = package.loaded["flux2.image"], options = package.loaded["flux2.options"] }
    if foreign.global then rawset(_G, foreign.global, nil) end
    for other, module in pairs(given) do package.loaded[other] = module or nil end
    for other in pairs(package.loaded) do
        if other:find "^flux2%f[%z.]" and not other:find "core$" then package.loaded[other] = nil end
    end
    for other, module in pairs(loaded) do package.loaded[other] = module end
    if not ok then error("tools/docs: " .. name .. " cannot be loaded: " .. tostring(host), 0) end
    return host, own
end

--- The public modules, loaded: name, and the table that it returns.
---@return { name: string, value: table }[]
function surface.modules()
    local list = {}
    for _, name in ipairs(surface.public) do
        local value = FOREIGN[name] and load_host(name) or require(name)
        local _ = value["?"] -- what a module loads when something is asked for is there from here on
        list[#list + 1] = { name = name, value = value }
    end
    return list
end

--- A class, with objects of it. What it can do is in the metatable of those, but for what is hidden.
local function class(name, object, ...)
    return { name = name, methods = getmetatable(object) or {}, objects = { object, ... } }
end

--- Objects of a real generation, by class.
---@param directory string an empty one, for the spool
---@return { name: string, methods: table, objects: table[] }[] classes
---@return fun() close for when they were looked at
function surface.classes(directory)
    local flux2 = require "flux2"
    local emulator = assert(require("flux2.emulator").start { duration = 0, image_bytes = 100, seed = 1 })
    local client = assert(flux2.new {
        base_url = emulator.url, api_key = emulator.api_key, poll = { interval = 0.01 }, spool = directory,
    })
    local exchange
    local task = assert(client:submit("a red fox in the snow", { on_exchange = function(_, x) exchange = x end }))
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
    local unclear = assert(client:submit "a red fox that nobody hears of")
    unclear:wait(10)
    local record = unclear._record
    local openai = assert(require("flux2.openai").new(client))
    local answer = assert(openai.images:generate "a red fox, as OpenAI has it")
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
        class("flux2.OpenAIAnswer", answer),
        class("flux2.Look", assert(client:look(task.id))),
        class("flux2.Emulator", emulator),
        class("flux2.Tester", emulator:tester()),
        class("flux2.Exchange", exchange),
    }, function() emulator:stop() end
end

-- Options -----------------------------------------------------------------------------------------------------------

--- What `call` hands to options.check: the names that it knows, and their kinds. The call goes no further. With
--- `which`, it is the check of that name.
local function known_to(options, call, which)
    local check, heard = options.check, {}
    options.check = function(what, given, known)
        if which and what ~= which then return given end
        heard.known = known
        error(heard, 0)
    end
    local _, raised = pcall(call)
    options.check = check
    if raised ~= heard then return nil, tostring(raised) end
    return heard.known
end

local function set(names)
    local known = {}
    for _, name in ipairs(names) do known[name] = "any" end
    return known
end

--- By the name of the function or class: the options that the code accepts, with their kind as in flux2.options.
---@return table<string, table<string, string>>
function surface.options()
    local flux2, options = require "flux2", require "flux2.options"
    local Client, core = require "flux2.client", require "flux2.emulator.core"
    local function of(call, which) return assert(known_to(options, call, which)) end
    local host, own = load_host "flux2.host.love"
    local picture = setmetatable({}, own.image)
    return {
        ["flux2.Options"] = require("flux2.settings").known,
        ["flux2.OpenAIImages:generate"] = of(function()
            local fake = assert(require("flux2.openai").new { api_key = "aio_none", base_url = "http://127.0.0.1" })
            fake.images:generate("a fox", {})
        end, "images:generate"),
        ["flux2.PollOptions"] = of(function() flux2.new { poll = {} } end, "flux2.new: poll"),
        ["flux2.Request"] = surface.request_fields(),
        ["flux2.EmulatorSettings"] = set(core.settings()),
        ["flux2.EmulatorFault"] = set(core.fault_fields()),
        ["flux2.TesterOptions"] = of(function() require("flux2.tester").start {} end),
        ["flux2.all"] = of(function() flux2.all({}, {}) end),
        ["flux2.any"] = of(function() flux2.any({}, {}) end),
        ["flux2.Client:generate"] = of(function() Client.generate({}, "a fox", {}) end),
        ["flux2.Client:look"] = of(function() Client.look({}, "id", {}) end),
        ["flux2.Client:map"] = of(function() Client.map({}, {}, {}) end),
        ["flux2.Client:recover"] = of(function() Client.recover({}, {}) end),
        ["flux2.Client:submit"] = of(function() Client.submit({}, "a fox", {}) end),
        ["flux2.Client:task"] = of(function() Client.task({}, "id", {}) end),
        ["flux2.host.love.generate"] = assert(known_to(own.options, function()
            host.generate({ submit = function() end }, "a fox", {}, function() end)
        end)),
        ["flux2.host.love.texture"] = assert(known_to(own.options, function()
            host.texture(picture, {}, function() end)
        end)),
    }
end

--- By the name of the class: the values that the code takes where none is given. Times in seconds, sizes in bytes.
surface.defaults = { ["flux2.Options"] = require("flux2.settings").defaults }

local KINDS = { array = "table", string = "string" }

--- The fields of a request, as flux2.request checks them.
function surface.request_fields()
    local known = { extra = "table" }
    for _, field in ipairs(require("flux2.request").fields) do
        known[field.name] = field.allowed and "any" or KINDS[field.type]
    end
    return known
end

return surface
