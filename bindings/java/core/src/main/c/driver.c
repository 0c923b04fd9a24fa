/* Drivers: opened with their settings, closed, freed; and the objects that they delete. */
#include <stdlib.h>

#include "shim.h"

seglift_code unpack_config(struct packed *in, seglift_config **config, seglift_error **error)
{
    seglift_code code = seglift->config_new(config, error);
    jlong n;
    for (n = unpack_number(in); n > 0 && code == SEGLIFT_OK; n--) {
        const char *name = unpack_text(in);
        code = seglift->config_set(*config, name, unpack_text(in), error);
    }
    return code;
}

NATIVE(jint, driverOpen)(JNIEnv *env, jclass self, jlong engine, jbyteArray uri_and_settings, jlongArray out)
{
    struct packed in;
    seglift_config *config = NULL;
    seglift_driver *driver = NULL;
    seglift_error *error = NULL;
    seglift_code code;
    const char *uri;
    (void)self;
    if (!unpack_begin(env, uri_and_settings, &in)) {
        return leave_out_of_memory(env, out);
    }
    uri = unpack_text(&in);
    code = unpack_config(&in, &config, &error);
    if (code == SEGLIFT_OK) {
        code = seglift->open(HANDLE(seglift_engine, engine), uri, config, &driver, &error);
    }
    seglift->config_free(config);
    unpack_end(&in);
    return leave(env, out, code, error, NUMBER(driver));
}

NATIVE(jint, driverClose)(JNIEnv *env, jclass self, jlong driver, jlong timeout, jlongArray out)
{
    seglift_error *error = NULL;
    seglift_code code = seglift->driver_close(HANDLE(seglift_driver, driver), timeout, &error);
    (void)self;
    return leave(env, out, code, error, 0);
}

NATIVE(void, driverFree)(JNIEnv *env, jclass self, jlong driver)
{
    (void)env;
    (void)self;
    seglift->driver_free(HANDLE(seglift_driver, driver));
}

NATIVE(jint, delete)(JNIEnv *env, jclass self, jlong driver, jlong queue, jlong id, jbyteArray packed,
                     jlongArray packed_call, jlongArray out)
{
    struct packed in;
    const char **keys;
    size_t n;
    seglift_call call = unpack_call(env, packed_call);
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
