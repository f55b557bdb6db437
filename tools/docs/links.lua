--- Follows every link of the site that leads into the site: pages, places in them, pictures.
--
--     lua tools/docs/links.lua DIR

package.path = "tools/?.lua;" .. package.path

local file = require "docs.file"

local root = arg[1]

local texts = {}

local function page(path)
    if texts[path] == nil then texts[path] = file.read(path) or false end
    return texts[path]
end

--- `a/b/../c` without the detour.
local function straight(path)
    local count
    repeat path, count = path:gsub("[^/]+/%.%./", "", 1) until count == 0
    return path
end

local function has_place(text, place)
    for name in text:gmatch '<a%s+name%s*=%s*"([^"]+)"' do
        if name == place then return true end
    end
    for name in text:gmatch '%sid="([^"]+)"' do
        if name == place then return true end
    end
    return false
end

local dead = 0

local function complain(from, link, why)
    io.stderr:write(("%s: the link %s %s\n"):format(from, link, why))
    dead = dead + 1
end

local function follow(from, link)
    if link:find "^%a+:" then return end
    local target, place = link:match "^([^#]*)#?(.*)$"
    local path = target == "" and from or straight(from:match "^(.*/)" .. target)
    local text = page(path)
    if not text then
        complain(from, link, "leads nowhere")
    elseif place ~= "" and not has_place(text, place) then
        complain(from, link, "leads to a place that is not there")
    end
end

local pages = file.lines_of("find '" .. root .. "' -name '*.html' | LC_ALL=C sort")
for _, path in ipairs(pages) do
    for link in page(path):gmatch '%s[hs]re?[fc]="([^"]*)"' do follow(path, link) end
end
if #pages == 0 then complain(root, "*.html", "finds no page") end
os.exit(dead == 0 and 0 or 1)
