/* The segmented log: append-only files named by their first offset, in one folder.
 *
 * A record on disk, and in the answers to readers, is (little-endian)
 *
 *     u32 payload length   u32 CRC-32C of the offset's and the payload's bytes   u64 offset   payload
 *
 * Invariants. Offsets are dense: a segment's records run from `base` to `next` - 1, and the next
 * segment's base is that `next`. Only the last segment is open; the others are sealed and never change.
 * What was acknowledged survives the process, because it was written before the answer; it survives the
 * machine after SYNC, and once its segment is sealed. A torn record at the end of the open segment was
 * never acknowledged; recovery cuts it off. A torn sealed segment is damage, and the broker refuses to
 * start on it, unless the tier has that segment.
 *
 * A segment stays in the list when its file is dropped: then only the tier has it.
 */
#ifndef MINIBROKER_LOG_H
#define MINIBROKER_LOG_H

#include "util.h"

enum {
    RECORD_HEADER = 16,
    MAX_PAYLOAD = 8 << 20,
    /* About so far stand a segment's index entries apart: what a reader reads for nothing at most.
     * 4 KiB is what a disk reads anyway. */
    INDEX_STEP = 4096,
};

/* What the broker knows about a segment's copy in the tier. */
struct tier_copy {
    char *key;             /* of the only attempt whose object may exist; NULL before the first */
    bool committed;        /* there is a durable receipt, so the local copy may be dropped */
    int64_t committed_us;  /* when */
    uint64_t object_bytes; /* size of the object */
    uint8_t token[128];    /* of the receipt: saves readers the search for the object's end */
    uint32_t token_len;
};

struct segment {
    int64_t base, next;
    uint64_t bytes;
    uint32_t crc;         /* CRC-32C of the whole file; the tier checks the offloaded bytes against it */
    int64_t sealed_us;    /* 0 = open */
    int fd;               /* -1 = no local copy */
    struct buffer index;  /* 16 bytes for about every 4 KiB of records: u64 offset, u64 position */
    struct tier_copy tier;
    /* The tier's (tier.c) bookkeeping. */
    bool offloading;      /* an offload is in flight */
    bool expiring;        /* retention is over: no longer a part of the log, being deleted */
    bool deleting;        /* the deletion of its object is in flight */
    unsigned pins;        /* reads in flight that use this struct */
    unsigned failures;    /* offloads or deletions that failed in a row */
    int64_t retry_us;     /* not before */
};

struct log {
    char *dir;
    uint64_t segment_bytes;     /* the open segment is sealed when it is at least as large */
    int dir_fd;                 /* locked: one broker per folder */
    struct segment **segments;  /* by base; the last is the open one */
    size_t count, capacity;
    struct buffer scratch;
};

/* Locks the folder, creating it if need be. The segment list is empty until the journal and
 * log_recover have filled it. Ends the process when the folder cannot be used. */
void log_open(struct log *log, const char *dir, uint64_t segment_bytes);
/* Finds the local copies and checks every record. Segments that the journal knows are in the list. */
void log_recover(struct log *log);
void log_close(struct log *log);

/* Inserts an empty segment, in order. */
struct segment *log_insert(struct log *log, int64_t base);
void log_remove(struct log *log, struct segment *segment);

/* The oldest offset that can be read, and the offset that the next record gets. */
int64_t log_start(const struct log *log);
int64_t log_end(const struct log *log);
/* The segment that holds `offset`, or NULL. */
struct segment *log_find(const struct log *log, int64_t offset);

/* Appends records whose payloads stand one after the other in `batch` as {u32 length, bytes}. Returns
 * the first one's offset, or -1 with errno: EINVAL for a malformed batch, or why the disk refused; then
 * nothing of the batch is in the log. */
int64_t log_append(struct log *log, const uint8_t *batch, size_t len, uint32_t count);
/* Seals the open segment, unless it is empty, and begins the next. -1 with errno on failure. */
int log_roll(struct log *log);
int log_sync(struct log *log);
/* Unlinks the local copy. Only for a segment that the tier holds or that has expired. */
int log_drop_local(struct log *log, struct segment *segment);
char *log_path(const struct log *log, const struct segment *segment);

/* Appends to `out` the records from `offset` on, at most about `max` bytes but at least one record, of
 * a segment that has a local copy and holds `offset`. -1 with errno on failure. */
int log_read(struct segment *segment, int64_t offset, size_t max, struct buffer *out);

/* Where to begin reading to find `offset`: the position of a record at or before it. */
uint64_t index_floor(const struct buffer *index, int64_t offset);

/* Which of `data` to send to a reader who wants records from `offset` on, at most about `max` bytes but
 * at least one record: [*from, *to). Returns 0; or how many bytes from `data` on must be read to have
 * one whole wanted record; or UINT64_MAX if these are no records. */
uint64_t records_cut(const uint8_t *data, size_t len, int64_t offset, size_t max, size_t *from, size_t *to);

#endif
