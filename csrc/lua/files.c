/* files.c - files, directories and locks; their paths are UTF-8 on every system. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lua/binding.h"
#include "lua/buffer.h"
#include "platform/directory.h"
#include "platform/file.h"
#include "platform/lock.h"
#include "platform/process.h"

#define LOCK_TYPE "flux2.lock"

static int succeed_unless(lua_State *L, int rc)
{
    return flux2_lua_succeed_unless(L, rc ? flux2_file_reason(rc) : NULL);
}

/* Pushes nil, the reason of RC in words, and its name if the caller may expect it: "missing", "large" or "special". */
static int fail_by_name(lua_State *L, int rc)
{
    bool special = rc == FLUX2_FILE_SPECIAL || rc == EISDIR;
    flux2_lua_fail(L, flux2_file_reason(rc));
    lua_pushstring(L, rc == ENOENT ? "missing" : rc == EFBIG ? "large" : special ? "special" : NULL);
    return 3;
}

/* --- files ------------------------------------------------------------------------------------------------------ */

/* core.check_file(path) -> true | nil, message: whether the file can be written */
static int check_file(lua_State *L)
{
    return succeed_unless(L, flux2_file_try(luaL_checkstring(L, 1)));
}

/* core.write_file(path, string | buffer, durable, private) -> true | nil, message: writes the file whole or not at all.
 * DURABLE: flushed to disk; PRIVATE: accessible to its owner only. */
static int write_file(lua_State *L)
{
    struct flux2_file file;
    size_t size;
    const char *path = luaL_checkstring(L, 1), *data = flux2_core_check_bytes(L, 2, &size);
    int rc = flux2_file_open(&file, path, lua_toboolean(L, 4) ? FLUX2_FILE_PRIVATE : FLUX2_FILE_SHARED);
    if (rc == 0)
        rc = flux2_file_write(&file, data, size);
    if (rc == 0)
        rc = flux2_file_commit(&file, lua_toboolean(L, 3));
    if (rc != 0)
        flux2_file_discard(&file);
    return succeed_unless(L, rc);
}

/* core.read_file(path, limit) -> bytes | nil, message, name: reads a regular file of at most LIMIT bytes */
static int read_file(lua_State *L)
{
    size_t size;
    const char *path = luaL_checkstring(L, 1);
    lua_Number limit = luaL_checknumber(L, 2);
    char **memory = flux2_core_push_memory(L);
    int rc = flux2_file_read(path, (size_t)limit, memory, &size);
    if (rc != 0)
        return fail_by_name(L, rc);
    lua_pushlstring(L, *memory, size);
    free(*memory);
    *memory = NULL;
    return 1;
}

/* core.file_head(path, most | nil) -> the first bytes, at most MOST (64), and the size | nil, message, name: of a
 * regular file */
static int file_head(lua_State *L)
{
    size_t got;
    uint64_t size;
    const char *path = luaL_checkstring(L, 1);
    size_t most = (size_t)luaL_optnumber(L, 2, 64);
    char *head = lua_newuserdata(L, most);
    int rc = flux2_file_head(path, head, most, &got, &size);
    if (rc != 0)
        return fail_by_name(L, rc);
    lua_pushlstring(L, head, got);
    lua_pushnumber(L, (lua_Number)size);
    return 2;
}

/* core.make_private(path) -> true | nil, message: creates the file if missing, and restricts access to its owner */
static int make_private(lua_State *L)
{
    return succeed_unless(L, flux2_file_make_private(luaL_checkstring(L, 1)));
}

/* core.append_file(path, bytes, durable) -> true | nil, message, name. DURABLE: flushed to disk */
static int append_file(lua_State *L)
{
    size_t size;
    const char *path = luaL_checkstring(L, 1), *data = luaL_checklstring(L, 2, &size);
    int rc = flux2_file_append(path, data, size, lua_toboolean(L, 3));
    return rc == 0 ? succeed_unless(L, 0) : fail_by_name(L, rc);
}

/* core.rename(from, to) -> true | nil, message, name: replaces a file that is there */
static int rename_file(lua_State *L)
{
    int rc = flux2_file_rename(luaL_checkstring(L, 1), luaL_checkstring(L, 2));
    return rc == 0 ? succeed_unless(L, 0) : fail_by_name(L, rc);
}

/* core.remove(path) -> true | nil, message, name */
static int remove_file(lua_State *L)
{
    int rc = flux2_file_remove(luaL_checkstring(L, 1));
    return rc == 0 ? succeed_unless(L, 0) : fail_by_name(L, rc);
}

/* --- directories and locks --------------------------------------------------------------------------------- */

/* core.list(directory) -> { name... } in any order | nil, message */
static int list(lua_State *L)
{
    size_t size, at, n = 0;
    const char *path = luaL_checkstring(L, 1);
    char **memory = flux2_core_push_memory(L);
    int rc = flux2_directory_list(path, memory, &size);
    if (rc != 0)
        return succeed_unless(L, rc);
    lua_newtable(L);
    for (at = 0; at < size; at += strlen(*memory + at) + 1) {
        lua_pushstring(L, *memory + at);
        lua_rawseti(L, -2, (int)++n);
    }
    return 1;
}

/* core.directory(path, shared) -> its absolute path | nil, message: creates it unless it exists, with access for its
 * owner only unless SHARED */
static int directory(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    bool shared = lua_toboolean(L, 2);
    char **memory = flux2_core_push_memory(L);
    int rc = flux2_directory_create(path, shared ? 0777 : 0700);
    if (rc == 0 && !(*memory = flux2_directory_resolve(path)))
        rc = errno;
    if (rc != 0)
        return succeed_unless(L, rc);
    lua_pushstring(L, *memory);
    return 1;
}

struct lock_box {
    struct flux2_lock lock;
    unsigned forks; /* flux2_process_forks() of the process that holds the lock */
    char *owned;    /* the file to remove on release; NULL: none */
};

/* Releases the lock. In a forked child the parent keeps it. */
static int lock_release(lua_State *L)
{
    struct lock_box *box = luaL_checkudata(L, 1, LOCK_TYPE);
    bool here = box->forks == flux2_process_forks();
    flux2_lock_release(&box->lock, here ? box->owned : NULL);
    free(box->owned);
    box->owned = NULL;
    return 0;
}

/* lock:mine() -> boolean: whether this process holds it, not a parent process */
static int lock_mine(lua_State *L)
{
    struct lock_box *box = luaL_checkudata(L, 1, LOCK_TYPE);
    lua_pushboolean(L, box->lock.handle >= 0 && box->forks == flux2_process_forks());
    return 1;
}

static const char *lock_failure(int rc)
{
    return rc == EWOULDBLOCK ? "busy" : rc == ENOENT ? "missing" : rc == EEXIST ? "taken" : NULL;
}

/* core.lock(path, own, claim) -> lock | nil, message, "busy" | "missing" | "taken" | nil. With OWN the file is created,
 * must not exist, and is removed on release; CLAIM also works on a file system without locks. With OWN "keep" the file
 * is created unless it exists, and stays. Without OWN the file must exist, and is "busy" while its owner is alive. */
static int lock(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    bool own = lua_toboolean(L, 2);
    bool keep = lua_type(L, 2) == LUA_TSTRING;
    enum flux2_lock_mode mode = !own                  ? FLUX2_LOCK_TRY
                                : keep                ? FLUX2_LOCK_KEEP
                                : lua_toboolean(L, 3) ? FLUX2_LOCK_CLAIM
                                                      : FLUX2_LOCK_OWN;
    struct lock_box *box = lua_newuserdata(L, sizeof *box);
    *box = (struct lock_box){.lock = {.handle = -1}, .forks = flux2_process_forks()};
    luaL_setmetatable(L, LOCK_TYPE);
    box->owned = own && !keep ? strdup(path) : NULL;
    int rc = own && !keep && !box->owned ? ENOMEM : flux2_lock_acquire(path, mode, &box->lock);
    if (rc == 0)
        return 1;
    flux2_lua_fail(L, strerror(rc));
    lua_pushstring(L, lock_failure(rc));
    return 3;
}

static const luaL_Reg functions[] = {
    {"append_file", append_file},
    {"check_file", check_file},
    {"directory", directory},
    {"file_head", file_head},
    {"list", list},
    {"lock", lock},
    {"make_private", make_private},
    {"read_file", read_file},
    {"remove", remove_file},
    {"rename", rename_file},
    {"write_file", write_file},
    {NULL, NULL},
};

static const luaL_Reg lock_meta[] = {{"__gc", lock_release}, {NULL, NULL}};
static const luaL_Reg lock_methods[] = {{"mine", lock_mine}, {"release", lock_release}, {NULL, NULL}};

void flux2_core_add_files(lua_State *L)
{
    flux2_core_new_type(L, LOCK_TYPE, lock_meta, lock_methods);
    luaL_setfuncs(L, functions, 0);
}
