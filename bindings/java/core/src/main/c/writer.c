/* Segments that are written in pieces. A full writer signals to the queue under its id. */
#include <stdlib.h>
#include <string.h>

#include "shim.h"

/* id, time and length stand in front of a payload: io.seglift.RecordLayout. */
enum { RECORD_HEADER = 3 * sizeof(int64_t) };

NATIVE(jint, writerOpen)(JNIEnv *env, jclass self, jlong driver, jlong queue, jlong id, jbyteArray packed,
                         jlongArray packed_call, jlongArray out)
{
    struct packed in;
    seglift_writer_options options = seglift_writer_options_init();
    seglift_pair *metadata;
    seglift_call call = unpack_call(env, packed_call);
    seglift_writer *writer = NULL;
    seglift_error *error = NULL;
    seglift_code code;
    (void)self;
    if (!unpack_begin(env, packed, &in)) {
        return leave_out_of_memory(env, out);
    }
    options.key = unpack_text(&in);
    options.mode = (uint32_t)unpack_number(&in);
    options.codec = (uint32_t)unpack_number(&in);
    options.if_exists = (uint32_t)unpack_number(&in);
    options.max_bytes = (uint64_t)unpack_number(&in);
    options.metadata = metadata = unpack_metadata(&in, &options.metadata_count);
    options.metadata_stride = sizeof *metadata;
    options.queue = HANDLE(seglift_queue, queue);
    options.user_data = HANDLE(void, id);
    if (metadata == NULL) {
        unpack_end(&in);
        return leave_out_of_memory(env, out);
    }
    code = seglift->writer_open(HANDLE(seglift_driver, driver), &options, &call, &writer, &error);
    free(metadata);
    unpack_end(&in);
    return leave(env, out, code, error, NUMBER(writer));
}

NATIVE(jint, writerWrite)(JNIEnv *env, jclass self, jlong writer, jobject from, jint position, jint length,
                          jlongArray out)
{
    size_t written = 0;
    seglift_error *error = NULL;
    seglift_code code = seglift->writer_write(HANDLE(seglift_writer, writer), memory_of(env, from, position),
                                              (size_t)length, NULL, &written, &error);
    (void)self;
    return leave(env, out, code, error, (jlong)written);
}

/* The record at `at`, and where the next one begins. */
static const char *unpack_record(const char *at, seglift_record_in *record)
{
    int64_t header[3];
    memcpy(header, at, sizeof header);
    *record = seglift_record_in_init();
    record->id = (uint64_t)header[0];
    record->time_us = header[1];
    record->data = at + RECORD_HEADER;
    record->len = (size_t)header[2];
    return at + RECORD_HEADER + ((record->len + 7) & ~(size_t)7);
}

/* Appends until the writer is full, something fails, or all are taken. */
NATIVE(jint, writerAppend)(JNIEnv *env, jclass self, jlong writer, jobject from, jint position, jint limit,
                           jlongArray out)
{
    enum { BATCH = 128 };
    seglift_record_in records[BATCH];
    const char *starts[BATCH + 1];
    const char *begin = memory_of(env, from, position);
    const char *end = begin + (limit - position);
    const char *at = begin;
    seglift_error *error = NULL;
    seglift_code code = SEGLIFT_OK;
    (void)self;
    while (at < end && code == SEGLIFT_OK) {
        size_t n = 0;
        size_t appended = 0;
        starts[0] = at;
        while (n < BATCH && starts[n] < end) {
            starts[n + 1] = unpack_record(starts[n], &records[n]);
            n++;
        }
        code = seglift->writer_append_many(HANDLE(seglift_writer, writer), records, n, sizeof *records, NULL, &appended,
                                           &error);
        at = starts[appended];
        if (code == SEGLIFT_OK && appended < n) {
            break;
        }
    }
    return leave(env, out, code, error, at - begin);
}

NATIVE(jint, writerCommit)(JNIEnv *env, jclass self, jlong writer, jlong queue, jlong id, jbyteArray packed,
                           jlongArray packed_call, jlongArray out)
{
    struct submission s;
    seglift_writer_finish finish = seglift_writer_finish_init();
    seglift_attachment *attachments;
    seglift_code code;
    (void)self;
    if (!submit_begin(env, queue, id, packed, packed_call, &s)) {
        return leave_out_of_memory(env, out);
    }
    finish.attachments = attachments = unpack_attachments(&s.in, &finish.attachment_count);
    finish.attachment_stride = sizeof *attachments;
    if (attachments == NULL) {
        return submit_out_of_memory(env, out, &s);
    }
    finish.flags = (uint32_t)unpack_number(&s.in);
    finish.first_offset = unpack_number(&s.in);
    finish.last_offset = unpack_number(&s.in);
    finish.expected_kind = (uint32_t)unpack_number(&s.in);
    finish.expected_digest = (uint64_t)unpack_number(&s.in);
    code = seglift->writer_commit_submit(HANDLE(seglift_writer, writer), &finish, SUBMIT(s));
    free(attachments);
    return submit_end(env, out, &s, code);
}

NATIVE(jint, writerAbort)(JNIEnv *env, jclass self, jlong writer, jlong queue, jlong id, jlongArray packed_call,
                          jlongArray out)
{
    seglift_call call = unpack_call(env, packed_call);
    seglift_op op = 0;
    seglift_error *error = NULL;
    seglift_code code = seglift->writer_abort_submit(HANDLE(seglift_writer, writer), &call,
                                                     HANDLE(seglift_queue, queue), HANDLE(void, id), &op, &error);
    (void)self;
    return leave(env, out, code, error, (jlong)op);
}

NATIVE(void, writerFree)(JNIEnv *env, jclass self, jlong writer)
{
    (void)env;
    (void)self;
    seglift->writer_free(HANDLE(seglift_writer, writer));
}
