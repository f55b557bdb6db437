--- Writes what LDoc reads: a page of LDoc comments for each module and class, and the guides as its topics.
-- Owns the way from our comments (LuaCATS) to LDoc's tags. Never checks anything: it is given pages that were checked.

local file = require "docs.file"
local surface = require "docs.surface"

local site = {}

local CALLED = surface.variables

-- Links --------------------------------------------------------------------------------------------------------------

local function collect_links(pages)
    local links = {}
    for _, page in ipairs(pages.modules) do
        links[page.name] = "../modules/" .. page.name .. ".html"
        for _, item in ipairs(page.functions) do
            links[page.name .. "." .. item.name] = links[page.name] .. "#" .. item.name
        end
    end
    for _, page in ipairs(pages.classes) do
        links[page.name] = "../classes/" .. page.name .. ".html"
        local object = CALLED[page.name]
        for _, item in ipairs(page.functions) do
            local name = object .. ":" .. item.name
            links[name] = links[page.name] .. "#" .. name
        end
    end
    return links
end

local function escape(text)
    return (text:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }))
end

-- What Markdown would make something of, or LDoc the end of a sentence.
local LITERAL = { ["*"] = "&#42;", ["_"] = "&#95;", ['"'] = "&#34;", ["'"] = "&#39;", ["?"] = "&#63;" }

--- A type, with its classes linked.
local function show_type(links, written)
    local shown = escape(written):gsub("[\"'%?]", LITERAL):gsub("[%a_][%w_%.]*", function(name)
        return links[name] and ('<a href="%s">%s</a>'):format(links[name], name) or nil
    end)
    return '<span class="types">' .. shown .. "</span>"
end

--- Names of functions and classes become links, in code and out of it.
local function with_links(links, text)
    local function linked(name)
        return links[name] and ("<a href=\"%s\">%s</a>"):format(links[name], name) or nil
    end
    local out, at = {}, 1
    while true do
        local from, to, code = text:find("`([^`\n]+)`", at)
        local prose = text:sub(at, (from or 0) - 1):gsub("%f[%w_@]%l[%w_]*[:%.][%a_][%w_%.]*%f[^%w_]", function(name)
            local bare, stop = name:match "^(.-)(%.?)$"
            local link = linked(bare)
            return link and link .. stop or nil
        end)
        out[#out + 1] = prose:gsub("%(%*%)", "(&#42;)")
        if not from then return table.concat(out) end
        out[#out + 1] = links[code] and ('<a href="%s"><code>%s</code></a>'):format(links[code], escape(code))
            or "<code>" .. escape(code):gsub("[%*_\"']", LITERAL) .. "</code>"
        at = to + 1
    end
end

-- LDoc's comments -----------------------------------------------------------------------------------------------------

--- Opens a comment with a text whose first sentence LDoc takes as the summary.
local function open(lines, links, text)
    local first, rest = text:match "^([^\n]*)\n?(.*)$"
    lines[#lines + 1] = "--- " .. with_links(links, first)
    if rest == "" then return end
    -- Code in the text stays as it is.
    for line in (rest .. "\n"):gmatch "(.-)\n" do
        lines[#lines + 1] = "-- " .. (line:find "^    " and line or with_links(links, line))
    end
end

--- The end of a sentence that has none yet.
local function sentence(text)
    return text == "" and "" or text:gsub("[%.;,]*$", "") .. "."
end

local function capital(text)
    return (text:gsub("^%l", string.upper))
end

local function write_params(lines, links, block)
    for _, param in ipairs(block.params) do
        lines[#lines + 1] = ("-- @param%s %s %s %s"):format(param.optional and "[opt]" or "", param.name,
            show_type(links, param.written), with_links(links, param.text))
    end
end

local function write_returns(lines, links, block)
    for _, one in ipairs(block.returns) do
        local name = one.name and "<i>" .. one.name .. "</i> " or ""
        lines[#lines + 1] = ("-- @return %s %s%s"):format(show_type(links, one.written), name,
            with_links(links, one.text))
    end
end

local function write_examples(lines, block)
    for _, example in ipairs(block.examples) do
        local code, rest = example:match "^`(.-)`[%s,;]*(.*)$"
        lines[#lines + 1] = "-- @usage " .. code .. (rest ~= "" and "    -- " .. rest:gsub("`", "") or "")
    end
end

local function write_function(lines, links, shown, block)
    open(lines, links, block.text)
    lines[#lines + 1] = "-- @function " .. shown
    write_params(lines, links, block)
    write_returns(lines, links, block)
    write_examples(lines, block)
    lines[#lines + 1] = ""
end

local function write_field(lines, links, name, written, text)
    lines[#lines + 1] = ("--- %s %s"):format(written and show_type(links, written) or "",
        with_links(links, sentence(capital((text:gsub("\n", " "))))))
    lines[#lines + 1] = "-- @field " .. name
    lines[#lines + 1] = ""
end

local function write_fields(lines, links, class)
    for _, field in ipairs(class.fields) do
        if not field.private then
            local optional = field.optional and not field.written:find "%?$" and "?" or ""
            write_field(lines, links, field.name, field.written .. optional, field.text)
        end
    end
end

local function module_page(page, links)
    local lines = {}
    open(lines, links, page.about.text)
    lines[#lines + 1] = "-- @module " .. page.name
    lines[#lines + 1] = ""
    for _, item in ipairs(page.functions) do write_function(lines, links, item.name, item.block) end
    for _, item in ipairs(page.values) do write_field(lines, links, item.name, nil, item.block.text) end
    if page.class then write_fields(lines, links, page.class) end
    return lines
end

local function class_page(page, links)
    local lines = {}
    local more = page.class.parent and " And all that is in " .. page.class.parent .. "." or ""
    open(lines, links, sentence(capital(page.class.text)) .. more)
    lines[#lines + 1] = "-- @classmod " .. page.name
    lines[#lines + 1] = ""
    for _, item in ipairs(page.functions) do
        write_function(lines, links, CALLED[page.name] .. ":" .. item.name, item.block)
    end
    write_fields(lines, links, page.class)
    return lines
end

-- Guides --------------------------------------------------------------------------------------------------------------

--- A guide for LDoc: links between guides as the site has them, and fences with the language alone.
local function topic(text, links)
    text = text:gsub("(%]%()([%w_%-]+)%.md(#?[^%)]*%))", "%1%2.md.html%3")
    -- What is no page of the site is named.
    text = text:gsub("%[([^%]\n]*)%]%(%.%./([^%)\n]-)%)", function(label, path)
        return label:gsub("`", "") == path and "`" .. path .. "`" or label .. " (`" .. path .. "`)"
    end)
    local out, fenced = {}, false
    for line in (text .. "\n"):gmatch "(.-)\n" do
        if line:find "^```" then
            fenced = not fenced
            out[#out + 1] = fenced and "```" .. (line:match "^```%s*(%l*)") or "```"
        elseif fenced then
            out[#out + 1] = line
        else
            out[#out + 1] = line:find "^#" and line or with_links(links, line)
        end
    end
    return table.concat(out, "\n")
end

--- Writes everything into a folder with the folders `lua` and `topics`.
---@param directory string
---@param pages { modules: table[], classes: table[] }
---@param guides string[] paths of Markdown files
function site.write(directory, pages, guides)
    local links, n = collect_links(pages), 0
    local function write_page(name, lines)
        n = n + 1 -- LDoc sorts by the names of the files
        file.write(("%s/lua/%02d-%s.lua"):format(directory, n, name), table.concat(lines, "\n") .. "\n")
    end
    for _, page in ipairs(pages.modules) do write_page(page.name, module_page(page, links)) end
    for _, page in ipairs(pages.classes) do write_page(page.name, class_page(page, links)) end
    for _, guide in ipairs(guides) do
        file.write(directory .. "/topics/" .. guide:match "[^/]+$", topic(assert(file.read(guide)), links))
    end
end

return site
