/* Arrays that cross: what io.seglift.Packer writes and io.seglift.Unpacker reads.
 *
 * A number has eight bytes in the machine's order; a blob is its length and its bytes; a text is a blob of UTF-8 with a
 * NUL behind it that its length does not count.
 */
#include <stdlib.h>
#include <string.h>

#include "shim.h"

bool unpack_begin(JNIEnv *env, jbyteArray array, struct packed *in)
{
    in->length = (size_t)(*env)->GetArrayLength(env, array);
    in->at = 0;
    in->bytes = in->length <= sizeof in->small ? in->small : malloc(in->length);
    if (in->bytes == NULL) {
        return false;
    }
    (*env)->GetByteArrayRegion(env, array, 0, (jsize)in->length, (jbyte *)in->bytes);
    return true;
}

void unpack_end(struct packed *in)
{
    if (in->bytes != in->small) {
        free(in->bytes);
    }
}

jlong unpack_number(struct packed *in)
{
    int64_t value;
    memcpy(&value, in->bytes + in->at, sizeof value);
    in->at += sizeof value;
    return value;
}

const void *unpack_blob(struct packed *in, size_t *length)
{
    const char *blob;
    *length = (size_t)unpack_number(in);
    blob = in->bytes + in->at;
    in->at += *length;
    return blob;
}

const char *unpack_text(struct packed *in)
{
    size_t length;
    const char *text = unpack_blob(in, &length);
    in->at++;
    return text;
}

const char *unpack_optional(struct packed *in)
{
    const char *text = unpack_text(in);
    return *text != '\0' ? text : NULL;
}

seglift_ref unpack_ref(struct packed *in)
{
    seglift_ref ref = seglift_ref_init();
    size_t key = strlen(in->bytes) + 1;
    ref.key = in->bytes;
    if (key < in->length) {
        ref.token = in->bytes + key;
        ref.token_len = in->length - key;
    }
    return ref;
}

seglift_call unpack_call(JNIEnv *env, jlongArray packed)
{
    jlong numbers[4];
    seglift_call call = seglift_call_init();
    (*env)->GetLongArrayRegion(env, packed, 0, 4, numbers);
    call.deadline_ms = numbers[0];
    call.stall_ms = numbers[1];
    call.flags = (uint32_t)numbers[2];
    call.priority = (int32_t)numbers[3];
    return call;
}

const char **unpack_keys(struct packed *in, size_t *count)
{
    const char **keys;
    size_t i;
    *count = (size_t)unpack_number(in);
    keys = calloc(*count + 1, sizeof *keys);
    for (i = 0; keys != NULL && i < *count; i++) {
        keys[i] = unpack_text(in);
    }
    return keys;
}

seglift_attachment *unpack_attachments(struct packed *in, size_t *count)
{
    seglift_attachment *attachments;
    size_t i;
    *count = (size_t)unpack_number(in);
    attachments = calloc(*count + 1, sizeof *attachments);
    for (i = 0; attachments != NULL && i < *count; i++) {
        attachments[i] = seglift_attachment_init();
        attachments[i].name = unpack_text(in);
        attachments[i].path = unpack_optional(in);
        attachments[i].data = unpack_blob(in, &attachments[i].len);
        if (attachments[i].path != NULL) {
            attachments[i].data = NULL;
        }
    }
    return attachments;
}

seglift_pair *unpack_metadata(struct packed *in, size_t *count)
{
    seglift_pair *pairs;
    size_t i;
    *count = (size_t)unpack_number(in);
    pairs = calloc(*count + 1, sizeof *pairs);
    for (i = 0; pairs != NULL && i < *count; i++) {
        pairs[i] = seglift_pair_init();
        pairs[i].name = unpack_text(in);
        pairs[i].value = unpack_blob(in, &pairs[i].value_len);
    }
    return pairs;
}

static void append(struct pack *out, const void *data, size_t length)
{
    if (out->failed) {
        return;
    }
    if (out->capacity - out->length < length) {
        size_t capacity = 2 * out->capacity + length + 256;
        char *bytes = realloc(out->bytes, capacity);
        if (bytes == NULL) {
            out->failed = true;
            return;
        }
        out->bytes = bytes;
        out->capacity = capacity;
    }
    if (length > 0) {
        memcpy(out->bytes + out->length, data, length);
        out->length += length;
    }
}

void pack_number(struct pack *out, int64_t value)
{
    append(out, &value, sizeof value);
}

void pack_blob(struct pack *out, const void *data, size_t length)
{
    pack_number(out, (int64_t)length);
    append(out, data, length);
}

void pack_text(struct pack *out, const char *text)
{
    size_t length = strlen(text);
    pack_number(out, (int64_t)length);
    append(out, text, length + 1);
}

void pack_gap(struct pack *out)
{
    static const char zeros[8];
    append(out, zeros, -out->length & 7);
}

jbyteArray pack_end(JNIEnv *env, struct pack *out)
{
    jbyteArray array = NULL;
    if (out->failed || out->length > INT32_MAX) {
        jclass error = (*env)->FindClass(env, "java/lang/OutOfMemoryError");
        if (error != NULL) {
            (*env)->ThrowNew(env, error, "no memory for what seglift has to say");
        }
    } else {
        array = (*env)->NewByteArray(env, (jsize)out->length);
        if (array != NULL) {
            (*env)->SetByteArrayRegion(env, array, 0, (jsize)out->length, (const jbyte *)out->bytes);
        }
    }
    free(out->bytes);
    return array;
}
