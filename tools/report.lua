-- report.lua - what busted prints, and what it leaves for tools/run-specs to add up.
--
-- Owns: the file that FLUX2_TEST_REPORT names. Its first line is "passed failed pending", its second the name of the
-- spec that is running, or nothing at the end. It is written before each spec, so that a crash or a hang can be counted
-- and named too. Without FLUX2_TEST_REPORT (busted by hand) this is busted's plain output.

return function(options)
    local busted = require "busted"
    local handler = require "busted.outputHandlers.plainTerminal"(options)
    local path = os.getenv "FLUX2_TEST_REPORT"

    local function write(running)
        local file = path and io.open(path, "w")
        if file then
            local failed = handler.failuresCount + handler.errorsCount
            file:write(handler.successesCount, " ", failed, " ", handler.pendingsCount, "\n", running, "\n")
            file:close()
        end
        return nil, true
    end

    busted.subscribe({ "test", "start" }, function(element)
        local trace = element.trace or {}
        return write(("%s (%s:%s)"):format(handler.getFullName(element), trace.short_src, trace.currentline))
    end)
    busted.subscribe({ "suite", "end" }, function() return write "" end)

    return handler
end
