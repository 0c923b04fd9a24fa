package io.seglift.kafka;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.server.log.remote.storage.RemoteLogMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentId;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadataUpdate;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentState;
import org.apache.kafka.server.log.remote.storage.RemotePartitionDeleteMetadata;

/**
 * Which segments Kafka refers to, by the records of its metadata topic.
 *
 * <p>A segment goes through the states of {@link RemoteLogSegmentState} in their order, maybe leaving some out, and
 * never back. So what counts is the furthest state that was seen of it: neither the order of the records nor one that
 * comes twice changes the result, and what is deleted does not come back because a late copy reports its end.
 *
 * <p>What is said of a partition's removal counts for nothing: a broker may add segments to the partition afterwards,
 * and to keep too much is the safe side. Kafka deletes the segments one by one as well, and says so of each.
 *
 * <p>Trade-off: a segment that is deleted is remembered, too, with some 100 bytes. For one thread.
 */
final class LiveSegments {
    /** Stands for all that are deleted: nothing else of them is needed. */
    private static final Seen DELETED = new Seen(null, RemoteLogSegmentState.DELETE_SEGMENT_FINISHED, 0);

    private final Map<Uuid, Seen> segments = new HashMap<>();

    private record Seen(RemoteLogSegmentId id, RemoteLogSegmentState state, long sinceMillis) {
        /** Further on, or the same once more: a broker that tries a removal again says so again. */
        boolean isAfter(Seen other) {
            int order = state.compareTo(other.state);
            return order > 0 || order == 0 && sinceMillis > other.sinceMillis;
        }
    }

    /**
     * Takes note of a record.
     *
     * @throws IllegalArgumentException for one of a kind that is not known here
     */
    void accept(RemoteLogMetadata record) {
        if (record instanceof RemoteLogSegmentMetadata begun) {
            accept(new Seen(begun.remoteLogSegmentId(), begun.state(), begun.eventTimestampMs()));
        } else if (record instanceof RemoteLogSegmentMetadataUpdate update) {
            accept(new Seen(update.remoteLogSegmentId(), update.state(), update.eventTimestampMs()));
        } else if (!(record instanceof RemotePartitionDeleteMetadata)) {
            throw new IllegalArgumentException("a record of the unknown kind " + record.getClass().getName());
        }
    }

    private void accept(Seen seen) {
        Seen latest = seen.state == RemoteLogSegmentState.DELETE_SEGMENT_FINISHED ? DELETED : seen;
        segments.merge(seen.id.id(), latest, (known, next) -> next.isAfter(known) ? next : known);
    }

    /**
     * The keys of all segments that are or may become readable, and of those that a broker is about to delete, in
     * byte order.
     *
     * @param now the time, by the brokers' clocks
     * @param inFlight how long a broker may still be at a copy, or at a removal, after it began. What is older was
     *     given up: no broker reads it, and none may be left that would delete it.
     */
    List<String> keys(Instant now, Duration inFlight) {
        long youngest = now.minus(inFlight).toEpochMilli();
        List<String> keys = new ArrayList<>();
        for (Seen seen : segments.values()) {
            if (seen != DELETED
                    && (seen.state == RemoteLogSegmentState.COPY_SEGMENT_FINISHED || seen.sinceMillis >= youngest)) {
                keys.add(SegmentKeys.of(seen.id));
            }
        }
        Collections.sort(keys);
        return keys;
    }
}
