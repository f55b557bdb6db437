--- A value as a Lua chunk that returns it: strings of any bytes, numbers, booleans and tables of these.

local function write(value, out)
    if type(value) == "table" then
        out[#out + 1] = "{"
        for name, member in pairs(value) do
            out[#out + 1] = "["
            write(name, out)
            out[#out + 1] = "]="
            write(member, out)
            out[#out + 1] = ","
        end
        out[#out + 1] = "}"
    elseif type(value) == "string" then
        out[#out + 1] = ("%q"):format(value):gsub("\r", "\\r"):gsub("\26", "\\026")
    elseif value == math.huge or value == -math.huge then
        out[#out + 1] = value > 0 and "math.huge" or "-math.huge"
    else
        out[#out + 1] = type(value) == "number" and value ~= math.floor(value) and ("%.17g"):format(value)
            or tostring(value)
    end
end

return function(value)
    local out = { "return " }
    write(value, out)
    return table.concat(out)
end
