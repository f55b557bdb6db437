--- The plugin for Neovim, 0.7 or newer: generates images. `:help flux2` describes it.
--
--     require("flux2.host.neovim").setup { dir = "~/images", request = { type = "flex", aspect_ratio = "16:9" } }
--
-- `require "flux2.host.luv"` integrates flux2: waiting in a coroutine does not block the editor, and the code after the
-- wait may call all of Neovim's API.

-- The C modules of a checkout, as in plugin/flux2.lua, which init.lua is run before.
local root = vim.fn.fnamemodify(debug.getinfo(1, "S").source:sub(2), ":p:h:h:h:h")
package.cpath = root .. "/build/5.1/?.so;" .. package.cpath

local flux2 = require "flux2"
local validate = require "flux2.validate"
require "flux2.host.luv"

local M = {}

---@class flux2.NeovimOptions Options of flux2.host.neovim.setup.
---@field client? flux2.Options options of flux2.new
---@field emulator? boolean|flux2.EmulatorSettings true, or settings: uses an emulator instead of the service
---@field request? table type, resolution, aspect_ratio and input_urls of every request
---@field dir? string folder of the images, at the time of the command; created if missing; default "."
---@field done? "insert"|"open"|fun(path: string, prompt: string) what happens with an image; default "insert"
---@field text? fun(path: string, prompt: string, buffer: integer): string returns the text to insert

local KNOWN = { client = "table", emulator = "any", request = "table", dir = "string", done = "any", text = "function" }
local DONE = { insert = true, open = true }
local options = {
    client = {},
    emulator = false,
    request = {},
    dir = ".",
    done = "insert",
    text = nil,
}
local marks = vim.api.nvim_create_namespace "flux2"
local jobs = {} -- path -> running generation
local client, emulator

--- Changes options. Applies to later images.
---@param given? flux2.NeovimOptions unknown options raise an error
-- Example: `require("flux2.host.neovim").setup { dir = "~/images", request = { type = "flex" } }`
function M.setup(given)
    given = validate.options("flux2.host.neovim.setup", given, KNOWN, 2)
    if given.done and not DONE[given.done] and type(given.done) ~= "function" then
        error("flux2.host.neovim.setup: done must be 'insert', 'open' or a function", 2)
    end
    options = vim.tbl_extend("force", options, given)
    client = nil
end

local function start_emulator(settings)
    local loaded, module = pcall(require, "flux2.emulator")
    if loaded then return module.start(settings) end
    package.loaded["flux2.emulator"] = nil -- the next command tries again
    return nil, "the emulator is not built: install libmicrohttpd, jansson and cairo, then run make"
end

local function get_client()
    if client then return client end
    local settings = options.client
    if options.emulator and not emulator then
        local reason
        emulator, reason = start_emulator(options.emulator == true and {} or options.emulator)
        if not emulator then return nil, reason end
    end
    if options.emulator then
        settings = vim.tbl_extend("keep", settings, { base_url = emulator.url, api_key = emulator.api_key })
    end
    local err
    client, err = flux2.new(settings)
    return client, err
end

-- Messages --------------------------------------------------------------------------------------------------------

--- Shows one line in the command line; a longer message would require ENTER. A message that is not kept does not
--- overwrite a command that the user is typing.
local function say(text, keep)
    if not keep and vim.api.nvim_get_mode().mode == "c" then return end
    text = vim.fn.printf("%." .. math.max(vim.v.echospace, 20) .. "S", (text:gsub("%c", " ")))
    vim.api.nvim_echo({ { text } }, keep, {})
end

local function show_error(err)
    vim.notify("Flux2: " .. tostring(err), vim.log.levels.ERROR)
end

--- Shows status and progress. Only the status is kept for :messages.
local function show(job, keep)
    local task = job.task
    local percent = task.progress and (" %d %%"):format(math.floor(task.progress * 100 + 0.5)) or ""
    say(("Flux2: %s%s  %s"):format(task.status or task.state, percent, job.prompt), keep)
end

-- Insertion of the image ------------------------------------------------------------------------------------------

--- Returns an unused path in the folder, which is created if necessary: a-red-fox.png, a-red-fox-2.png
local function new_path(prompt)
    local dir = vim.fn.fnamemodify(vim.fn.expand(options.dir), ":p"):gsub("/+$", "")
    pcall(vim.fn.mkdir, dir, "p") -- if that fails, so does saving, with the reason
    local name = prompt:lower():gsub("[^%w]+", "-"):sub(1, 40):gsub("^%-+", ""):gsub("%-+$", "")
    if name == "" then name = "flux2" end
    local path, n = ("%s/%s.png"):format(dir, name), 1
    while jobs[path] or vim.loop.fs_stat(path) do
        n = n + 1
        path = ("%s/%s-%d.png"):format(dir, name, n)
    end
    return path
end

--- The folder that relative links of a buffer begin in: that of its file, or the current one if it has none.
local function link_base(buffer)
    local name = vim.api.nvim_buf_get_name(buffer)
    if name == "" or name:find "^%a[%w+.-]+://" then return vim.fn.getcwd() end
    return vim.fn.fnamemodify(name, ":p:h")
end

--- An absolute path as seen from a folder: "fox.png", "../fox.png".
local function relative(path, base)
    local to, from, common = vim.split(path, "/"), vim.split(base:gsub("/+$", ""), "/"), 0
    while common < #from and common < #to - 1 and to[common + 1] == from[common + 1] do common = common + 1 end
    return ("../"):rep(#from - common) .. table.concat(to, "/", common + 1)
end

local function text_for(job)
    local path = vim.fn.fnamemodify(job.path, ":.")
    if options.text then return options.text(path, job.prompt, job.buffer) end
    if vim.bo[job.buffer].filetype ~= "markdown" then return path end
    local url = relative(job.path, link_base(job.buffer))
    url = url:gsub("[^%w%-._~/\128-\255]", function(c) return ("%%%02X"):format(c:byte()) end)
    return ("![%s](%s)"):format(job.prompt:gsub("[%[%]]", ""), url)
end

--- Inserts below the line of the command, which may have moved; replaces the line if it is empty.
local function insert(job)
    if not vim.api.nvim_buf_is_loaded(job.buffer) or not vim.bo[job.buffer].modifiable then
        vim.fn.setreg('"', job.path)
        return vim.notify("Flux2: the buffer is closed or not modifiable; the path is in the unnamed register")
    end
    local row = vim.api.nvim_buf_get_extmark_by_id(job.buffer, marks, job.mark, {})[1]
        or vim.api.nvim_buf_line_count(job.buffer) - 1 -- the buffer was reloaded
    local empty = vim.api.nvim_buf_get_lines(job.buffer, row, row + 1, false)[1] == ""
    vim.api.nvim_buf_set_lines(job.buffer, empty and row or row + 1, row + 1, false, vim.split(text_for(job), "\n"))
end

local function open(job)
    if vim.ui.open then return vim.ui.open(job.path) end
    local opener = vim.fn.has "mac" == 1 and "open" or "xdg-open"
    if vim.fn.executable(opener) == 0 then
        return show_error(opener .. " is not installed; the image is " .. job.path)
    end
    vim.fn.jobstart({ opener, job.path }, { detach = true })
end

local function finish(job)
    say("Flux2: saved " .. vim.fn.fnamemodify(job.path, ":~:."), true)
    if type(job.done) == "function" then return job.done(job.path, job.prompt) end
    if job.done == "open" then return open(job) end
    insert(job)
end

-- Public ------------------------------------------------------------------------------------------------------------

local function generate(job, request)
    local function progress(keep)
        return function(task)
            job.task = task
            show(job, keep)
        end
    end
    local image, err = client:generate(request, {
        save = job.path, on_status = progress(true), on_progress = progress(false),
    })
    jobs[job.path] = nil
    if image then finish(job) end
    if vim.api.nvim_buf_is_valid(job.buffer) then vim.api.nvim_buf_del_extmark(job.buffer, marks, job.mark) end
    if image then return end
    if err.kind == "cancelled" then return say("Flux2: cancelled  " .. job.prompt, true) end
    show_error(err)
end

--- Implements :Flux2. Does not block.
---@param prompt string what the image shows
---@param done? "insert"|"open"|function default: the option of setup
-- Example: `require("flux2.host.neovim").generate("a red fox", "open")`
function M.generate(prompt, done)
    local ok, err = get_client()
    if not ok then return show_error(err) end
    local buffer, line = vim.api.nvim_get_current_buf(), math.max(vim.api.nvim_win_get_cursor(0)[1], 1) -- 0 at start-up
    local job = { prompt = prompt, path = new_path(prompt), buffer = buffer, done = done or options.done }
    job.mark = vim.api.nvim_buf_set_extmark(buffer, marks, line - 1, 0, {})
    jobs[job.path] = job
    say("Flux2: sending  " .. prompt, false)
    job.handle = flux2.spawn(generate, job, vim.tbl_extend("force", options.request, { prompt = prompt }))
end

--- Implements :Flux2Cancel. The service may still finish the tasks and charge for them.
-- Example: `require("flux2.host.neovim").cancel()`
function M.cancel()
    for _, job in ipairs(vim.tbl_values(jobs)) do job.handle:cancel() end
end

return M
