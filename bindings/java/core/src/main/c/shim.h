/* The crossing between Java and the C ABI: what its files share.
 *
 * Every native function of io.seglift.Native is one call of the library's table, or one batch of calls. It takes
 * numbers, arrays that Java laid out, and direct buffers; it returns the library's code, and leaves its error and its
 * result as numbers in an array (leave). It makes no object but byte arrays and direct buffers, throws nothing, holds
 * no array of the JVM while the library works (no critical section), and keeps no reference when it returns: the Java
 * side keeps lent buffers reachable until their completion.
 *
 * A jlong that names a handle is its address.
 */
#ifndef SEGLIFT_SHIM_H
#define SEGLIFT_SHIM_H

#include <jni.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "seglift.h"

/* Set by attach, before any other function is called; never unset. */
extern const seglift_api *seglift;

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_io_seglift_Native_##name

#define HANDLE(type, number) ((type *)(intptr_t)(number))
#define NUMBER(pointer) ((jlong)(intptr_t)(pointer))

/* Writes the error and the result, where out has places for them, and returns the code. */
jint leave(JNIEnv *env, jlongArray out, seglift_code code, seglift_error *error, jlong result);

/* An error of the shim's own for leave: no memory for what crosses. */
jint leave_out_of_memory(JNIEnv *env, jlongArray out);

/* The memory of a direct buffer from a position on; NULL for no buffer. */
void *memory_of(JNIEnv *env, jobject buffer, jlong position);

/* ---- In: what a Packer wrote (pack.c) ---- */

/* An array copied out of the JVM, and how far it was read. Texts and blobs point into it. */
struct packed {
    char *bytes;
    size_t length;
    size_t at;
    char small[1280]; /* A key of 1,024 bytes, its NUL, a token of 128: reads allocate nothing. */
};

/* False when there is no memory. unpack_end is due only after true. */
bool unpack_begin(JNIEnv *env, jbyteArray array, struct packed *in);
void unpack_end(struct packed *in);

jlong unpack_number(struct packed *in);
const void *unpack_blob(struct packed *in, size_t *length);
const char *unpack_text(struct packed *in);
/* As unpack_text, with NULL for an empty one. */
const char *unpack_optional(struct packed *in);

/* What io.seglift.Call packed. */
seglift_call unpack_call(JNIEnv *env, jlongArray packed);

/* What io.seglift.SegmentRef packed; it points into `in`. */
seglift_ref unpack_ref(struct packed *in);

/* A configuration with the settings that Engine.pack packed, to be freed also after an error (driver.c). */
seglift_code unpack_config(struct packed *in, seglift_config **config, seglift_error **error);

/* Arrays that the caller frees; their members point into `in`. NULL when there is no memory. */
const char **unpack_keys(struct packed *in, size_t *count);
seglift_attachment *unpack_attachments(struct packed *in, size_t *count);
seglift_pair *unpack_metadata(struct packed *in, size_t *count);

/* ---- Submits (submit.c) ---- */

/* An operation on its way into a queue. */
struct submission {
    struct packed in;
    seglift_call call;
    seglift_queue *queue;
    void *id;
    seglift_op op;
    seglift_error *error;
};

/* The arguments with which every ..._submit of the table ends. */
#define SUBMIT(submission) \
    &(submission).call, (submission).queue, (submission).id, &(submission).op, &(submission).error

/* False when there is no memory; one of the two below is due only after true. */
bool submit_begin(JNIEnv *env, jlong queue, jlong id, jbyteArray packed, jlongArray packed_call,
                  struct submission *submission);
/* What the submit came to. */
jint submit_end(JNIEnv *env, jlongArray out, struct submission *submission, seglift_code code);
/* There was no submit, because there was no memory for what it needs. */
jint submit_out_of_memory(JNIEnv *env, jlongArray out, struct submission *submission);

/* ---- Out: what an Unpacker reads (pack.c) ---- */

/* A document that grows; out of memory shows only in pack_end. */
struct pack {
    char *bytes;
    size_t length;
    size_t capacity;
    bool failed;
};

void pack_number(struct pack *out, int64_t value);
void pack_blob(struct pack *out, const void *data, size_t length);
void pack_text(struct pack *out, const char *text);
/* Zeros up to the next multiple of eight. */
void pack_gap(struct pack *out);
void pack_error(struct pack *out, const seglift_error *error);
/* Whether there is one, and if so that. */
void pack_failure(struct pack *out, const seglift_error *error);
/* The document as an array, and its memory freed; NULL with a pending OutOfMemoryError. */
jbyteArray pack_end(JNIEnv *env, struct pack *out);

#endif /* SEGLIFT_SHIM_H */
