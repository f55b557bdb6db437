-- Six prompts, one of them still at work when the window is looked at; one picture enlarged and put back.

return function(user)
    for _ = 1, 5 do
        user:key "tab"
        user:key "return"
    end
    user:wait("five cards", 10, function() return user:cards() == 5 end)
    user:wait_for_pictures(5, 60)
    user:click(2)
    user:wait("the enlarged picture", 5, function() return user:enlarged() == 1 end)
    user:note("enlarged", "yes")
    user:key "escape"
    user:wait("the grid", 5, function() return user:enlarged() == 0 end)
    for _ = 1, 3 do
        user:key "tab"
        user:key "return"
    end
    user:type "An old observatory above the"
    user:wait("progress on the last card", 30, function() return user:progress(8) > 0.3 end)
    local pixels = user:look()
    for i = 1, user:cards() do user:note("colours", user:colours(i, pixels)) end
    user:note("pictures", user:count "picture")
    user:note("failed", user:count "failed")
end
