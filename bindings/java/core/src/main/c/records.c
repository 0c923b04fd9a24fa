/* Batches of records, copied into one piece of memory that Java walks over without a call for each.
 *
 * In front stand three numbers: how many records, the id to read on with, whether the segment has no more. Then, for
 * each, id, time, length and payload as io.seglift.RecordLayout says, with a gap up to the next multiple of eight.
 */
#include <stdlib.h>
#include <string.h>

#include "shim.h"

NATIVE(jint, readRecords)(JNIEnv *env, jclass self, jlong driver, jlong queue, jlong id, jbyteArray packed, jlong first,
                          jlong max_records, jlong max_bytes, jlongArray packed_call, jlongArray out)
{
    struct submission s;
    seglift_ref ref;
    (void)self;
    if (!submit_begin(env, queue, id, packed, packed_call, &s)) {
        return leave_out_of_memory(env, out);
    }
    ref = unpack_ref(&s.in);
    return submit_end(env, out, &s,
                      seglift->read_records_submit(HANDLE(seglift_driver, driver), &ref, (uint64_t)first,
                                                   (uint64_t)max_records, (uint64_t)max_bytes, SUBMIT(s)));
}

/* A batch can be walked over once, so what it needs is found out while it is copied. */
static char *copy_records(seglift_records *records, size_t *length)
{
    struct pack memory = {0};
    seglift_record record = seglift_record_init();
    pack_number(&memory, (int64_t)seglift->records_count(records));
    pack_number(&memory, (int64_t)seglift->records_next_id(records));
    pack_number(&memory, seglift->records_at_end(records));
    while (seglift->records_next(records, &record, NULL) == SEGLIFT_OK) {
        pack_number(&memory, (int64_t)record.id);
        pack_number(&memory, record.time_us);
        pack_blob(&memory, record.data, record.len);
        pack_gap(&memory);
    }
    *length = memory.length;
    if (memory.failed || memory.length > INT32_MAX) {
        free(memory.bytes);
        return NULL;
    }
    return memory.bytes;
}

NATIVE(jobject, takeRecords)(JNIEnv *env, jclass self, jlong handle, jlongArray out)
{
    size_t length;
    char *memory = copy_records(HANDLE(seglift_records, handle), &length);
    jobject view;
    (void)self;
    seglift->records_free(HANDLE(seglift_records, handle));
    if (memory == NULL) {
        return NULL;
    }
    leave(env, out, SEGLIFT_OK, NULL, NUMBER(memory));
    view = (*env)->NewDirectByteBuffer(env, memory, (jlong)length);
    if (view == NULL) {
        free(memory);
    }
    return view;
}

NATIVE(void, freeMemory)(JNIEnv *env, jclass self, jlong address)
{
    (void)env;
    (void)self;
    free(HANDLE(void, address));
}
