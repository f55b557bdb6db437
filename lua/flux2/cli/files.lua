--- File names for images: safe, with the extension of the image's type, and unused.
-- Owns the mapping from a prompt to a file name. A chosen name overwrites nothing, even if several programs choose at
-- the same time. The engine writes the files.

local core = require "flux2.core"
local errors = require "flux2.errors"
local image_signature = require "flux2.image_signature"
local metadata = require "flux2.metadata"
local text = require "flux2.text"

local files = {}

local IS_WINDOWS = package.config:sub(1, 1) == "\\"
local LONGEST = 48 -- bytes of a name derived from a prompt
local MOST = 9999 -- names that are tried
local EXTENSIONS, EXTENSION_OF = {}, {} -- EXTENSION_OF: by content type
for _, format in ipairs(image_signature.list) do
    if not EXTENSION_OF[format.content_type] then EXTENSIONS[#EXTENSIONS + 1] = format.extension end
    EXTENSION_OF[format.content_type] = format.extension
end

--- Replaces the backslashes of a Windows path by slashes.
---@param path string
---@return string
function files.normalize(path)
    return IS_WINDOWS and path:gsub("\\", "/") or path
end

--- Returns the directory of a user for data of one kind, by the XDG base directory specification, on Windows by the
--- variables of the system unless the one of the specification is set.
---@param getenv fun(name: string): string?
---@param variable string such as "XDG_STATE_HOME"
---@param windows_variable string such as "LOCALAPPDATA"
---@param beside_home string the default, below the home directory
---@return string? directory nil without a home
function files.user_directory(getenv, variable, windows_variable, beside_home)
    local function get(name) return getenv(name) ~= "" and getenv(name) or nil end
    local named, home, of_windows = get(variable), get "HOME", get(windows_variable)
    if named and (named:find "^/" or named:find "^%a:[/\\]") then return (files.normalize(named)) end
    if of_windows then return (files.normalize(of_windows)) end
    return home and home .. "/" .. beside_home
end

--- Creates a directory and its parents.
---@param path string
---@param is_private? boolean access for the owner only
---@return boolean? ok
---@return string? reason
function files.make_directory(path, is_private)
    -- The roots of "C:/a", "//server/share/a" and "/a" exist.
    local made = IS_WINDOWS and (path:match "^%a:/*" or path:match "^//[^/]+/[^/]+/") or path:match "^/*"
    for part in path:sub(#made + 1):gmatch "[^/]+" do
        made = made .. part
        local ok, reason = core.directory(made, not is_private)
        if not ok then return nil, reason end
        made = made .. "/"
    end
    return true
end

--- Derives a file name without extension from a prompt.
---@param prompt any that of a record may have any type
---@return string stem
-- Example: `files.stem "A red fox, in the snow!"` is "a-red-fox-in-the-snow"
function files.stem(prompt)
    local stem = text.clean(tostring(prompt), 400):gsub("[%z\1-\47\58-\64\91-\96\123-\127]+", "-"):lower()
    stem = text.cut(stem:gsub("^%-+", ""), LONGEST):gsub("%-+$", "")
    return stem ~= "" and stem or "image"
end

--- Whether a name has the extension of an image.
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

--- Removes the extension of an image from a name.
---@param name string
---@return string
function files.without_extension(name)
    return files.has_extension(name) and name:gsub("%.%a+$", "") or name
end

--- Whether a file exists.
---@param path string
---@return boolean? exists nil if unknown, because it cannot be opened
function files.exists(path)
    -- io.open would block on a FIFO.
    local bytes, _, why = core.read_file(path, 0)
    if why == "missing" then return false end
    return (bytes or why == "large" or why == "special") and true or nil
end

--- Finds an image by its name without extension.
---@param directory string
---@param stem string
---@return string? name with its extension
function files.find(directory, stem)
    for _, extension in ipairs(EXTENSIONS) do
        if files.exists(directory .. "/" .. stem .. "." .. extension) then return stem .. "." .. extension end
    end
end

--- Whether certainly no image has this name, and no file is in the place of its metadata.
local function is_free(directory, stem)
    for _, extension in ipairs(EXTENSIONS) do
        local path = directory .. "/" .. stem .. "." .. extension
        if files.exists(path) ~= false then return false end
        if files.exists(path .. metadata.sidecar_extension) ~= false then return false end
    end
    return true
end

--- Removes a lock file if the program that created it has ended.
---@param path string
---@return boolean released
---@return string? reason
---@return string? why "busy", "missing", or nil for another error
function files.release_dead(path)
    local left, reason, why = core.lock(path, false)
    if not left then return false, reason, why end
    core.remove(path)
    left:release()
    return true
end

--- Locks a name. Returns nil if another program has it, or nil and the reason of an error. On a file system without
--- locks the lock file itself reserves the name, and stays behind if this program is killed.
local function lock_name(directory, stem)
    local path = directory .. "/." .. stem .. ".name"
    local lock, reason, why = core.lock(path, true, true)
    if why == "taken" and files.release_dead(path) then lock, reason, why = core.lock(path, true, true) end
    if lock or why == "taken" or why == "busy" then return lock end
    return nil, reason
end

--- Reserves a name. Returns nil if it is taken, or nil and the reason of an error.
local function try_claim(directory, stem)
    if not is_free(directory, stem) then return nil end
    local lock, reason = lock_name(directory, stem)
    if not lock then return nil, reason end
    -- Another program may have taken the name before the lock.
    if is_free(directory, stem) then
        return { stem = stem, release = function() lock:release() end }
    end
    lock:release()
end

local function cannot_write(directory, reason)
    return nil, errors.new("io", "cannot write into " .. text.show(directory) .. ": " .. reason)
end

--- Reserves an unused name until `release`.
---@param directory string
---@param stem string
---@param reserved? table<string, boolean> names, in lower case, that are not chosen
---@return { stem: string, release: fun() }? name
---@return flux2.Error? err kind "io"
function files.claim(directory, stem, reserved)
    for n = 1, MOST do
        local candidate, claim, reason = n == 1 and stem or stem .. "-" .. n, nil, nil
        if not (reserved and reserved[candidate:lower()]) then claim, reason = try_claim(directory, candidate) end
        if claim then return claim end
        if reason then return cannot_write(directory, reason) end
    end
    return nil, errors.new("io", ("%s holds %d images called %s"):format(text.show(directory), MOST, stem))
end

--- Renames an image and what is beside it. That comes first: if the program is killed in between, the next call
--- completes it.
---@param from string
---@param to string
---@return boolean? ok
---@return string? reason
function files.rename(from, to)
    local beside = metadata.sidecar_extension
    local ok, reason, why = core.rename(from .. beside, to .. beside)
    if not ok and why ~= "missing" then return nil, reason end
    ok, reason = core.rename(from, to)
    return ok, reason
end

--- Saves under a reserved stem, with the extension of the image's type.
local function save_as(image, directory, stem)
    local in_url = (image.url or ""):match "%.(%l+)$"
    if in_url == "jpg" then in_url = "jpeg" end
    local extension = EXTENSION_OF[image.content_type] or EXTENSION_OF["image/" .. (in_url or "")] or "png"
    local path, err = image:save(directory .. "/" .. stem .. "." .. extension)
    if not path then return nil, err end
    local real = EXTENSION_OF[image.content_type]
    if not real or real == extension then return path end
    local better = directory .. "/" .. stem .. "." .. real
    return files.rename(path, better) and better or path
end

---@class flux2.cli.Target where an image is saved
---@field stdout? boolean the bytes go to stdout
---@field path? string this file, which is overwritten
---@field directory? string otherwise: a file in this directory
---@field stem? string whose name begins with this
---@field ours? boolean the name is reserved; a file with it may be overwritten

--- Returns the target of an --output option.
---@param output? string a file, a directory (exists, or ends in a slash), - for stdout; default: current directory
---@param stem string the name within a directory
---@return flux2.cli.Target? target
---@return flux2.Error? err kind "io"
function files.target(output, stem)
    if output == "-" or output == "/dev/stdout" then return { stdout = true } end
    local directory = output or "."
    if output and output:find "/$" then
        local ok, reason = files.make_directory(output)
        if not ok then
            return nil, errors.new("io", "cannot make " .. text.show(output) .. ": " .. reason,
                { advice = "Choose another directory with --output." })
        end
        directory = output:gsub("(.)/+$", "%1")
    elseif output and not core.list(output) then
        local ok, reason = core.check_file(output)
        if not ok then return nil, errors.new("io", "cannot write " .. text.show(output) .. ": " .. reason) end
        return { path = output }
    end
    -- A hidden name: the name itself may be taken by something that cannot be replaced.
    local ok, reason = core.check_file(directory .. "/." .. stem .. ".png")
    if not ok then return cannot_write(directory, reason) end
    return { directory = directory, stem = stem }
end

--- Inserts a number before the extension of a path.
---@param path string
---@param number integer
---@return string
-- Example: `files.numbered("out/fox.png", 2)` is "out/fox-2.png"
function files.numbered(path, number)
    local before, extension = path:match "^(.*[^/])(%.[^./]+)$"
    return (before or path) .. "-" .. number .. (extension or "")
end

--- Replaces placeholders in a path. Their values cannot change the directory: they contain no separators.
---@param path string
---@param values table<string, string> name -> value
---@return string
-- Example: `files.fill("out/{n}-{prompt}.png", { n = "2", prompt = "A fox" })` is "out/2-a-fox.png"
function files.fill(path, values)
    return (path:gsub("{(%l+)}", function(name) return values[name] and files.stem(values[name]) end))
end

local function write_out(image)
    local ok, err = image:write(io.stdout)
    if ok then return "-" end
    if err.kind == "io" then err.message = err.message:gsub("^cannot write the %a+", "cannot write to stdout") end
    return nil, err
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

--- Saves all images of a result.
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
