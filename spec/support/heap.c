/* heap.c - the number of bytes allocated by malloc in all threads of this process, for leak specs. It is 0 if unknown,
 * as under a sanitizer, which detects leaks itself. */
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

int heap_bytes(lua_State *L);

/* heap_bytes() -> bytes */
int heap_bytes(lua_State *L)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();
    lua_pushnumber(L, (lua_Number)info.uordblks + (lua_Number)info.hblkhd);
#else
    lua_pushnumber(L, 0);
#endif
    return 1;
}
