--- Where pictures go: names that are safe, that fit what the picture is, and that are nobody else's.
-- Owns the way from a prompt to a file name, and the promise that a name that we chose overwrites nothing, also when
-- several programs choose at the same time. The engine writes the files.

local core = require "flux2.core"
local errors = require "flux2.errors"
local shell = require "flux2.cli.shell"
local text = require "flux2.text"

local files = {}

local LONGEST = 48 -- bytes of a name that is made from a prompt
local MOST = 9999 -- names that are tried
local EXTENSIONS = { "png", "jpg", "webp", "gif", "avif" }
local EXTENSION_OF = {
    ["image/png"] = "png", ["image/jpeg"] = "jpg", ["image/webp"] = "webp", ["image/gif"] = "gif",
    ["image/avif"] = "avif",
}

--- A file name, without its extension, that reminds of a prompt.
---@param prompt string
---@return string stem
-- Example: `files.stem "A red fox, in the snow!"` is "a-red-fox-in-the-snow"
function files.stem(prompt)
    local stem = text.clean(prompt, 400):gsub("[%z\1-\47\58-\64\91-\96\123-\127]+", "-"):lower()
    stem = text.cut(stem:gsub("^%-+", ""), LONGEST):gsub("%-+$", "")
    return stem ~= "" and stem or "picture"
end

--- Whether a name ends as pictures do.
---@param name string
---@return boolean
function files.has_extension(name)
    local extension = (name:match "%.(%a+)$" or ""):lower()
    if extension == "jpeg" then return true end
    for _, known in ipairs(EXTENSIONS) do
        if extension == known then return true end
    end
    return false
end

--- A name without the end that pictures have.
---@param name string
---@return string
function files.without_extension(name)
    return files.has_extension(name) and name:gsub("%.%a+$", "") or name
end

local function exists(path)
    local file = io.open(path, "rb")
    if file then file:close() end
    return file ~= nil
end

--- Whether a picture of this name is there, whatever kind it is.
---@param directory string
---@param stem string
---@return string? name with its extension
function files.find(directory, stem)
    for _, extension in ipairs(EXTENSIONS) do
        if exists(directory .. "/" .. stem .. "." .. extension) then return stem .. "." .. extension end
    end
end

--- Takes the lock of a name away if the program that made it is dead.
---@param path string
---@return boolean released
function files.release_dead(path)
    local left = core.lock(path, false)
    if not left then return false end
    os.remove(path)
    left:release()
    return true
end

--- The lock of a name.
local function lock_name(directory, stem)
    local path = directory .. "/." .. stem .. ".name"
    local lock = core.lock(path, true)
    if lock then return lock end
    return files.release_dead(path) and core.lock(path, true) or nil
end

--- A name that is free, and stays ours until `release`.
---@param directory string
---@param stem string
---@return { stem: string, release: fun() }? name
---@return flux2.Error? err kind "io"
function files.claim(directory, stem)
    local ok, reason = core.check_file(directory .. "/" .. stem .. ".png")
    if not ok then
        return nil, errors.new("io", "cannot write into " .. text.show(directory) .. ": " .. reason)
    end
    for n = 1, MOST do
        local candidate = n == 1 and stem or stem .. "-" .. n
        local lock = not files.find(directory, candidate) and lock_name(directory, candidate)
        if lock then
            -- Somebody may have been quicker between the two looks.
            if not files.find(directory, candidate) then
                return { stem = candidate, release = function() lock:release() end }
            end
            lock:release()
        end
    end
    return nil, errors.new("io", ("%s holds %d pictures called %s"):format(text.show(directory), MOST, stem))
end

local function extension_of(image)
    return EXTENSION_OF[image.content_type]
end

--- Saves under a stem, which must be free or ours, with the extension that fits.
local function save_as(image, directory, stem)
    local in_url = (image.url or ""):match "%.(%l+)$"
    if in_url == "jpg" then in_url = "jpeg" end
    local extension = extension_of(image) or EXTENSION_OF["image/" .. (in_url or "")] or "png"
    local path, err = image:save(directory .. "/" .. stem .. "." .. extension)
    if not path then return nil, err end
    local real = extension_of(image)
    if not real or real == extension then return path end
    local better = directory .. "/" .. stem .. "." .. real
    return os.rename(path, better) and better or path
end

---@class flux2.cli.Target where a picture goes
---@field stdout? boolean the bytes go to stdout
---@field path? string this file, and no other; it is overwritten
---@field directory? string otherwise: a file in here
---@field stem? string whose name begins so
---@field ours? boolean a file of this name is ours, and may be overwritten

--- The target that an --output names.
---@param output? string a file, or a directory (it is one, or ends in a slash), or - for stdout; nil: here
---@param stem string the name within a directory
---@return flux2.cli.Target? target
---@return flux2.Error? err kind "io"
function files.target(output, stem)
    if output == "-" then return { stdout = true } end
    local directory = output or "."
    if output and output:find "/$" then
        local ok, reason = shell.make_directory(output)
        if not ok then return nil, errors.new("io", "cannot make " .. text.show(output) .. ": " .. reason) end
        directory = output:gsub("(.)/+$", "%1")
    elseif output and not core.list(output) then
        local ok, reason = core.check_file(output)
        if not ok then return nil, errors.new("io", "cannot write " .. text.show(output) .. ": " .. reason) end
        return { path = output }
    end
    local ok, reason = core.check_file(directory .. "/" .. stem .. ".png")
    if not ok then return nil, errors.new("io", "cannot write into " .. text.show(directory) .. ": " .. reason) end
    return { directory = directory, stem = stem }
end

--- A path with a number before its extension.
---@param path string
---@param number integer
---@return string
-- Example: `files.numbered("out/fox.png", 2)` is "out/fox-2.png"
function files.numbered(path, number)
    local before, extension = path:match "^(.*[^/])(%.[^./]+)$"
    return (before or path) .. "-" .. number .. (extension or "")
end

--- A path with its placeholders filled in. What they become is no path: it stays within the directory that was meant.
---@param path string
---@param values table<string, string> name -> what it stands for
---@return string
-- Example: `files.fill("out/{n}-{prompt}.png", { n = "2", prompt = "A fox" })` is "out/2-a-fox.png"
function files.fill(path, values)
    return (path:gsub("{(%l+)}", function(name) return values[name] and files.stem(values[name]) end))
end

local function write_out(image)
    local bytes, err = image:bytes()
    if not bytes then return nil, err end
    local ok, reason = io.stdout:write(bytes)
    if ok then ok, reason = io.stdout:flush() end
    if not ok then return nil, errors.new("io", "cannot write to stdout: " .. tostring(reason)) end
    return "-"
end

local function save_one(image, target, number)
    if target.stdout then return write_out(image) end
    if target.path then
        return image:save(number == 1 and target.path or files.numbered(target.path, number))
    end
    local stem = number == 1 and target.stem or target.stem .. "-" .. number
    if target.ours then return save_as(image, target.directory, stem) end
    local claim, err = files.claim(target.directory, stem)
    if not claim then return nil, err end
    local path
    path, err = save_as(image, target.directory, claim.stem)
    claim.release()
    return path, err
end

--- Saves the pictures of a result; most have one.
---@param result flux2.Result
---@param target flux2.cli.Target
---@return string[]? paths
---@return flux2.Error? err
function files.save(result, target)
    local paths = {}
    for i, image in ipairs(result.images) do
        local path, err = save_one(image, target, i)
        if not path then return nil, err end
        paths[i] = (path:gsub("^%./", ""))
    end
    return paths
end

return files
