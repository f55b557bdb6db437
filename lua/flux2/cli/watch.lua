--- Shows one task: the status line while it runs, then the image, its cost and its path.

local jsonl = require "flux2.cli.jsonl"
local progress = require "flux2.cli.progress"
local result_json = require "flux2.cli.result_json"
local shell = require "flux2.cli.shell"
local terminal = require "flux2.cli.terminal"
local text = require "flux2.text"

local watch = {}

local MOST_COLUMNS, MOST_ROWS = 72, 22 -- of an image in the terminal

--- Whether a task has not ended.
---@param task flux2.Task
---@return boolean
function watch.is_alive(task)
    return task.state == "submitting" or task.state == "running"
end

--- Describes the state of a task.
---@param task? flux2.Task
---@return string
function watch.state(task)
    if not task then return "starting" end
    if not watch.is_alive(task) then return "fetching" end
    local percent = task.progress and ("  %3.0f %%"):format(task.progress * 100) or ""
    return text.clean(task.status or task.state, 30) .. percent
end

--- Draws the status line: spinner, state, elapsed time, typical duration, and further parts.
---@param out flux2.Terminal
---@param state string
---@param seconds number since the start
---@param more (string|false)[] further parts; false is skipped
function watch.draw(out, state, seconds, more)
    out:draw(function(columns)
        local line = ("%s %s   %s, typically %d to %d s"):format(progress.spinner(seconds, out.unicode), state,
            progress.duration(seconds), progress.typical[1], progress.typical[2])
        for _, words in ipairs(more) do
            if words then line = line .. "   " .. words end
        end
        return (select(2, terminal.fit(line, columns)))
    end)
end

--- Draws an image on stdout with chafa, if that is installed and stdout is a terminal with colours.
local function show_image(out, path)
    if not out:shows_images() or out.quiet or out.json or not shell.has "chafa" then return end
    out:clear()
    local columns = math.min(MOST_COLUMNS, out:columns() - 1)
    if path:sub(1, 1) == "-" then path = "./" .. path end
    shell.run(("chafa --size %dx%d --animate off %s 2>/dev/null"):format(columns, MOST_ROWS, shell.quote(path)))
end

--- Returns a message if the extension of a file differs from its type.
local function mismatch(path, content_type)
    local extension = path:lower():match "%.(%w+)$"
    local is = content_type and content_type:match "/(%w+)$"
    if not extension or not is or extension == is or extension == "jpg" and is == "jpeg" then return nil end
    return ("%s contains an image of type %s"):format(text.show(path), is:upper())
end

--- Prints the result. The path comes last, alone on its line, on stdout.
---@param out flux2.Terminal
---@param done { task: flux2.Task, result: flux2.Result, paths: string[], request: table?, shows: boolean }
function watch.hand_over(out, done)
    local task, result = done.task, done.result
    if out.json then return out:result(jsonl.encode(result_json.of(done.request, task, result, done.paths))) end
    local cost = result.credits and ", " .. text.credits(result.credits) or ""
    for i, path in ipairs(done.paths) do
        if done.shows and path ~= "-" then show_image(out, path) end
        local wrong = mismatch(path, result.images[i].content_type)
        if wrong then out:say(out:style("yellow", wrong)) end
        out:say(out:style("dim", ("%s%s, task %s"):format(progress.duration(result.elapsed), cost,
            text.clean(task.id or "?", 60))))
        if path ~= "-" then out:result(path) end
    end
end

return watch
