-- One allocation on the engine's thread fails, including those of libcurl: paid images arrive, and no submission is
-- sent twice. ALLOC_STEP=1 (make test-every) tests every allocation.
local acme = require "support.acme"
local build = require "support.build"
local cjson = require "cjson"
local core = require "flux2.core"
local service = require "support.service"

-- For every allocation the runs are divided among several programs, each of which may take a minute.
local programs = tonumber(os.getenv "ALLOC_STEP") == 1 and 17 or 1
local step = programs > 1 and programs or tonumber(os.getenv "ALLOC_STEP") or 17

local HEAD = [[
local url, dir, library, step = arg[1], arg[2], arg[3], tonumber(arg[4])
local first = tonumber(arg[5])
local core, flux2 = require "flux2.core", require "flux2"
local fail_at = assert(package.loadlib(library, "fail_at"))
local child = require "support.child"
local client = child.clients(url) { poll = { interval = 0.01 }, timeout = 50, max_submissions_per_second = 1e6 }
flux2.sleep(0.01) -- the engine's thread has started
local function pump(condition) child.pump(condition, 50) end
local function is_at_rest() return flux2.stats().jobs == 0 end
--- Calls fn(n) for n = first, first + step, ... until the n-th allocation is not reached.
local function each(fn)
    local n, runs = first, 0
    while true do
        fn(n)
        pump(is_at_rest)
        runs = runs + 1
        if fail_at(0) < n then break end
        n = n + step
    end
    assert(runs > 2, "the fault did not occur")
    print(runs .. " runs up to allocation " .. n)
end
]]

describe("without memory on the engine's thread", function()
    local emu, dir
    service.around_each(before_each, after_each, { duration = 0.03 }, function(...) emu, dir = ... end)

    local function run(body)
        if build.is_instrumented then return pending "a sanitizer has a heap of its own" end
        local runs = 0
        for first = 1, programs do
            local code, printed = service.run_preloaded("short_heap", HEAD .. body, emu, dir,
                ("%d %d"):format(step, first))
            assert.equal(0, code, printed)
            runs = runs + tonumber(printed:match "(%d+) runs")
        end
        return runs
    end

    it("an accepted task ends with a saved image", function()
        local runs = run [[
            each(function(n)
                local task = assert(client:submit "a fox")
                pump(function() return task.id end)
                fail_at(n)
                local result = assert(task:wait(20))
                assert(result.images[1]:save(dir .. "/" .. n .. ".png"))
            end)
        ]]
        if not runs then return end
        assert.equal(runs, #emu:ledger())
        assert.equal(runs, #service.list(dir))
    end)

    it("an image whose URL has expired is saved from a fresh one", function()
        emu:fault { method = "GET", path = "/images/*", chance = 0.5, status = 410, body = "gone" }
        local runs = run [[
            each(function(n)
                local image = assert(assert(client:submit "a fox"):wait(20)).images[1]
                fail_at(n)
                assert(image:save(dir .. "/" .. n .. ".png"))
            end)
        ]]
        if not runs then return end
        assert.equal(runs, #emu:ledger())
        assert.equal(runs, #service.list(dir))
    end)

    it("a task is polled only at the URL in its submission's response", function()
        acme.serve(emu)
        run [[
            local own = assert(flux2.new {
                provider = require("support.acme").provider(), api_key = "ak-12345", base_url = url,
                poll = { interval = 0.01 }, timeout = 50, max_submissions_per_second = 1e6,
            })
            each(function(n)
                fail_at(n)
                local task = assert(own:submit "a fox")
                local result, err = task:wait(20)
                assert(result and task.poll_url or err and err.kind, "neither an image nor an error")
            end)
        ]]
        for _, r in ipairs(emu:requests()) do
            assert.truthy(r.method == "POST" or r.path == "/watch/one?sig=s", r.path)
        end
    end)

    --- Submits "fox N" for each allocation N, with these fields of the request, and checks what it is said to be.
    local function submits(client, fields)
        run(([[
            local client = %s
            each(function(n)
                fail_at(n)
                local task = assert(client:submit { prompt = "fox " .. n, %s })
                local result, err = task:wait(20)
                assert(result and task.id or err and err.kind, "neither an image nor an error")
                local f = assert(io.open(dir .. "/" .. n, "w"))
                f:write(result and "known" or task.id and "known" or err.kind)
                f:close()
            end)
        ]]):format(client, fields))
        if build.is_instrumented then return end
        local paid = {}
        for _, task in ipairs(emu:ledger()) do paid[task.prompt] = (paid[task.prompt] or 0) + 1 end
        local names = service.list(dir)
        assert.is_true(#names > 2)
        for _, name in ipairs(names) do
            local outcome, sold = service.read(dir .. "/" .. name), paid["fox " .. name] or 0
            assert.is_true(sold <= 1, "sold " .. sold .. " times: " .. name)
            assert.is_true(sold == 0 or outcome == "known" or outcome == "unknown_outcome", name .. ": " .. outcome)
            assert.is_true(outcome ~= "known" or sold == 1, name .. ": " .. outcome)
        end
    end

    it("a submission is accepted once and known, or ends as unknown_outcome", function()
        submits("client", "")
    end)

    it("a submission with local images is accepted once, whole and known, or ends as unknown_outcome", function()
        emu:set { dialect = "bfl" }
        local image = "\137PNG\r\n\26\n" .. ("x"):rep(13000)
        local inputs = service.directory()
        service.write(inputs .. "/fox.png", image)
        submits([[child.clients(url, {
            provider = "bfl", poll = { interval = 0.01 }, timeout = 20, max_submissions_per_second = 1e6,
        })()]], ("input_images = { '%s/fox.png', { bytes = '\255\216\255' } }"):format(inputs))
        service.remove(inputs)
        for _, task in ipairs(emu:ledger()) do
            local sent = cjson.decode(task.body)
            assert.same({ true, "/9j/" }, { sent.input_image == core.base64(image), sent.input_image_2 })
        end
    end)
end)
