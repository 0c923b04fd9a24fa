package io.seglift.kafka;

import static org.apache.kafka.server.log.remote.storage.RemoteLogSegmentState.COPY_SEGMENT_FINISHED;
import static org.apache.kafka.server.log.remote.storage.RemoteLogSegmentState.DELETE_SEGMENT_FINISHED;
import static org.apache.kafka.server.log.remote.storage.RemoteLogSegmentState.DELETE_SEGMENT_STARTED;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.server.log.remote.storage.RemoteLogMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentId;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadataUpdate;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentState;
import org.apache.kafka.server.log.remote.storage.RemotePartitionDeleteMetadata;
import org.apache.kafka.server.log.remote.storage.RemotePartitionDeleteState;
import org.junit.jupiter.api.Test;

class LiveSegmentsTest {
    private static final Instant NOW = Instant.parse("2026-01-01T00:00:00Z");
    private static final Duration DAY = Duration.ofDays(1);
    private static final TopicIdPartition PARTITION =
            new TopicIdPartition(Uuid.randomUuid(), new TopicPartition("orders", 0));

    private final RemoteLogSegmentId id = RemoteLogSegmentId.generateNew(PARTITION);
    private final String key = SegmentKeys.of(id);

    static RemoteLogSegmentMetadata begun(RemoteLogSegmentId id, Duration ago) {
        long at = NOW.minus(ago).toEpochMilli();
        return new RemoteLogSegmentMetadata(id, 0, 9, at, 1, at, 100, Map.of(0, 0L));
    }

    static RemoteLogSegmentMetadataUpdate became(RemoteLogSegmentId id, RemoteLogSegmentState state, Duration ago) {
        return new RemoteLogSegmentMetadataUpdate(id, NOW.minus(ago).toEpochMilli(), Optional.empty(), state, 1);
    }

    private static RemotePartitionDeleteMetadata partition(RemotePartitionDeleteState state) {
        return new RemotePartitionDeleteMetadata(PARTITION, state, NOW.toEpochMilli(), 1);
    }

    private static List<String> keys(RemoteLogMetadata... records) {
        return keys(List.of(records));
    }

    private static List<String> keys(List<RemoteLogMetadata> records) {
        LiveSegments segments = new LiveSegments();
        records.forEach(segments::accept);
        return segments.keys(NOW, DAY);
    }

    @Test
    void aCopiedSegmentIsLiveForEver() {
        Duration years = Duration.ofDays(3000);
        assertEquals(List.of(key), keys(begun(id, years), became(id, COPY_SEGMENT_FINISHED, years)));
    }

    @Test
    void aCopyThatMayStillRunIsLiveAndOneThatWasGivenUpIsNot() {
        assertEquals(List.of(key), keys(begun(id, DAY.minusMillis(1))));
        assertEquals(List.of(key), keys(begun(id, DAY)));
        assertEquals(List.of(), keys(begun(id, DAY.plusMillis(1))));
    }

    @Test
    void aRemovalThatMayStillRunIsLiveAndOneThatWasGivenUpIsNot() {
        RemoteLogMetadata copied = became(id, COPY_SEGMENT_FINISHED, DAY.multipliedBy(9));
        assertEquals(List.of(key), keys(copied, became(id, DELETE_SEGMENT_STARTED, DAY)));
        assertEquals(List.of(), keys(copied, became(id, DELETE_SEGMENT_STARTED, DAY.plusMillis(1))));
    }

    @Test
    void aRemovalThatIsTriedAgainIsAsYoungAsItsLastTrial() {
        RemoteLogMetadata first = became(id, DELETE_SEGMENT_STARTED, DAY.multipliedBy(2));
        RemoteLogMetadata again = became(id, DELETE_SEGMENT_STARTED, Duration.ofHours(1));
        assertEquals(List.of(key), keys(first, again));
        assertEquals(List.of(key), keys(again, first));
    }

    @Test
    void aDeletedSegmentIsNotLive() {
        assertEquals(
                List.of(),
                keys(
                        begun(id, Duration.ZERO),
                        became(id, COPY_SEGMENT_FINISHED, Duration.ZERO),
                        became(id, DELETE_SEGMENT_STARTED, Duration.ZERO),
                        became(id, DELETE_SEGMENT_FINISHED, Duration.ZERO)));
    }

    @Test
    void aLateEndOfACopyDoesNotBringADeletedSegmentBack() {
        assertEquals(
                List.of(),
                keys(
                        begun(id, Duration.ZERO),
                        became(id, DELETE_SEGMENT_FINISHED, Duration.ZERO),
                        became(id, COPY_SEGMENT_FINISHED, Duration.ZERO)));
    }

    @Test
    void aSegmentWhoseFirstRecordIsGoneIsLive() {
        assertEquals(List.of(key), keys(became(id, COPY_SEGMENT_FINISHED, DAY.multipliedBy(9))));
    }

    @Test
    void whatIsSaidOfAPartitionCountsForNothingSinceSegmentsMayFollow() {
        RemoteLogMetadata copied = became(id, COPY_SEGMENT_FINISHED, Duration.ZERO);
        for (RemotePartitionDeleteState state : RemotePartitionDeleteState.values()) {
            assertEquals(List.of(key), keys(copied, partition(state)));
            assertEquals(List.of(key), keys(partition(state), copied));
        }
    }

    @Test
    void theOrderOfTheRecordsDoesNotMatter() {
        Random random = new Random(7);
        List<RemoteLogMetadata> records = new ArrayList<>();
        RemoteLogSegmentState[] states = RemoteLogSegmentState.values();
        for (int i = 0; i < 300; i++) {
            RemoteLogSegmentId segment = RemoteLogSegmentId.generateNew(PARTITION);
            records.add(begun(segment, Duration.ofHours(random.nextInt(48))));
            int last = random.nextInt(states.length);
            for (int state = 1; state <= last; state++) {
                records.add(became(segment, states[state], Duration.ofHours(random.nextInt(48))));
            }
        }
        List<String> inOrder = keys(records);
        for (int i = 0; i < 20; i++) {
            Collections.shuffle(records, random);
            assertEquals(inOrder, keys(records));
        }
    }

    @Test
    void keysComeInByteOrder() {
        List<RemoteLogMetadata> records = new ArrayList<>();
        for (String topic : new String[] {"b", "a", "a-b", "A", "_", "a.b", "10", "9"}) {
            TopicIdPartition partition = new TopicIdPartition(Uuid.randomUuid(), new TopicPartition(topic, 0));
            records.add(became(RemoteLogSegmentId.generateNew(partition), COPY_SEGMENT_FINISHED, Duration.ZERO));
        }
        List<String> keys = keys(records);
        assertEquals(records.size(), keys.size());
        assertEquals(keys.stream().sorted().toList(), keys);
    }

    @Test
    void aRecordOfAnUnknownKindIsRefused() {
        RemoteLogMetadata unknown = new RemoteLogMetadata(1, 0) {
            @Override
            public TopicIdPartition topicIdPartition() {
                return PARTITION;
            }
        };
        assertThrows(IllegalArgumentException.class, () -> keys(unknown));
    }
}
