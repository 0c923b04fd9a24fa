/* Walks over the keys of a store. */
#include "shim.h"

NATIVE(jint, listOpen)(JNIEnv *env, jclass self, jlong driver, jbyteArray prefix_and_after, jlongArray out)
{
    struct packed in;
    const char *prefix;
    seglift_lister *lister = NULL;
    seglift_error *error = NULL;
    seglift_code code;
    (void)self;
    if (!unpack_begin(env, prefix_and_after, &in)) {
        return leave_out_of_memory(env, out);
    }
    prefix = unpack_optional(&in);
    code = seglift->list_open(HANDLE(seglift_driver, driver), prefix, unpack_optional(&in), &lister, &error);
    unpack_end(&in);
    return leave(env, out, code, error, NUMBER(lister));
}

NATIVE(jint, listNext)(JNIEnv *env, jclass self, jlong lister, jlong queue, jlong id, jlong max, jlongArray packed_call,
                       jlongArray out)
{
    seglift_call call = unpack_call(env, packed_call);
    seglift_op op = 0;
    seglift_error *error = NULL;
    seglift_code code = seglift->list_next_submit(HANDLE(seglift_lister, lister), (size_t)max, &call,
                                                  HANDLE(seglift_queue, queue), HANDLE(void, id), &op, &error);
    (void)self;
    return leave(env, out, code, error, (jlong)op);
}

NATIVE(jbyteArray, listPage)(JNIEnv *env, jclass self, jlong lister, jlong n)
{
    struct pack out = {0};
    jlong i;
    (void)self;
    for (i = 0; i < n; i++) {
        seglift_entry entry = seglift_entry_init();
        if (seglift->list_entry(HANDLE(seglift_lister, lister), (size_t)i, &entry, NULL) != SEGLIFT_OK) {
            break;
        }
        pack_text(&out, entry.key);
        pack_number(&out, (int64_t)entry.object_bytes);
        pack_number(&out, entry.modified_us);
    }
    return pack_end(env, &out);
}

NATIVE(void, listFree)(JNIEnv *env, jclass self, jlong lister)
{
    (void)env;
    (void)self;
    seglift->list_free(HANDLE(seglift_lister, lister));
}
