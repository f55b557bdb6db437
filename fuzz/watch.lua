-- watch.lua - writes watch.h for the fuzz targets: what the product looks for in an answer (flux2.response), in C.
-- Made anew for each build, so that what is fuzzed is what is used. Run: lua fuzz/watch.lua >build/fuzz/watch.h

local response = require "flux2.response"
local watch = response.watch

local function c_string(s)
    return "\"" .. s:gsub("[^%w%p ]", function(c) return ("\\%03o"):format(c:byte()) end):gsub("[\"?]", "\\%0") .. "\""
end

local function list(name, values, convert, kind)
    local items = {}
    for i, value in ipairs(values) do items[i] = convert(value) end
    print(("static %s watch_%s[] = { %s };"):format(kind, name, table.concat(items, ", ")))
end

print "/* Made by fuzz/watch.lua. */"
-- Name in response.watch -> member of struct flux2_watch.
local members = {
    { "id", "id" }, { "status", "status" }, { "progress", "progress" }, { "done", "done" }, { "result", "result" },
    { "refused", "refused" }, { "code", "code" }, { "succeeded", "succeeded" }, { "packed", "pictures.packed" },
    { "pictures", "pictures.places" }, { "picture_keys", "pictures.keys" }, { "picture_bytes", "pictures.bytes" },
    { "media_types", "pictures.types" }, { "credits", "pictures.credits" },
}
for _, member in ipairs(members) do
    list(member[1], watch[member[1]], function(s) return "(char *)" .. c_string(s) end, "char *")
end
list("code_ok", watch.code_ok, tostring, "double")
print "static const struct flux2_watch watch = {"
for _, member in ipairs(members) do
    print(("    .%s = { watch_%s, %d },"):format(member[2], member[1], #watch[member[1]]))
end
print(("    .code_ok = watch_code_ok, .code_ok_count = %d,\n};"):format(#watch.code_ok))

print(("static const struct flux2_signature signatures[%d] = {"):format(#response.signatures))
for _, signature in ipairs(response.signatures) do
    print(("    { %s, %d },"):format(c_string(signature.pattern), #signature.pattern))
end
print "};"
