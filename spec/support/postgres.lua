--- A PostgreSQL server of the spec's own, in a temporary directory, as an unprivileged user, on a socket only.
local bound = require "support.bound"
local core = require "flux2.core"
local shell = require "support.shell"

local postgres = {}

local function find_programs()
    local pipe = io.popen "ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; dirname \"$(command -v initdb)\""
    local first = pipe:read "*l"
    pipe:close()
    return first and first ~= "." and first or nil
end

local programs = find_programs()

--- Why there can be no server here; nil if there can.
---@return string? reason
function postgres.missing()
    if not programs then return "needs PostgreSQL: tools/deps postgres" end
    if not pcall(require, "dbd.postgresql") then return "needs lua-dbi-postgresql: tools/deps postgres" end
    if os.execute "[ $(id -u) != 0 ] || command -v setpriv >/dev/null" then return nil end
    return "needs setpriv, because PostgreSQL does not run as root"
end

--- PostgreSQL refuses to run as root.
local function as_user(command)
    return "if [ $(id -u) = 0 ]; then set -- setpriv --reuid=65534 --regid=65534 --clear-groups; else set --; fi; \"$@\" " ..
        command
end

---@class Postgres
local Postgres = {}
Postgres.__index = Postgres

--- Starts a server. Returns it, with `url` for --db.
function postgres.start()
    local directory = os.tmpname()
    os.remove(directory)
    local self = setmetatable({ directory = directory }, Postgres)
    local code, printed = shell.run(("mkdir -m 700 %s && chown 65534 %s 2>/dev/null; cd / && { %s; } && { %s; }"):format(
        directory, directory,
        as_user(("%s/initdb -D %s/data -A trust -U flux2 -E UTF8 --locale=C >/dev/null"):format(programs, directory)),
        as_user(("%s/pg_ctl -D %s/data -w -t %d -l %s/log -o \"-c listen_addresses='' -k %s\" start >/dev/null"):format(
            programs, directory, bound(60), directory, directory))))
    assert(code == 0, printed)
    self.url = ("postgres://flux2:@%s:5432/postgres"):format((core.escape(directory)))
    return self
end

--- Stops it and removes its directory.
function Postgres:stop()
    shell.run("cd / && " .. as_user(("%s/pg_ctl -D %s/data -m immediate stop"):format(programs, self.directory)))
    os.execute("rm -rf " .. self.directory)
end

return postgres
