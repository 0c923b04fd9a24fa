package io.seglift.kafka;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.server.log.remote.metadata.storage.serialization.RemoteLogMetadataSerde;

/**
 * The topic in which Kafka keeps what it knows of tiered segments (KIP-405), read as a broker reads it: every
 * partition from its first record, committed or not.
 *
 * <p>Invariant: {@link #read} returns only after every record was taken that was there when it began.
 */
final class MetadataTopic {
    /** Fixed by Kafka. */
    static final String NAME = "__remote_log_metadata";

    private final Consumer<byte[], byte[]> consumer;
    private final RemoteLogMetadataSerde serde = new RemoteLogMetadataSerde();

    /** The topic could not be read in full; the message says why. */
    static final class IncompleteException extends Exception {
        private static final long serialVersionUID = 1;

        IncompleteException(String message) {
            super(message);
        }
    }

    MetadataTopic(Consumer<byte[], byte[]> consumer) {
        this.consumer = consumer;
    }

    /**
     * Tells {@code segments} of every record.
     *
     * @param timeout total time
     * @param mayBeTruncated whether it is fine that first records are gone because of a limited retention
     * @throws IncompleteException if a record could not be had or understood
     * @throws org.apache.kafka.common.KafkaException what the client meets: no right to read, a time-out, …
     */
    void read(Duration timeout, boolean mayBeTruncated, LiveSegments segments) throws IncompleteException {
        long deadline = System.nanoTime() + timeout.toNanos();
        List<TopicPartition> partitions = partitions(timeout);
        consumer.assign(partitions);
        Map<TopicPartition, Long> begins = consumer.beginningOffsets(partitions, timeout);
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions, timeout);
        for (TopicPartition partition : partitions) {
            long begin = begins.get(partition);
            if (begin > 0 && !mayBeTruncated) {
                throw new IncompleteException("partition " + partition + " begins at offset " + begin
                        + ": its first records were deleted, and live segments may be among them. If the topic's"
                        + " retention is limited and longer than that of every tiered topic, say --allow-truncated");
            }
            consumer.seek(partition, begin);
        }
        while (!isRead(ends)) {
            if (System.nanoTime() - deadline >= 0) {
                throw new IncompleteException("not all of " + NAME + " could be read within " + timeout.toSeconds()
                        + " s: raise --timeout, or see to the brokers");
            }
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                accept(record, segments);
            }
        }
    }

    private List<TopicPartition> partitions(Duration timeout) throws IncompleteException {
        List<PartitionInfo> infos = consumer.partitionsFor(NAME, timeout);
        if (infos == null || infos.isEmpty()) {
            throw new IncompleteException("there is no topic " + NAME
                    + ": this cluster never tiered anything, or it is another cluster than you mean");
        }
        List<TopicPartition> partitions = new ArrayList<>();
        for (PartitionInfo info : infos) {
            if (info.leader() == null || info.leader().isEmpty()) {
                throw new IncompleteException("partition " + NAME + "-" + info.partition() + " has no leader");
            }
            partitions.add(new TopicPartition(NAME, info.partition()));
        }
        return partitions;
    }

    private boolean isRead(Map<TopicPartition, Long> ends) {
        return ends.entrySet().stream().allMatch(end -> consumer.position(end.getKey()) >= end.getValue());
    }

    private void accept(ConsumerRecord<byte[], byte[]> record, LiveSegments segments) throws IncompleteException {
        try {
            if (record.value() == null) {
                throw new IllegalArgumentException("a record without a value");
            }
            segments.accept(serde.deserialize(record.value()));
        } catch (RuntimeException e) {
            throw new IncompleteException("record " + record.offset() + " of partition " + NAME + "-"
                    + record.partition() + " is not understood: " + e.getMessage()
                    + ". Take the plugin and KAFKA_HOME of the brokers' version");
        }
    }
}
