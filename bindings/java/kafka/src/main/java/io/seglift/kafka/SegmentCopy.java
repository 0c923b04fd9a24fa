package io.seglift.kafka;

import io.seglift.IfExists;
import io.seglift.Segment;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.server.log.remote.storage.LogSegmentData;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteStorageManager.IndexType;

/**
 * Puts a segment and all that Kafka keeps beside it into one object: the log as its bytes, the indexes, the producer
 * snapshot and the leader epochs as its attachments. So there is one thing to write, to lose and to delete.
 */
final class SegmentCopy {
    /** A run of record batches as they lie in Kafka's log and go over its wire. */
    private static final byte[] CONTENT_TYPE = "application/vnd.apache.kafka.log".getBytes(StandardCharsets.US_ASCII);

    private SegmentCopy() {}

    /**
     * What to offload. A key that is taken by the same log is success, whatever its attachments: a broker that copies
     * the segment of an id once more may have learnt of another leader epoch in the meantime.
     */
    static Segment of(RemoteLogSegmentMetadata metadata, LogSegmentData data) {
        var partition = metadata.topicIdPartition();
        Segment.Builder segment = Segment.of(SegmentKeys.of(metadata.remoteLogSegmentId()), data.logSegment())
                .ifExists(IfExists.SUCCEED_IF_SAME_SEGMENT)
                .offsets(metadata.startOffset(), metadata.endOffset())
                .metadata("content-type", CONTENT_TYPE)
                .metadata("kafka.topic", text(partition.topic()))
                .metadata("kafka.topic.id", text(partition.topicId()))
                .metadata("kafka.partition", text(partition.partition()))
                .attachment(IndexNames.of(IndexType.OFFSET), data.offsetIndex())
                .attachment(IndexNames.of(IndexType.TIMESTAMP), data.timeIndex())
                .attachment(IndexNames.of(IndexType.PRODUCER_SNAPSHOT), data.producerSnapshotIndex())
                .attachment(IndexNames.of(IndexType.LEADER_EPOCH), data.leaderEpochIndex());
        data.transactionIndex().ifPresent(file -> segment.attachment(IndexNames.of(IndexType.TRANSACTION), file));
        return segment.build();
    }

    private static byte[] text(Object value) {
        return value.toString().getBytes(StandardCharsets.UTF_8);
    }
}
