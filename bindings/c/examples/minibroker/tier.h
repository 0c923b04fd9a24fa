/* The tier: everything that minibroker does with seglift.
 *
 * Sealed segments are offloaded in the background as seglift_plan says. Completions arrive through one
 * queue whose descriptor stands in the broker's event loop; nothing here blocks it.
 *
 * Invariant: a segment's local copy goes only after its receipt is on the disk (journal.h). So whatever
 * the moment of a crash, a segment is in the log folder, or in the tier under a key that the journal
 * knows, or both.
 *
 * A tier that cannot be reached costs nothing but local disk space: offloads are repeated, later and
 * later, up to a few seconds apart, always with the same key.
 */
#ifndef MINIBROKER_TIER_H
#define MINIBROKER_TIER_H

#include "../../seglift_loader.h"
#include "journal.h"

struct tier {
    const seglift_api *seglift;
    struct log *log;
    struct journal journal;
    const char *uri, *name;
    unsigned max_offloads;       /* in flight at once */
    seglift_config *config;
    seglift_engine *engine;
    seglift_queue *queue;
    seglift_driver *driver;      /* NULL while the store cannot be opened */
    seglift_policy policy;
    unsigned offloading, open_failures;
    int64_t open_retry_us;
    struct {
        uint64_t offloads, offload_failures, drops, deletions, reads, cached_reads, read_failures;
    } count;
};

/* `settings` are `count` strings "key=value" for seglift. Ends the process when they are wrong. The log
 * must be open and recovered, the journal open. */
void tier_open(struct tier *tier, const char *const *settings, size_t count);
/* Cancels what is in flight and waits for its end. */
void tier_close(struct tier *tier);

/* Readable when tier_completions has something to do. */
int tier_fd(const struct tier *tier);
void tier_completions(struct tier *tier);
/* Plans and starts what is due; to be called about ten times a second and when a segment was sealed. */
void tier_tick(struct tier *tier);

enum read_status { READ_OK, READ_RETRY, READ_FAILED };
/* Called once with whole records, or with a message. */
typedef void tier_read_done(void *owner, enum read_status status, const uint8_t *data, size_t len,
                            const char *message);
struct tier_read;
/* Reads records of a segment from the tier, as log_read does from the disk. Returns NULL when `done` has
 * been called already (the bytes were in seglift's cache, or nothing could be started). */
struct tier_read *tier_read_begin(struct tier *tier, struct segment *segment, int64_t offset, size_t max,
                                  tier_read_done *done, void *owner);
/* The owner is gone: `done` will not be called. */
void tier_read_abandon(struct tier *tier, struct tier_read *read);

#endif
