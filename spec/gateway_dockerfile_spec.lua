-- The Dockerfile of the gateway: its instructions are valid, and it installs what `tools/deps` names. Nothing here builds it.
local json = require "flux2.json"
local service = require "support.service"
local shell = require "support.shell"

local file = io.open "examples/gateway/Dockerfile"
if not file then return end -- an archive without the examples
file:close()

local KNOWN = {}
for word in ("ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL RUN SHELL STOPSIGNAL USER VOLUME WORKDIR")
    :gmatch "%a+" do KNOWN[word] = true end

--- Returns the stages, from FROM to FROM: lists of { instruction, arguments }, and by name.
local function parse(text)
    local stages, current = {}, nil
    text = ("\n" .. text):gsub("\n%s*#[^\n]*", ""):gsub("\\\n%s*", " ")
    for line in text:gmatch "[^\n]+" do
        local name, arguments = line:match "^(%u+)%s+(%S.*)$"
        assert(name and KNOWN[name], "no instruction: " .. line)
        if name == "FROM" then
            current = {}
            stages[#stages + 1] = current
            stages[arguments:match " AS (%w+)$" or #stages] = current
        end
        table.insert(assert(current, "an instruction before FROM"), { name, arguments })
    end
    return stages
end

--- The packages that a stage installs, as keys.
local function packages(stage)
    local set = {}
    for _, instruction in ipairs(stage) do
        local list = instruction[1] == "RUN" and instruction[2]:match "apt%-get install ([^&]+)"
        for word in (list or ""):gmatch "%S+" do set[word] = true end
    end
    return set
end

--- The first package of each row of a group of tools/deps.
local function group(name)
    local list = {}
    for package in service.read("tools/deps"):gmatch("\n" .. name:gsub("%p", "%%%0") .. "%s*| ([%w.+-]+)") do
        list[#list + 1] = package
    end
    assert(#list > 0, name)
    return list
end

describe("the Dockerfile of the gateway", function()
    local text = service.read "examples/gateway/Dockerfile"

    it("has valid instructions: stages, shell, JSON, an unprivileged user", function()
        local stages = parse(text)
        local last
        for _, stage in ipairs(stages) do
            for _, instruction in ipairs(stage) do
                local name, arguments = instruction[1], instruction[2]
                if name == "RUN" then
                    assert.equal(0, (shell.run("sh -n -c " .. shell.quote(arguments))), arguments)
                elseif name == "CMD" or name == "ENTRYPOINT" then
                    assert.is_table(json.decode(arguments), arguments)
                end
                local from = name == "COPY" and arguments:match "^%-%-from=(%S+)"
                assert.is_truthy(not from or stages[from], from)
            end
            last = stage
        end
        local user
        for _, instruction in ipairs(last) do
            if instruction[1] == "USER" then user = instruction[2] end
        end
        assert.is_truthy(user and user ~= "root" and user ~= "0", "runs as root")
        assert.is_truthy(text:find("useradd [^\n]* " .. user .. "\n"), "its user does not exist")
        assert.has_error(function() parse "RUM true" end)
        assert.has_error(function() parse "RUN true" end)
    end)

    it("installs what the build and the gateway need", function()
        local stages = parse(text)
        local built, runs = packages(stages.build), packages(stages[#stages])
        local RUN_TIME = { ["ca-certificates"] = true, ["lua-cjson"] = true }
        for _, package in ipairs(group "build") do
            assert.is_truthy((RUN_TIME[package] and runs or built)[package], package)
        end
        for _, package in ipairs { "libmicrohttpd-dev", "libjansson-dev", "lua5.4", "liblua5.4-dev" } do
            assert.is_truthy(built[package], package)
        end
        for _, package in ipairs(group "gateway") do assert.is_truthy(runs[package], package) end
        for _, package in ipairs(group "cli") do assert.is_truthy(runs[package], package) end
    end)
end)
