package io.seglift.kafka.tests;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Consumes what a {@link Load} has sent, and compares every record in each of its parts. */
final class Check {
    private static final Duration POLL = Duration.ofMillis(500);

    private final Cluster cluster;
    private final Load load;
    private final List<TopicPartition> partitions;

    Check(Cluster cluster, Load load) {
        this.cluster = cluster;
        this.load = load;
        this.partitions = load.topicPartitions();
    }

    /** Everything, from the beginning: each message that was sent comes once, in order, and nothing else. */
    void everything() {
        consume(false);
    }

    /** The same for a consumer that reads what was committed: the messages of aborted transactions are left out. */
    void everythingCommitted() {
        consume(true);
    }

    /** The last message of each partition, which is on the broker's disk. */
    void newest() {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(false)) {
            for (TopicPartition partition : partitions) {
                Sent sent = load.sent(partition.partition());
                int last = sent.count() - 1;
                firstComesFrom(consumer, partition, sent.offset(last), last);
            }
        }
    }

    /** Seeks to random offsets: the message there comes first. */
    void seeksByOffset(int times, long seed) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(false)) {
            Random random = new Random(seed);
            for (int i = 0; i < times; i++) {
                TopicPartition partition = partitions.get(random.nextInt(partitions.size()));
                Sent sent = load.sent(partition.partition());
                // Any offset: that of a message, or of a marker of a transaction between two.
                long offset = (long) (random.nextDouble() * sent.offset(sent.count() - 1));
                firstComesFrom(consumer, partition, offset, sent.numberAt(offset));
            }
        }
    }

    /** Seeks to random times: the first message that is not older comes first. */
    void seeksByTime(int times, long seed) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(false)) {
            Random random = new Random(seed);
            for (int i = 0; i < times; i++) {
                TopicPartition partition = partitions.get(random.nextInt(partitions.size()));
                Sent sent = load.sent(partition.partition());
                int number = random.nextInt(sent.count());
                // A moment before its time, behind the one before.
                long time = load.message(partition.partition(), number).timestamp()
                        - random.nextInt((int) Message.STEP_MILLIS);
                OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, time)).get(partition);
                if (found == null || found.offset() != sent.offset(number)) {
                    throw new AssertionError("the first message of " + partition + " at " + time + " or later is at "
                            + sent.offset(number) + " and not at " + found);
                }
                firstComesFrom(consumer, partition, found.offset(), number);
            }
        }
    }

    /** Asks for everything from the beginning, for so long; nothing may come. */
    void nothingComes(Duration time) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(false)) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long deadline = System.nanoTime() + time.toNanos();
            while (System.nanoTime() < deadline) {
                if (!consumer.poll(POLL).isEmpty()) {
                    throw new AssertionError("records came of " + load.topic());
                }
            }
        }
    }

    private void firstComesFrom(KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, long offset,
            int number) {
        consumer.assign(List.of(partition));
        consumer.seek(partition, offset);
        compare(poll(consumer).records(partition).get(0), partition.partition(), number);
    }

    private void consume(boolean committedOnly) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(committedOnly)) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            int[] next = new int[partitions.size()];
            int missing = 0;
            for (TopicPartition partition : partitions) {
                next[partition.partition()] = following(partition.partition(), 0, committedOnly);
                missing += expected(partition.partition(), committedOnly);
            }
            while (missing > 0) {
                for (ConsumerRecord<byte[], byte[]> record : poll(consumer)) {
                    int partition = record.partition();
                    compare(record, partition, next[partition]);
                    next[partition] = following(partition, next[partition] + 1, committedOnly);
                    missing--;
                }
            }
            nothingFollows(consumer);
        }
    }

    /** Fails if the consumer, which has read everything, gets more before it is at the ends. */
    private void nothingFollows(KafkaConsumer<byte[], byte[]> consumer) {
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
        long deadline = System.nanoTime() + Scale.patience().toNanos();
        while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                throw new AssertionError("nobody has sent what is at offset " + record.offset() + " of "
                        + record.topic() + "-" + record.partition());
            }
            if (System.nanoTime() > deadline) {
                throw new AssertionError("the ends are not reached; the consumer stands at " + positions(consumer));
            }
        }
    }

    /** Waits for records; an answer that never comes is a failure. */
    private ConsumerRecords<byte[], byte[]> poll(KafkaConsumer<byte[], byte[]> consumer) {
        long deadline = System.nanoTime() + Scale.patience().toNanos();
        while (true) {
            ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
            if (!records.isEmpty()) {
                return records;
            }
            if (System.nanoTime() > deadline) {
                throw new AssertionError("no record comes any more; the consumer stands at " + positions(consumer));
            }
        }
    }

    private static Map<TopicPartition, Long> positions(KafkaConsumer<byte[], byte[]> consumer) {
        Map<TopicPartition, Long> positions = new HashMap<>();
        consumer.assignment().forEach(partition -> positions.put(partition, consumer.position(partition)));
        return positions;
    }

    private void compare(ConsumerRecord<byte[], byte[]> record, int partition, int number) {
        Sent sent = load.sent(partition);
        if (number >= sent.count() || record.offset() != sent.offset(number)) {
            throw new AssertionError("message " + number + " of " + load.topic() + "-" + partition + " is missing: "
                    + "offset " + record.offset() + " came instead");
        }
        load.message(partition, number).check(record);
    }

    private int expected(int partition, boolean committedOnly) {
        Sent sent = load.sent(partition);
        return (int) IntStream.range(0, sent.count()).filter(number -> !committedOnly || !sent.isAborted(number))
                .count();
    }

    /** The number of the first message from {@code number} on that the consumer gets. */
    private int following(int partition, int number, boolean committedOnly) {
        Sent sent = load.sent(partition);
        while (committedOnly && number < sent.count() && sent.isAborted(number)) {
            number++;
        }
        return number;
    }

    private KafkaConsumer<byte[], byte[]> consumer(boolean committedOnly) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", cluster.bootstrap());
        config.put("isolation.level", committedOnly ? "read_committed" : "read_uncommitted");
        config.put("auto.offset.reset", "none");
        config.put("enable.auto.commit", false);
        config.put("max.poll.records", 10_000);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
}
