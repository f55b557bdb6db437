--- Maps the basic blocks of a C module to source lines.
-- Reads the disassembly with line numbers; each block begins with a call of the tracer.

local files = require "files"

local blocks = {}

local Reader = {}
Reader.__index = Reader

--- Assigns the collected lines to the last block.
function Reader:flush()
    if not self.block then return end
    for _, name in ipairs(self.pending) do
        local list = self.lines[name] or {}
        self.lines[name] = list
        list[#list + 1] = self.block
    end
    self.pending = {}
end

function Reader:instruction(address, text)
    if text:find "call.*__sanitizer_cov_trace_pc" then
        self.begins = true
        return
    end
    if self.begins then self.block, self.begins = tonumber(address, 16), false end
    self:flush()
end

function Reader:read(line)
    local address, text = line:match "^%s+(%x+):\t(.*)"
    if address then return self:instruction(address, text) end
    if line:find "^%x+ <.*>:$" then
        self.block, self.begins, self.pending = nil, false, {}
        return
    end
    local path, number = line:match "^(/.-):(%d+)"
    if path and path:sub(1, #self.prefix) == self.prefix then
        self.pending[#self.pending + 1] = path:sub(#self.prefix + 1):gsub("^%./", "") .. ":" .. number
    end
end

--- "path:line" -> the offsets of its blocks. COPY is the tree that the module was built in.
function blocks.of(module, copy)
    local reader = setmetatable({ lines = {}, pending = {}, prefix = copy .. "/" }, Reader)
    local pipe = assert(io.popen("objdump -dl --no-show-raw-insn " .. files.quote(module)))
    for line in pipe:lines() do reader:read(line) end
    pipe:close()
    return reader.lines
end

--- Returns the name of a module's trace file, see trace_c.c.
function blocks.trace_name(module)
    return (module:match "^.*/([^/]+/flux2/.*)$":gsub("/", "%%"))
end

return blocks
