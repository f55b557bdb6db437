--- The benchmark's work with flux2, written as a typical program that generates many images.
--   lua flux2.lua URL TASKS CONCURRENCY INTERVAL_MS DIRECTORY [CA_FILE]

local flux2 = require "flux2"

local url, directory = arg[1], arg[5]
local tasks, concurrency, interval = tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
local client = assert(flux2.new {
    api_key = "aio_bench_key", base_url = url, ca_file = arg[6], poll = { interval = interval / 1000 },
    max_submissions_per_second = 1e6,
})

local begun, done = 0, 0
local function work()
    while begun < tasks do
        begun = begun + 1
        assert(client:generate("a red fox", { save = directory .. "/" .. begun .. ".png" }))
        done = done + 1
    end
end

for _ = 1, concurrency do flux2.spawn(work) end
flux2.run()
print("done " .. done)
