-- One source for Lua 5.1, 5.2, 5.3, 5.4 and LuaJIT: what any of them has by itself is known, and nothing else.
std = "max"
max_line_length = 120
cache = false
self = false

files["bin/flux2"] = { globals = { "_" } } -- set by the lines that a shell reads
files["spec"] = { std = "+busted", max_line_length = false } -- rows of data
files["rockspec"] = { std = "+rockspec" }
files["examples/love"] = { std = "+love" }
files["tools/emulator-sheet"] = { std = "+love" }
files["bench/love_frames.lua"] = { std = "+love" }
files["plugin"] = { read_globals = { "vim" } }
files["lua/flux2/host/neovim.lua"] = { read_globals = { "vim" } }
