-- learn.lua - measures the coverage of one spec file: learn.lua SPEC=TARGET. Started by coverage.lua.

package.path = arg[0]:match "^(.*)/mutants/" .. "/?.lua;" .. package.path

local coverage = require "mutants.coverage"

local spec, target = arg[1]:match "^(.-)=(.*)$"
local learned = coverage.learn(spec, target)
local note = learned.no_tests and "has no test" or not learned.passes and "fails without a mutant: skipped"
    or learned.kind == "luajit" and "on LuaJIT" or ""
print(("  %-44s %6.1f s   %s"):format(spec, learned.seconds, note))
