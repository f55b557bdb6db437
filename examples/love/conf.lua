-- Window settings of the gallery.

function love.conf(t)
    t.identity = "flux2-gallery"
    t.version = "11.4"
    t.window.title = "flux2 gallery"
    t.window.width, t.window.height = 1280, 800
    t.window.minwidth, t.window.minheight = 640, 480
    t.window.resizable = true
    t.window.highdpi = true
    t.modules.audio = false
    t.modules.joystick = false
    t.modules.physics = false
    t.modules.sound = false
    t.modules.video = false
end
