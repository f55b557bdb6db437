--- `flux2 show`: prints what an image says about itself.

local arguments = require "flux2.cli.arguments"
local error_output = require "flux2.cli.error_output"
local exit = require "flux2.cli.exit"
local image_metadata = require "flux2.cli.image_metadata"
local jsonl = require "flux2.cli.jsonl"
local text = require "flux2.text"

local show = { name = "show", summary = "Print how an image was made, as it says itself." }

local LONGEST = 20000 -- bytes of a value

function show.describe(command)
    command:argument("image", "The file of the image. If it cannot say it itself, IMAGE.json beside it does.")
    arguments.output(command)
    command:epilog [[
flux2 generate, batch, task and recover write this into the images that they
save, unless --no-metadata is given. Anybody can change it.

Examples:
   flux2 show fox.png
   flux2 show fox.png --json
   flux2 generate --like fox.png]]
end

local function shown(value)
    if type(value) == "string" then return text.clean(value, LONGEST) end
    return text.clean(jsonl.encode(value), LONGEST)
end

local function print_row(out, name, value)
    if value ~= nil then out:result(("%-14s %s"):format(text.clean(tostring(name), 60), shown(value))) end
end

local function print_rows(out, said)
    local names = {}
    for name in pairs(said.request) do names[#names + 1] = name ~= "prompt" and tostring(name) or nil end
    table.sort(names)
    print_row(out, "prompt", said.request.prompt)
    for _, name in ipairs(names) do print_row(out, name, said.request[name]) end
    for _, name in ipairs { "input_images", "provider", "task_id", "time", "software" } do
        print_row(out, name, said[name])
    end
    if said.sidecar then out:say("According to " .. text.clean(said.sidecar, 300) .. ".") end
end

function show.run(args, out)
    local said, err = image_metadata.read(args.image)
    if not said then return error_output.print(out, err) end
    if out.json then
        said.file, said.prompt = args.image, said.request.prompt
        out:result(jsonl.encode(said))
    else
        print_rows(out, said)
    end
    return exit.OK
end

return show
