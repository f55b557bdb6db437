-- A gateway with what is around it: clients without the module, nginx as in the example, batches on several machines, and
-- the gallery for LÖVE.
local has_gateway, gateway = pcall(require, "support.gateway")
if not has_gateway or not gateway.is_available then return end -- a checkout without the gateway
if not gateway.is_worth_load then
    return describe("around a gateway", function() pending "runs on Lua 5.4 and LuaJIT, without instrumentation" end)
end

local bound = require "support.bound"
local program = require "support.program"
local service = require "support.service"
local shell = require "support.shell"
local tls_front = require "support.tls_front"

local root = os.getenv "PWD"

describe("around a gateway", function()
    local emu, dir
    before_each(function()
        dir = service.directory()
        emu = service.start { duration = 0.1, image_bytes = 600, seed = 7 }
    end)
    after_each(function()
        gateway.stop_all()
        service.stop_all()
        service.remove(dir)
    end)

    --- These need no LuaJIT, the Lua of LÖVE.
    local once = rawget(_G, "jit") and function(name) return pending(name) end or it

    local function run(gw, token, command)
        return shell.run(("cd %s && FLUX2_API_KEY=%s FLUX2_BASE_URL=%s timeout %d %s"):format(dir, token, gw.url,
            bound(100), command))
    end

    once("the clients without the module generate an image, and repeat a submission that failed", function()
        local gw = gateway.start(emu, dir .. "/a")
        local token = gw:token "arcade"
        for _, command in ipairs { "sh " .. root .. "/examples/gateway/client.sh", "python3 " .. root ..
            "/examples/gateway/client.py" } do
            if os.execute("command -v " .. command:match "^%S+" .. " >/dev/null") then
                os.remove(dir .. "/fox.png")
                local code, printed = run(gw, token, command .. " 'a \"red\" fox' fox.png")
                assert.equal(0, code, printed)
                assert.equal("fox.png\n", printed)
                assert.equal("\137PNG", service.read(dir .. "/fox.png"):sub(1, 4))
                assert.equal('a "red" fox', emu:ledger()[#emu:ledger()].prompt)
                code, printed = run(gw, token, command .. " '[fail] fox' none.png")
                assert.equal(1, code)
                assert.matches("The model could not generate this image", printed)
                assert.is_false(service.exists(dir .. "/none.png"))
                code, printed = run(gw, "f2gw_0_0", command .. " 'a fox' none.png")
                assert.equal(1, code)
                assert.matches("API key", printed)
                -- The emulator in the place of a gateway: the response to the first submission is lost.
                local lossy, keys = service.start(), {}
                lossy:fault { method = "POST", nth = 1, reset = "after" }
                lossy:fault { method = "POST", nth = 2, body = '{"data":{"task_id":"t","status":"QUEUED"}}' }
                lossy:fault { path = "/api/v1/tasks/t",
                    body = '{"data":{"status":"SUCCESS","output":{"image_url":"{url}/images/x.png"}}}' }
                lossy:fault { path = "/images/x.png", body = "\137PNG" }
                code, printed = run(lossy, lossy.api_key, command .. " 'a fox' fox.png")
                assert.equal(0, code, printed)
                for _, request in ipairs(lossy:requests()) do
                    if request.method == "POST" then keys[#keys + 1] = request.headers["idempotency-key"] end
                end
                assert.equal(2, #keys)
                assert.equal(keys[1], keys[2])
            end
        end
    end)

    once("nginx as in the example passes requests on, and hides the figures", function()
        local gw = gateway.start(emu, dir .. "/a", "--trust-proxy", "127.0.0.1")
        local token, port = gw:token "arcade", tls_front.free_port()
        tls_front.make_certificate(dir, {})
        local config = service.read(root .. "/examples/gateway/nginx.conf"):gsub("listen 443", "listen 127.0.0.1:" .. port)
            :gsub("server 127.0.0.1:8787", "server 127.0.0.1:" .. gw.url:match ":(%d+)$")
            :gsub("/etc/ssl/certs/gateway.example.pem", dir .. "/cert.pem")
            :gsub("/etc/ssl/private/gateway.example.key", dir .. "/key.pem")
        local paths = ""
        for _, name in ipairs { "client_body", "proxy", "fastcgi", "uwsgi", "scgi" } do
            paths = paths .. name .. "_temp_path " .. dir .. "/" .. name .. ";\n"
        end
        service.write(dir .. "/nginx.conf", ("daemon on;\nmaster_process off;\npid %s/pid;\nerror_log %s/error.log;\n" ..
            "events {}\nhttp {\naccess_log off;\n%s%s}\n"):format(dir, dir, paths, config))
        local code, printed = shell.run("nginx -p " .. dir .. " -c " .. dir .. "/nginx.conf")
        assert.equal(0, code, printed)
        local url = "https://127.0.0.1:" .. port
        local function request(method, path, options)
            options = options or {}
            options.url, options.args = url, { "--http1.1", "--cacert", dir .. "/cert.pem" }
            return gw:request(method, path, token, options)
        end
        local ok, reason = pcall(function()
            local response = request("POST", "/api/v1/images/generations", {
                body = { prompt = "a red fox" }, headers = { "X-Forwarded-For: 192.0.2.1", "Host: gateway.example" } })
            assert.equal(200, response.status, response.body)
            local task = request("GET", "/api/v1/tasks/" .. response.json.data.task_id .. "?wait=30", {
                headers = { "Host: gateway.example" } }).json.data
            assert.matches("^https://gateway.example/images/", task.output.image_url)
            assert.equal(200, request("GET", task.output.image_url:match "(/images/.*)").status)
            assert.equal(404, request("GET", "/metrics").status)
            local image = "\137PNG\r\n\26\n" .. ("x"):rep(2 ^ 20)
            assert.equal(200, request("POST", "/uploads", { body = image, headers = { "Host: gateway.example" } }).status)
            assert.equal(413, request("POST", "/v1/images/generations", { body = image }).status)
            assert.equal("127.0.0.1", gw:log()[1].address, "not what the client says")
        end)
        os.execute("kill $(cat " .. dir .. "/pid)")
        assert(ok, reason)
    end)

    once("batches on three machines share one budget", function()
        local gw = gateway.start(emu, dir .. "/a")
        local token = gw:token("batches", { budget = 200 })
        local commands = {}
        for i = 1, 3 do
            local prompts = {}
            for n = 1, 10 do prompts[n] = "fox " .. i .. " " .. n end
            service.write(("%s/list-%d.txt"):format(dir, i), table.concat(prompts, "\n") .. "\n")
            commands[i] = ("{ %s %s batch list-%d.txt --out out-%d -q >log-%d 2>&1 & }"):format(
                program.environment({ url = gw.url, api_key = token }, dir .. "/home-" .. i), program.command(), i, i, i)
        end
        local code, printed = shell.run(("cd %s && mkdir home-1 home-2 home-3 && %s; wait"):format(dir,
            table.concat(commands, "; ")))
        assert.equal(0, code, printed)
        local images = 0
        for i = 1, 3 do images = images + #program.images(dir .. "/out-" .. i) end
        assert.equal(20, images)
        assert.equal(20, #emu:ledger())
        assert.equal(200, gw:metric "credits_spent")
    end)

    it("the gallery for LÖVE shows images of a gateway", function()
        if not rawget(_G, "jit") then return pending "needs LuaJIT, the Lua of LÖVE" end
        local gw = gateway.start(emu, dir .. "/a")
        local token = gw:token "game"
        emu:set { image_bytes = 0, duration = { 0.4, 0.8 } }
        local shot = os.getenv "GATEWAY_SCREENSHOT" or dir .. "/shot.png"
        local code, printed = shell.run(("cd %s && FLUX2_API_KEY=%s FLUX2_BASE_URL=%s FLUX2_PROVIDER=gateway " ..
            "XDG_DATA_HOME=%s SDL_AUDIODRIVER=dummy LC_ALL=C.UTF-8 xvfb-run -a -s " ..
            "'-screen 0 1280x800x24' timeout -k 5 %d love examples/love --window 1120x700 --script " ..
            "examples/love/scripts/tour.lua --screenshot %s --report %s/report --quit-after 100"):format(root, token, gw.url,
            dir, bound(120), shot, dir))
        local report = service.read_if_there(dir .. "/report") or ""
        assert.equal(0, code, printed .. report)
        assert.matches("ended=yes", report)
        assert.matches("failed=0", report)
        assert.is_true(tonumber(report:match "images=(%d+)") >= 5, report)
        assert.is_true(service.exists(shot))
        assert.is_true(#emu:ledger() >= 8)
    end)
end)
