/* alloc_host.c - runs a program in a Lua state whose allocator fails, at each allocation in turn.
 *
 *   alloc-host CYCLE.lua FAILURES STEP FIRST [ARGUMENT...]
 *
 * CYCLE.lua is loaded in a new state for each n = FIRST, FIRST + STEP, ...; it returns a function, which is called
 * with the ARGUMENTs while the n-th allocation (and FAILURES - 1 after it) returns NULL. Lua since 5.2 collects
 * garbage after the first failure and retries: 1 tests collections at any allocation there, and 2 tests errors. The
 * loop ends with the first n that the call does not reach. The call may return true, or raise or return (nil, text)
 * with a text that contains "not enough memory". Then the state is closed, and must leave no Lua memory, thread or
 * descriptor; LeakSanitizer checks malloc. Prints a line for every other outcome and a summary; status 1 if there
 * was any.
 *
 * The time limits are CALL_SECONDS for a call and CLOSE_SECONDS for closing a state. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <lauxlib.h>
#include <lualib.h>
#if defined(LUA_JITLIBNAME)
#include <luajit.h>
#endif
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#if defined(__SANITIZE_THREAD__)
enum { OWN_THREADS = 2 }; /* one belongs to the sanitizer */
#else
enum { OWN_THREADS = 1 };
#endif

enum { CALL_SECONDS = 60, CLOSE_SECONDS = 20, LEAK_CHECK_EVERY = 50 };

struct memory {
    long count; /* allocations while armed */
    long fail_from, fail_to;
    size_t live; /* bytes */
    bool armed;
};

static long current; /* n, for the watchdog */
static const char *doing;

/* LuaJIT does not survive an allocation failure: it leaks a few bytes, and crashes while it unwinds its own string
 * functions, even in programs without C modules. With LuaJIT only allocations of flux2's C code fail, and LuaJIT's
 * own allocations are not counted at the end. malloc calls of modules are. */
#if defined(LUA_JITLIBNAME)
static const bool lua_is_tidy = false;

static bool may_fail(void)
{
    void *frames[40];
    int i, n = backtrace(frames, 40);
    Dl_info info;
    for (i = 0; i < n; i++)
        if (dladdr(frames[i], &info) && strstr(info.dli_fname, "flux2/core.so"))
            return true;
    return false;
}
#else
static const bool lua_is_tidy = true;

static bool may_fail(void)
{
    return true;
}
#endif

static void disown(void *block)
{
#if defined(__SANITIZE_ADDRESS__)
    if (!lua_is_tidy)
        __lsan_ignore_object(block);
#else
    (void)block;
#endif
}

static void *allocate(void *arg, void *old, size_t old_size, size_t size)
{
    struct memory *m = arg;
    size_t had = old ? old_size : 0;
    if (size == 0) {
        m->live -= had;
        free(old);
        return NULL;
    }
    if (m->armed && size > had && may_fail()) {
        m->count++;
        if (m->count >= m->fail_from && m->count <= m->fail_to)
            return NULL;
    }
    void *new = realloc(old, size);
    if (!new)
        return NULL;
    m->live += size - had;
    disown(new);
    return new;
}

static void on_alarm(int signal_number)
{
    char text[100];
    int n = snprintf(text, sizeof text, "n = %ld: hangs in %s\n", current, doing);
    (void)signal_number;
    if (write(STDOUT_FILENO, text, (size_t)n) < 0)
        _exit(4);
    _exit(3);
}

static void watch(const char *what, unsigned seconds)
{
    doing = what;
    alarm(seconds);
}

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

struct outcome {
    bool reached; /* the n-th allocation was reached */
    bool fine;    /* it returned true */
    char text[300];
};

/* Loads the program and its arguments; no allocation fails yet. */
static void prepare(lua_State *L, char **args)
{
    int i;
    luaL_openlibs(L);
#if defined(LUA_JITLIBNAME)
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF); /* backtrace() cannot see through its code */
#endif
    if (luaL_loadfile(L, args[0]) != 0 || lua_pcall(L, 0, 1, 0) != 0) {
        printf("cannot prepare: %s\n", lua_tostring(L, -1));
        exit(2);
    }
    luaL_checkstack(L, 60, "arguments");
    for (i = 1; args[i]; i++)
        lua_pushstring(L, args[i]);
}

static struct outcome run(struct memory *m, lua_State *L, long n, long failures)
{
    struct outcome out = {.fine = false};
    int arguments = lua_gettop(L) - 1;
    *m = (struct memory){.live = m->live, .fail_from = n, .fail_to = n + failures - 1, .armed = true};
    watch("the call", CALL_SECONDS);
    int rc = lua_pcall(L, arguments, 2, 0);
    m->armed = false;
    out.reached = m->count >= n;
    out.fine = rc == 0 && lua_toboolean(L, -2);
    const char *text = lua_isstring(L, -1) ? lua_tostring(L, -1) : "no text";
    snprintf(out.text, sizeof out.text, "%s%s", rc ? "raised: " : "", text);
    return out;
}

/* Writes the remains of a closed state to TEXT. */
static bool looks_clean(const struct memory *m, int descriptors, char *text, size_t size)
{
    int left = count_entries("/proc/self/fd") - descriptors, threads = count_entries("/proc/self/task") - 2;
    snprintf(text, size, "%zu bytes of Lua, %d descriptors and %d threads are left", m->live, left,
             threads - OWN_THREADS);
    return (m->live == 0 || !lua_is_tidy) && left == 0 && threads == OWN_THREADS;
}

/* Retries for up to 20 seconds, because a thread may end late on a busy machine. */
static bool is_clean(const struct memory *m, int descriptors, char *text, size_t size)
{
    int tries = 0;
    while (!looks_clean(m, descriptors, text, size))
        if (tries++ == 20000)
            return false;
        else
            usleep(1000);
    return true;
}

static bool leaks(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return __lsan_do_recoverable_leak_check() != 0;
#else
    return false;
#endif
}

/* Runs one state from creation to close. Returns the number of findings. */
static int one(char **args, long n, long failures, int *descriptors, struct outcome *out)
{
    struct memory memory = {.armed = false};
    char left[200];
    int found = 0;
    current = n;
    lua_State *L = lua_newstate(allocate, &memory);
    if (!L) {
        printf("this Lua supports no custom allocator\n");
        exit(5);
    }
    prepare(L, args);
    *out = run(&memory, L, n, failures);
    if (!out->fine && !strstr(out->text, "not enough memory"))
        found++, printf("n = %ld: %s\n", n, out->text);
    watch("lua_close", CLOSE_SECONDS);
    lua_close(L);
    watch("the checks", CALL_SECONDS);
    /* The first state opens descriptors that the process keeps. */
    if (*descriptors == 0)
        *descriptors = count_entries("/proc/self/fd");
    if (!is_clean(&memory, *descriptors, left, sizeof left))
        found++, printf("n = %ld: after \"%s\": %s\n", n, out->text, left);
    return found;
}

/* Keeps a state open: modules are unloaded with their last state, and leaks would have no symbols then. */
static lua_State *volatile keeper;

static lua_State *keep_modules(void)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "cjson");
    lua_call(L, 1, 0);
    return L;
}

int main(int argc, char **argv)
{
    int descriptors = 0, found = 0;
    long runs = 0, fine = 0;
    struct outcome out;
    if (argc < 5)
        return 2;
    char *args[64] = {argv[1]};
    memcpy(args + 1, argv + 5, (size_t)(argc - 5 < 60 ? argc - 5 : 60) * sizeof *args);
    long failures = atol(argv[2]), step = atol(argv[3]), n = atol(argv[4]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGALRM, on_alarm);
    keeper = keep_modules();
    one(args, 1000000000, failures, &descriptors, &out); /* no allocation fails */
    if (!out.fine) {
        printf("fails without an allocation failure: %s\n", out.text);
        return 2;
    }
    do {
        found += one(args, n, failures, &descriptors, &out);
        fine += out.fine;
        if (++runs % LEAK_CHECK_EVERY == 0 && leaks())
            found++, printf("a leak between n = %ld and %ld\n", n - LEAK_CHECK_EVERY * step, n);
        n += step;
    } while (out.reached);
    alarm(0);
    if (leaks())
        found++, printf("a leak before n = %ld\n", n);
    lua_close(keeper);
    printf("%ld runs up to allocation %ld: %ld succeeded, %d findings\n", runs, n - step, fine, found);
    return found > 0;
}
