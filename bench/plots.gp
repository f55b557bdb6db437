# plots.gp - plots the data of the last runs in build/bench: gnuplot bench/plots.gp
# Plots without data are skipped. bench/polling.gp plots polling.
set terminal svg size 900,420 font "DejaVu Sans,12" background "white"
set grid lc rgb "#dddddd"
set key outside right top

frames = "build/bench/frames-5.4-files.dat"
if (system("test -e ".frames." && echo y") eq "y") {
set output "bench/frame-time.svg"
set title "Time inside flux2.update(), 50 tasks with 8 MB images over TLS, 60 Hz"
set xlabel "frame"
set ylabel "milliseconds"
set logscale y
set format y "%g"
plot "build/bench/frames-5.4-files.dat" using 1:2 with points pt 7 ps 0.35 lc rgb "#1f5fa8" title "Lua 5.4, to files", \
     "build/bench/frames-5.4-strings.dat" using 1:2 with points pt 7 ps 0.35 lc rgb "#c0392b" title "Lua 5.4, to strings", \
     1 with lines dt 2 lc rgb "#666666" title "1 ms"
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
