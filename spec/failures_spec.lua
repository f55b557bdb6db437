-- What an error tells when everything has been tried: how often, what came last, whether the same may work later.
local flux2 = require "flux2"
local service = require "support.service"

local SUBMIT, TASKS, IMAGES = "/api/v1/images/generations", "/api/v1/tasks/*", "/images/*"

describe("an error tells attempts, the last status, and whether to try again:", function()
    local emu
    before_each(function() emu = service.start() end)
    after_each(service.stop_all)

    -- Where, what is answered each time; kind, attempts, status, retryable.
    local cases = {
        { SUBMIT, { status = 429, retry_after = 0, body = "no" }, "rate_limited", 3, 429, true },
        { SUBMIT, { status = 503, retry_after = 0, body = "no" }, "server", 3, 503, true },
        { SUBMIT, { status = 503, body = "no" }, "unknown_outcome", 1, 503, false },
        { SUBMIT, { status = 500, body = "no" }, "unknown_outcome", 1, 500, false },
        { SUBMIT, { status = 402, body = "no" }, "credits", 1, 402, false },
        { SUBMIT, { reset = "after" }, "unknown_outcome", 1, nil, false },
        { TASKS, { status = 401, body = "no" }, "auth", 1, 401, false },
        { TASKS, { status = 404, body = "no" }, "not_found", 3, 404, false },
        { IMAGES, { status = 500, body = "no" }, "server", 3, 500, true },
        { IMAGES, { status = 408, body = "no" }, "timeout", 3, 408, true },
        { IMAGES, { status = 418, body = "no" }, "rejected", 1, 418, false },
        { IMAGES, { status = 404, body = "no" }, "not_found", 1, 404, false },
        { IMAGES, { cut = 50 }, "network", 3, 200, true },
        { IMAGES, { reset = "before" }, "network", 3, nil, true },
    }
    for _, case in ipairs(cases) do
        local path, fault, kind, attempts, status, retryable = case[1], case[2], case[3], case[4], case[5], case[6]
        it(("%s to %s"):format(fault.status or next(fault), path), function()
            local copy = { path = path, times = 1000 }
            for name, value in pairs(fault) do copy[name] = value end
            emu:fault(copy)
            local image, err = service.client(emu, { max_retries = 2 }):generate "a fox"
            assert.is_nil(image)
            assert.same({ kind, attempts, status, retryable }, { err.kind, err.attempts, err.status, err.retryable }, tostring(err))
            if path ~= SUBMIT then assert.equal(emu:ledger()[1].task_id, err.task_id) end
            if attempts > 1 then assert.truthy(tostring(err):find("after 3 attempts", 1, true), tostring(err)) end
        end)
    end

    it("the last status, not the first", function()
        emu:fault { path = IMAGES, nth = 1, status = 500, body = "first" }
        emu:fault { path = IMAGES, nth = 2, status = 502, body = "second" }
        emu:fault { path = IMAGES, nth = 3, status = 504, body = "third" }
        local _, err = service.client(emu, { max_retries = 2 }):generate "a fox"
        assert.same({ 504, 3 }, { err.status, err.attempts })
    end)

    it("polls that fail for long, and can be taken up again", function()
        emu:fault { path = TASKS, times = 1000, status = 503, retry_after = 0, body = "no" }
        local task = assert(service.client(emu, { max_retries = 0 }):submit "a fox")
        local result, err = task:wait()
        assert.is_nil(result)
        assert.same({ "server", 4, 503, true }, { err.kind, err.attempts, err.status, err.retryable }, tostring(err))
        emu:clear_faults()
        assert(task:wait())
        assert.equal(1, #emu:ledger())
    end)
end)

describe("moderation and refusal", function()
    after_each(service.stop_all)

    it("are errors of their own, and not a failure like any other", function()
        local emu = service.start { failure_reason = "the machine is broken" }
        local client = service.client(emu)
        local kinds = {}
        for _, word in ipairs { "moderate", "reject", "fail" } do
            local image, err = client:generate("this will [" .. word .. "]")
            assert.is_nil(image)
            assert.is_false(err.retryable)
            kinds[#kinds + 1] = err.kind
            assert.truthy(flux2.errors.advice[err.kind])
        end
        assert.same({ "moderated", "rejected", "task_failed" }, kinds)
        emu:set { status_words = { running = "r", succeeded = "s", failed = "f", moderated = "Content Moderated" } }
        local task = assert(client:submit "this will [moderate]")
        local _, err = task:wait()
        assert.equal("moderated", err.kind)
        assert.equal(task.id, err.task_id)
    end)
end)

describe("a file that is a link", function()
    after_each(service.stop_all)

    it("is replaced, and what it points to is left alone", function()
        local emu, dir = service.start(), service.directory()
        service.write(dir .. "/precious", "precious")
        local client = service.client(emu)
        for _, way in ipairs { "none", "b64_json" } do
            emu:set { sync = way }
            os.execute(("ln -sf precious '%s/fox.png'"):format(dir))
            local image = assert(assert(client:submit "a fox"):wait()).images[1]
            assert(image:save(dir .. "/fox.png"))
            assert.equal("precious", service.read(dir .. "/precious"))
            assert.equal("\137PNG", service.read(dir .. "/fox.png"):sub(1, 4))
            assert.same({ "fox.png", "precious" }, service.list(dir))
        end
        service.remove(dir)
    end)
end)

describe("a program that the host starts", function()
    it("inherits no connection", function()
        local emu = service.start()
        local code, printed = service.run_lua([[
            local flux2 = require "flux2"
            local url = arg[1]
            local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = url, poll = { interval = 0.02 } })
            assert(client:generate "opens connections, which are kept")
            -- libcurl keeps a pair of sockets for itself, which lead nowhere.
            local pipe = assert(io.popen "cat /proc/self/net/tcp; ls -l /proc/self/fd; true")
            local said, inherited = pipe:read "*a", 0
            pipe:close()
            assert(said:find(("0100007F:%04X 01"):format(url:match "%d+$"), 1, true), "there is no connection")
            for inode in said:gmatch "socket:%[(%d+)%]" do
                if said:match "^.-\ntotal":find(" " .. inode .. " ", 1, true) then inherited = inherited + 1 end
            end
            assert(inherited == 0, said)
        ]], emu.url)
        service.stop_all()
        assert.equal(0, code, printed)
    end)
end)
