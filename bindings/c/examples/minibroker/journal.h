/* tier.log: what the broker must remember about the tier, in one append-only file.
 *
 * Each line is "CRC-32C of the rest in hex, a space, the rest", and is on the disk before the broker
 * acts on it:
 *
 *     begin BASE NEXT BYTES KEY       an attempt to offload under KEY, which holds the attempt's UUID,
 *                                     may begin; until "commit" it is repeated with this key, which
 *                                     settles whatever became of the earlier ones
 *     commit BASE NEXT BYTES SEALED_US COMMITTED_US OBJECT_BYTES TOKEN KEY
 *                                     the receipt; only now may the local copy be dropped
 *     delete BASE NEXT BYTES          retention is over: the segment is no longer a part of the log
 *     deleted BASE                    nothing of it is left
 *     before OFFSET                   someone asked to offload everything before OFFSET
 *
 * A torn last line was never acted on and is ignored; any other bad line is damage, and the broker
 * refuses to start. At each start the file is rewritten to what still matters.
 */
#ifndef MINIBROKER_JOURNAL_H
#define MINIBROKER_JOURNAL_H

#include "log.h"

struct journal {
    int fd;
    uint64_t bytes;         /* up to the end of the last whole line */
    int64_t offload_before; /* of the last "before"; -1 = none */
};

/* Reads the journal of an open, not yet recovered log, and puts what it says into the log's list. */
void journal_open(struct journal *journal, struct log *log);
void journal_close(struct journal *journal);

/* Each returns when the line is on the disk, or -1 with errno; then the line is not in the journal. */
int journal_begin(struct journal *journal, const struct segment *segment, const char *key);
int journal_commit(struct journal *journal, const struct segment *segment, const struct tier_copy *copy);
int journal_delete(struct journal *journal, const struct segment *segment);
int journal_deleted(struct journal *journal, const struct segment *segment);
int journal_before(struct journal *journal, int64_t offset);

#endif
