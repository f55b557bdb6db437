/* trouble.c - functions missing in Lua for failure specs: signal handlers, and use of all descriptors. */
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

int signals_handle(lua_State *L);
int signals_seen(lua_State *L);
int signals_storm(lua_State *L);
int descriptors_use_up(lua_State *L);
int descriptors_free(lua_State *L);
int process_id(lua_State *L);

static volatile sig_atomic_t seen;

static void on_signal(int number)
{
    (void)number;
    seen++;
}

/* signals_handle(): every signal that can be handled harmlessly interrupts system calls from now on */
int signals_handle(lua_State *L)
{
    static const int numbers[] = {SIGALRM, SIGCHLD, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGHUP, SIGURG};
    struct sigaction action;
    unsigned i;
    (void)L;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal; /* without SA_RESTART */
    for (i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
    return 0;
}

/* signals_seen() -> the number since the last call */
int signals_seen(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)seen);
    seen = 0;
    return 1;
}

/* signals_storm(seconds): SIGALRM at this interval; 0 stops it */
int signals_storm(lua_State *L)
{
    long us = (long)(luaL_checknumber(L, 1) * 1e6);
    struct itimerval timer = {{us / 1000000, us % 1000000}, {us / 1000000, us % 1000000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    return 0;
}

enum { MOST = 256 };
static int taken[MOST], count;

/* descriptors_use_up(left) -> the number of taken descriptors: the process has LEFT descriptors now */
int descriptors_use_up(lua_State *L)
{
    int left = (int)luaL_checknumber(L, 1), fd;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = MOST;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return luaL_error(L, "no limit on descriptors here");
    while (count < MOST && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        taken[count++] = fd;
    while (left-- > 0 && count > 0)
        close(taken[--count]);
    lua_pushnumber(L, count);
    return 1;
}

/* descriptors_free() */
int descriptors_free(lua_State *L)
{
    (void)L;
    while (count > 0)
        close(taken[--count]);
    return 0;
}

/* process_id() -> pid */
int process_id(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)getpid());
    return 1;
}
