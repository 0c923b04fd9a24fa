/* Reap and sweep, and what they found. */
#include <stdlib.h>

#include "shim.h"

NATIVE(jint, reap)(JNIEnv *env, jclass self, jlong driver, jlong queue, jlong id, jlong older_than, jint reap_flags,
                   jlongArray packed_call, jlongArray out)
{
    seglift_reap_options options = seglift_reap_options_init();
    seglift_call call = unpack_call(env, packed_call);
    seglift_op op = 0;
    seglift_error *error = NULL;
    seglift_code code;
    (void)self;
    options.older_than_ms = older_than;
    options.flags = (uint32_t)reap_flags;
    code = seglift->reap_submit(HANDLE(seglift_driver, driver), &options, &call, HANDLE(seglift_queue, queue),
                                HANDLE(void, id), &op, &error);
    return leave(env, out, code, error, (jlong)op);
}

NATIVE(jint, sweepBegin)(JNIEnv *env, jclass self, jlong driver, jbyteArray prefix, jlong grace, jboolean delete,
                         jlongArray out)
{
    struct packed in;
    seglift_sweep_options options = seglift_sweep_options_init();
    seglift_sweep *sweep = NULL;
    seglift_error *error = NULL;
    seglift_code code;
    (void)self;
    if (!unpack_begin(env, prefix, &in)) {
        return leave_out_of_memory(env, out);
    }
    options.prefix = unpack_optional(&in);
    options.grace_ms = grace;
    options.flags = delete ? SEGLIFT_SWEEP_DELETE : 0;
    code = seglift->sweep_begin(HANDLE(seglift_driver, driver), &options, &sweep, &error);
    unpack_end(&in);
    return leave(env, out, code, error, NUMBER(sweep));
}

NATIVE(jint, sweepFeed)(JNIEnv *env, jclass self, jlong sweep, jlong queue, jlong id, jbyteArray packed,
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
    code = seglift->sweep_feed_submit(HANDLE(seglift_sweep, sweep), keys, n, SUBMIT(s));
    free(keys);
    return submit_end(env, out, &s, code);
}

NATIVE(jint, sweepFinish)(JNIEnv *env, jclass self, jlong sweep, jlong queue, jlong id, jlongArray packed_call,
                          jlongArray out)
{
    seglift_call call = unpack_call(env, packed_call);
    seglift_op op = 0;
    seglift_error *error = NULL;
    seglift_code code = seglift->sweep_finish_submit(HANDLE(seglift_sweep, sweep), &call, HANDLE(seglift_queue, queue),
                                                     HANDLE(void, id), &op, &error);
    (void)self;
    return leave(env, out, code, error, (jlong)op);
}

NATIVE(void, sweepFree)(JNIEnv *env, jclass self, jlong sweep)
{
    (void)env;
    (void)self;
    seglift->sweep_free(HANDLE(seglift_sweep, sweep));
}

static void pack_entry(struct pack *out, const seglift_cleanup_entry *entry)
{
    pack_text(out, entry->name);
    pack_text(out, entry->upload_id);
    pack_number(out, (int64_t)entry->bytes);
    pack_number(out, entry->time_us);
    pack_number(out, entry->verdict);
    pack_failure(out, entry->error);
}

/* As io.seglift.Cleanup reads it: done, number and bytes of each verdict, entries. */
NATIVE(jbyteArray, takeCleanup)(JNIEnv *env, jclass self, jlong handle, jint verdicts)
{
    seglift_cleanup *cleanup = HANDLE(seglift_cleanup, handle);
    size_t n = seglift->cleanup_len(cleanup);
    struct pack out = {0};
    uint32_t verdict;
    size_t i;
    (void)self;
    pack_number(&out, seglift->cleanup_done(cleanup));
    for (verdict = 0; verdict < (uint32_t)verdicts; verdict++) {
        uint64_t bytes = 0;
        /* The library takes 0 for all of them, and Java for those that it does not know. */
        pack_number(&out, verdict == 0 ? 0 : (int64_t)seglift->cleanup_count(cleanup, verdict, &bytes));
        pack_number(&out, (int64_t)bytes);
    }
    for (i = 0; i < n; i++) {
        seglift_cleanup_entry entry = seglift_cleanup_entry_init();
        seglift->cleanup_get(cleanup, i, &entry, NULL);
        pack_entry(&out, &entry);
    }
    seglift->cleanup_free(cleanup);
    return pack_end(env, &out);
}
