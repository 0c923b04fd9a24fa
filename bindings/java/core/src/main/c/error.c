/* Errors, as io.seglift.ErrorReport reads them. */
#include "shim.h"

void pack_error(struct pack *out, const seglift_error *error)
{
    pack_number(out, seglift->error_code(error));
    pack_text(out, seglift->error_message(error));
    pack_number(out, seglift->error_http_status(error));
    pack_text(out, seglift->error_service_code(error));
    pack_text(out, seglift->error_request_id(error));
    pack_text(out, seglift->error_extended_request_id(error));
    pack_number(out, seglift->error_retryable(error));
    pack_number(out, seglift->error_retry_after_ms(error));
}

void pack_failure(struct pack *out, const seglift_error *error)
{
    pack_number(out, error != NULL);
    if (error != NULL) {
        pack_error(out, error);
    }
}

NATIVE(jbyteArray, takeError)(JNIEnv *env, jclass self, jlong error)
{
    struct pack out = {0};
    (void)self;
    pack_error(&out, HANDLE(seglift_error, error));
    seglift->error_free(HANDLE(seglift_error, error));
    return pack_end(env, &out);
}

NATIVE(void, freeError)(JNIEnv *env, jclass self, jlong error)
{
    (void)env;
    (void)self;
    seglift->error_free(HANDLE(seglift_error, error));
}
