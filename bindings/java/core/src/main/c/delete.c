/* Deletes. */
#include <stdlib.h>

#include "shim.h"

NATIVE(jint, delete)(JNIEnv *env, jclass self, jlong driver, jlong queue, jlong id, jbyteArray packed, CALL_PARAMETERS,
                     jlongArray out)
{
    struct packed in;
    const char **keys;
    size_t n;
    seglift_call call = CALL;
    seglift_op op = 0;
    seglift_error *error = NULL;
    seglift_code code;
    (void)self;
    if (!unpack_begin(env, packed, &in)) {
        return leave_out_of_memory(env, out);
    }
    keys = unpack_keys(&in, &n);
    if (keys == NULL) {
        unpack_end(&in);
        return leave_out_of_memory(env, out);
    }
    code = seglift->delete_submit(HANDLE(seglift_driver, driver), keys, n, &call, HANDLE(seglift_queue, queue),
                                  HANDLE(void, id), &op, &error);
    free(keys);
    unpack_end(&in);
    return leave(env, out, code, error, (jlong)op);
}

/* For each key whether it failed, and if so why. */
NATIVE(jbyteArray, takeResults)(JNIEnv *env, jclass self, jlong handle)
{
    seglift_results *results = HANDLE(seglift_results, handle);
    size_t n = seglift->results_count(results);
    struct pack out = {0};
    size_t i;
    (void)self;
    for (i = 0; i < n; i++) {
        const seglift_error *error = seglift->results_error(results, i);
        pack_number(&out, error != NULL);
        if (error != NULL) {
            pack_error(&out, error);
        }
    }
    seglift->results_free(results);
    return pack_end(env, &out);
}
