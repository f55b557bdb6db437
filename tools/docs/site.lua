--- Writes the sources of the site: a Markdown page for each module and class, and the guides.
-- The input was checked before. VitePress turns the sources into HTML: docs/.vitepress/config.mjs.

local files = require "files"
local json = require "cjson"
local surface = require "docs.surface"

local site = {}

local VARIABLES = surface.variables

-- Links ---------------------------------------------------------------------------------------------------------------

--- The anchor of a function on its page.
local function anchor(name)
    return (name:gsub("%W", "-"):lower())
end

local function collect_links(pages)
    local links = {}
    for _, page in ipairs(pages.modules) do
        local path = "/modules/" .. page.name .. ".md"
        links[page.name] = path
        for _, item in ipairs(page.functions) do
            links[page.name .. "." .. item.name] = path .. "#" .. anchor(item.name)
        end
    end
    for _, page in ipairs(pages.classes) do
        local path = "/classes/" .. page.name .. ".md"
        links[page.name] = path
        for _, item in ipairs(page.functions) do
            local name = VARIABLES[page.name] .. ":" .. item.name
            links[name] = path .. "#" .. anchor(name)
        end
    end
    return links
end

local function code(text)
    local ticks = text:find("`", 1, true) and "``" or "`"
    return ticks .. text .. ticks
end

--- A type as code, linked if it is one class.
local function type_code(links, written)
    local path = links[written:match "^([%w_%.]+)[%?%[%]]*$" or ""]
    return path and ("[%s](%s)"):format(code(written), path) or code(written)
end

--- Prose with links: names of functions and classes, inside and outside of code.
local function with_links(links, text)
    local function linked(name)
        return links[name] and ("[`%s`](%s)"):format(name, links[name]) or nil
    end
    local out, at = {}, 1
    while true do
        local from, to, span = text:find("`([^`\n]+)`", at)
        local prose = text:sub(at, (from or 0) - 1):gsub("[<>]", { ["<"] = "&lt;", [">"] = "&gt;" })
        out[#out + 1] = prose:gsub("%f[%w_@/%[]%l[%w_]*[:%.][%a_][%w_%.]*", function(name)
            local bare, stop = name:match "^(.-)(%.?)$"
            return linked(bare) and linked(bare) .. stop
        end)
        if not from then return table.concat(out) end
        out[#out + 1] = linked(span) or code(span)
        at = to + 1
    end
end

-- API pages -----------------------------------------------------------------------------------------------------------

--- Fences indented code: without a fence a page is as wide as its longest line, on a phone too.
local function with_fences(text, language)
    local out, fenced, indented = {}, false, false
    for line in (text .. "\n"):gmatch "(.-)\n" do
        if line:find "^```" then fenced = not fenced end
        local is_code = not fenced and line:find "^    " ~= nil
        if is_code ~= indented and line ~= "" then
            out[#out + 1] = "```" .. (is_code and language or "")
            indented = is_code
        end
        out[#out + 1] = is_code and line:sub(5) or line
    end
    if indented then out[#out + 1] = "```" end
    return table.concat(out, "\n")
end

--- Links the names in prose: not in code, headings, tables, and lines with a link of their own.
local function with_links_in_prose(text, links)
    local out, fenced = {}, false
    for line in (text .. "\n"):gmatch "(.-)\n" do
        if line:find "^```" then fenced = not fenced end
        local plain = fenced or line:find "^```" or line:find "^[#|<!]" or line:find "]%("
        out[#out + 1] = plain and line or with_links(links, line)
    end
    return table.concat(out, "\n")
end

--- Text of a comment, in which indented lines are Lua.
local function write_text(lines, links, text)
    lines[#lines + 1] = with_links_in_prose(with_fences(text, "lua"), links) .. "\n"
end

local function write_list(lines, links, title, list)
    if #list == 0 then return end
    if title then lines[#lines + 1] = title .. ":\n" end
    for _, one in ipairs(list) do
        local name = one.name and "**" .. one.name .. "** " or ""
        local text = one.text ~= "" and ": " .. with_links(links, (one.text:gsub("\n", " "))) or ""
        lines[#lines + 1] = "- " .. name .. type_code(links, one.written) .. text
    end
    lines[#lines + 1] = ""
end

local function write_examples(lines, examples)
    for _, example in ipairs(examples) do
        local shown, rest = example:match "^`(.-)`[%s,;]*(.*)$"
        local comment = rest ~= "" and "    -- " .. rest:gsub("`", "") or ""
        lines[#lines + 1] = "```lua\n" .. shown .. comment .. "\n```\n"
    end
end

local function write_function(lines, links, shown, block)
    local names = {}
    for i, param in ipairs(block.params) do names[i] = param.name .. (param.optional and "?" or "") end
    lines[#lines + 1] = ("## %s(%s) {#%s}\n"):format(shown, table.concat(names, ", "), anchor(shown))
    write_text(lines, links, block.text)
    write_list(lines, links, "Parameters", block.params)
    write_list(lines, links, "Returns", block.returns)
    write_examples(lines, block.examples)
end

local function write_fields(lines, links, class)
    local public = {}
    for _, field in ipairs(class.fields) do
        if not field.private then
            local optional = field.optional and not field.written:find "%?$" and "?" or ""
            public[#public + 1] = { name = field.name, written = field.written .. optional, text = field.text }
        end
    end
    if #public == 0 then return end
    lines[#lines + 1] = "## Fields\n"
    write_list(lines, links, nil, public)
end

local function module_page(page, links)
    local lines = { "# " .. page.name .. "\n" }
    write_text(lines, links, page.about.text)
    for _, item in ipairs(page.functions) do write_function(lines, links, item.name, item.block) end
    for _, item in ipairs(page.values) do
        lines[#lines + 1] = "## " .. item.name .. "\n"
        write_text(lines, links, item.block.text)
    end
    if page.class then write_fields(lines, links, page.class) end
    return lines
end

local function class_page(page, links)
    local lines = { "# " .. page.name .. "\n" }
    write_text(lines, links, (page.class.text:gsub("^%l", string.upper)))
    if page.class.parent then write_text(lines, links, "It has every member of " .. page.class.parent .. ".") end
    for _, item in ipairs(page.functions) do
        write_function(lines, links, VARIABLES[page.name] .. ":" .. item.name, item.block)
    end
    write_fields(lines, links, page.class)
    return lines
end

-- Guides --------------------------------------------------------------------------------------------------------------

--- A guide for the site: what is not a page of the site is named instead of linked, and names of functions are linked.
local function guide_page(text, links)
    text = text:gsub("%[([^%]\n]*)%]%(%.%./([^%)\n]-)%)", function(label, path)
        return label:gsub("`", "") == path and "`" .. path .. "`" or label .. " (`" .. path .. "`)"
    end)
    return with_links_in_prose(with_fences(text, ""), links)
end

local function names_of(list)
    local names = {}
    for i, page in ipairs(list) do names[i] = page.name end
    return names
end

--- Writes everything into a directory that has the folders `modules` and `classes`.
---@param directory string
---@param pages { modules: table[], classes: table[] }
---@param guides string[] paths of Markdown files
---@param version string
function site.write(directory, pages, guides, version)
    local links = collect_links(pages)
    for folder, page_of in pairs { modules = module_page, classes = class_page } do
        for _, page in ipairs(pages[folder]) do
            files.write(("%s/%s/%s.md"):format(directory, folder, page.name), table.concat(page_of(page, links), "\n"))
        end
    end
    for _, guide in ipairs(guides) do
        files.write(directory .. "/" .. guide:match "[^/]+$", guide_page(assert(files.read(guide)), links))
    end
    local index = { version = version, modules = names_of(pages.modules), classes = names_of(pages.classes) }
    files.write(directory .. "/api.json", json.encode(index))
end

return site
