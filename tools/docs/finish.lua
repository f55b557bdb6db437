--- What LDoc cannot be told: guides before modules and in their order, pages that fit a small screen, no date.
--
--     lua tools/docs/finish.lua DIR

package.path = "tools/?.lua;" .. package.path

local file = require "docs.file"
local guides = require "docs.guides"

--- The replacement as it is, whatever percent signs it holds.
local function put(text, from, to, with)
    return text:sub(1, from - 1) .. with .. text:sub(to + 1)
end

local root = arg[1]
local NAMES = {}
for i, name in ipairs(guides) do NAMES[name] = i end

--- Which guide an entry of a list leads to. LDoc names the page that one is on without a link.
local function place_of(entry, own)
    local name = entry:match 'topics/([%w%-]+)%.md%.html"' or own
    return NAMES[name] or error("finish: no such guide: " .. tostring(name), 0)
end

--- Sorts the entries of a list, each of which begins with `opening`.
local function sort(list, opening, own)
    local head, entries = list:match("^(.-)%s*(" .. opening .. ".*)$")
    local sorted = {}
    local at = 1
    while true do
        local nxt = entries:find(opening, at + 1, true)
        sorted[#sorted + 1] = entries:sub(at, (nxt or #entries + 1) - 1):gsub("%s+$", "")
        if not nxt then break end
        at = nxt
    end
    table.sort(sorted, function(a, b) return place_of(a, own) < place_of(b, own) end)
    return head .. "\n" .. table.concat(sorted, "\n") .. "\n"
end

--- Takes a block that begins with the heading "Topics" and puts it, sorted, before the first of the other blocks.
local function move(page, after, closing, opening, own)
    local from, start = page:find("<h2>Topics</h2>", after, true)
    if not from then return page end
    local stop, to = page:find(closing, start, true)
    local block = sort(page:sub(from, stop - 1), opening, own) .. closing
    page = put(page, from, to, "")
    local others = page:find("<h2>Modules</h2>", after, true)
    local classes = page:find("<h2>Classes</h2>", after, true)
    if classes and (not others or classes < others) then others = classes end
    return put(page, others, others - 1, block .. "\n")
end

--- A guide's title, and the first sentence of it.
local function introduce(name)
    local page = assert(file.read(root .. "/topics/" .. name .. ".md.html"))
    local body = page:match 'id="content".*'
    local title, lead = body:match "<h1>(.-)</h1>%s*<p>(.-)</p>"
    lead = (lead .. " "):match "^(.-[%.:])%s" or lead
    return title, (lead:gsub("</?a[^>]*>", ""):gsub(":$", "."))
end

--- The index names guides by their file: here it says what they are called, and what they are about.
local function introduce_all(page)
    return (page:gsub('(<a href="topics/([%w%-]+)%.md%.html">)[^<]*%.md</a>(</td>%s*<td class="summary">)</td>',
        function(link, name, between)
            local title, lead = introduce(name)
            return link .. title .. "</a>" .. between .. lead .. "</td>"
        end))
end

--- LDoc says of a field again, as its only member, what it is called; and whose it is, where that is what the page is.
local function plain_fields(page)
    page = page:gsub("<dt>.-</dd>", function(item)
        local name = item:match "<strong>[%w%.]-([%l_]+)</strong>"
        local again = name and '<ul>%s*<li><span class="parameter">' .. name .. "</span>%s*</li>%s*</ul>"
        return again and item:gsub(again, "", 1) or nil
    end)
    page = page:gsub("(</h2>%s*)Methods%s*(<dl)", "%1%2")
    return (page:gsub(">flux2%.%u%w+%.([%l_]+)<", ">%1<"))
end

local function finish(page, own, is_index)
    page = page:gsub("<head>", '<head>\n<meta name="viewport" content="width=device-width, initial-scale=1"/>', 1)
    page = page:gsub('<i style="float:right;">Last updated.-</i>', "", 1)
    page = plain_fields(page)
    local navigation = assert(page:find('id="navigation"', 1, true))
    local content = assert(page:find('id="content"', 1, true))
    page = move(page, navigation, "</ul>", "<li>", own)
    if is_index then
        page = move(page, content, "</table>", "<tr>", own)
        page = introduce_all(page:gsub('"%.%./', '"'))
    end
    return (page:gsub("<h2>Topics</h2>", "<h2>Guides</h2>"))
end

for _, path in ipairs(file.lines_of("find '" .. root .. "' -name '*.html'")) do
    local own = path:match "/topics/([%w%-]+)%.md%.html$"
    file.write(path, finish(assert(file.read(path)), own, path == root .. "/index.html"))
end
