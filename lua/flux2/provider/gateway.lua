--- A gateway, `flux2 serve`: the contract of the default service, a header that makes submissions repeatable, and
-- uploads of input images.

local tables = require "flux2.tables"

return tables.merge({}, require "flux2.provider.apiin", {
    name = "gateway",
    base_url = "http://127.0.0.1:8787",
    key_prefix = "f2gw_",
    idempotency_header = "Idempotency-Key",
    upload = { path = "/uploads", seconds = 3600 },
})
