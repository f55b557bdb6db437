-- Schannel is asked to verify certificates. Wine accepts every certificate unless ca_file is set, so the options are read
-- back from Wine's trace. spec/tls_spec.lua tests ca_file.
if package.config:sub(1, 1) ~= "\\" then
    return describe("Schannel", function() pending "needs Windows" end)
end

local bound = require "support.bound"
local service = require "support.service"
local shell = require "support.shell"
local tls_front = require "support.tls_front"

local SERVERNAME_UNCHECKED, MANUAL, AUTOMATIC, REVOCATION = 0x4, 0x8, 0x20, 0x200 -- SCH_CRED_*

local PROGRAM = [[
    local flux2 = require "flux2"
    local client = assert(flux2.new { api_key = "aio_emulator_key", base_url = arg[1], ca_file = arg[2] })
    print(client:submit("a fox"):wait(60))
]]

local function has(flags, flag)
    return flags % (2 * flag) >= flag
end

describe("Schannel", function()
    local front, dir

    setup(function()
        front, dir = tls_front.start(service.start()), service.directory()
        service.write(dir .. "/program.lua", PROGRAM)
    end)

    teardown(function()
        front:stop()
        service.stop_all()
        service.remove(dir)
    end)

    --- Returns the flags of the credentials that libcurl asks for.
    local function flags(ca_file)
        local _, printed = shell.run(("env -u SSL_CERT_FILE WINEDEBUG=+secur32 timeout -k 5 %d '%s' '%s/program.lua' '%s' %s")
            :format(bound(20), shell.interpreter(), dir, front.url, ca_file or ""))
        return tonumber(assert(printed:match "get_cert dwFlags = (%x+)", printed), 16)
    end

    it("verifies the certificate, its name and its revocation with the store of the system", function()
        local used = flags()
        assert.is_true(has(used, AUTOMATIC) and has(used, REVOCATION))
        assert.is_false(has(used, MANUAL) or has(used, SERVERNAME_UNCHECKED))
    end)

    it("leaves the verification with a ca_file to libcurl", function()
        assert.is_true(has(flags(front.ca_file), MANUAL))
    end)
end)
