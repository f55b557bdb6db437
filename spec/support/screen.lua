--- A terminal without a display: tmux draws it, and returns its contents.
local bound = require "support.bound"
local core = require "flux2.core"
local service = require "support.service"
local shell = require "support.shell"

local screen = {}

local Screen = {}
Screen.__index = Screen

local function tmux(self, words)
    local pipe = assert(io.popen(("env -u TMUX tmux -L %s -f /dev/null %s 2>&1"):format(self.socket, words)))
    local output = pipe:read "*a"
    pipe:close()
    return output
end

--- A shell on a screen with the given number of columns, in `dir`. `setup` is its first command.
function screen.open(dir, setup, columns, rows)
    local self = setmetatable({ socket = "flux2-" .. core.token() }, Screen)
    service.write(dir .. "/.shell", "PS1='$ '\n" .. setup .. "\n")
    local output = tmux(self, ("new-session -d -x %d -y %d -c %s %s"):format(columns or 100, rows or 30,
        shell.quote(dir),
        shell.quote("exec bash --noprofile --rcfile " .. shell.quote(dir .. "/.shell") .. " -i")))
    assert(output == "", output)
    self:wait "^%$ $"
    return self
end

--- The contents, without empty lines at the end. With `styles`, the escape codes too.
function Screen:text(styles)
    return (tmux(self, "capture-pane -p" .. (styles and " -e" or "")):gsub("%s+$", "") .. " ")
end

--- Types a line.
function Screen:type(line)
    tmux(self, "send-keys -l " .. shell.quote(line))
    tmux(self, "send-keys Enter")
end

--- Presses a key by its name, such as "C-c".
function Screen:press(key)
    tmux(self, "send-keys " .. key)
end

--- Waits until a pattern is displayed; fails after `seconds`, or more in a slow run. Returns the screen.
function Screen:wait(pattern, seconds)
    local until_ = core.now() + bound(seconds or 30)
    while true do
        local text = self:text()
        if text:find(pattern) then return text end
        if core.now() > until_ then error("never seen: " .. pattern .. "\n" .. text, 2) end
        os.execute "sleep 0.03"
    end
end

function Screen:close()
    tmux(self, "kill-server")
end

return screen
