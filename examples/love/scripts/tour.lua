-- Submits eight prompts, enlarges one image, and captures the window while a task is running.

return function(user)
    for _ = 1, 5 do
        user:key "tab"
        user:key "return"
    end
    user:wait("five cards", 10, function() return user:cards() == 5 end)
    user:wait_for_images(5, 60)
    user:click(2)
    user:wait("the enlarged image", 5, function() return user:enlarged() == 1 end)
    user:note("enlarged", "yes")
    user:key "escape"
    user:wait("the grid", 5, function() return user:enlarged() == 0 end)
    for _ = 1, 3 do
        user:key "tab"
        user:key "return"
    end
    user:type "An old observatory above the"
    user:wait("progress on the last card", 30, function() return user:progress(8) > 0.3 end)
    local pixels = user:capture()
    for i = 1, user:cards() do user:note("colours", user:colours(i, pixels)) end
    user:note("images", user:count "image")
    user:note("failed", user:count "failed")
end
