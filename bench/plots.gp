# plots.gp - draws what the last runs left in build/bench: gnuplot bench/plots.gp
set terminal svg size 900,420 font "DejaVu Sans,12" background "white"
set grid lc rgb "#dddddd"
set key outside right top

set output "bench/frame-time.svg"
set title "Time inside flux2.update(), 50 tasks with 8 MB pictures over TLS, 60 Hz"
set xlabel "frame"
set ylabel "milliseconds"
set logscale y
set format y "%g"
plot "build/bench/frames-5.4-files.dat" using 1:2 with points pt 7 ps 0.35 lc rgb "#1f5fa8" title "Lua 5.4, to files", \
     "build/bench/frames-5.4-strings.dat" using 1:2 with points pt 7 ps 0.35 lc rgb "#c0392b" title "Lua 5.4, to strings", \
     1 with lines dt 2 lc rgb "#666666" title "1 ms"
