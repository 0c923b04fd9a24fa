/* Loads libseglift at run time: one dlopen, one dlsym.
 *
 *     const seglift_api *seglift;
 *     char why[256];
 *     if (seglift_load(NULL, &seglift, why, sizeof why) != SEGLIFT_OK)
 *         return give_up(why);
 *     puts(seglift->version());
 *
 * A program that uses this header links nothing of seglift's (on older C libraries it needs -ldl) and
 * runs without it until the call. Any number of threads may load; the table is static and read-only.
 * The library is never unloaded again, because its threads may outlive whoever asked for it; that is
 * why there is no counterpart to seglift_load.
 *
 * Header-only, C99 and C++11. POSIX.
 */
#ifndef SEGLIFT_LOADER_H
#define SEGLIFT_LOADER_H

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "seglift.h"

#if defined(__APPLE__)
#define SEGLIFT_LIBRARY_NAME "libseglift.1.dylib"
#else
#define SEGLIFT_LIBRARY_NAME "libseglift.so.1"
#endif

/* Opens the library at `path` (NULL: SEGLIFT_LIBRARY_NAME, wherever the dynamic linker looks) and
 * stores its table of functions in `*api`.
 *
 * On failure `*api` is NULL and `message` (at most `capacity` bytes, always terminated; NULL with 0 if
 * unwanted) says what is wrong and what helps:
 *   SEGLIFT_NOT_FOUND            the library, or a library that it needs, cannot be opened
 *   SEGLIFT_UNSUPPORTED_VERSION  it is no seglift, another major version, or older than the header
 *                                that this program was compiled with
 */
static inline seglift_code seglift_load(const char *path, const seglift_api **api, char *message,
                                        size_t capacity) {
    typedef const seglift_api *(*get_api_function)(uint32_t abi_major);
    const char *name = path != NULL ? path : SEGLIFT_LIBRARY_NAME;
    void *library;
    void *symbol;
    get_api_function get_api;
    const seglift_api *table;

    *api = NULL;
    /* RTLD_LOCAL: its symbols meet no other copy's in this process. */
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *reason = dlerror();
        snprintf(message, capacity, "cannot load seglift: %s%s", reason != NULL ? reason : name,
                 path != NULL ? "" : "; install it, or name its file, or set LD_LIBRARY_PATH");
        return SEGLIFT_NOT_FOUND;
    }
    symbol = dlsym(library, "seglift_get_api");
    if (symbol == NULL) {
        snprintf(message, capacity, "%s is not seglift: it has no seglift_get_api", name);
        dlclose(library);
        return SEGLIFT_UNSUPPORTED_VERSION;
    }
    /* ISO C has no conversion from an object pointer to a function pointer; POSIX says it is the same. */
    memcpy(&get_api, &symbol, sizeof get_api);
    table = get_api(SEGLIFT_ABI_MAJOR);
    if (table == NULL) {
        snprintf(message, capacity, "%s does not offer version %d of the ABI that this program needs", name,
                 (int)SEGLIFT_ABI_MAJOR);
        return SEGLIFT_UNSUPPORTED_VERSION;
    }
    if (table->size < sizeof(seglift_api)) {
        snprintf(message, capacity,
                 "%s is too old: it offers ABI %u.%u, this program was compiled with %d.%d and may call "
                 "functions that it lacks; install a newer one",
                 name, (unsigned)table->abi_major, (unsigned)table->abi_minor, (int)SEGLIFT_ABI_MAJOR,
                 (int)SEGLIFT_ABI_MINOR);
        return SEGLIFT_UNSUPPORTED_VERSION;
    }
    *api = table;
    return SEGLIFT_OK;
}

#endif
