--- Pictures in Neovim, 0.7 or newer.
--
--     :Flux2 a red fox in the snow     generates it, and puts the path of the file below the line of the cursor; in
--                                      Markdown, the picture. The command line shows how far it is. You go on editing:
--                                      the path follows the line that the command was given on.
--     :Flux2! a red fox in the snow    opens it in the system's viewer instead
--     :Flux2Cancel                     gives up what is being generated
--
-- To install, make flux2 for LuaJIT (`make install`, or `luarocks --lua-version=5.1 install flux2`), put this folder on
-- the 'runtimepath', export FLUX2_API_KEY, and, if you like, in init.lua:
--
--     require("flux2_nvim").setup { dir = "~/pictures", request = { type = "flex", aspect_ratio = "16:9" } }
--
-- From a checkout, without a key and without credits, the emulator draws inside Neovim:
--
--     nvim --cmd "set rtp+=examples/neovim" -c "lua require'flux2_nvim'.setup { emulator = true }"
--
-- The line that makes flux2 feel at home here is `require "flux2.host.luv"`: after it, waiting in a coroutine lets the
-- editor go on, and what follows the wait runs where all of Neovim's API may be called.

-- In a checkout the modules are in it; where flux2 is installed, these lines can go.
local root = vim.fn.fnamemodify(debug.getinfo(1, "S").source:sub(2), ":p:h:h:h:h")
package.path = package.path .. ";" .. root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua"
package.cpath = package.cpath .. ";" .. root .. "/build/5.1/?.so"

local flux2 = require "flux2"
require "flux2.host.luv"

local M = {}

local options = {
    client = {}, -- as flux2.new takes them
    emulator = false, -- true, or its settings: draw here rather than ask the service
    request = {}, -- type, resolution, aspect_ratio, input_urls: part of every request
    dir = ".", -- where the pictures go, as of the time of the command
    done = "insert", -- or "open", or a function(path, prompt)
    text = nil, -- function(path, prompt, buffer) -> what is inserted
}
local marks = vim.api.nvim_create_namespace "flux2"
local jobs = {} -- path -> what is being generated
local client, emulator

--- Changes options. Call it before the first picture, or between any two.
---@param given table
function M.setup(given)
    options = vim.tbl_extend("force", options, given or {})
    client = nil
end

local function get_client()
    if client then return client end
    local settings = options.client
    if options.emulator and not emulator then
        local reason
        emulator, reason = require("flux2.emulator").start(options.emulator == true and {} or options.emulator)
        if not emulator then return nil, reason end
    end
    if options.emulator then
        settings = vim.tbl_extend("keep", settings, { base_url = emulator.url, api_key = emulator.api_key })
    end
    local err
    client, err = flux2.new(settings)
    return client, err
end

-- What the user sees ----------------------------------------------------------------------------------------------

--- One line of the command line. A longer one would ask for ENTER. What is not to be kept must not write over a
--- command that is being typed.
local function say(text, keep)
    if not keep and vim.api.nvim_get_mode().mode == "c" then return end
    text = vim.fn.printf("%." .. math.max(vim.v.echospace, 20) .. "S", (text:gsub("%c", " ")))
    vim.api.nvim_echo({ { text } }, keep, {})
end

local function complain(err)
    vim.notify("Flux2: " .. tostring(err), vim.log.levels.ERROR)
end

--- The words of the service are kept for :messages, the percentages between them are not.
local function show(job, keep)
    local task = job.task
    local percent = task.progress and (" %d %%"):format(math.floor(task.progress * 100 + 0.5)) or ""
    say(("Flux2: %s%s  %s"):format(task.status or task.state, percent, job.prompt), keep)
end

-- Where the picture goes ------------------------------------------------------------------------------------------

--- A name that no file and no other picture has: a-red-fox.png, a-red-fox-2.png
local function new_path(prompt)
    local dir = vim.fn.fnamemodify(vim.fn.expand(options.dir), ":p"):gsub("/+$", "")
    local name = prompt:lower():gsub("[^%w]+", "-"):sub(1, 40):gsub("^%-+", ""):gsub("%-+$", "")
    if name == "" then name = "flux2" end
    local path, n = ("%s/%s.png"):format(dir, name), 1
    while jobs[path] or vim.loop.fs_stat(path) do
        n = n + 1
        path = ("%s/%s-%d.png"):format(dir, name, n)
    end
    return path
end

local function text_for(job)
    local path = vim.fn.fnamemodify(job.path, ":.")
    if options.text then return options.text(path, job.prompt, job.buffer) end
    if vim.bo[job.buffer].filetype ~= "markdown" then return path end
    local url = path:gsub("[ ()]", function(c) return ("%%%02X"):format(c:byte()) end)
    return ("![%s](%s)"):format(job.prompt:gsub("[%[%]]", ""), url)
end

--- Below the line that the command was given on, wherever that is by now; on it, if it is empty.
local function insert(job)
    if not vim.api.nvim_buf_is_loaded(job.buffer) or not vim.bo[job.buffer].modifiable then
        vim.fn.setreg('"', job.path)
        return vim.notify("Flux2: the buffer is gone or not modifiable; the path can be pasted")
    end
    local row = vim.api.nvim_buf_get_extmark_by_id(job.buffer, marks, job.mark, {})[1]
        or vim.api.nvim_buf_line_count(job.buffer) - 1 -- the buffer was read anew
    local empty = vim.api.nvim_buf_get_lines(job.buffer, row, row + 1, false)[1] == ""
    vim.api.nvim_buf_set_lines(job.buffer, empty and row or row + 1, row + 1, false, vim.split(text_for(job), "\n"))
end

local function open(job)
    if vim.ui.open then return vim.ui.open(job.path) end
    local opener = vim.fn.has "mac" == 1 and "open" or "xdg-open"
    if vim.fn.executable(opener) == 0 then return complain(opener .. " is not there; the picture is " .. job.path) end
    vim.fn.jobstart({ opener, job.path }, { detach = true })
end

local function finish(job)
    say("Flux2: saved " .. vim.fn.fnamemodify(job.path, ":~:."), true)
    if type(job.done) == "function" then return job.done(job.path, job.prompt) end
    if job.done == "open" then return open(job) end
    insert(job)
end

-- Public ------------------------------------------------------------------------------------------------------------

local function paint(job, request)
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
    if err.kind == "cancelled" then return say("Flux2: gave up  " .. job.prompt, true) end
    complain(err)
end

--- What :Flux2 does. Returns at once.
---@param prompt string
---@param done? "insert"|"open"|function by default what setup says
function M.generate(prompt, done)
    local ok, err = get_client()
    if not ok then return complain(err) end
    local buffer, line = vim.api.nvim_get_current_buf(), math.max(vim.api.nvim_win_get_cursor(0)[1], 1) -- 0 at start-up
    local job = { prompt = prompt, path = new_path(prompt), buffer = buffer, done = done or options.done }
    job.mark = vim.api.nvim_buf_set_extmark(buffer, marks, line - 1, 0, {})
    jobs[job.path] = job
    say("Flux2: sending  " .. prompt, false)
    job.handle = flux2.spawn(paint, job, vim.tbl_extend("force", options.request, { prompt = prompt }))
end

--- What :Flux2Cancel does. The service may make the pictures, and charge for them, all the same.
function M.cancel()
    for _, job in ipairs(vim.tbl_values(jobs)) do job.handle:cancel() end
end

return M
