/* Submits: what every operation that ends in the queue crosses with, once. */
#include "shim.h"

bool submit_begin(JNIEnv *env, jlong queue, jlong id, jbyteArray packed, jlongArray packed_call,
                  struct submission *submission)
{
    submission->call = unpack_call(env, packed_call);
    submission->queue = HANDLE(seglift_queue, queue);
    submission->id = HANDLE(void, id);
    submission->op = 0;
    submission->error = NULL;
    return unpack_begin(env, packed, &submission->in);
}

jint submit_end(JNIEnv *env, jlongArray out, struct submission *submission, seglift_code code)
{
    unpack_end(&submission->in);
    return leave(env, out, code, submission->error, (jlong)submission->op);
}

jint submit_out_of_memory(JNIEnv *env, jlongArray out, struct submission *submission)
{
    unpack_end(&submission->in);
    return leave_out_of_memory(env, out);
}
