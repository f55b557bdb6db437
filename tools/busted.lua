-- busted.lua - starts busted on the Lua that runs this file, without its installed program.

require "busted.runner" { standalone = false }
