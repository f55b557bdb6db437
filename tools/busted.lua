-- busted.lua - starts busted on whatever Lua runs this file, with no need to know where its program is installed.

require "busted.runner" { standalone = false }
