/* Engines, and the queue in which their operations end. */
#include "shim.h"

NATIVE(jint, engineOpen)(JNIEnv *env, jclass self, jbyteArray settings, jlongArray out)
{
    struct packed in;
    seglift_config *config = NULL;
    seglift_engine *engine = NULL;
    seglift_error *error = NULL;
    seglift_code code;
    (void)self;
    if (!unpack_begin(env, settings, &in)) {
        return leave_out_of_memory(env, out);
    }
    code = unpack_config(&in, &config, &error);
    if (code == SEGLIFT_OK) {
        code = seglift->engine_open(config, &engine, &error);
    }
    seglift->config_free(config);
    unpack_end(&in);
    return leave(env, out, code, error, NUMBER(engine));
}

NATIVE(jint, engineFree)(JNIEnv *env, jclass self, jlong engine, jlongArray out)
{
    seglift_error *error = NULL;
    seglift_code code = seglift->engine_free(HANDLE(seglift_engine, engine), &error);
    (void)self;
    return leave(env, out, code, error, 0);
}

/* A text that the library made, freed; NULL with the error in out. */
static jbyteArray take_document(JNIEnv *env, seglift_code code, seglift_bytes *text, seglift_error *error,
                                jlongArray out)
{
    jbyteArray array = NULL;
    leave(env, out, code, error, 0);
    if (code == SEGLIFT_OK) {
        jsize length = (jsize)seglift->bytes_len(text);
        array = (*env)->NewByteArray(env, length);
        if (array != NULL) {
            (*env)->SetByteArrayRegion(env, array, 0, length, seglift->bytes_data(text));
        }
    }
    seglift->bytes_free(text);
    return array;
}

NATIVE(jbyteArray, engineStatus)(JNIEnv *env, jclass self, jlong engine, jlongArray out)
{
    seglift_bytes *json = NULL;
    seglift_error *error = NULL;
    seglift_code code = seglift->status(HANDLE(seglift_engine, engine), &json, &error);
    (void)self;
    return take_document(env, code, json, error, out);
}

NATIVE(jbyteArray, engineMetrics)(JNIEnv *env, jclass self, jlong engine, jlongArray out)
{
    seglift_bytes *text = NULL;
    seglift_error *error = NULL;
    seglift_code code = seglift->metrics(HANDLE(seglift_engine, engine), &text, &error);
    (void)self;
    return take_document(env, code, text, error, out);
}

NATIVE(jbyteArray, logPoll)(JNIEnv *env, jclass self, jlong engine)
{
    seglift_log_line line = seglift_log_line_init();
    struct pack out = {0};
    (void)self;
    if (seglift->log_poll(HANDLE(seglift_engine, engine), &line, NULL) != SEGLIFT_OK) {
        return NULL;
    }
    pack_number(&out, line.time_us);
    pack_number(&out, line.level);
    pack_number(&out, line.repeated);
    pack_number(&out, (int64_t)line.dropped);
    pack_text(&out, seglift->bytes_data(line.text));
    seglift->bytes_free(line.text);
    return pack_end(env, &out);
}

NATIVE(void, cancel)(JNIEnv *env, jclass self, jlong engine, jlong op)
{
    (void)env;
    (void)self;
    seglift->op_cancel(HANDLE(seglift_engine, engine), (seglift_op)op, NULL);
}

NATIVE(jint, queueNew)(JNIEnv *env, jclass self, jlong engine, jint capacity, jlongArray out)
{
    seglift_queue *queue = NULL;
    seglift_error *error = NULL;
    seglift_code code = seglift->queue_new(HANDLE(seglift_engine, engine), (size_t)capacity, &queue, &error);
    (void)self;
    return leave(env, out, code, error, NUMBER(queue));
}

/* The one result that a completion carries besides its error; which kind it is the submitter knows. */
static jlong result_of(const seglift_completion *completion)
{
    const void *results[] = {completion->receipt, completion->bytes,  completion->records, completion->info,
                             completion->results, completion->report, completion->cleanup};
    size_t i;
    for (i = 0; i < sizeof results / sizeof *results; i++) {
        if (results[i] != NULL) {
            return NUMBER(results[i]);
        }
    }
    return 0;
}

/* Fills memory with rows of six numbers, as io.seglift.Completions reads them. Who polls owns what they point to. */
NATIVE(jint, queuePoll)(JNIEnv *env, jclass self, jlong queue, jobject memory, jint max, jlong timeout)
{
    seglift_completion completions[64];
    size_t places = sizeof completions / sizeof *completions;
    jlong *row = memory_of(env, memory, 0);
    size_t n = 0;
    size_t i;
    seglift_code code = seglift->queue_poll(HANDLE(seglift_queue, queue), completions,
                                            (size_t)max < places ? (size_t)max : places, sizeof *completions, timeout,
                                            &n, NULL);
    (void)self;
    if (code != SEGLIFT_OK) {
        return -code;
    }
    for (i = 0; i < n; i++, row += 6) {
        row[0] = NUMBER(completions[i].user_data);
        row[1] = completions[i].kind;
        row[2] = completions[i].code;
        row[3] = (jlong)completions[i].count;
        row[4] = result_of(&completions[i]);
        row[5] = NUMBER(completions[i].error);
    }
    return (jint)n;
}

NATIVE(jint, queueShutdown)(JNIEnv *env, jclass self, jlong queue, jlong timeout, jlongArray out)
{
    seglift_error *error = NULL;
    seglift_code code = seglift->queue_shutdown(HANDLE(seglift_queue, queue), timeout, &error);
    (void)self;
    return leave(env, out, code, error, 0);
}

NATIVE(jint, queueFree)(JNIEnv *env, jclass self, jlong queue, jlongArray out)
{
    seglift_error *error = NULL;
    seglift_code code = seglift->queue_free(HANDLE(seglift_queue, queue), &error);
    (void)self;
    return leave(env, out, code, error, 0);
}
