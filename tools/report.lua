-- report.lua - output handler of busted: plain output, and a report for tools/run-specs.
--
-- Writes the file FLUX2_TEST_REPORT, if set, before each spec: "passed failed pending", then the name of the running
-- spec, empty at the end. So a crash or hang is counted with its spec.

return function(options)
    local busted = require "busted"
    local handler = require "busted.outputHandlers.plainTerminal"(options)
    local path = os.getenv "FLUX2_TEST_REPORT"

    local function write(running)
        local file = path and io.open(path, "wb")
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
