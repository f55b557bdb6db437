--- Runs bin/flux2 like a user: in its own process and folder, against an emulator.
local bound = require "support.bound"
local core = require "flux2.core"
local service = require "support.service"
local shell = require "support.shell"

local program = {}

local here = io.popen("pwd"):read "*l"

--- The command that starts it, for a shell.
function program.command()
    return shell.join { shell.interpreter(), here .. "/bin/flux2" }
end

--- The shell environment: `emu` is the service, records go to `dir`.
function program.environment(emu, dir, more)
    local env = {
        FLUX2_POLL_INTERVAL = "0.05", FLUX2_PATIENCE = "0.3", XDG_STATE_HOME = dir .. "/state", HOME = dir,
        XDG_CONFIG_HOME = dir .. "/.config",
        LC_ALL = "C.UTF-8", TERM = "xterm-256color",
    }
    if emu then env.FLUX2_BASE_URL, env.FLUX2_API_KEY = emu.url, emu.api_key end
    for name, value in pairs(more or {}) do env[name] = value end
    local words = {}
    for name, value in pairs(env) do words[#words + 1] = name .. "=" .. shell.quote(value) end
    table.sort(words)
    return "env -u NO_COLOR -u CLICOLOR_FORCE " .. table.concat(words, " ")
end

--- The output of a program, without the carriage returns that Windows adds to text.
function program.read(path)
    local bytes = service.read(path)
    if package.config:sub(1, 1) ~= "\\" or bytes:find "^\137PNG" then return bytes end
    return (bytes:gsub("\r\n", "\n"))
end

--- Runs `flux2 WORDS` in `dir`, without a terminal. Returns the exit status, stdout and stderr.
function program.run(emu, dir, words, options)
    options = options or {}
    local out, err = dir .. "/.stdout", dir .. "/.stderr"
    if options.stdin then service.write(dir .. "/.stdin", options.stdin) end
    local pipe = assert(io.popen(("cd %s && %s timeout -k 5 %d %s %s <%s >%s 2>%s; echo $?"):format(shell.quote(dir),
        program.environment(emu, dir, options.env), bound(120), program.command(), shell.join(words),
        options.stdin and ".stdin" or "/dev/null", out, err)))
    local code = tonumber(pipe:read "*l")
    pipe:close()
    return code, program.read(out), program.read(err)
end

--- Starts `flux2 WORDS` in the background, with further variables of the environment. Returns its process id.
function program.start(emu, dir, words, env)
    local pipe = assert(io.popen(("cd %s && { { %s %s %s </dev/null >.stdout 2>.stderr & } && echo $!; }"):format(
        shell.quote(dir),
        program.environment(emu, dir, env), program.command(), shell.join(words))))
    local pid = tonumber(pipe:read "*l")
    pipe:close()
    return pid
end

--- Whether a process runs. Without a waiter an ended one stays as a zombie; so does the first thread of one whose other
--- threads, and with them its locks, are still there.
local function runs(pid)
    local stat = service.read_if_there(("/proc/%d/stat"):format(pid))
    if not stat and service.exists "/proc/self/stat" then return false end
    if not stat then stat = ") " .. shell.must(("ps -o stat= -p %d || echo Z"):format(pid), bound(30)) end
    return not stat:find "%) Z[^)]*$" or #(core.list(("/proc/%d/task"):format(pid)) or {}) > 1
end

--- Waits for a condition without an event; fails after a minute, or more in a slow run.
function program.until_(condition)
    local end_ = core.now() + bound(60)
    while not condition() do
        assert(core.now() < end_, "still waiting")
        core.pause(0.02)
    end
end

--- Sends a signal and waits for the end of the process; bounded.
function program.stop(pid, signal)
    os.execute(("kill -%s %d"):format(signal, pid))
    program.until_(function() return not runs(pid) end)
end

--- The decoded records of a spool.
function program.records(spool)
    local json, list = require "flux2.json", {}
    for _, name in ipairs(core.list(spool) or {}) do
        local bytes = name:find "^task.*json$" and service.read_if_there(spool .. "/" .. name)
        if bytes then list[#list + 1] = json.decode(bytes) end
    end
    return list
end

--- Counts the records of accepted tasks in a spool: an unknown outcome would remain if the program ended earlier.
function program.accepted(spool)
    local with_id = 0
    for _, record in ipairs(program.records(spool)) do
        if record.task_id ~= "" then with_id = with_id + 1 end
    end
    return with_id
end

--- Starts `flux2 WORDS`, kills it once `count` tasks are accepted and recorded, and returns the id of the last one.
function program.abandon(emu, dir, words, spool, count)
    local pid = program.start(emu, dir, words)
    program.until_(function() return program.accepted(spool) >= (count or 1) end)
    program.stop(pid, "KILL")
    local ledger = emu:ledger()
    return ledger[#ledger].task_id
end

--- The names in a directory that are not hidden.
function program.images(dir)
    local names = {}
    for _, name in ipairs(service.list(dir)) do
        if name:find "%.png$" or name:find "%.jpg$" or name:find "%.webp$" then names[#names + 1] = name end
    end
    return names
end

--- The decoded lines of a JSON Lines file.
function program.json_lines(bytes)
    local json, list = require "flux2.json", {}
    for line in bytes:gmatch "[^\n]+" do list[#list + 1] = assert(json.decode(line), line) end
    return list
end

return program
