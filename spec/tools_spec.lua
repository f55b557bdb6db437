-- Functions of the core that need no engine: URLs, files, directories, locks, tokens, coroutines, buffers.
local build = require "support.build"
local core = require "flux2.core"
local service = require "support.service"
local shell = require "support.shell"

describe("a URL", function()
    for text, parts in pairs {
        ["http://h"] = { scheme = "http", host = "h", port = "80", path = "/" },
        ["https://h:8443/a/b?c=d"] = { scheme = "https", host = "h", port = "8443", path = "/a/b", query = "c=d" },
        ["https://me:secret@H.example/"] = { scheme = "https", host = "H.example", port = "443", path = "/",
            user = "me" },
        ["http://[::1]:1/x"] = { scheme = "http", host = "[::1]", port = "1", path = "/x" },
        ["gopher://h/x"] = { scheme = "gopher", host = "h", port = "70", path = "/x" },
    } do
        it("has parts: " .. text .. (text:find "^gopher" and " #names" or ""), function() assert.same(parts, (core.url(text))) end)
    end
    it("of an unknown scheme has parts", function()
        assert.equal("what", core.url("what://h/x").scheme)
        assert.equal("h", core.url("what://h/x").host)
    end)
    for _, bad in ipairs { "", "h", "http://", "http://[::1", "http://h:99999/", "http://h h/", "/x", "http://h/\0",
        "\0" } do
        it(("is invalid, with a reason: %q"):format(bad), function()
            local parts, reason = core.url(bad)
            assert.is_nil(parts)
            assert.is_true(#reason > 5)
        end)
    end
    it("with NUL is invalid", function() assert.equal("a NUL byte in a URL", select(2, core.url "http://h/\0x")) end)
end)

describe("a file", function()
    local dir
    before_each(function() dir = service.directory() end)
    after_each(function() service.remove(dir) end)

    local function mode(path)
        local pipe = assert(io.popen("umask 022; stat -c %a '" .. path .. "'"))
        local text = pipe:read "*l"
        pipe:close()
        return text
    end

    it("is written completely, and no other file remains", function()
        for _, bytes in ipairs { "", "x", "a\0b\255", ("large"):rep(100000) } do
            for _, durable in ipairs { false, true } do
                assert.is_true((core.write_file(dir .. "/f", bytes, durable)))
                assert.equal(bytes, service.read(dir .. "/f"))
                assert.is_true((core.write_file(dir .. "/f", core.buffer(bytes), durable)))
                assert.equal(bytes, service.read(dir .. "/f"))
                assert.same({ "f" }, service.list(dir))
            end
        end
    end)
    it("is accessible to its owner only if private #modes", function()
        assert(core.write_file(dir .. "/private", "x", false, true))
        assert(core.write_file(dir .. "/public", "x", false, false))
        assert.equal("600", mode(dir .. "/private"))
        assert.are_not.equal("600", mode(dir .. "/public"))
        assert.equal("4", mode(dir .. "/public"):sub(-1))
    end)
    it("is flushed to the disk in a directory that may be written but not read #modes", function()
        local is_root = select(2, shell.run "id -u") == "0\n"
        local user = is_root and "setpriv --reuid 65534 --regid 65534 --clear-groups" or ""
        if shell.run(("%s '%s' -e 'require \"flux2.core\"'"):format(user, shell.interpreter())) ~= 0 then
            return pending "another user cannot run this build"
        end
        os.execute(("chmod 711 '%s'; mkdir '%s/drop'; chmod 333 '%s/drop'"):format(dir, dir, dir))
        local code, printed = service.run_lua(([[assert(require "flux2.core".write_file(%q, "x", true))]])
            :format(dir .. "/drop/f"), nil, user)
        os.execute(("chmod 755 '%s/drop'"):format(dir))
        assert.equal(0, code, printed)
        assert.same({ "f" }, service.list(dir .. "/drop"))
    end)
    it("replaces an older one of any mode #modes", function()
        service.write(dir .. "/f", "old")
        os.execute("chmod 400 '" .. dir .. "/f'")
        assert(core.write_file(dir .. "/f", "new"))
        assert.equal("new", service.read(dir .. "/f"))
    end)
    it("may have a name of 255 bytes, or an empty directory part", function()
        local name = ("n"):rep(255)
        assert(core.write_file(dir .. "/" .. name, "x"))
        assert.same({ name }, service.list(dir))
        local written, reason = core.write_file(dir .. "/" .. name .. "n", "x")
        assert.same({ nil, "File name too long" }, { written, reason })
        assert.same({ nil, "File name too long" }, { core.check_file(dir .. "/" .. name .. "n") })
        assert.same({ name }, service.list(dir))
    end)
    for path, reason in pairs {
        [""] = "No such file or directory", ["/"] = "Is a directory", ["/tmp"] = "Is a directory",
        ["/tmp/"] = "Is a directory",
        ["/no/such/folder/f"] = "No such file or directory", ["/dev/null/f"] = "Not a directory",
    } do
        it(("%q cannot be written: %s #names"):format(path, reason), function()
            assert.same({ nil, reason }, { core.write_file(path, "x") })
            assert.same({ nil, reason }, { core.check_file(path) })
        end)
    end
    it("can be written relative to the working directory", function()
        local name = dir:match "[^/]+$"
        assert.is_true((core.check_file(name)))
        assert(core.write_file(name, "x", true))
        assert.equal("x", service.read(name))
        os.remove(name)
    end)
    it("that is private ignores the umask and the previous mode #modes", function()
        local code, printed = service.run_lua(([[
            local core = require "flux2.core"
            assert(core.write_file(%q, "x", false, true))
            assert(core.make_private(%q))
            assert(core.make_private(%q))
        ]]):format(dir .. "/new", dir .. "/made", dir .. "/old"), nil, ("umask 0; touch '%s/old';"):format(dir))
        assert.equal(0, code, printed)
        for _, name in ipairs { "new", "made", "old" } do assert.equal("600", mode(dir .. "/" .. name)) end
        assert.equal("", service.read(dir .. "/made"))
    end)
    it("that is replaced keeps its mode and owner #modes", function()
        service.write(dir .. "/f", "old")
        local is_root = shell.run(("chown 12:34 '%s/f' && chmod 640 '%s/f'"):format(dir, dir)) == 0
        if not is_root then os.execute(("chmod 640 '%s/f'"):format(dir)) end
        assert(core.write_file(dir .. "/f", "new"))
        assert.equal("new", service.read(dir .. "/f"))
        assert.equal("640", mode(dir .. "/f"))
        if is_root then assert.matches("^12:34", select(2, shell.run(("stat -c %%u:%%g '%s/f'"):format(dir)))) end
    end)
    it("is written to the target of a symbolic link, existing or not #links", function()
        os.execute(("cd '%s' && mkdir d && echo old > d/f && ln -s d/f one && ln -s one two && ln -s d/new three")
            :format(dir))
        assert(core.write_file(dir .. "/two", "through two links"))
        assert(core.write_file(dir .. "/three", "new"))
        assert.same({ "through two links", "new" }, { service.read(dir .. "/d/f"), service.read(dir .. "/d/new") })
        assert.same({ "d", "one", "three", "two" }, service.list(dir))
        assert.equal(0, shell.run(("test -L '%s/one' && test -L '%s/two' && test -L '%s/three'"):format(dir, dir, dir)))
        assert.same({ "f", "new" }, service.list(dir .. "/d"))
        os.execute(("ln -s loop '%s/loop'"):format(dir))
        assert.is_nil((core.write_file(dir .. "/loop", "x")))
    end)
    local SPECIAL = "it is a device, a pipe, a socket or a descriptor, not a regular file"
    it("that is not regular is rejected and not changed #special", function()
        os.execute(("cd '%s' && mkfifo pipe && ln -s pipe link && ln -s /dev/fd/1 descriptor"):format(dir))
        local paths = { dir .. "/pipe", dir .. "/link", dir .. "/descriptor", "/dev/fd/1" }
        -- A device node in the test folder: the system's nodes are not touched.
        if shell.run(("mknod '%s/device' c 1 3"):format(dir)) == 0 then paths[#paths + 1] = dir .. "/device" end
        local before = service.list(dir)
        for _, path in ipairs(paths) do
            assert.same({ nil, SPECIAL }, { core.check_file(path) }, path)
            assert.same({ nil, SPECIAL }, { core.write_file(path, "x") }, path)
        end
        assert.same({ nil, SPECIAL, "special" }, { core.read_file(dir .. "/pipe", 10) })
        assert.same({ nil, SPECIAL }, { core.make_private(dir .. "/pipe") })
        assert.same(before, service.list(dir))
        assert.equal(0, shell.run(("test -p '%s/pipe'"):format(dir)))
    end)
    it("is not written through a descriptor of a regular one #special", function()
        local code, printed = service.run_lua([[
            local core = require "flux2.core"
            local ok, reason = core.write_file("/dev/fd/3", "x")
            assert(not ok and reason:find "descriptor", reason)
        ]], nil, ("exec 3>>'%s/log'; echo line >&3;"):format(dir))
        assert.equal(0, code, printed)
        assert.equal("line\n", service.read(dir .. "/log"))
    end)
    it("that is a mount point is overwritten, or rejected before the request #special", function()
        local program = ([[
            local core = require "flux2.core"
            local ok, reason = core.check_file(%q)
            print(ok, reason)
            print(core.write_file(%q, "new"))
        ]]):format(dir .. "/d/guest", dir .. "/d/guest")
        local function inside(setup)
            os.execute(("cd '%s' && rm -rf host d && mkdir d && echo old > host && touch d/guest"):format(dir))
            local code, printed = service.run_lua(program, nil,
                ("cd '%s' && unshare -m sh -c 'mount --bind host d/guest && %s && exec \"$@\"' sh"):format(dir, setup))
            return code, printed, service.read(dir .. "/host")
        end
        if shell.run "unshare -m true" ~= 0 then return pending "this user may not mount" end
        assert.same({ 0, "true\tnil\ntrue\n", "new" }, { inside "true" })
        assert.same({ 0, "nil\tRead-only file system\nnil\tRead-only file system\n", "old\n" },
            { inside "mount -o remount,bind,ro d/guest" })
        -- As in a container: the directory is read-only, the file is writable.
        assert.same({ 0, "true\tnil\ntrue\n", "new" },
            { inside "mount --bind d d && mount -o remount,bind,ro d && mount --bind host d/guest" })
        assert.same({ "guest" }, service.list(dir .. "/d"))
    end)
    it("has a temporary name cut between characters #preload", function()
        local text = require "flux2.text"
        for _, character in ipairs { "\195\164", "\226\130\172", "\240\159\166\138" } do
            for lead = 0, 3 do
                local name = ("x"):rep(lead) .. character:rep(math.floor(230 / #character))
                local code, printed = service.run_lua(("assert(require('flux2.core').write_file(%q, 'x'))")
                    :format(dir .. "/" .. name),
                    nil, ("LD_PRELOAD='%s'"):format(service.library "open_log"))
                assert.equal(0, code, printed)
                if not build.is_sanitized then
                    assert.matches("/%." .. name:sub(1, 190), printed)
                end
                assert.is_number(text.length(printed), printed)
            end
        end
    end)
    it("is read if it is regular and within the size limit", function()
        service.write(dir .. "/f", "0123")
        assert.equal("0123", (core.read_file(dir .. "/f", 4)))
        assert.equal("large", (select(3, core.read_file(dir .. "/f", 3))))
        assert.equal("missing", (select(3, core.read_file(dir .. "/none", 3))))
        assert.same({ nil, "Is a directory", "special" }, { core.read_file(dir, 3) })
        service.write(dir .. "/f", "")
        assert.equal("", (core.read_file(dir .. "/f", 0)))
    end)
    it("is not created by the writability check", function()
        assert.is_true((core.check_file(dir .. "/f")))
        assert.same({}, service.list(dir))
        -- Checked a moment ago, but a directory now.
        assert.same({ nil, "Is a directory" }, { core.check_file(dir .. "/") })
        assert(core.directory(dir .. "/sub"))
        assert(core.check_file(dir .. "/other"))
        assert.same({ nil, "Is a directory" }, { core.check_file(dir .. "/sub") })
        assert.same({ "sub" }, service.list(dir))
    end)
end)

describe("files of other programs", function()
    local dir
    before_each(function() dir = service.directory() end)
    after_each(function() service.remove(dir) end)

    it("are renamed, over what is there, and removed", function()
        service.write(dir .. "/a", "new")
        service.write(dir .. "/b", "old")
        assert.is_true((core.rename(dir .. "/a", dir .. "/b")))
        assert.equal("new", service.read(dir .. "/b"))
        assert.is_true((core.remove(dir .. "/b")))
        assert.same({}, service.list(dir))
    end)
    it("are appended to, and made", function()
        assert.is_true((core.append_file(dir .. "/a", "one\n")))
        assert.is_true((core.append_file(dir .. "/a", "two\n")))
        assert.equal("one\ntwo\n", service.read(dir .. "/a"))
        assert.same({ nil, "No such file or directory", "missing" }, { core.append_file(dir .. "/no/a", "") })
    end)
    it("that are missing are said to be", function()
        local message = "No such file or directory"
        assert.same({ nil, message, "missing" }, { core.rename(dir .. "/a", dir .. "/b") })
        assert.same({ nil, message, "missing" }, { core.remove(dir .. "/a") })
    end)
end)

describe("a directory", function()
    local dir
    before_each(function() dir = service.directory() end)
    after_each(function() service.remove(dir) end)

    it("is created for its owner, unless it exists #modes", function()
        assert.equal(dir .. "/d", (core.directory(dir .. "/d")))
        local pipe = assert(io.popen("stat -c %a '" .. dir .. "/d'"))
        assert.equal("700", pipe:read "*l")
        pipe:close()
        assert.equal(dir .. "/d", (core.directory(dir .. "/d")))
        service.write(dir .. "/f", "")
        assert.same({ nil, "Not a directory" }, { core.directory(dir .. "/f") })
        assert.same({ nil, "No such file or directory" }, { core.directory(dir .. "/a/b") })
        assert.same({ nil, "Not a directory" }, { core.directory(dir .. "/f/b") })
        os.execute(("ln -s nowhere '%s/link'"):format(dir))
        assert.same({ nil, "No such file or directory" }, { core.directory(dir .. "/link") })
    end)
    it("lists exactly its names #names", function()
        assert.same({}, core.list(dir))
        local expected = {}
        for i = 1, 120 do
            local name = (i % 3 == 0 and "." or "") .. ("n"):rep(1 + i % 40) .. i
            service.write(dir .. "/" .. name, "")
            expected[#expected + 1] = name
        end
        core.directory(dir .. "/...")
        expected[#expected + 1] = "..."
        local names = core.list(dir)
        table.sort(names)
        table.sort(expected)
        assert.same(expected, names)
        assert.same({ nil, "No such file or directory" }, { core.list(dir .. "/none") })
        service.write(dir .. "/f", "")
        assert.same({ nil, "Not a directory" }, { core.list(dir .. "/f") })
    end)
end)

describe("a lock", function()
    local dir
    before_each(function() dir = service.directory() end)
    after_each(function() service.remove(dir) end)

    it("creates its file, excludes others, and removes the file", function()
        local path = dir .. "/lock"
        assert.same({ nil, "No such file or directory", "missing" }, { core.lock(path, false) })
        local lock = assert(core.lock(path, true))
        assert.is_true(lock:mine())
        assert.same({ "lock" }, service.list(dir))
        assert.same({ nil, "File exists", "taken" }, { core.lock(path, true) })
        local none, reason, why = core.lock(path, false)
        assert.is_nil(none)
        assert.is_string(reason)
        assert.equal("busy", why)
        lock:release()
        assert.is_false(lock:mine())
        assert.same({}, service.list(dir))
        lock:release()
    end)
    it("that is only probed does not exclude others, and the file stays", function()
        local path = dir .. "/lock"
        service.write(path, "")
        local first, second = assert(core.lock(path, false)), assert(core.lock(path, false))
        assert.is_true(first:mine() and second:mine())
        first:release()
        assert.is_true(second:mine())
        assert.same({ "lock" }, service.list(dir))
        assert.same({ nil, "File exists", "taken" }, { core.lock(path, true) })
        second:release()
        assert.same({ "lock" }, service.list(dir))
    end)
    it("is released by the collector", function()
        assert(core.lock(dir .. "/lock", true))
        collectgarbage()
        collectgarbage()
        assert.same({}, service.list(dir))
    end)
    it("is not held by a forked child that outlives its owner #fork", function()
        local code, printed = service.run_lua(([[
            local core = require "flux2.core"
            local fork = assert(package.loadlib(arg[1], "fork_process"))
            local lock = assert(core.lock(%q, true))
            local pid = fork()
            if pid == 0 then
                assert(not lock:mine())
                local file = assert(io.open(%q, "w")) -- may reuse the number of the lock's descriptor
                lock:release()
                assert(file:write "child" and file:close())
                while not io.open(%q) do core.pause(0.01) end
                os.remove(%q)
                os.exit(0, true)
            end
            os.exit(0) -- an exit without cleanup
        ]]):format(dir .. "/lock", dir .. "/child", dir .. "/go", dir .. "/child"),
            ("'%s' > '%s/out' 2>&1"):format(service.library "process", dir))
        service.pump_until(function() return service.read_if_there(dir .. "/child") == "child" end)
        local lock, reason = core.lock(dir .. "/lock", false)
        service.write(dir .. "/go", "")
        -- It reads the file before the directory goes, or would wait forever.
        service.pump_until(function() return not service.exists(dir .. "/child") end)
        assert.equal(0, code, printed)
        assert.is_truthy(lock, reason)
    end)
    it("follows no symbolic link, and does not change a file that it cannot lock #links", function()
        service.write(dir .. "/f", "content")
        os.execute(("ln -s f '%s/link'"):format(dir))
        local none, _, why = core.lock(dir .. "/link", false)
        assert.is_nil(none)
        assert.is_nil(why)
        assert.is_nil((core.lock(dir .. "/f", true)))
        assert.equal("content", service.read(dir .. "/f"))
        assert.same({ "f", "link" }, service.list(dir))
    end)
end)

describe("the CA file", function()
    it("is the one configured in libcurl, if it exists #names", function()
        local pipe = assert(io.popen "curl-config --ca 2>/dev/null")
        local built_with = pipe:read "*l"
        pipe:close()
        if built_with and service.exists(built_with) then assert.equal(built_with, core.ca_file()) end
        assert.is_true(core.ca_file() == nil or service.exists(core.ca_file()))
    end)
end)

describe("a token", function()
    it("has 16 hexadecimal digits, and is different each time", function()
        local seen = {}
        for _ = 1, 2000 do
            local token = core.token()
            assert.matches("^" .. ("[0-9a-f]"):rep(16) .. "$", token)
            assert.is_nil(seen[token])
            seen[token] = true
        end
    end)
end)

describe("the clock", function()
    it("advances in seconds", function()
        local before, wall = core.now(), os.time()
        local last = before
        while os.time() < wall + 1 do
            local now = core.now()
            assert.is_true(now >= last)
            last = now
        end
        -- The rest of a second, and not a thousand times as much.
        assert.is_true(core.now() - before <= 60 and core.now() > before)
    end)
end)

describe("a coroutine", function()
    it("is recognized as waiting for flux2 only while it does", function()
        local co
        local function check() return core.is_suspended(co) end
        co = coroutine.create(function(...)
            assert.is_false(core.is_suspended(coroutine.running()))
            local got = { core.suspend("a", ...) }
            assert.same({ 1, 2 }, got)
            coroutine.yield "other"
            core.suspend()
            return "end"
        end)
        assert.is_false(check())
        assert.same({ true, "a", "b", "c" }, { coroutine.resume(co, "b", "c") })
        assert.is_true(check())
        assert.same({ true, "other" }, { coroutine.resume(co, 1, 2) })
        assert.is_false(check())
        assert.same({ true }, { coroutine.resume(co) })
        assert.is_true(check())
        assert.same({ true, "end" }, { coroutine.resume(co) })
        assert.is_false(check())
        assert.is_false(core.is_suspended(coroutine.create(function() end)))
        assert.has_error(function() core.is_suspended(5) end)
    end)
end)

describe("a buffer", function()
    it("holds the given bytes", function()
        for _, bytes in ipairs { "", "x", "a\0b", ("y"):rep(1000000) } do
            local buffer = core.buffer(bytes)
            assert.equal(bytes, buffer:string())
            assert.equal(#bytes, getmetatable(buffer).__len(buffer))
            assert.equal(("flux2.Buffer (%d bytes)"):format(#bytes), tostring(buffer))
            assert.equal("userdata", type(buffer:pointer()))
            assert.equal(core.base64(bytes), core.base64(buffer))
        end
        assert.has_error(function() core.buffer {} end)
        assert.has_error(function() core.base64 {} end)
        assert.has_error(function() core.base64(core.profile {}) end)
    end)
    it("is empty after its release", function()
        local buffer = core.buffer "bytes"
        getmetatable(buffer).__gc(buffer)
        assert.equal("", buffer:string())
        assert.equal("", core.base64(buffer))
        getmetatable(buffer).__gc(buffer)
    end)
end)

describe("Base64", function()
    for text, wrong in pairs {
        ["AAAA"] = false, ["AA=="] = false, ["AA"] = false, ["AAA="] = false, ["AAA"] = false, ["A A\tA\r\nA"] = false,
        [""] = false,
        ["-_-_"] = false, ["+/+/"] = false, ["="] = "its padding is wrong", ["A==="] = "its padding is wrong",
        ["AA="] = "its padding is wrong",
        ["AAA=="] = "its padding is wrong", ["AAAA="] = "its padding is wrong", ["AAAA=="] = "its padding is wrong",
        ["AA==AA=="] = "its padding is wrong", ["A"] = "it is cut short", ["AAAAA"] = "it is cut short",
        ["AB"] = "its last character holds bits that belong to no byte",
        ["AAB"] = "its last character holds bits that belong to no byte",
        ["AB=="] = "its last character holds bits that belong to no byte",
        ["+_AA"] = "it mixes the standard and the URL-safe alphabet",
        ["-/AA"] = "it mixes the standard and the URL-safe alphabet", ["A*"] = "character 2 is not one of Base64",
        ["*"] = "character 1 is not one of Base64", ["AAA AA!"] = "character 6 is not one of Base64",
        ["AA==*"] = "character 3 is not one of Base64",
        ["\0AAA"] = "character 1 is not one of Base64", ["A\vAA"] = "character 2 is not one of Base64",
    } do
        it(("%q: %s"):format(text, wrong or "fine"), function()
            local bytes, reason = core.unbase64(text)
            assert.equal(wrong or nil, reason)
            assert.equal(not wrong, bytes ~= nil)
        end)
    end
    it("decodes every character", function()
        local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for i = 0, 63 do
            local c = alphabet:sub(i + 1, i + 1)
            assert.equal(string.char(i * 4), core.unbase64(c .. "A"))
            assert.equal(c, core.base64(string.char(i * 4)):sub(1, 1))
        end
        for i = 0, 255 do
            local c = string.char(i)
            local is_known = alphabet:find(c, 1, true) or c:find "[-_= \t\r\n]"
            local reason = select(2, core.unbase64(c .. "AAA"))
            assert.equal(not is_known, reason == "character 1 is not one of Base64")
        end
        assert.equal("\251\255\191", core.unbase64 "+/+/")
        assert.equal("\251\255\191", core.unbase64 "-_-_")
    end)
end)

describe("the core", function()
    it("rejects foreign objects", function()
        local engine = core.engine()
        assert.equal(engine, core.engine())
        assert.equal("flux2.engine (open)", tostring(engine))
        for _, use in ipairs {
            function() core.read_response({}, "task", 200, "x") end,
            function() core._pure.gap(core._pure.histogram(), 1, 1) end,
            function() engine.next {} end, function() engine:timer(1, "soon") end,
            function() engine:transfer(1, {}, {}) end,
            function() engine:transfer(1, core.profile {}, "x") end,
            function() engine:transfer(1, core.profile {}, { url = 5 }) end,
            function() engine:transfer(1, core.profile {}, { url = "http://h", body = 5 }) end,
            function() engine:poll(1, core.profile {}, { url = "http://h", durations = {} }) end,
            function() engine:poll(1, core.profile {}, { url = "http://h", fetch = {} }) end,
            function() engine:cancel "x" end, function() core._pure.gap(core.profile {}, 1, 1, core.profile {}) end,
            function() engine:poll(1, core.profile {}, { url = "http://h", durations = 5 }) end,
            function() core._pure.learn(core.profile {}, 1, 2) end, function() core._pure.learn(nil, 1, 2) end,
            function() core._pure.known(nil) end,
        } do assert.has_error(use) end
        assert.is_string(core.libcurl)
    end)
end)
