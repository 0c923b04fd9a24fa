/* The library: opened by its path, one symbol taken, its table checked; and the shim's few common functions. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "shim.h"

/* What io.seglift.Native.VERSION must be. */
enum { SHIM_VERSION = 1 };

const seglift_api *seglift;

static seglift_code open_library(const char *path, char *why, size_t capacity)
{
    const seglift_api *(*get_api)(uint32_t abi_major);
    const seglift_api *table;
    void *symbol;
    /* RTLD_LOCAL: another copy in this process, of another class loader, shares no symbol with this one. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *reason = dlerror();
        snprintf(why, capacity, "%s", reason != NULL ? reason : path);
        return SEGLIFT_NOT_FOUND;
    }
    symbol = dlsym(library, "seglift_get_api");
    if (symbol == NULL) {
        snprintf(why, capacity, "%s is not seglift: it has no seglift_get_api", path);
        return SEGLIFT_UNSUPPORTED_VERSION;
    }
    /* ISO C has no conversion from an object pointer to a function pointer; POSIX says it is the same. */
    memcpy(&get_api, &symbol, sizeof get_api);
    table = get_api(SEGLIFT_ABI_MAJOR);
    if (table == NULL) {
        snprintf(why, capacity, "%s does not offer major version %d of the ABI, which these Java classes need; "
                 "install the library and the jars of one version", path, SEGLIFT_ABI_MAJOR);
        return SEGLIFT_UNSUPPORTED_VERSION;
    }
    /* The whole table that this was compiled with, so that no later call need ask whether a function is there. */
    if (table->size < sizeof *table) {
        snprintf(why, capacity, "%s is too old: it offers ABI %u.%u, and these Java classes need %d.%d; install the "
                 "library and the jars of one version", path, (unsigned)table->abi_major,
                 (unsigned)table->abi_minor, SEGLIFT_ABI_MAJOR, SEGLIFT_ABI_MINOR);
        return SEGLIFT_UNSUPPORTED_VERSION;
    }
    seglift = table;
    return SEGLIFT_OK;
}

NATIVE(jbyteArray, attach)(JNIEnv *env, jclass self, jbyteArray library, jint version)
{
    struct packed in;
    struct pack out = {0};
    char why[512];
    seglift_code code = SEGLIFT_UNSUPPORTED_VERSION;
    (void)self;
    if (version != SHIM_VERSION) {
        snprintf(why, sizeof why, "libseglift_jni is of version %d of the crossing, and these Java classes of %d; "
                 "take both from one build", SHIM_VERSION, (int)version);
    } else if (!unpack_begin(env, library, &in)) {
        snprintf(why, sizeof why, "no memory for a path");
        code = SEGLIFT_RESOURCE_EXHAUSTED;
    } else {
        code = open_library(unpack_text(&in), why, sizeof why);
        unpack_end(&in);
        if (code == SEGLIFT_OK) {
            return NULL;
        }
    }
    pack_number(&out, code);
    pack_text(&out, why);
    return pack_end(env, &out);
}

jint leave(JNIEnv *env, jlongArray out, seglift_code code, seglift_error *error, jlong result)
{
    jlong values[2];
    jsize places = (*env)->GetArrayLength(env, out);
    values[0] = NUMBER(error);
    values[1] = result;
    (*env)->SetLongArrayRegion(env, out, 0, places < 2 ? places : 2, values);
    return code;
}

jint leave_out_of_memory(JNIEnv *env, jlongArray out)
{
    return leave(env, out, SEGLIFT_RESOURCE_EXHAUSTED, NULL, 0);
}

void *memory_of(JNIEnv *env, jobject buffer, jlong position)
{
    char *memory = buffer != NULL ? (*env)->GetDirectBufferAddress(env, buffer) : NULL;
    return memory != NULL ? memory + position : NULL;
}
