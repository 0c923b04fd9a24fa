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
    struct submission s;
    const char **keys;
    size_t n;
    seglift_code code;
    (void)self;
    if (!submit_begin(env, queue, id, packed, packed_call, &s)) {
        return leave_out_of_memory(env, out);
    }
    keys = unpack_keys(&s.in, &n);
    if (keys == NULL) {
        return submit_out_of_memory(env, out, &s);
    }
    code = seglift->delete_submit(HANDLE(seglift_driver, driver), keys, n, SUBMIT(s));
    free(keys);
    return submit_end(env, out, &s, code);
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
        pack_failure(&out, seglift->results_error(results, i));
    }
    seglift->results_free(results);
    return pack_end(env, &out);
}
