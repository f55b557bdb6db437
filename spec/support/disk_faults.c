/* disk_faults.c - preloaded by a spec: the n-th call of a kind on a path below one directory fails, is shortened, or
 * ends the process by SIGKILL. Calls elsewhere (sockets, libraries, the spec's own files) are neither counted nor
 * changed. Output through stdio is counted as the resulting system calls. fsync is counted but does nothing: no spec
 * cuts the power, and a disk takes milliseconds for it.
 *
 * For Lua (package.loadlib): disk_watch(directory); disk_plan(action, kinds, n, part, error, stays); disk_state();
 * disk_hit(); disk_alarm(seconds). */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <lua.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int disk_watch(lua_State *L);
int disk_plan(lua_State *L);
int disk_state(lua_State *L);
int disk_hit(lua_State *L);
int disk_alarm(lua_State *L);

enum { FILES_MAX = 1024 };

/* The kinds of calls. CREATE is an OPEN that may create the file, and counts as either; CLOSE counts only after a
 * write; SEND is the start of a POST request on any socket. */
enum kind { OPEN, CREATE, READ, WRITE, FSYNC, CLOSE, RENAME, MKDIR, FLOCK, UNLINK, LINK, TRUNCATE, SEND };
static const char *const kind_names[] = {"open",  "create", "read",   "write", "fsync",    "close", "rename",
                                         "mkdir", "flock",  "unlink", "link",  "truncate", "send",  NULL};

/* FAIL: the call does nothing and returns the error. SHORT: half of a write is done and returned. CUT: like SHORT, and
 * the next write to that descriptor fails. KILL: the process ends before the call. TEAR: it ends after half of a
 * write. HOLD: the call waits for a file "go" in the watched directory. */
enum action { NONE, FAIL, SHORT, CUT, KILL, TEAR, HOLD };
static const char *const action_names[] = {"none", "fail", "short", "cut", "kill", "tear", "hold", NULL};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];     /* empty: no path is watched */
static char *opened[FILES_MAX]; /* by descriptor: the path of a file below the root */
static bool written[FILES_MAX]; /* by descriptor: the file was written to */
static struct {
    enum action action;
    unsigned kinds; /* 1 << kind */
    long n;
    char part[64]; /* only paths that contain it are counted; with a trailing "$", paths that end in it */
    int error;
    bool stays; /* calls after the n-th fail as well */
    long count;
    int cut; /* the descriptor whose next write fails, or -1 */
    bool fired;
    int posts;        /* requests sent so far */
    int posts_before; /* requests sent when the first call was hit */
    int records;      /* records renamed so far */
    int records_before;
    char hit[PATH_MAX + 16]; /* kind and path of the first call that was hit */
} plan = {.cut = -1};

#define REAL(name)                                                                                                     \
    static __typeof__(name) *real;                                                                                     \
    if (!real)                                                                                                         \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

/* --- counted calls ---------------------------------------------------------------------------- */

/* Writes the absolute form of PATH to OUT, if it is the root or below it. */
static bool is_below(const char *path, char *out)
{
    size_t size = strlen(root), at = 0;
    if (size == 0)
        return false;
    if (path[0] != '/') {
        if (!getcwd(out, PATH_MAX))
            return false;
        at = strlen(out);
        out[at++] = '/';
    }
    snprintf(out + at, PATH_MAX - at, "%s", path);
    return strncmp(out, root, size) == 0 && (out[size] == '/' || out[size] == '\0');
}

static void remember(int fd, const char *path)
{
    if (fd < 0 || fd >= FILES_MAX)
        return;
    pthread_mutex_lock(&lock);
    free(opened[fd]);
    opened[fd] = path ? strdup(path) : NULL;
    written[fd] = false;
    pthread_mutex_unlock(&lock);
}

static bool is_watched(int fd, char *path)
{
    if (fd < 0 || fd >= FILES_MAX)
        return false;
    pthread_mutex_lock(&lock);
    const char *found = opened[fd];
    if (found)
        snprintf(path, PATH_MAX, "%s", found);
    pthread_mutex_unlock(&lock);
    return found != NULL;
}

__attribute__((noreturn)) static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void hold(void)
{
    char go[PATH_MAX + 4];
    snprintf(go, sizeof go, "%s/go", root);
    while (access(go, F_OK) != 0)
        usleep(1000);
}

static bool is_meant(const char *path)
{
    size_t part = strlen(plan.part), size = strlen(path);
    if (part == 0 || plan.part[part - 1] != '$')
        return strstr(path, plan.part) != NULL;
    return size >= part - 1 && strncmp(path + size - (part - 1), plan.part, part - 1) == 0;
}

/* Counts a call. Returns its action; FAIL sets errno. */
static enum action step(enum kind kind, bool creates, const char *path)
{
    enum action action = NONE;
    pthread_mutex_lock(&lock);
    unsigned is = 1u << kind | (creates ? 1u << CREATE : 0);
    plan.posts += kind == SEND;
    if (plan.kinds & is && is_meant(path)) {
        plan.count++;
        if (plan.count == plan.n || (plan.stays && plan.count > plan.n))
            action = plan.action;
    }
    if (action != NONE && !plan.fired) {
        plan.fired = true;
        plan.posts_before = plan.posts;
        plan.records_before = plan.records;
        snprintf(plan.hit, sizeof plan.hit, "%s %s", kind_names[kind], path);
    }
    plan.records += kind == RENAME && action == NONE && strstr(path, "/task-") != NULL;
    int error = plan.error;
    pthread_mutex_unlock(&lock);
    if (action == KILL || action == TEAR)
        dprintf(STDERR_FILENO, "killed at %s %s\n", kind_names[kind], path);
    if (action == KILL || (action == TEAR && kind != WRITE))
        die();
    if (action == HOLD)
        hold();
    if (action == FAIL)
        errno = error;
    return action;
}

static bool fails(enum kind kind, const char *path)
{
    return step(kind, false, path) == FAIL;
}

/* --- descriptors ------------------------------------------------------------------------------ */

static int open_any(const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX];
    REAL(open);
    bool below = is_below(path, full);
    if (below && step(OPEN, flags & O_CREAT, full) == FAIL)
        return -1;
    int fd = real(path, flags, mode);
    remember(fd, below ? full : NULL);
    return fd;
}

static mode_t mode_of(int flags, va_list list)
{
    return flags & (O_CREAT | __O_TMPFILE) ? (mode_t)va_arg(list, int) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return open_any(path, flags, mode);
}

static bool is_cut(int fd)
{
    pthread_mutex_lock(&lock);
    bool cut = plan.cut == fd;
    if (cut)
        plan.cut = -1;
    int error = plan.error;
    pthread_mutex_unlock(&lock);
    if (cut)
        errno = error;
    return cut;
}

ssize_t write(int fd, const void *data, size_t size)
{
    char path[PATH_MAX];
    REAL(write);
    if (!is_watched(fd, path))
        return real(fd, data, size);
    if (is_cut(fd))
        return -1;
    written[fd] = true;
    enum action action = step(WRITE, false, path);
    if (action == FAIL)
        return -1;
    ssize_t n = real(fd, data, action == NONE ? size : (size + 1) / 2);
    if (action == TEAR)
        die();
    if (action == CUT) {
        pthread_mutex_lock(&lock);
        plan.cut = fd;
        pthread_mutex_unlock(&lock);
    }
    return n;
}

ssize_t read(int fd, void *data, size_t size)
{
    char path[PATH_MAX];
    REAL(read);
    return is_watched(fd, path) && fails(READ, path) ? -1 : real(fd, data, size);
}

/* A failed close frees the descriptor as well. */
int close(int fd)
{
    char path[PATH_MAX];
    REAL(close);
    bool struck = is_watched(fd, path) && written[fd] && fails(CLOSE, path);
    int error = errno;
    remember(fd, NULL);
    int rc = real(fd);
    if (struck)
        errno = error;
    return struck ? -1 : rc;
}

int fsync(int fd)
{
    char path[PATH_MAX];
    REAL(fsync);
    if (!is_watched(fd, path))
        return real(fd);
    return fails(FSYNC, path) ? -1 : 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

int flock(int fd, int operation)
{
    char path[PATH_MAX];
    REAL(flock);
    return is_watched(fd, path) && fails(FLOCK, path) ? -1 : real(fd, operation);
}

int ftruncate(int fd, off_t size)
{
    char path[PATH_MAX];
    REAL(ftruncate);
    return is_watched(fd, path) && fails(TRUNCATE, path) ? -1 : real(fd, size);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    REAL(send);
    if (root[0] && size > 5 && memcmp(data, "POST ", 5) == 0)
        step(SEND, false, "POST");
    return real(fd, data, size, flags);
}

/* --- paths ------------------------------------------------------------------------------------ */

int rename(const char *from, const char *to)
{
    char full[PATH_MAX];
    REAL(rename);
    return is_below(to, full) && fails(RENAME, full) ? -1 : real(from, to);
}

int link(const char *from, const char *to)
{
    char full[PATH_MAX];
    REAL(link);
    return is_below(to, full) && fails(LINK, full) ? -1 : real(from, to);
}

int unlink(const char *path)
{
    char full[PATH_MAX];
    REAL(unlink);
    return is_below(path, full) && fails(UNLINK, full) ? -1 : real(path);
}

int remove(const char *path)
{
    char full[PATH_MAX];
    REAL(remove);
    return is_below(path, full) && fails(UNLINK, full) ? -1 : real(path);
}

int mkdir(const char *path, mode_t mode)
{
    char full[PATH_MAX];
    REAL(mkdir);
    return is_below(path, full) && fails(MKDIR, full) ? -1 : real(path, mode);
}

DIR *opendir(const char *path)
{
    char full[PATH_MAX];
    REAL(opendir);
    return is_below(path, full) && fails(OPEN, full) ? NULL : real(path);
}

/* --- stdio, which bypasses the functions above ------------------------------------------------- */

static ssize_t stream_read(void *fd, char *data, size_t size)
{
    return read((int)(intptr_t)fd, data, size);
}

/* Writes like glibc: until all is written or a call fails. */
static ssize_t stream_write(void *fd, const char *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = write((int)(intptr_t)fd, data + done, size - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int stream_seek(void *fd, off64_t *offset, int whence)
{
    off64_t at = lseek64((int)(intptr_t)fd, *offset, whence);
    if (at < 0)
        return -1;
    *offset = at;
    return 0;
}

static int stream_close(void *fd)
{
    return close((int)(intptr_t)fd);
}

static int flags_of(const char *mode)
{
    int access = strchr(mode, '+') ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
    return access | (*mode == 'w' ? O_CREAT | O_TRUNC : *mode == 'a' ? O_CREAT | O_APPEND : 0);
}

static FILE *open_stream(const char *path, const char *mode)
{
    static const cookie_io_functions_t functions = {stream_read, stream_write, stream_seek, stream_close};
    int fd = open(path, flags_of(mode), 0666);
    FILE *stream = fd < 0 ? NULL : fopencookie((void *)(intptr_t)fd, mode, functions);
    if (fd >= 0 && !stream)
        close(fd);
    return stream;
}

FILE *fopen(const char *path, const char *mode)
{
    char full[PATH_MAX];
    REAL(fopen);
    return is_below(path, full) ? open_stream(path, mode) : real(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return fopen(path, mode);
}

/* --- for Lua ---------------------------------------------------------------------------------- */

/* disk_watch(directory): counts only calls below it from now on; "" for none. */
int disk_watch(lua_State *L)
{
    snprintf(root, sizeof root, "%s", luaL_checkstring(L, 1));
    return 0;
}

static unsigned kinds_of(const char *given)
{
    char names[128];
    unsigned kinds = 0;
    int i;
    snprintf(names, sizeof names, " %s ", given);
    for (i = 0; kind_names[i]; i++) {
        char word[16];
        snprintf(word, sizeof word, " %s ", kind_names[i]);
        kinds |= strstr(names, word) ? 1u << i : 0;
    }
    return kinds;
}

static int error_of(lua_State *L, int at)
{
    static const char *const names[] = {"EDQUOT", "EINTR", "EEXIST", "ENOLCK", NULL};
    static const int errors[] = {EDQUOT, EINTR, EEXIST, ENOLCK};
    return errors[luaL_checkoption(L, at, "EDQUOT", names)];
}

/* disk_plan(action, kinds, n, part, error, stays): the action for the N-th call from now on that is of one of these
 * KINDS (names separated by blanks) and whose path contains PART (default ""; "x$": ends in x). ERROR is the name of
 * an errno value; the default EDQUOT has a unique message. With STAYS the later calls fail like the n-th. */
int disk_plan(lua_State *L)
{
    int action = luaL_checkoption(L, 1, "none", action_names), error = error_of(L, 5);
    pthread_mutex_lock(&lock);
    memset(&plan, 0, sizeof plan);
    plan.action = (enum action)action;
    plan.kinds = kinds_of(luaL_optstring(L, 2, ""));
    plan.n = (long)luaL_optnumber(L, 3, 0);
    snprintf(plan.part, sizeof plan.part, "%s", luaL_optstring(L, 4, ""));
    plan.error = error;
    plan.stays = lua_toboolean(L, 6);
    plan.cut = -1;
    pthread_mutex_unlock(&lock);
    return 0;
}

/* disk_state() -> the requests sent since the plan was made; whether it has hit a call */
int disk_state(lua_State *L)
{
    pthread_mutex_lock(&lock);
    int posts = plan.posts;
    bool fired = plan.fired;
    pthread_mutex_unlock(&lock);
    lua_pushnumber(L, posts);
    lua_pushboolean(L, fired);
    return 2;
}

/* disk_hit() -> kind and path of the call that was hit, or nil; the requests sent and the records renamed before it.
 * Ends the plan. */
int disk_hit(lua_State *L)
{
    char hit[sizeof plan.hit];
    pthread_mutex_lock(&lock);
    bool fired = plan.fired;
    int posts = plan.posts_before, records = plan.records_before;
    snprintf(hit, sizeof hit, "%s", plan.hit);
    plan.action = NONE;
    plan.kinds = 0;
    plan.cut = -1;
    pthread_mutex_unlock(&lock);
    if (fired)
        lua_pushstring(L, hit);
    else
        lua_pushnil(L);
    lua_pushnumber(L, posts);
    lua_pushnumber(L, records);
    return 3;
}

/* disk_alarm(seconds): SIGALRM ends the process after SECONDS. */
int disk_alarm(lua_State *L)
{
    alarm((unsigned)luaL_checknumber(L, 1));
    return 0;
}
