#define _GNU_SOURCE
#include "tier_operation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    /* More than all connections and offloads together can have in flight, so submits never find it full. */
    QUEUE_CAPACITY = 1024,
    COMPLETIONS_AT_ONCE = 32,
    RETRY_FIRST_US = 200 * 1000,
    RETRY_LAST_US = 5 * 1000 * 1000,
    CLOSE_TIMEOUT_MS = 10 * 1000,
};

static int64_t backoff_us(unsigned failures) {
    int64_t wait = RETRY_FIRST_US;
    while (--failures > 0 && wait < RETRY_LAST_US)
        wait *= 2;
    return wait < RETRY_LAST_US ? wait : RETRY_LAST_US;
}

/* Says why something failed and frees the error. */
static void complain(const struct tier *tier, const char *what, seglift_code code, seglift_error *error) {
    say("%s: %s: %s", what, tier->seglift->code_name(code),
        error != NULL ? tier->seglift->error_message(error) : "no more is known");
    tier->seglift->error_free(error);
}

/* ---- open and close ---- */

static void open_driver(struct tier *tier, int64_t now) {
    if (tier->driver != NULL || now < tier->open_retry_us)
        return;
    seglift_error *error = NULL;
    seglift_code code = tier->seglift->open(tier->engine, tier->uri, tier->config, &tier->driver, &error);
    if (code == SEGLIFT_OK) {
        say("the tier is %s", tier->uri);
        return;
    }
    tier->driver = NULL;
    complain(tier, "the tier cannot be opened, segments stay here", code, error);
    /* Waiting does not mend a malformed URI. Anything else may be a mount that comes later. */
    if (code == SEGLIFT_INVALID_ARGUMENT)
        exit(1);
    tier->open_retry_us = now + backoff_us(++tier->open_failures);
}

void tier_open(struct tier *tier, const char *const *settings, size_t count) {
    const seglift_api *seglift = tier->seglift;
    seglift_error *error = NULL;
    seglift_code code = seglift->config_new(&tier->config, &error);
    for (size_t i = 0; code == SEGLIFT_OK && i < count; i++) {
        char *key = format_string("%s", settings[i]), *value = strchr(key, '=');
        if (value == NULL)
            die("--set %s: a setting is written key=value", settings[i]);
        *value++ = 0;
        code = seglift->config_set(tier->config, key, value, &error);
        free(key);
    }
    tier->policy = (seglift_policy){.size = sizeof tier->policy};
    if (code == SEGLIFT_OK)
        code = seglift->plan_policy(tier->config, &tier->policy, &error);
    if (code == SEGLIFT_OK)
        code = seglift->engine_open(tier->config, &tier->engine, &error);
    if (code == SEGLIFT_OK)
        code = seglift->queue_new(tier->engine, QUEUE_CAPACITY, &tier->queue, &error);
    if (code != SEGLIFT_OK) {
        complain(tier, "seglift", code, error);
        exit(1);
    }
    open_driver(tier, now_us());
}

void tier_close(struct tier *tier) {
    const seglift_api *seglift = tier->seglift;
    seglift_error *error = NULL;
    seglift_code code = seglift->queue_shutdown(tier->queue, CLOSE_TIMEOUT_MS, &error);
    if (code == SEGLIFT_OK)
        tier_completions(tier);
    if (code == SEGLIFT_OK && tier->driver != NULL) {
        code = seglift->driver_close(tier->driver, CLOSE_TIMEOUT_MS, &error);
    }
    if (code == SEGLIFT_OK) {
        seglift->driver_free(tier->driver);
        code = seglift->queue_free(tier->queue, &error);
    }
    if (code == SEGLIFT_OK)
        code = seglift->engine_free(tier->engine, &error);
    /* The process ends anyway, and what was in flight is repeated at the next start. */
    if (code != SEGLIFT_OK)
        complain(tier, "seglift does not close", code, error);
    seglift->config_free(tier->config);
}

int tier_fd(const struct tier *tier) { return tier->seglift->queue_fd(tier->queue); }

/* ---- offload ---- */

/* A key that nobody else uses, neither another broker nor an earlier attempt. */
static char *new_key(const struct tier *tier, const struct segment *segment) {
    uint8_t u[16];
    if (getrandom(u, sizeof u, 0) != sizeof u)
        die("no random bytes: %s", strerror(errno));
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x40); /* a UUID, version 4 */
    u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
    return format_string("%s/%020" PRId64
                         "-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                         tier->name, segment->base, u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9],
                         u[10], u[11], u[12], u[13], u[14], u[15]);
}

static void retry_later(struct segment *segment) {
    segment->retry_us = now_us() + backoff_us(++segment->failures);
}

static void offload(struct tier *tier, struct segment *segment) {
    if (segment->tier.key == NULL) {
        char *key = new_key(tier, segment);
        if (journal_begin(&tier->journal, segment, key) != 0) {
            say("cannot write tier.log: %s", strerror(errno));
            free(key);
            retry_later(segment);
            return;
        }
        segment->tier.key = key;
    }
    char *path = log_path(tier->log, segment);
    static const char content_type[] = "application/x-minibroker-log";
    const seglift_pair metadata = {sizeof metadata, "content-type", content_type, sizeof content_type - 1};
    /* Readers need the index, and the local one goes with the local copy. */
    const seglift_attachment index = {
        .size = sizeof index, .name = "index", .data = segment->index.data, .len = segment->index.len};
    const seglift_segment what = {
        .size = sizeof what,
        .key = segment->tier.key,
        .source = SEGLIFT_SOURCE_PATH,
        .path = path,
        .length = segment->bytes,
        .flags = SEGLIFT_SEGMENT_HAS_OFFSETS,
        .first_offset = segment->base,
        .last_offset = segment->next - 1,
        .attachments = &index,
        .attachment_count = 1,
        .attachment_stride = sizeof index,
        .metadata = &metadata,
        .metadata_count = 1,
        .metadata_stride = sizeof metadata,
        /* The chain of checksums begins here: what left the broker is what the store gets. */
        .expected_kind = SEGLIFT_DIGEST_CRC32C,
        .expected_digest = segment->crc,
    };
    struct operation *operation = allocate(sizeof *operation);
    *operation = (struct operation){OFFLOAD, segment};
    seglift_op op;
    seglift_error *error = NULL;
    seglift_code code =
        tier->seglift->offload_segment_submit(tier->driver, &what, NULL, tier->queue, operation, &op, &error);
    free(path);
    if (code != SEGLIFT_OK) {
        complain(tier, "offload", code, error);
        free(operation);
        tier->count.offload_failures++;
        retry_later(segment);
        return;
    }
    segment->offloading = true;
    tier->offloading++;
}

static void offload_done(struct tier *tier, struct segment *segment, seglift_completion *c) {
    segment->offloading = false;
    tier->offloading--;
    if (c->code == SEGLIFT_OK) {
        struct tier_copy copy = segment->tier;
        copy.committed_us = now_us();
        copy.object_bytes = c->receipt->object_bytes;
        copy.token_len = c->receipt->token_len;
        memcpy(copy.token, c->receipt->token, copy.token_len);
        if (journal_commit(&tier->journal, segment, &copy) == 0) {
            copy.committed = true;
            segment->tier = copy;
            segment->failures = 0;
            tier->count.offloads++;
            return;
        }
        /* The object is there; the next attempt finds it and brings the same receipt. */
        say("cannot write tier.log: %s", strerror(errno));
    } else {
        say("offload of %s: %s: %s", segment->tier.key, tier->seglift->code_name(c->code),
            tier->seglift->error_message(c->error));
        if (c->code == SEGLIFT_ALREADY_EXISTS) {
            /* Something else has our key, so nothing of ours is there: another UUID. */
            free(segment->tier.key);
            segment->tier.key = NULL;
        }
    }
    tier->count.offload_failures++;
    retry_later(segment);
}

/* ---- retention ---- */

/* Nothing of the segment is left: neither object nor file. True if it could be noted. */
static bool forget(struct tier *tier, struct segment *segment) {
    if (journal_deleted(&tier->journal, segment) != 0) {
        retry_later(segment);
        return false;
    }
    log_remove(tier->log, segment);
    return true;
}

/* One step towards the end of an expired segment. True if the segment is gone. */
static bool expire(struct tier *tier, struct segment *segment, int64_t now) {
    if (!segment->expiring) {
        if (journal_delete(&tier->journal, segment) != 0)
            return false;
        segment->expiring = true;
    }
    /* What is in flight ends first: its struct and its file are in use. */
    if (segment->offloading || segment->deleting || segment->pins > 0 || now < segment->retry_us)
        return false;
    if (log_drop_local(tier->log, segment) != 0) {
        retry_later(segment);
        return false;
    }
    if (segment->tier.key == NULL)
        return forget(tier, segment);
    struct operation *operation = allocate(sizeof *operation);
    *operation = (struct operation){DELETE, segment};
    const char *key = segment->tier.key;
    seglift_op op;
    seglift_error *error = NULL;
    seglift_code code = tier->seglift->delete_submit(tier->driver, &key, 1, NULL, tier->queue, operation, &op, &error);
    if (code != SEGLIFT_OK) {
        complain(tier, "delete", code, error);
        free(operation);
        retry_later(segment);
        return false;
    }
    segment->deleting = true;
    return false;
}

static void delete_done(struct tier *tier, struct segment *segment, seglift_completion *c) {
    segment->deleting = false;
    if (c->code == SEGLIFT_OK) {
        tier->count.deletions++;
        forget(tier, segment);
        return;
    }
    say("delete of %s: %s: %s", segment->tier.key, tier->seglift->code_name(c->code),
        tier->seglift->error_message(c->error));
    retry_later(segment);
}

/* ---- the plan ---- */

static void drain_logs(struct tier *tier) {
    seglift_log_line line = {.size = sizeof line};
    while (tier->seglift->log_poll(tier->engine, &line, NULL) == SEGLIFT_OK) {
        say("seglift: %.*s", (int)tier->seglift->bytes_len(line.text),
            (const char *)tier->seglift->bytes_data(line.text));
        tier->seglift->bytes_free(line.text);
        line = (seglift_log_line){.size = sizeof line};
    }
}

static void act(struct tier *tier, struct segment *segment, uint32_t actions, int64_t now) {
    /* Dropping what the tier does not have is what retention asks for, and nothing else. */
    if (actions & SEGLIFT_ACTION_DELETE_TIERED ||
        (actions & SEGLIFT_ACTION_DROP_LOCAL && !segment->tier.committed)) {
        expire(tier, segment, now);
        return;
    }
    if (actions & SEGLIFT_ACTION_OFFLOAD && !segment->offloading && tier->offloading < tier->max_offloads &&
        now >= segment->retry_us)
        offload(tier, segment);
    if (actions & SEGLIFT_ACTION_DROP_LOCAL) {
        if (log_drop_local(tier->log, segment) != 0)
            say("cannot drop the local copy of %s: %s", segment->tier.key, strerror(errno));
        else
            tier->count.drops++;
        /* A segment that only the tier has costs no memory until someone reads it. */
        buffer_free(&segment->index);
    }
}

void tier_tick(struct tier *tier) {
    drain_logs(tier);
    int64_t now = now_us();
    open_driver(tier, now);
    if (tier->driver == NULL)
        return;

    struct log *log = tier->log;
    for (size_t i = 0; i < log->count;)
        if (!log->segments[i]->expiring || !expire(tier, log->segments[i], now))
            i++;
    /* Planned on a copy of the list, because what the plan asks for may shorten the list. */
    size_t count = 0;
    struct segment **segments = allocate(log->count * sizeof *segments);
    seglift_segment_state *states = allocate(log->count * sizeof *states);
    uint32_t *actions = allocate(log->count * sizeof *actions);
    for (size_t i = 0; i < log->count; i++) {
        struct segment *segment = log->segments[i];
        if (segment->expiring)
            continue;
        segments[count] = segment;
        states[count++] = (seglift_segment_state){
            .size = sizeof *states,
            .base_offset = segment->base,
            .next_offset = segment->next,
            .bytes = segment->bytes,
            .sealed_us = segment->sealed_us,
            .offloaded_us = segment->tier.committed ? segment->tier.committed_us : 0,
            .flags = segment->fd >= 0 ? SEGLIFT_STATE_LOCAL : 0,
        };
    }
    if (tier->journal.offload_before >= 0) {
        tier->policy.offload_before = tier->journal.offload_before;
        tier->policy.flags |= SEGLIFT_POLICY_HAS_OFFLOAD_BEFORE;
    }
    seglift_error *error = NULL;
    seglift_code code =
        tier->seglift->plan(&tier->policy, states, count, sizeof *states, now, actions, &error);
    if (code != SEGLIFT_OK)
        complain(tier, "plan", code, error);
    else
        for (size_t i = 0; i < count; i++)
            act(tier, segments[i], actions[i], now);
    free(segments);
    free(states);
    free(actions);
}

/* ---- completions ---- */

static void complete(struct tier *tier, seglift_completion *c) {
    struct operation *operation = c->user_data;
    switch (operation->kind) {
    case OFFLOAD:
        offload_done(tier, operation->segment, c);
        free(operation);
        return;
    case DELETE:
        delete_done(tier, operation->segment, c);
        free(operation);
        return;
    case READ_INDEX:
    case READ_RECORDS:
        read_done(tier, operation, c);
        return;
    }
}

void tier_completions(struct tier *tier) {
    seglift_completion done[COMPLETIONS_AT_ONCE];
    size_t n;
    do {
        memset(done, 0, sizeof done);
        for (size_t i = 0; i < COMPLETIONS_AT_ONCE; i++)
            done[i].size = sizeof done[i];
        n = 0;
        seglift_error *error = NULL;
        seglift_code code =
            tier->seglift->queue_poll(tier->queue, done, COMPLETIONS_AT_ONCE, sizeof *done, 0, &n, &error);
        if (code != SEGLIFT_OK && code != SEGLIFT_CLOSED)
            complain(tier, "completion queue", code, error);
        else
            tier->seglift->error_free(error);
        for (size_t i = 0; i < n; i++) {
            complete(tier, &done[i]);
            tier->seglift->completion_clear(&done[i]);
        }
    } while (n == COMPLETIONS_AT_ONCE);
}
