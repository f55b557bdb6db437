# polling.gp - plots the data of bench/polling.lua in build/bench: gnuplot bench/polling.gp
data = "build/bench/polling.dat"
set terminal svg size 1100,850 font "DejaVu Sans,11" background "white"
set output "bench/polling.svg"
set multiplot layout 2,2 title "Polls per task against the mean delay until an end is seen" font ",13"
set logscale xy
set xrange [2:45]
set xtics (2, 3, 5, 10, 20, 40)
set ytics (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
set grid lc rgb "#e0e0e0"
set xlabel "polls per task"
set ylabel "mean delay, seconds"
set yrange [0.08:60]
titles = "narrow log-normal bimodal drifting"
do for [d = 0:3] {
    b = d * 8
    set title word(titles, d + 1)
    if (d == 1) { set key top right font ",10" } else { set key off }
    plot data index b + 0 with lines lw 1.5 dt 2 lc rgb "#888888" title "bound: knows the distribution", \
         data index b + 3 with linespoints pt 7 ps 1 lw 1.5 lc rgb "#d95f02" title "fixed: 0.5, 1, 2, 5 s", \
         data index b + 4 with points pt 9 ps 1.6 lc rgb "#7570b3" title "back-off x 2 to 30 s", \
         data index b + 5 with points pt 5 ps 1.4 lc rgb "#66a61e" title "flux2, first task of a process", \
         data index b + 1 with lines lw 2.5 lc rgb "#1f78b4" title "flux2, learned, any poll cost", \
         data index b + 6 with points pt 7 ps 2 lc rgb "#1f78b4" title "flux2, learned, default", \
         data index b + 2 with lines lw 2 dt 3 lc rgb "#e7298a" title "flux2, tasks tell progress, any poll cost", \
         data index b + 7 with points pt 7 ps 1.6 lc rgb "#e7298a" title "flux2, tasks tell progress, default"
}
unset multiplot
