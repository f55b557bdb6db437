# plots.gp - plots the data of the last runs in build/bench: gnuplot bench/plots.gp
# Plots without data are skipped. bench/polling.gp plots polling.
set terminal svg size 900,420 font "DejaVu Sans,12" background "white"
set grid lc rgb "#dddddd"
set key outside right top

frames = "build/bench/frames-5.4-files.dat"
if (system("test -e ".frames." && echo y") eq "y") {
set output "bench/frame-time.svg"
set title "Time inside flux2.update(), 100 tasks with 8 MB images over TLS, 60 Hz"
set xlabel "frame after the first task"
set ylabel "milliseconds"
set logscale y
set format y "%g"
plot frames using 1:2 with points pt 7 ps 0.35 lc rgb "#1f5fa8" title "Lua 5.4, wall", \
     "build/bench/frames-luajit-files.dat" using 1:2 with points pt 7 ps 0.35 lc rgb "#c0392b" title "LuaJIT, wall", \
     frames using 1:3 with points pt 1 ps 0.35 lc rgb "#8fb5e0" title "Lua 5.4, CPU", \
     0.3 with lines dt 2 lc rgb "#666666" title "0.3 ms"
}

scale = "build/bench/scale.dat"
if (system("test -e ".scale." && echo y") eq "y") {
set output "bench/scale.svg"
set title "Processor time per task: a submission, two polls, an image of 1 KB"
set xlabel "tasks"
set ylabel "milliseconds"
set logscale x
unset logscale y
set yrange [0:*]
plot scale index 0 with linespoints pt 7 lw 2 lc rgb "#1f5fa8" title "Lua 5.4, 100 at once", \
     scale index 1 with linespoints pt 6 lw 2 dt 2 lc rgb "#1f5fa8" title "Lua 5.4, all at once", \
     scale index 2 with linespoints pt 7 lw 2 lc rgb "#c0392b" title "LuaJIT, 100 at once", \
     scale index 3 with linespoints pt 6 lw 2 dt 2 lc rgb "#c0392b" title "LuaJIT, all at once"
}

if (system("test -e build/bench/polling.dat && echo y") eq "y") {
reset
load "bench/polling.gp"
}
