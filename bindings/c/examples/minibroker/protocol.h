/* The protocol between minibroker and its clients, over TCP. Numbers are little-endian.
 *
 *   request    u32 length of what follows    u8 operation    body
 *   response   u32 length of what follows    u8 status       body
 *
 * Requests of one connection are answered in their order; a client may send the next one before the
 * answer. The body of any status but OK is a message for a human.
 *
 *   operation       body of the request                  body of the answer
 *   APPEND          u32 count, count x {u32 length,      i64 offset of the first record; the rest follow
 *                   payload}                             densely. Survives the broker's process from now on
 *   READ            i64 offset, u32 most bytes           i64 offset of the log's end, then whole records in
 *                                                        the form of log.h, the first at that offset;
 *                                                        none at the end of the log
 *   STAT                                                 JSON: the log's range, its segments, counters
 *   SYNC                                                 everything appended survives the machine
 *   ROLL                                                 the open segment is sealed
 *   OFFLOAD_BEFORE  i64 offset                           what lies before it goes to the tier, whatever the
 *                                                        thresholds say; remembered across restarts
 *   METRICS                                              seglift's metrics, in Prometheus' text format
 *   STATUS                                               JSON: what seglift is doing now
 */
#ifndef MINIBROKER_PROTOCOL_H
#define MINIBROKER_PROTOCOL_H

enum operation_code { APPEND = 1, READ, STAT, SYNC, ROLL, OFFLOAD_BEFORE, METRICS, STATUS };

enum status_code {
    OK = 0,
    BAD_REQUEST = 1,
    OUT_OF_RANGE = 2, /* the offset lies before the log's start or after its end */
    RETRY = 3,        /* the tier cannot answer now; the same request may succeed later */
    FAILED = 4,       /* the disk or the tier failed; the message says how */
};

enum {
    FRAME_HEADER = 5,
    /* A frame without its length word. Holds one record of the largest size and a header. */
    MAX_FRAME = (8 << 20) + 1024,
    /* What one READ returns, unless a single record is larger. */
    MAX_READ = 4 << 20,
};

#endif
