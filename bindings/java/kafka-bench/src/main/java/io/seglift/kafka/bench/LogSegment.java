package io.seglift.kafka.bench;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.server.log.remote.storage.LogSegmentData;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentId;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;

/**
 * A sealed segment as a broker's disk has it: 128 MiB of batches, and the files beside it. Of a batch only what frames it
 * is as in Kafka; its payload is lines such as brokers carry, which compress about fourfold.
 *
 * @param size bytes of the log
 */
record LogSegment(LogSegmentData data, int size) {
    /** Offset, length, epoch and magic: what the broker reads of a batch before it reads the batch. */
    static final int HEADER = 8 + 4 + 4 + 1;
    /** Where a batch says how many bytes follow, counted from behind that number. */
    private static final int LENGTH_AT = 8;
    private static final int LENGTH_END = LENGTH_AT + 4;

    private static final int SEGMENT = 128 << 20;
    /** A producer's default of 16 KiB, filled nearly; no divisor of a mebibyte, so that fetches end inside of batches. */
    private static final int BATCH = 16_000;
    private static final int BATCHES = SEGMENT / BATCH;
    private static final byte MAGIC = 2;

    private static final TopicIdPartition PARTITION =
            new TopicIdPartition(Uuid.randomUuid(), new TopicPartition("orders", 0));

    /** Writes the files. */
    static LogSegment make(Path folder) throws IOException {
        Path log = folder.resolve("00000000000000000000.log");
        try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(log))) {
            Lines lines = new Lines();
            byte[] batch = new byte[BATCH];
            for (int number = 0; number < BATCHES; number++) {
                ByteBuffer fields = ByteBuffer.wrap(batch);
                fields.putLong(number).putInt(BATCH - LENGTH_END).putInt(0).put(MAGIC);
                lines.fill(fields);
                out.write(batch);
            }
        }
        LogSegmentData data = new LogSegmentData(log,
                // An entry of 8 and of 12 bytes for each batch, as batches of more than 4 KiB have.
                Files.write(folder.resolve("00000000000000000000.index"), new byte[8 * BATCHES]),
                Files.write(folder.resolve("00000000000000000000.timeindex"), new byte[12 * BATCHES]),
                Optional.empty(),
                Files.write(folder.resolve("00000000000000008388.snapshot"), new byte[10]),
                ByteBuffer.wrap("0\n1\n0 0\n".getBytes(StandardCharsets.US_ASCII)));
        return new LogSegment(data, BATCHES * BATCH);
    }

    /** What the broker knows of one more copy when it begins: every one has an id of its own. */
    RemoteLogSegmentMetadata metadata() {
        long now = System.currentTimeMillis();
        return new RemoteLogSegmentMetadata(
                RemoteLogSegmentId.generateNew(PARTITION), 0, BATCHES - 1, now, 1, now, size, Map.of(0, 0L));
    }

    /** Bytes of the batch that begins at {@code at}. */
    static int batchSize(byte[] bytes, int at) {
        return LENGTH_END + ByteBuffer.wrap(bytes).getInt(at + LENGTH_AT);
    }

    /** Where the last whole batch in the first {@code length} bytes ends, if the first one begins at 0. */
    static int wholeBatches(byte[] bytes, int length) {
        int end = 0;
        while (end + LENGTH_END <= length && end + batchSize(bytes, end) <= length) {
            end += batchSize(bytes, end);
        }
        return end;
    }

    /** A position at which a batch begins. */
    static int position(int batch) {
        return Math.floorMod(batch, BATCHES) * BATCH;
    }

    /** Lines of JSON, always the same ones. */
    private static final class Lines {
        private static final String[] STATES = {"new", "paid", "sent", "done"};

        private long number;
        private long state = 1;
        private byte[] line = {};
        private int done;

        /** Fills a buffer from its position on; a line that does not fit goes on in the next one. */
        void fill(ByteBuffer into) {
            while (into.hasRemaining()) {
                if (done == line.length) {
                    line = next().getBytes(StandardCharsets.US_ASCII);
                    done = 0;
                }
                int count = Math.min(into.remaining(), line.length - done);
                into.put(line, done, count);
                done += count;
            }
        }

        private String next() {
            state = state * 6_364_136_223_846_793_005L + 1_442_695_040_888_963_407L;
            return "{\"id\":" + number++ + ",\"user\":\"u" + (state >>> 44) + "\",\"amount\":" + (state >>> 52) + "."
                    + (state >>> 40) % 100 + ",\"state\":\"" + STATES[(int) (state >>> 62)] + "\",\"trace\":\""
                    + Long.toHexString(state) + "\"}\n";
        }
    }
}
