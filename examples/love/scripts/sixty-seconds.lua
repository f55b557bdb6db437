-- Twenty pictures over a minute, a new one every two and a half seconds: for measuring frames.

local PICTURES, EVERY, LONG = 20, 2.5, 60

return function(user)
    local began = love.timer.getTime()
    for i = 1, PICTURES do
        user:key "tab"
        user:key "return"
        user:wait("card " .. i, 5, function() return user:cards() >= i end)
        user:sleep(math.max(0, began + i * EVERY - love.timer.getTime()))
    end
    user:wait_for_pictures(PICTURES, 60)
    user:sleep(math.max(0, began + LONG - love.timer.getTime()))
    user:note("pictures", user:count "picture")
    user:note("failed", user:count "failed")
end
