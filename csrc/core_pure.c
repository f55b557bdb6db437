/* core_pure.c - the engine's pure functions under core._pure, for table-driven specs and for fuzzing from Lua. Nobody
 * else may use them: they are not part of the interface. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "platform.h"
#include "probe.h"
#include "schedule.h"
#include "signature.h"

/* _pure.retry_after(value, server_date | nil, now) -> seconds | nil */
static int retry_after(lua_State *L)
{
    double seconds;
    time_t date = lua_isnoneornil(L, 2) ? (time_t)-1 : (time_t)luaL_checknumber(L, 2);
    if (!flux2_schedule_retry_after(luaL_checkstring(L, 1), date, (time_t)luaL_checknumber(L, 3), &seconds))
        return 0;
    lua_pushnumber(L, seconds);
    return 1;
}

/* _pure.may_retry(once, failure | nil, status, sent, retry_after | nil) -> boolean */
static int may_retry(lua_State *L)
{
    struct flux2_outcome o = {
        .failure = (enum flux2_failure)luaL_checkoption(L, 2, "none", flux2_core_failures),
        .status = (int)luaL_optnumber(L, 3, 0),
        .sent = lua_toboolean(L, 4),
        .retry_after = luaL_optnumber(L, 5, -1),
    };
    lua_pushboolean(L, flux2_schedule_may_retry(lua_toboolean(L, 1) ? FLUX2_ONCE : FLUX2_SAFE, &o));
    return 1;
}

/* _pure.pause(base, ceiling, attempt, retry_after | nil, seed) -> seconds */
static int pause_of(lua_State *L)
{
    struct flux2_backoff backoff = {.base = luaL_checknumber(L, 1), .ceiling = luaL_checknumber(L, 2)};
    uint64_t random = (uint64_t)luaL_checknumber(L, 5);
    lua_pushnumber(L, flux2_schedule_pause(&backoff, (unsigned)luaL_checknumber(L, 3),
                                           luaL_optnumber(L, 4, -1), &random));
    return 1;
}

/* _pure.probe(profile, body, opening) -> verdict, status | nil, progress | nil, id | nil */
static int probe(lua_State *L)
{
    static const char *const verdicts[] = {"unreadable", "running", "ended"};
    struct flux2_reading r;
    size_t size;
    const char *body = luaL_checklstring(L, 2, &size);
    flux2_probe_read(&flux2_core_check_profile(L, 1)->watch, body, size, lua_toboolean(L, 3), &r);
    lua_pushstring(L, verdicts[r.verdict]);
    if (r.has_status)
        lua_pushstring(L, r.status);
    else
        lua_pushnil(L);
    if (r.has_progress)
        lua_pushnumber(L, r.progress);
    else
        lua_pushnil(L);
    free(r.links);
    lua_pushstring(L, r.id);
    return 4;
}

static int push_links(lua_State *L)
{
    const struct flux2_links *links = lua_touserdata(L, 1);
    flux2_core_push_links(L, links);
    if (!links->has_credits)
        return 1;
    lua_pushnumber(L, links->credits);
    return 2;
}

/* _pure.links(profile, body) -> images | nil, credits | nil: what the engine reads of a polled answer */
static int links(lua_State *L)
{
    struct flux2_reading r;
    size_t size;
    const char *body = luaL_checklstring(L, 2, &size);
    flux2_probe_read(&flux2_core_check_profile(L, 1)->watch, body, size, false, &r);
    lua_settop(L, 0);
    if (!r.links)
        return 0;
    lua_pushcfunction(L, push_links);
    lua_pushlightuserdata(L, r.links);
    int rc = lua_pcall(L, 1, LUA_MULTRET, 0); /* what is read is ours to free */
    free(r.links);
    return rc == 0 ? lua_gettop(L) : lua_error(L);
}

/* _pure.digest(body) -> text */
static int digest(lua_State *L)
{
    char text[24];
    size_t size;
    const char *body = luaL_checklstring(L, 1, &size);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)flux2_probe_digest(body, size));
    lua_pushstring(L, text);
    return 1;
}

/* _pure.signature(profile, head) -> index from 1, 0 for undecided, nil for none */
static int signature(lua_State *L)
{
    size_t size;
    const struct flux2_profile *p = flux2_core_check_profile(L, 1);
    const unsigned char *head = (const unsigned char *)luaL_checklstring(L, 2, &size);
    int i = flux2_signature_match(p->accept, p->accept_count, head, size);
    if (i == FLUX2_SIGNATURE_NONE)
        return 0;
    lua_pushinteger(L, i == FLUX2_SIGNATURE_UNDECIDED ? 0 : i + 1);
    return 1;
}

/* _pure.readable(fd) -> boolean: what poll(2) says, for the promise about the descriptor */
static int readable(lua_State *L)
{
    lua_pushboolean(L, flux2_platform_wait_readable((int)luaL_checknumber(L, 1), 0) == 1);
    return 1;
}

static const luaL_Reg functions[] = {
    {"digest", digest},           {"links", links},         {"may_retry", may_retry},
    {"pause", pause_of},          {"probe", probe},         {"readable", readable},
    {"retry_after", retry_after}, {"signature", signature}, {NULL, NULL},
};

void flux2_core_add_pure(lua_State *L)
{
    luaL_newlib(L, functions);
    flux2_core_add_learning(L);
    lua_setfield(L, -2, "_pure");
}
