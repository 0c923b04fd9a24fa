package io.seglift.kafka;

import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentId;

/**
 * The key of a segment: {@code <topic>-<topic id>/<partition>/<segment id>}.
 *
 * <p>It follows from the segment's id alone, because that is all that is known of a copy which failed: Kafka asks for
 * its removal without the custom metadata that a receipt would have given. The ids make it unique, also when a topic
 * is deleted and made again under its name; the topic's name is for those who list the store.
 *
 * <p>Every legal topic name gives a valid key. What the name loses for that, at its begin or its end, the topic's id
 * makes up for.
 */
final class SegmentKeys {
    /** A name between two slashes has 200 bytes at most; the topic's id takes 22 of them and a dash. */
    private static final int TOPIC_LENGTH = 200 - 22 - 1;

    private SegmentKeys() {}

    /** The key of the segment with this id: ASCII, so that the order of its characters is that of its bytes. */
    static String of(RemoteLogSegmentId segment) {
        TopicIdPartition partition = segment.topicIdPartition();
        return topicName(partition.topic()) + "-" + partition.topicId() + "/" + partition.partition() + "/"
                + segment.id();
    }

    private static String topicName(String topic) {
        String cut = topic.length() <= TOPIC_LENGTH ? topic : topic.substring(0, TOPIC_LENGTH);
        // Hidden files, and names that stores and seglift keep for themselves, begin with a dot.
        return cut.startsWith(".") ? "_" + cut.substring(1) : cut;
    }
}
