package io.seglift.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.seglift.Call;
import io.seglift.Seglift;
import io.seglift.Segment;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.internals.Topic;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentId;
import org.junit.jupiter.api.Test;

class SegmentKeysTest {
    private static final Uuid TOPIC_ID = Uuid.fromString("oRhxZxujTdqIMcUF0fojeA");
    private static final Uuid SEGMENT_ID = Uuid.fromString("OholZveqQde7J9635GrWlQ");

    private static String key(String topic, Uuid topicId) {
        Topic.validate(topic);
        return SegmentKeys.of(
                new RemoteLogSegmentId(new TopicIdPartition(topicId, new TopicPartition(topic, 12)), SEGMENT_ID));
    }

    @Test
    void aKeyIsMadeOfTheIdAlone() {
        assertEquals("orders-oRhxZxujTdqIMcUF0fojeA/12/OholZveqQde7J9635GrWlQ", key("orders", TOPIC_ID));
    }

    @Test
    void everyLegalTopicNameGivesAKeyThatTheLibraryTakes() throws Exception {
        List<String> topics = List.of(
                "x".repeat(249), "...", "..a", ".hidden", ".seglift-upload-1", ".seglift-probe-1", "-", "_", "a.b");
        try (Seglift store = Seglift.open("memory:", Map.of("owner", "keys"))) {
            for (String topic : topics) {
                String key = key(topic, TOPIC_ID);
                store.offload(Segment.of(key, ByteBuffer.allocateDirect(1)).build(), Call.DEFAULT);
                assertTrue(key.chars().allMatch(c -> c > ' ' && c < 127), key);
            }
        }
    }

    @Test
    void topicsWhoseNamesAreCutOrChangedKeepKeysOfTheirOwn() {
        Uuid other = Uuid.randomUuid();
        assertNotEquals(key("x".repeat(248) + "a", TOPIC_ID), key("x".repeat(248) + "b", other));
        assertNotEquals(key(".a", TOPIC_ID), key("_a", other));
    }
}
