--- A gateway, `flux2 serve`: the contract of the default service, a header that makes submissions repeatable, and
-- uploads of input images.

local apiin = require "flux2.provider.apiin"

local gateway = {}
for name, value in pairs(apiin) do gateway[name] = value end

gateway.name = "gateway"
gateway.base_url = "http://127.0.0.1:8787"
gateway.key_prefix = "f2gw_"
gateway.idempotency_header = "Idempotency-Key"
gateway.upload = { path = "/uploads", seconds = 3600 }

return gateway
