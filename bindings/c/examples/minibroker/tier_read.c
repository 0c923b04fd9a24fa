/* Reads of segments that only the tier has: first the segment's index, which travels with it as an
 * attachment, then the range that holds the records. What seglift has in memory is answered at once; the
 * rest comes through the completion queue, and the loop goes on meanwhile. */
#include "tier_operation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tier_read {
    struct operation operation; /* first: a completion's user_data is both */
    seglift_op op;
    int64_t offset;
    size_t max;
    uint64_t position, want;    /* what of the segment is being read */
    struct buffer buffer;       /* lent to seglift until the completion */
    tier_read_done *done;       /* NULL: abandoned */
    void *owner;
};

static void finish_read(struct tier *tier, struct tier_read *read, enum read_status status, size_t from, size_t to,
                        const char *message) {
    read->operation.segment->pins--;
    if (status != READ_OK)
        tier->count.read_failures++;
    if (read->done != NULL)
        read->done(read->owner, status, status == READ_OK ? read->buffer.data + from : NULL, to - from, message);
    buffer_free(&read->buffer);
    free(read);
}

static void fail_read(struct tier *tier, struct tier_read *read, seglift_code code, const seglift_error *error) {
    char message[512];
    snprintf(message, sizeof message, "%s: %s", tier->seglift->code_name(code),
             error != NULL ? tier->seglift->error_message(error) : "");
    bool retry = error != NULL && tier->seglift->error_retryable(error);
    finish_read(tier, read, retry ? READ_RETRY : READ_FAILED, 0, 0, message);
}

/* Takes `len` bytes that have arrived. True if the read goes on. */
static bool take_records(struct tier *tier, struct tier_read *read, size_t len) {
    size_t from, to;
    uint64_t left = read->operation.segment->bytes - read->position;
    uint64_t need = records_cut(read->buffer.data, len, read->offset, read->max, &from, &to);
    if (need == 0)
        finish_read(tier, read, READ_OK, from, to, NULL);
    else if (need > left)
        finish_read(tier, read, READ_FAILED, 0, 0, "CORRUPT: the segment's records do not fit its index");
    else {
        read->want = need;
        return true;
    }
    return false;
}

/* Starts the next thing that the read needs. False if the read is over. */
static bool advance_read(struct tier *tier, struct tier_read *read) {
    const seglift_api *seglift = tier->seglift;
    struct segment *segment = read->operation.segment;
    const seglift_ref ref = {sizeof ref, segment->tier.key, segment->tier.token, segment->tier.token_len};
    seglift_error *error = NULL;
    seglift_code code;

    if (segment->index.len == 0) {
        read->operation.kind = READ_INDEX;
        code = seglift->read_attachment_submit(tier->driver, &ref, "index", NULL, tier->queue, read, &read->op, &error);
    } else {
        if (read->want == 0) {
            uint64_t left, want = read->max + INDEX_STEP;
            read->position = index_floor(&segment->index, read->offset);
            left = segment->bytes - read->position;
            read->want = want < left ? want : left;
        }
        for (;;) {
            /* What is in memory is answered at once; only the rest goes through the queue. */
            const seglift_call cached = {.size = sizeof cached, .flags = SEGLIFT_CALL_CACHED_ONLY};
            size_t n = 0;
            read->buffer.len = 0;
            uint8_t *destination = buffer_reserve(&read->buffer, (size_t)read->want);
            code = seglift->read_range(tier->driver, &ref, read->position, destination, (size_t)read->want, &cached,
                                       &n, &error);
            if (code != SEGLIFT_OK)
                break;
            tier->count.cached_reads++;
            if (!take_records(tier, read, n))
                return false;
        }
        if (code == SEGLIFT_WOULD_BLOCK) {
            seglift->error_free(error);
            error = NULL;
            read->operation.kind = READ_RECORDS;
            code = seglift->read_range_submit(tier->driver, &ref, read->position, read->buffer.data,
                                              (size_t)read->want, NULL, tier->queue, read, &read->op, &error);
        }
    }
    if (code == SEGLIFT_OK)
        return true;
    fail_read(tier, read, code, error);
    seglift->error_free(error);
    return false;
}

struct tier_read *tier_read_begin(struct tier *tier, struct segment *segment, int64_t offset, size_t max,
                                  tier_read_done *done, void *owner) {
    tier->count.reads++;
    if (tier->driver == NULL) {
        tier->count.read_failures++;
        done(owner, READ_RETRY, NULL, 0, "UNAVAILABLE: the tier cannot be opened");
        return NULL;
    }
    struct tier_read *read = allocate(sizeof *read);
    *read = (struct tier_read){
        .operation = {READ_INDEX, segment}, .offset = offset, .max = max, .done = done, .owner = owner};
    segment->pins++;
    return advance_read(tier, read) ? read : NULL;
}

void tier_read_abandon(struct tier *tier, struct tier_read *read) {
    read->done = NULL;
    tier->seglift->op_cancel(tier->engine, read->op, NULL);
}

void read_done(struct tier *tier, struct operation *operation, seglift_completion *c) {
    struct tier_read *read = (struct tier_read *)operation;
    struct segment *segment = read->operation.segment;
    if (c->code != SEGLIFT_OK) {
        fail_read(tier, read, c->code, c->error);
        return;
    }
    if (read->done == NULL) {
        finish_read(tier, read, READ_OK, 0, 0, NULL);
        return;
    }
    if (read->operation.kind == READ_INDEX) {
        if (segment->index.len == 0) /* else another reader was first */
            buffer_append(&segment->index, tier->seglift->bytes_data(c->bytes), tier->seglift->bytes_len(c->bytes));
        if (segment->index.len == 0)
            finish_read(tier, read, READ_FAILED, 0, 0, "CORRUPT: the segment's index is empty");
        else
            advance_read(tier, read);
    } else if (take_records(tier, read, (size_t)c->count))
        advance_read(tier, read);
}
