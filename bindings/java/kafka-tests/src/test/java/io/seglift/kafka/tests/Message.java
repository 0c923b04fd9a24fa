package io.seglift.kafka.tests;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * A record that follows from a seed, its partition and its number alone, so that whoever consumes it can tell what it
 * must be without having kept it. Values compress to about half; some keys, values and headers are missing.
 */
record Message(byte[] key, byte[] value, long timestamp, List<Header> headers) {
    /** The mean length of a value, which is what a {@link Load} counts. */
    static final int MEAN_BYTES = 1024;
    /** When the first message of each partition was made; brokers forget producers whose messages are a day old. */
    static final long EPOCH_MILLIS = System.currentTimeMillis() - Duration.ofHours(12).toMillis();
    /** Milliseconds between two messages of a partition. */
    static final long STEP_MILLIS = 7;

    private static final byte[] TEXT = "a segment leaves the broker and comes back byte for byte; "
            .getBytes(StandardCharsets.UTF_8);

    static Message of(long seed, int partition, long number) {
        SplittableRandom random = new SplittableRandom(seed * 1_000_003 + partition * 7919L + number * 2_654_435_761L);
        byte[] key = random.nextInt(10) == 0 ? null : ("key-" + random.nextInt(1000)).getBytes(StandardCharsets.UTF_8);
        byte[] value = random.nextInt(50) == 0 ? null : value(random);
        List<Header> headers = Stream.generate(() -> header(random)).limit(random.nextInt(3)).toList();
        return new Message(key, value, EPOCH_MILLIS + number * STEP_MILLIS, headers);
    }

    ProducerRecord<byte[], byte[]> toRecord(String topic, int partition) {
        return new ProducerRecord<>(topic, partition, timestamp, key, value, headers);
    }

    /** Fails unless the record is this message, in each of its parts. */
    void check(ConsumerRecord<byte[], byte[]> record) {
        String part = !Arrays.equals(key, record.key()) ? "key"
                : !Arrays.equals(value, record.value()) ? "value"
                : timestamp != record.timestamp() ? "timestamp"
                : !Arrays.equals(headers.toArray(), record.headers().toArray()) ? "headers"
                : null;
        if (part != null) {
            throw new AssertionError(record.topic() + "-" + record.partition() + " offset " + record.offset()
                    + " came back with another " + part + " than was sent");
        }
    }

    private static byte[] value(SplittableRandom random) {
        byte[] value = new byte[random.nextInt(2 * MEAN_BYTES)];
        byte[] noise = new byte[value.length / 2];
        random.nextBytes(noise);
        System.arraycopy(noise, 0, value, 0, noise.length);
        for (int at = noise.length; at < value.length; at++) {
            value[at] = TEXT[at % TEXT.length];
        }
        return value;
    }

    private static Header header(SplittableRandom random) {
        byte[] value = random.nextInt(4) == 0 ? null : Long.toHexString(random.nextLong())
                .getBytes(StandardCharsets.UTF_8);
        return new RecordHeader("header-" + random.nextInt(5), value);
    }
}
