package io.seglift.kafka;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.server.log.remote.storage.LogSegmentData;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentId;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata.CustomMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadataUpdate;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentState;
import org.apache.kafka.server.log.remote.storage.RemoteStorageManager;

/**
 * A sealed segment as a broker has it: random bytes in files of its folder, and what Kafka knows of it.
 *
 * @param log the bytes of the segment
 */
record KafkaSegment(RemoteLogSegmentMetadata metadata, LogSegmentData data, byte[] log) {
    static final byte[] LEADER_EPOCHS = "0\n1\n0 0\n".getBytes(StandardCharsets.US_ASCII);

    /** A segment of partition orders-3 with all indexes but that of transactions. */
    static KafkaSegment make(Path folder, int size) throws IOException {
        return make(folder, size, Optional.empty());
    }

    static KafkaSegment makeTransactional(Path folder, int size) throws IOException {
        return make(folder, size, Optional.of(file(folder, "00.txnindex", 68)));
    }

    private static KafkaSegment make(Path folder, int size, Optional<Path> transactions) throws IOException {
        Path log = file(folder, "00.log", size);
        LogSegmentData data = new LogSegmentData(
                log,
                file(folder, "00.index", 4096),
                file(folder, "00.timeindex", 1200),
                transactions,
                file(folder, "00.snapshot", 10),
                ByteBuffer.wrap(LEADER_EPOCHS));
        RemoteLogSegmentId id = RemoteLogSegmentId.generateNew(
                new TopicIdPartition(Uuid.randomUuid(), new TopicPartition("orders", 3)));
        return new KafkaSegment(metadata(id, size), data, Files.readAllBytes(log));
    }

    static RemoteLogSegmentMetadata metadata(RemoteLogSegmentId id, int size) {
        long time = 1_700_000_000_000L;
        return new RemoteLogSegmentMetadata(id, 1000, 1999, time, 1, time, size, Map.of(0, 0L));
    }

    /** What Kafka knows after this copy: the custom metadata with the rest. */
    RemoteLogSegmentMetadata copied(RemoteStorageManager manager) throws Exception {
        Optional<CustomMetadata> custom = manager.copyLogSegmentData(metadata, data);
        return metadata.createWithUpdates(new RemoteLogSegmentMetadataUpdate(
                metadata.remoteLogSegmentId(),
                metadata.eventTimestampMs() + 1,
                custom,
                RemoteLogSegmentState.COPY_SEGMENT_FINISHED,
                1));
    }

    private static Path file(Path folder, String name, int size) throws IOException {
        byte[] bytes = new byte[size];
        new Random(size * 31L + name.hashCode()).nextBytes(bytes);
        Files.createDirectories(folder);
        return Files.write(folder.resolve(name), bytes);
    }
}
