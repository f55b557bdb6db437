-- A minimal window: the sheet is drawn into memory.

function love.conf(t)
    t.identity = "flux2-emulator-sheet"
    t.window.width, t.window.height = 64, 64
    for _, name in ipairs { "audio", "joystick", "physics", "sound", "touch", "video" } do t.modules[name] = false end
end
