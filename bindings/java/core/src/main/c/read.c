/* Reads of ranges, attachments and raw objects, and what is known of a segment. */
#include "shim.h"

/* From memory only, on the caller's thread: the number of bytes, or minus the code. */
NATIVE(jint, readCached)(JNIEnv *env, jclass self, jlong driver, jbyteArray packed, jlong offset, jobject into,
                         jint position, jint length, jint flags, jlongArray out)
{
    struct packed in;
    seglift_ref ref;
    seglift_call call = seglift_call_init();
    size_t n = 0;
    seglift_error *error = NULL;
    seglift_code code;
    (void)self;
    call.flags = (uint32_t)flags;
    if (!unpack_begin(env, packed, &in)) {
        return -leave_out_of_memory(env, out);
    }
    ref = unpack_ref(&in);
    code = seglift->read_range(HANDLE(seglift_driver, driver), &ref, (uint64_t)offset, memory_of(env, into, position),
                               (size_t)length, &call, &n, &error);
    unpack_end(&in);
    return code == SEGLIFT_OK ? (jint)n : -leave(env, out, code, error, 0);
}

NATIVE(jint, read)(JNIEnv *env, jclass self, jlong driver, jlong queue, jlong id, jbyteArray packed, jlong offset,
                   jobject into, jint position, jint length, jlongArray packed_call, jlongArray out)
{
    struct submission s;
    seglift_ref ref;
    (void)self;
    if (!submit_begin(env, queue, id, packed, packed_call, &s)) {
        return leave_out_of_memory(env, out);
    }
    ref = unpack_ref(&s.in);
    return submit_end(env, out, &s,
                      seglift->read_range_submit(HANDLE(seglift_driver, driver), &ref, (uint64_t)offset,
                                                 memory_of(env, into, position), (size_t)length, SUBMIT(s)));
}

NATIVE(jint, readBytes)(JNIEnv *env, jclass self, jlong driver, jlong queue, jlong id, jbyteArray packed, jlong offset,
                        jlong length, jlongArray packed_call, jlongArray out)
{
    struct submission s;
    seglift_ref ref;
    (void)self;
    if (!submit_begin(env, queue, id, packed, packed_call, &s)) {
        return leave_out_of_memory(env, out);
    }
    ref = unpack_ref(&s.in);
    return submit_end(env, out, &s,
                      seglift->read_range_bytes_submit(HANDLE(seglift_driver, driver), &ref, (uint64_t)offset,
                                                       (uint64_t)length, SUBMIT(s)));
}

NATIVE(jint, readBytesCached)(JNIEnv *env, jclass self, jlong driver, jbyteArray packed, jlong offset, jlong length,
                              jint flags, jlongArray out)
{
    struct packed in;
    seglift_ref ref;
    seglift_call call = seglift_call_init();
    seglift_bytes *bytes = NULL;
    seglift_error *error = NULL;
    seglift_code code;
    (void)self;
    call.flags = (uint32_t)flags;
    if (!unpack_begin(env, packed, &in)) {
        return leave_out_of_memory(env, out);
    }
    ref = unpack_ref(&in);
    code = seglift->read_range_bytes(HANDLE(seglift_driver, driver), &ref, (uint64_t)offset, (uint64_t)length, &call,
                                     &bytes, &error);
    unpack_end(&in);
    return leave(env, out, code, error, NUMBER(bytes));
}

NATIVE(jint, readObject)(JNIEnv *env, jclass self, jlong driver, jlong queue, jlong id, jbyteArray key, jlong offset,
                         jlong length, jlongArray packed_call, jlongArray out)
{
    struct submission s;
    (void)self;
    if (!submit_begin(env, queue, id, key, packed_call, &s)) {
        return leave_out_of_memory(env, out);
    }
    return submit_end(env, out, &s,
                      seglift->get_object_range_submit(HANDLE(seglift_driver, driver), unpack_text(&s.in),
                                                       (uint64_t)offset, (uint64_t)length, SUBMIT(s)));
}

NATIVE(jint, readAttachment)(JNIEnv *env, jclass self, jlong driver, jlong queue, jlong id, jbyteArray packed,
                             jbyteArray packed_name, jlongArray packed_call, jlongArray out)
{
    struct submission s;
    struct packed name;
    seglift_ref ref;
    seglift_code code;
    (void)self;
    if (!submit_begin(env, queue, id, packed, packed_call, &s)) {
        return leave_out_of_memory(env, out);
    }
    if (!unpack_begin(env, packed_name, &name)) {
        return submit_out_of_memory(env, out, &s);
    }
    ref = unpack_ref(&s.in);
    code = seglift->read_attachment_submit(HANDLE(seglift_driver, driver), &ref, unpack_text(&name), SUBMIT(s));
    unpack_end(&name);
    return submit_end(env, out, &s, code);
}

NATIVE(jobject, viewBytes)(JNIEnv *env, jclass self, jlong handle)
{
    const seglift_bytes *bytes = HANDLE(const seglift_bytes, handle);
    size_t length = seglift->bytes_len(bytes);
    (void)self;
    /* Java makes a read-only buffer of it before anybody sees it. */
    return length > 0 ? (*env)->NewDirectByteBuffer(env, (void *)seglift->bytes_data(bytes), (jlong)length) : NULL;
}

NATIVE(void, freeBytes)(JNIEnv *env, jclass self, jlong bytes)
{
    (void)env;
    (void)self;
    seglift->bytes_free(HANDLE(seglift_bytes, bytes));
}

NATIVE(jint, stat)(JNIEnv *env, jclass self, jlong driver, jlong queue, jlong id, jbyteArray packed,
                   jlongArray packed_call, jlongArray out)
{
    struct submission s;
    seglift_ref ref;
    (void)self;
    if (!submit_begin(env, queue, id, packed, packed_call, &s)) {
        return leave_out_of_memory(env, out);
    }
    ref = unpack_ref(&s.in);
    return submit_end(env, out, &s,
                      seglift->stat_submit(HANDLE(seglift_driver, driver), &ref, SUBMIT(s)));
}

static void pack_summary(struct pack *out, const seglift_summary *summary)
{
    pack_blob(out, summary->uuid, sizeof summary->uuid);
    pack_text(out, summary->key);
    pack_text(out, summary->owner);
    pack_number(out, (int64_t)summary->segment_bytes);
    pack_number(out, (int64_t)summary->object_bytes);
    pack_number(out, (int64_t)summary->crc64nvme);
    pack_number(out, (int64_t)summary->blocks);
    pack_number(out, (int64_t)summary->block_size);
    pack_number(out, summary->codec);
    pack_number(out, summary->mode);
    pack_number(out, summary->created_us);
    pack_number(out, summary->has_offsets);
    pack_number(out, summary->first_offset);
    pack_number(out, summary->last_offset);
    pack_number(out, summary->format_version);
    pack_number(out, (int64_t)summary->records);
    pack_number(out, (int64_t)summary->first_id);
    pack_number(out, (int64_t)summary->last_id);
    pack_number(out, summary->first_time_us);
    pack_number(out, summary->last_time_us);
    pack_blob(out, summary->token, summary->token_len);
}

/* As io.seglift.SegmentInfo reads it. */
NATIVE(jbyteArray, takeInfo)(JNIEnv *env, jclass self, jlong handle)
{
    seglift_info *info = HANDLE(seglift_info, handle);
    seglift_summary summary = seglift_summary_init();
    struct pack out = {0};
    size_t i;
    (void)self;
    seglift->info_summary(info, &summary, NULL);
    pack_summary(&out, &summary);
    pack_number(&out, summary.metadata_count);
    for (i = 0; i < summary.metadata_count; i++) {
        seglift_pair pair = seglift_pair_init();
        seglift->info_metadata(info, i, &pair, NULL);
        pack_text(&out, pair.name);
        pack_blob(&out, pair.value, pair.value_len);
    }
    pack_number(&out, summary.attachment_count);
    for (i = 0; i < summary.attachment_count; i++) {
        seglift_attachment_info attachment = seglift_attachment_info_init();
        seglift->info_attachment(info, i, &attachment, NULL);
        pack_text(&out, attachment.name);
        pack_number(&out, (int64_t)attachment.len);
        pack_number(&out, (int64_t)attachment.stored_len);
        pack_number(&out, attachment.codec);
        pack_number(&out, (int64_t)attachment.crc64nvme);
    }
    seglift->info_free(info);
    return pack_end(env, &out);
}
