/* pure.c - the engine's pure functions under core._pure, for table-driven specs and for fuzzing. They are not part of
 * the interface. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/image_signature.h"
#include "base/parse_number.h"
#include "base/redact.h"
#include "engine/classify.h"
#include "engine/duration_histogram.h"
#include "engine/profile.h"
#include "engine/schedule.h"
#include "http/headers.h"
#include "lua/binding.h"
#include "lua/profile.h"
#include "lua/response.h"
#include "platform/wakeup.h"

/* _pure.retry_after(value, server_date | nil, now) -> seconds | nil */
static int retry_after(lua_State *L)
{
    double seconds;
    time_t date = lua_isnoneornil(L, 2) ? (time_t)-1 : (time_t)luaL_checknumber(L, 2);
    if (!flux2_headers_parse_retry_after(luaL_checkstring(L, 1), date, (time_t)luaL_checknumber(L, 3), &seconds))
        return 0;
    lua_pushnumber(L, seconds);
    return 1;
}

/* _pure.may_retry(once, failure | nil, status, sent, retry_after | nil) -> boolean: of a response without a body */
static int may_retry(lua_State *L)
{
    struct flux2_outcome o = {
        .failure = (enum flux2_failure)luaL_checkoption(L, 2, "none", flux2_core_failures),
        .status = (int)luaL_optnumber(L, 3, 0),
        .sent = lua_toboolean(L, 4),
        .retry_after = luaL_optnumber(L, 5, -1),
    };
    const struct flux2_response_schema schema = {.code_ok_count = 0};
    struct flux2_response r = {.retry_after = -1};
    enum flux2_request_kind kind = lua_toboolean(L, 1) ? FLUX2_REQUEST_SUBMISSION : FLUX2_REQUEST_TASK;
    if (o.failure != FLUX2_FAILURE_NONE)
        flux2_classify_failure(kind, &o, &r);
    else if (!flux2_is_success_status(o.status))
        flux2_classify_refusal(&schema, kind, &o, false, &r);
    lua_pushboolean(L, flux2_classify_may_retry(kind, &o, &r));
    return 1;
}

/* _pure.classify_failure(kind, failure, sent) -> table: the members of an event */
static int classify_failure(lua_State *L)
{
    struct flux2_outcome o = {
        .failure = (enum flux2_failure)luaL_checkoption(L, 2, NULL, flux2_core_failures),
        .sent = lua_toboolean(L, 3),
        .retry_after = -1,
    };
    struct flux2_response r = {.retry_after = -1};
    struct flux2_image_buffers none;
    flux2_classify_failure((enum flux2_request_kind)luaL_checkoption(L, 1, NULL, flux2_core_request_kinds), &o, &r);
    lua_newtable(L);
    flux2_core_push_response(L, &r, &none);
    return 1;
}

/* _pure.pause(interval, attempt, retry_after | nil, seed) -> seconds */
static int pause_of(lua_State *L)
{
    struct flux2_poll_policy poll_policy = {.interval = luaL_checknumber(L, 1)};
    unsigned attempt = (unsigned)luaL_checknumber(L, 2);
    uint64_t random = (uint64_t)luaL_checknumber(L, 4);
    lua_pushnumber(L, flux2_schedule_pause(&poll_policy, attempt, luaL_optnumber(L, 3, -1), &random));
    return 1;
}

/* --- durations ------------------------------------------------------------------------------------------------ */

#define HISTOGRAM_TYPE "flux2.duration_histogram"

/* _pure.histogram() -> a new duration histogram */
static int histogram(lua_State *L)
{
    flux2_duration_histogram_init(lua_newuserdata(L, sizeof(struct flux2_duration_histogram)));
    luaL_newmetatable(L, HISTOGRAM_TYPE);
    lua_setmetatable(L, -2);
    return 1;
}

/* _pure.learn(histogram, low, high): a task ended between LOW and HIGH */
static int learn(lua_State *L)
{
    flux2_duration_histogram_learn(luaL_checkudata(L, 1, HISTOGRAM_TYPE), luaL_checknumber(L, 2),
                                   luaL_checknumber(L, 3));
    return 0;
}

/* _pure.known(histogram) -> samples, typical seconds */
static int known(lua_State *L)
{
    const struct flux2_duration_histogram *h = luaL_checkudata(L, 1, HISTOGRAM_TYPE);
    lua_pushnumber(L, h->samples);
    lua_pushnumber(L, h->typical);
    return 2;
}

/* _pure.gap(profile, elapsed, seed, histogram | nil, progress | nil, poll_cost | nil) -> seconds, expected end.
 * PROGRESS is a flat list of elapsed, progress, elapsed, progress ... POLL_COST overrides the profile's. */
static int gap_of(lua_State *L)
{
    struct flux2_trend trend = {0};
    struct flux2_poll_policy poll_policy = flux2_core_check_profile(L, 1)->poll_policy;
    double elapsed = luaL_checknumber(L, 2), expected_end;
    uint64_t random = (uint64_t)luaL_checknumber(L, 3);
    const struct flux2_duration_histogram *h = lua_isnoneornil(L, 4) ? NULL : luaL_checkudata(L, 4, HISTOGRAM_TYPE);
    int i, n = lua_istable(L, 5) ? (int)lua_rawlen(L, 5) : 0;
    for (i = 1; i < n; i += 2) {
        lua_rawgeti(L, 5, i);
        lua_rawgeti(L, 5, i + 1);
        flux2_schedule_note(&trend, lua_tonumber(L, -2), lua_tonumber(L, -1));
        lua_pop(L, 2);
    }
    poll_policy.poll_cost = luaL_optnumber(L, 6, poll_policy.poll_cost);
    lua_pushnumber(L, flux2_schedule_gap(&poll_policy, h, &trend, elapsed, &random, &expected_end));
    lua_pushnumber(L, expected_end);
    return 2;
}

/* --- responses ------------------------------------------------------------------------------------------------ */

/* _pure.number(text) -> the number in TEXT, which may begin with blanks and contains nothing else | nil */
static int number(lua_State *L)
{
    size_t size;
    const char *end, *text = luaL_checklstring(L, 1, &size);
    double value = flux2_parse_number(text, &end);
    if (end == text || end != text + size)
        return 0;
    lua_pushnumber(L, value);
    return 1;
}

/* _pure.digest(body) -> text */
static int digest(lua_State *L)
{
    char text[24];
    size_t size;
    const char *body = luaL_checklstring(L, 1, &size);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)flux2_body_digest(body, size));
    lua_pushstring(L, text);
    return 1;
}

/* _pure.signature(profile, head) -> index from 1, 0 for undecided, nil for none */
static int signature(lua_State *L)
{
    size_t size;
    const struct flux2_http_config *c = flux2_core_check_profile(L, 1)->http;
    const unsigned char *head = (const unsigned char *)luaL_checklstring(L, 2, &size);
    int i = flux2_image_signature_match(c->accept, c->accept_count, head, size);
    if (i == FLUX2_IMAGE_SIGNATURE_NONE)
        return 0;
    lua_pushinteger(L, i == FLUX2_IMAGE_SIGNATURE_UNDECIDED ? 0 : i + 1);
    return 1;
}

/* _pure.redact(text, secret, room) -> text */
static int redact(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    struct flux2_secrets secrets = {.forms = {NULL, 0}};
    size_t room = (size_t)luaL_optnumber(L, 3, (lua_Number)size);
    char *out = lua_newuserdata(L, size + 1);
    if (!flux2_secrets_add(&secrets, luaL_checkstring(L, 2)))
        return luaL_error(L, "not enough memory");
    size = flux2_redact(out, room, text, size, &secrets);
    flux2_secrets_clear(&secrets);
    lua_pushlstring(L, out, size);
    return 1;
}

/* _pure.readable(fd) -> boolean: the result of poll(2) */
static int readable(lua_State *L)
{
    lua_pushboolean(L, flux2_wait_readable((flux2_descriptor)luaL_checknumber(L, 1), -1, 0) == 1);
    return 1;
}

static const luaL_Reg functions[] = {
    {"classify_failure", classify_failure},
    {"digest", digest},
    {"gap", gap_of},
    {"histogram", histogram},
    {"known", known},
    {"learn", learn},
    {"may_retry", may_retry},
    {"number", number},
    {"pause", pause_of},
    {"readable", readable},
    {"redact", redact},
    {"retry_after", retry_after},
    {"signature", signature},
    {NULL, NULL},
};

void flux2_core_add_pure(lua_State *L)
{
    luaL_newlib(L, functions);
    lua_setfield(L, -2, "_pure");
}
