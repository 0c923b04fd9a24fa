/* Offloads of sealed segments, and receipts. */
#include <stdlib.h>

#include "shim.h"

/* What io.seglift.Segment packed. False when there is no memory. */
static bool unpack_segment(struct packed *in, const void *memory, seglift_segment *segment)
{
    seglift_attachment *attachments;
    seglift_pair *metadata;
    *segment = seglift_segment_init();
    segment->key = unpack_text(in);
    segment->source = (uint32_t)unpack_number(in);
    segment->if_exists = (uint32_t)unpack_number(in);
    segment->codec = (uint32_t)unpack_number(in);
    segment->flags = (uint32_t)unpack_number(in);
    segment->path = unpack_optional(in);
    segment->data = memory;
    segment->offset = (uint64_t)unpack_number(in);
    segment->length = (uint64_t)unpack_number(in);
    segment->first_offset = unpack_number(in);
    segment->last_offset = unpack_number(in);
    segment->expected_kind = (uint32_t)unpack_number(in);
    segment->expected_digest = (uint64_t)unpack_number(in);
    segment->resume = unpack_optional(in);
    segment->attachments = attachments = unpack_attachments(in, &segment->attachment_count);
    segment->attachment_stride = sizeof *attachments;
    if (attachments == NULL) {
        return false;
    }
    segment->metadata = metadata = unpack_metadata(in, &segment->metadata_count);
    segment->metadata_stride = sizeof *metadata;
    if (metadata == NULL) {
        free(attachments);
        return false;
    }
    return true;
}

NATIVE(jint, offload)(JNIEnv *env, jclass self, jlong driver, jlong queue, jlong id, jbyteArray packed, jobject memory,
                      jlongArray packed_call, jlongArray out)
{
    struct submission s;
    seglift_segment segment;
    seglift_code code;
    (void)self;
    if (!submit_begin(env, queue, id, packed, packed_call, &s)) {
        return leave_out_of_memory(env, out);
    }
    if (!unpack_segment(&s.in, memory_of(env, memory, 0), &segment)) {
        return submit_out_of_memory(env, out, &s);
    }
    code = seglift->offload_segment_submit(HANDLE(seglift_driver, driver), &segment, SUBMIT(s));
    free((void *)segment.attachments);
    free((void *)segment.metadata);
    return submit_end(env, out, &s, code);
}

NATIVE(jbyteArray, takeReceipt)(JNIEnv *env, jclass self, jlong handle)
{
    seglift_receipt *receipt = HANDLE(seglift_receipt, handle);
    struct pack out = {0};
    (void)self;
    pack_blob(&out, receipt->uuid, sizeof receipt->uuid);
    pack_number(&out, (int64_t)receipt->segment_bytes);
    pack_number(&out, (int64_t)receipt->object_bytes);
    pack_number(&out, (int64_t)receipt->crc64nvme);
    pack_number(&out, (int64_t)receipt->blocks);
    pack_number(&out, (int64_t)receipt->records);
    pack_number(&out, receipt->codec);
    pack_number(&out, receipt->mode);
    pack_number(&out, receipt->existed);
    pack_number(&out, receipt->atomic_create);
    pack_blob(&out, receipt->token, receipt->token_len);
    pack_number(&out, (int64_t)receipt->resumed_bytes);
    seglift->receipt_free(receipt);
    return pack_end(env, &out);
}
