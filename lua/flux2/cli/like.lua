--- The option --like: a request with the prompt and the parameters that an image says it was made with.

local arguments = require "flux2.cli.arguments"
local errors = require "flux2.errors"
local image_metadata = require "flux2.cli.image_metadata"
local provider = require("flux2.provider").resolve()
local settings = require "flux2.cli.settings"
local text = require "flux2.text"

local like = {}

local function invalid(path, words)
    return nil, errors.new("invalid_request", "--like " .. text.show(path) .. ": " .. words)
end

--- Returns an error if the image was made in a way that cannot be repeated.
local function check(path, said, given)
    if said.provider ~= provider.name then
        return invalid(path, ("it was made by provider %s, not by %s: set FLUX2_PROVIDER, or give its prompt"):format(
            text.show(said.provider), provider.name))
    end
    if said.input_images and not given.input_urls and not given.input_images then
        return invalid(path, "it was made from input images, which it does not contain: use --input or --input-url")
    end
    return true
end

--- Whether an option determines a field.
local function is_given(args, name)
    return settings.sources[name] == settings.option(name) or args.extra ~= nil and args.extra[name] ~= nil
end

--- Replaces the fields for which no option was given. Values of the environment and the configuration file are replaced
--- too: the image was made without them.
local function copy_fields(args, said, given)
    for _, field in ipairs(provider.fields) do
        local name = field.name
        if name == "prompt" then
            given.prompt = given.prompt or said.request.prompt
        elseif field.type ~= "urls" and not is_given(args, name) then
            given[name] = said.request[name]
        end
    end
end

--- Reports fields that are not sent: a stranger's image must not decide about undocumented ones, which may cost more.
local function report_others(out, args, said)
    local names = {}
    for name in pairs(said.request) do
        local is_used = provider.by_name[name] or args.extra and args.extra[name] ~= nil
        names[#names + 1] = not is_used and text.clean(tostring(name), 60) or nil
    end
    if #names == 0 then return end
    table.sort(names)
    out:say(("Not sent, because they are undocumented: %s. flux2 show prints their values, --extra sends them."):format(
        text.cut(table.concat(names, ", "), 300)))
end

--- Returns the request that the options describe, with the fields of the image of --like.
---@param args table
---@param prompt? string
---@param out flux2.Terminal
---@return flux2.Request? request
---@return flux2.Error? err
function like.to_request(args, prompt, out)
    local given = arguments.to_request(args, prompt)
    if not args.like then return given end
    local said, err = image_metadata.read(args.like)
    if not said then return nil, err end
    local ok
    ok, err = check(args.like, said, given)
    if not ok then return nil, err end
    copy_fields(args, said, given)
    report_others(out, args, said)
    return given
end

return like
