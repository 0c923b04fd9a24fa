#define _GNU_SOURCE
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CRC_TEXT = 9 }; /* eight digits and a space */

/* ---- writing ---- */

__attribute__((format(printf, 2, 3))) static int write_line(struct journal *journal, const char *format, ...) {
    char text[1024], line[CRC_TEXT + sizeof text + 1];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof text)
        return errno = ENAMETOOLONG, -1;
    len = snprintf(line, sizeof line, "%08" PRIx32 " %s\n", crc32c(0, text, (size_t)len), text);
    ssize_t n = pwrite(journal->fd, line, (size_t)len, (off_t)journal->bytes);
    if (n == len && fdatasync(journal->fd) == 0) {
        journal->bytes += (uint64_t)len;
        return 0;
    }
    int why = n >= 0 && n < len ? ENOSPC : errno;
    /* The line must not come back at the next start, for nobody acts on it. */
    if (ftruncate(journal->fd, (off_t)journal->bytes) != 0)
        die("cannot take back a line of tier.log: %s", strerror(errno));
    return errno = why, -1;
}

int journal_begin(struct journal *journal, const struct segment *segment, const char *key) {
    return write_line(journal, "begin %" PRId64 " %" PRId64 " %" PRIu64 " %s", segment->base, segment->next,
                      segment->bytes, key);
}

int journal_commit(struct journal *journal, const struct segment *segment, const struct tier_copy *copy) {
    char token[2 * sizeof copy->token + 1] = "";
    for (uint32_t i = 0; i < copy->token_len; i++)
        sprintf(token + 2 * i, "%02x", copy->token[i]);
    return write_line(journal, "commit %" PRId64 " %" PRId64 " %" PRIu64 " %" PRId64 " %" PRId64 " %" PRIu64 " %s %s",
                      segment->base, segment->next, segment->bytes, segment->sealed_us, copy->committed_us,
                      copy->object_bytes, token, copy->key);
}

int journal_delete(struct journal *journal, const struct segment *segment) {
    return write_line(journal, "delete %" PRId64 " %" PRId64 " %" PRIu64, segment->base, segment->next,
                      segment->bytes);
}

int journal_deleted(struct journal *journal, const struct segment *segment) {
    return write_line(journal, "deleted %" PRId64, segment->base);
}

int journal_before(struct journal *journal, int64_t offset) {
    if (write_line(journal, "before %" PRId64, offset) != 0)
        return -1;
    journal->offload_before = offset;
    return 0;
}

/* ---- reading ---- */

static struct segment *segment_at(struct log *log, int64_t base) {
    for (size_t i = log->count; i > 0; i--)
        if (log->segments[i - 1]->base == base)
            return log->segments[i - 1];
    return log_insert(log, base);
}

static bool parse_token(const char *hex, struct tier_copy *copy) {
    size_t len = strlen(hex);
    if (len % 2 != 0 || len / 2 > sizeof copy->token)
        return false;
    for (size_t i = 0; i < len / 2; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            return false;
        copy->token[i] = (uint8_t)byte;
    }
    copy->token_len = (uint32_t)(len / 2);
    return true;
}

/* Applies one line; false if it is none. */
static bool replay(struct journal *journal, struct log *log, const char *text) {
    struct segment told = {0};
    char key[600], token[300];
    int64_t offset;
    if (sscanf(text, "begin %" SCNd64 " %" SCNd64 " %" SCNu64 " %599s", &told.base, &told.next, &told.bytes, key) == 4) {
        struct segment *segment = segment_at(log, told.base);
        segment->next = told.next;
        segment->bytes = told.bytes;
        free(segment->tier.key);
        segment->tier.key = format_string("%s", key);
        return true;
    }
    if (sscanf(text, "commit %" SCNd64 " %" SCNd64 " %" SCNu64 " %" SCNd64 " %" SCNd64 " %" SCNu64 " %299s %599s",
               &told.base, &told.next, &told.bytes, &told.sealed_us, &told.tier.committed_us,
               &told.tier.object_bytes, token, key) == 8) {
        if (!parse_token(token, &told.tier))
            return false;
        struct segment *segment = segment_at(log, told.base);
        free(segment->tier.key);
        segment->next = told.next;
        segment->bytes = told.bytes;
        segment->sealed_us = told.sealed_us;
        segment->tier = told.tier;
        segment->tier.committed = true;
        segment->tier.key = format_string("%s", key);
        return true;
    }
    if (sscanf(text, "delete %" SCNd64 " %" SCNd64 " %" SCNu64, &told.base, &told.next, &told.bytes) == 3) {
        struct segment *segment = segment_at(log, told.base);
        segment->next = told.next;
        segment->bytes = told.bytes;
        segment->expiring = true;
        return true;
    }
    if (sscanf(text, "deleted %" SCNd64, &told.base) == 1) {
        log_remove(log, segment_at(log, told.base));
        return true;
    }
    if (sscanf(text, "before %" SCNd64, &offset) == 1) {
        journal->offload_before = offset;
        return true;
    }
    return false;
}

static void read_lines(struct journal *journal, struct log *log, char *text, const char *path) {
    for (int number = 1; *text != 0; number++) {
        char *end = strchr(text, '\n'), *next = end != NULL ? end + 1 : text + strlen(text);
        if (end != NULL)
            *end = 0;
        uint32_t crc;
        bool whole = end != NULL && sscanf(text, "%8" SCNx32 " ", &crc) == 1 && strlen(text) > CRC_TEXT &&
                     crc == crc32c(0, text + CRC_TEXT, strlen(text + CRC_TEXT));
        if (!whole && *next == 0)
            return; /* torn: nobody has acted on it */
        if (!whole || !replay(journal, log, text + CRC_TEXT))
            die("%s is damaged at line %d; restore it from a backup", path, number);
        text = next;
    }
}

static int write_state(struct journal *journal, const struct log *log) {
    if (journal->offload_before >= 0 && journal_before(journal, journal->offload_before) != 0)
        return -1;
    for (size_t i = 0; i < log->count; i++) {
        const struct segment *segment = log->segments[i];
        const struct tier_copy *tier = &segment->tier;
        if (tier->key != NULL && (tier->committed ? journal_commit(journal, segment, tier)
                                                  : journal_begin(journal, segment, tier->key)) != 0)
            return -1;
        if (segment->expiring && journal_delete(journal, segment) != 0)
            return -1;
    }
    return 0;
}

void journal_open(struct journal *journal, struct log *log) {
    *journal = (struct journal){.fd = -1, .offload_before = -1};
    char *path = format_string("%s/tier.log", log->dir), *fresh = format_string("%s/tier.log.new", log->dir);
    int old = open(path, O_RDONLY | O_CLOEXEC);
    if (old < 0 && errno != ENOENT)
        die("cannot open %s: %s", path, strerror(errno));
    if (old >= 0) {
        struct buffer text = {0};
        ssize_t n;
        while ((n = read(old, buffer_reserve(&text, 65536), 65535)) > 0)
            text.len += (size_t)n;
        if (n < 0)
            die("cannot read %s: %s", path, strerror(errno));
        *buffer_reserve(&text, 1) = 0;
        read_lines(journal, log, (char *)text.data, path);
        buffer_free(&text);
        close(old);
    }
    journal->fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (journal->fd < 0 || write_state(journal, log) != 0 || rename(fresh, path) != 0 || fsync(log->dir_fd) != 0)
        die("cannot write %s: %s", path, strerror(errno));
    free(path);
    free(fresh);
}

void journal_close(struct journal *journal) { close(journal->fd); }
