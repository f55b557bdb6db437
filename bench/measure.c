/* measure.c - runs a program and prints its resource usage.
 *
 *   measure PROGRAM ARGUMENT...
 *
 * The last line of the output is "cost: USER SYSTEM WALL PEAK FAULTS STATUS": seconds, seconds, seconds, bytes, minor
 * page faults, and the exit status (128 + n for signal n). The values are those of wait4, for all threads. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    struct rusage used;
    int status = 0;
    if (argc < 2)
        return 2;
    double began = now();
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &used) < 0)
        return 1;
    printf("cost: %.6f %.6f %.6f %lld %ld %d\n", seconds(&used.ru_utime), seconds(&used.ru_stime), now() - began,
           (long long)used.ru_maxrss * 1024, used.ru_minflt,
           WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}
