/* Verification of whole objects, which waits on the caller's thread and stops when its token says so. */
#include "shim.h"

NATIVE(jlong, cancelNew)(JNIEnv *env, jclass self)
{
    seglift_cancel *token = NULL;
    (void)env;
    (void)self;
    seglift->cancel_new(&token, NULL);
    return NUMBER(token);
}

NATIVE(void, cancelRequest)(JNIEnv *env, jclass self, jlong token)
{
    (void)env;
    (void)self;
    seglift->cancel_request(HANDLE(seglift_cancel, token));
}

NATIVE(void, cancelFree)(JNIEnv *env, jclass self, jlong token)
{
    (void)env;
    (void)self;
    seglift->cancel_free(HANDLE(seglift_cancel, token));
}

static void pack_damage(struct pack *out, const seglift_damage *damage)
{
    size_t n = seglift->damage_len(damage);
    size_t i;
    for (i = 0; i < n; i++) {
        seglift_damage_entry entry = seglift_damage_entry_init();
        seglift->damage_get(damage, i, &entry, NULL);
        pack_number(out, entry.part);
        pack_number(out, (int64_t)entry.position);
        pack_number(out, (int64_t)entry.stored_bytes);
        pack_number(out, (int64_t)entry.offset);
        pack_number(out, (int64_t)entry.bytes);
        pack_number(out, (int64_t)entry.blocks);
        pack_number(out, entry.has_records);
        pack_number(out, (int64_t)entry.first_id);
        pack_number(out, (int64_t)entry.last_id);
        pack_text(out, entry.attachment);
        pack_error(out, entry.error);
    }
}

NATIVE(jbyteArray, verify)(JNIEnv *env, jclass self, jlong driver, jlong token, jbyteArray packed,
                           jlongArray packed_call, jlongArray left)
{
    struct packed in;
    struct pack out = {0};
    seglift_ref ref;
    seglift_call call = unpack_call(env, packed_call);
    seglift_verify_report report = seglift_verify_report_init();
    seglift_damage *damage = NULL;
    seglift_error *error = NULL;
    seglift_code code;
    (void)self;
    if (!unpack_begin(env, packed, &in)) {
        leave_out_of_memory(env, left);
        return NULL;
    }
    ref = unpack_ref(&in);
    call.cancel = HANDLE(seglift_cancel, token);
    code = seglift->verify_damage(HANDLE(seglift_driver, driver), &ref, &call, &report, &damage, &error);
    unpack_end(&in);
    /* There is damage to tell of with OK, and then none, and with CORRUPT. */
    if (damage == NULL) {
        leave(env, left, code, error, 0);
        return NULL;
    }
    seglift->error_free(error);
    pack_number(&out, (int64_t)report.blocks);
    pack_number(&out, (int64_t)report.bad_blocks);
    pack_number(&out, (int64_t)report.segment_bytes);
    pack_number(&out, (int64_t)report.object_bytes);
    pack_number(&out, (int64_t)report.records);
    pack_number(&out, (int64_t)report.attachments);
    pack_number(&out, (int64_t)report.bad_attachments);
    pack_damage(&out, damage);
    seglift->damage_free(damage);
    return pack_end(env, &out);
}
