--- Runs bench/memory_child.lua for each number of tasks and prints the table.
--   BENCH_MEMORY="1000 10000" lua bench/memory.lua

local support = require "support"

local service = support.service()
support.finally(function()
    local rows = {
        {
            "running tasks", "Lua bytes/task", "C bytes/task", "resident MB", "CPU %", "polls/s", "after: Lua bytes",
            "C bytes", "resident MB",
        },
    }
    for tasks in (os.getenv "BENCH_MEMORY" or "1000 10000"):gmatch "%d+" do
        for _, lua in ipairs { "5.4", "luajit" } do
            service:reset "polls=0&min_ms=1e9&max_ms=1e9&bytes=1000"
            local command = support.clean .. support.lua(lua, "memory_child.lua"):format "timeout 200 "
            local printed = support.run(command .. " " .. service.url .. " " .. tasks)
            local cells = {}
            for word in printed:gmatch "%S+" do cells[#cells + 1] = word end
            if #cells ~= 9 or tonumber(cells[1]) ~= tonumber(tasks) then error(printed:sub(1, 2000)) end
            cells[1] = tasks .. (lua == "5.4" and ", Lua 5.4" or ", LuaJIT")
            rows[#rows + 1] = cells
        end
    end
    print "Running tasks with 100 polls/s in total; and after all of them are cancelled"
    support.print_table(rows)
end, function() service:stop() end)
