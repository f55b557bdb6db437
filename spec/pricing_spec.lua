local pricing = require "flux2.pricing"

describe("pricing.estimate", function()
    local cases = {
        { "a red fox", 10 }, { {}, 10 }, { { type = "pro" }, 10 }, { { resolution = "2K" }, 20 },
        { { type = "pro", resolution = "2K" }, 20 }, { { type = "flex" }, 6 }, { { type = "flex",
            resolution = "1K" }, 6 },
        { { type = "flex", resolution = "2K" }, nil, "the service publishes no price for flex at 2K" },
        { { type = "max" }, nil, "type must be 'pro' or 'flex'" }, { { type = 1 }, nil, "type must be" },
        { { type = false }, nil, "type must be" },
        { { resolution = "1k" }, nil, "resolution must be '1K' or '2K'" }, { { resolution = {} }, nil,
            "resolution must" },
        { { type = "flex", resolution = "4K" }, nil, "resolution must" },
    }
    for i, case in ipairs(cases) do
        it("case " .. i, function()
            local credits, reason = pricing.estimate(case[1])
            assert.equal(case[2], credits)
            if case[3] then assert.is_truthy(reason:find(case[3], 1, true)) else assert.is_nil(reason) end
        end)
    end

    it("raises at the caller's line for what is neither prompt nor request", function()
        local _, message = pcall(function() return (pricing.estimate(42)) end)
        assert.matches("pricing_spec.lua:%d+: .*got number", message)
    end)
end)
