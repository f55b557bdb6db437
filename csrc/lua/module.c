/* module.c - the Lua module flux2.core: registers the functions of the other files. */
#include <curl/curl.h>

#include "http/global_init.h"
#include "lua/binding.h"

FLUX2_EXPORT int luaopen_flux2_core(lua_State *L);

FLUX2_EXPORT int luaopen_flux2_core(lua_State *L)
{
    flux2_check_lua(L);
    flux2_global_prepare();
    lua_createtable(L, 0, 16);
    flux2_core_add_memory(L);
    flux2_core_add_buffer(L);
    flux2_core_add_engine(L);
    flux2_core_add_image(L);
    flux2_core_add_profile(L);
    flux2_core_add_response(L);
    flux2_core_add_system(L);
    flux2_core_add_encoding(L);
    flux2_core_add_files(L);
    flux2_core_add_pure(L);
    lua_pushstring(L, curl_version());
    lua_setfield(L, -2, "libcurl");
    return 1;
}
