/* profile.h - the profile userdata, see engine/profile.h. */
#ifndef FLUX2_LUA_PROFILE_H
#define FLUX2_LUA_PROFILE_H

#include "base/lua_compat.h"

struct flux2_profile;

/* Returns the profile at INDEX, which its userdata owns; raises if it has another type. */
struct flux2_profile *flux2_core_check_profile(lua_State *L, int index);

#endif
