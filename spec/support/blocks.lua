--- The code blocks of README and guides: finds them and converts each to a runnable program. Defines the allowed
-- kinds of fences. A block runs in its own folder, with an emulator configured by FLUX2_API_KEY and FLUX2_BASE_URL;
-- `flux2` in that folder is the project's, and `examples`
-- its examples.

local service = require "support.service"

local blocks = {}

--- The allowed fences; any other one is an error.
--
--     ```lua            a program. If it uses `flux2`, `client` or `emulator` without defining it, it continues the
--                       nearest program above it that defines what it uses
--     ```lua server     a program that runs until it is stopped, and prints a URL before
--     ```lua luv        the same, if the interpreter has that module (luv, cqueues, copas)
--     ```lua love       main.lua of a game: a key is pressed; it must draw an image
--     ```sh love        commands in a checkout with a game: the first one of the file
--     ```lua neovim     runs inside nvim
--     ```lua config     a file for a program that is not here: its syntax is checked
--     ```json           the same
--     ```js             for Node: not run here, but by a spec that names the file
--     ```sh             a script; `lua` and the project's programs are available
--     ```sh server      commands, one per line, that run until they are stopped, and print a URL before
--     ```sh setup       installation commands, not run here: the files and targets they name must exist
blocks.kinds = {
    js = true, json = true, lua = true, ["lua config"] = true, ["lua copas"] = true, ["lua cqueues"] = true, ["lua love"] = true, ["lua luv"] = true,
    ["lua neovim"] = true, ["lua server"] = true, sh = true, ["sh love"] = true, ["sh server"] = true, ["sh setup"] = true,
}

local PROGRAMS = { lua = true, ["lua copas"] = true, ["lua cqueues"] = true, ["lua luv"] = true }
local SHARED = { "flux2", "client", "emulator" } -- the names that a program may take from one above it

local function defines(code, name) return code:find("local " .. name .. " =", 1, true) end

--- Returns a name that a program uses and does not define.
local function undefined(code)
    local words = code:gsub("%-%-[^\n]*", ""):gsub('"[^"\n]*"', '""')
    for _, name in ipairs(SHARED) do
        if words:find("%f[%w_]" .. name .. "%f[^%w_]") and not defines(code, name) then return name end
    end
end

--- Puts before each Lua program that is not complete the one that it continues. Returns an error if there is none.
local function complete(list)
    local programs = {} -- complete ones, the last one first
    for _, block in ipairs(list) do
        local name = PROGRAMS[block.kind] and undefined(block.code)
        local before
        for _, program in ipairs(name and programs or {}) do
            before = before or defines(program, name) and program
        end
        if name and not before then
            return nil, ("%s:%d: no program above it defines '%s'"):format(block.file, block.line, name)
        end
        if before then
            block.code = before .. block.code
        elseif PROGRAMS[block.kind] then
            table.insert(programs, 1, block.code)
        end
    end
    return list
end

--- Reads the blocks of a Markdown file.
---@param file string for messages
---@param text string
---@return table[]? blocks file, line (of the fence), kind, code
---@return string? reason
function blocks.read(file, text)
    local list, open, n = {}, nil, 0
    for line in (text .. "\n"):gmatch "(.-)\r?\n" do
        n = n + 1
        local fence = line:match "^%s*```%s*(.-)%s*$"
        if open and fence == "" then
            open.code = table.concat(open.code, "\n") .. "\n"
            list[#list + 1], open = open, nil
        elseif open then
            open.code[#open.code + 1] = line
        elseif fence then
            if not blocks.kinds[fence] then
                return nil, ("%s:%d: unknown kind of block: '%s'"):format(file, n, fence)
            end
            open = { file = file, line = n, kind = fence, code = {} }
        end
    end
    if open then return nil, ("%s:%d: the block is not closed"):format(file, open.line) end
    return complete(list)
end

-- Ends the game once it has drawn an image, or with an error.
local GAME = [[

do
    local draw, update, frames, drawn = love.graphics.draw, love.update, 0, false
    function love.graphics.draw(what, ...)
        drawn = drawn or (type(what) == "userdata" and what:typeOf "Texture")
        return draw(what, ...)
    end
    function love.update(dt)
        if update then update(dt) end
        frames = frames + 1
        if frames == 3 and love.keypressed then love.keypressed("space", "space", false) end
        if drawn then love.event.quit() end
    end
    function love.errorhandler(message)
        io.stderr:write(tostring(message), "\n")
        os.exit(1)
    end
end
]]

local EDITOR = [[
local ok, e = xpcall(dofile, debug.traceback, "block.lua")
if not ok then
    io.stderr:write(tostring(e), "\n")
    vim.cmd "cquit"
end
vim.cmd "qa!"
]]

local function lua_program(folder, block)
    service.write(folder .. "/block.lua", block.code)
    return '"$FLUX2_TEST_LUA" block.lua'
end

local MAKE = {
    lua = lua_program, ["lua copas"] = lua_program, ["lua cqueues"] = lua_program, ["lua luv"] = lua_program,
}

local function write_game(folder, code)
    os.execute("mkdir -p '" .. folder .. "/game'")
    service.write(folder .. "/game/main.lua", code .. GAME)
    service.write(folder .. "/game/conf.lua", 'function love.conf(t) t.identity = "flux2-block" t.modules.audio = ' ..
        'false end\n')
end

-- LÖVE's messages about a missing sound device are not part of the block's output.
local function on_a_screen(command)
    return "SDL_AUDIODRIVER=dummy xvfb-run -a -s '-screen 0 800x600x24' " .. command ..
        " 2>love.err || { cat love.err >&2; exit 1; }"
end

MAKE["lua love"] = function(folder, block)
    write_game(folder, block.code)
    return on_a_screen "love game"
end

MAKE["sh love"] = function(folder, block)
    local first = assert(blocks.read(block.file, service.read(block.file)))[1]
    assert(first.kind == "lua love", block.file)
    write_game(folder, first.code)
    service.write(folder .. "/block.sh", block.code)
    return "mkdir clone && mv game clone && cd clone && ln -s ../flux2/lua ../flux2/build ../flux2/bin ../flux2/tools . && "
        .. on_a_screen "sh -eu ../block.sh"
end

MAKE["lua neovim"] = function(folder, block)
    service.write(folder .. "/block.lua", block.code)
    service.write(folder .. "/editor.lua", EDITOR)
    return "nvim --headless -u NONE -i NONE -n -S editor.lua </dev/null >nvim.out 2>&1 || { cat nvim.out >&2; exit 1; }"
end

MAKE["lua config"] = function(folder, block)
    service.write(folder .. "/block.lua", block.code)
    return [["$FLUX2_TEST_LUA" -e 'assert(loadfile "block.lua")']]
end

MAKE.json = function(folder, block)
    service.write(folder .. "/block.json", block.code)
    return [["$FLUX2_TEST_LUA" -e 'require("cjson").decode(io.read "*a")' <block.json]]
end

MAKE.sh = function(folder, block)
    service.write(folder .. "/block.sh", block.code)
    return "sh -eu block.sh"
end

-- The shell's message about a killed process is not part of the block's output.
local SERVER = [[
serve() { # command...
    : >server.out
    "$@" >server.out 2>&1 & pid=$!
    until grep -q 'http://' server.out; do kill -0 $pid || { cat server.out >&2; exit 1; }; sleep 0.05; done
    { kill $pid; wait $pid; } 2>wait.err || true
    cat server.out
}
]]

MAKE["lua server"] = function(folder, block)
    -- Line buffering shows the output while it runs.
    lua_program(folder, { code = 'io.stdout:setvbuf "line" ' .. block.code })
    return SERVER .. 'serve "$FLUX2_TEST_LUA" block.lua'
end

MAKE["sh server"] = function(_, block)
    local commands = {}
    for line in block.code:gmatch "[^\n]+" do
        local command = line:gsub("%s+#.*$", "")
        if command:find "^%s*[^%s#]" then commands[#commands + 1] = "serve " .. command end
    end
    return SERVER .. table.concat(commands, "\n")
end

--- Writes a block to a folder.
---@param folder string an empty one
---@param block table as blocks.read returns it
---@return string command for sh, in that folder
function blocks.make(folder, block)
    return assert(MAKE[block.kind], block.kind)(folder, block)
end

-- Blocks that are not run ---------------------------------------------------------------------------------------------

local function check_make(words, targets)
    for i = 2, #words do
        local word = words[i]
        if not word:find "[=-]" and not targets[word] then return "make has no target '" .. word .. "'" end
    end
end

local function check_command(words, root, targets)
    while words[1] == "sudo" or (words[1] or ""):find "^[%u_]+=" do table.remove(words, 1) end
    if words[1] == "make" then return check_make(words, targets) end
    if words[1] ~= "luarocks" and words[1] ~= "apt-get" then
        return "unknown command '" .. tostring(words[1]) .. "'"
    end
    for _, word in ipairs(words) do
        if word:find "/" and not word:find "^%-" and not service.exists(root .. word) then
            return "there is no file " .. word
        end
    end
end

--- Checks installation commands against the existing files and targets.
---@param code string
---@param root string the project's folder, with a slash at its end
---@param targets table<string, any> of its Makefile
---@return string? problem
function blocks.check_setup(code, root, targets)
    for line in code:gmatch "[^\n]+" do
        for command in (line:gsub("%s*#.*", "") .. "&&"):gmatch "(.-)&&" do
            local words = {}
            for word in command:gmatch "%S+" do words[#words + 1] = word end
            local problem = #words > 0 and check_command(words, root, targets)
            if problem then return problem end
        end
    end
end

return blocks
