package io.seglift.kafka.tests;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes messages to all partitions of a topic and remembers what the broker acknowledged. What they hold follows from
 * the seed, so gigabytes can be compared with little memory.
 */
final class Load {
    private final Cluster cluster;
    private final String topic;
    private final long segmentBytes;
    /** Topics differ in what they hold. */
    private final long seed;
    private final List<Sent> partitions;
    /** The number that the next message of each partition has. */
    private final long[] next;

    Load(Cluster cluster, String topic, int partitions, long segmentBytes) {
        this.cluster = cluster;
        this.topic = topic;
        this.segmentBytes = segmentBytes;
        this.seed = topic.hashCode();
        this.partitions = Stream.generate(Sent::new).limit(partitions).toList();
        this.next = new long[partitions];
    }

    String topic() {
        return topic;
    }

    long segmentBytes() {
        return segmentBytes;
    }

    List<TopicPartition> topicPartitions() {
        return IntStream.range(0, partitions.size()).mapToObj(partition -> new TopicPartition(topic, partition))
                .toList();
    }

    Sent sent(int partition) {
        return partitions.get(partition);
    }

    Message message(int partition, int number) {
        return Message.of(seed, partition, number);
    }

    /** Sends so many bytes of values in all, and returns when every message is acknowledged. */
    void produce(CompressionType compression, long bytes) {
        try (KafkaProducer<byte[], byte[]> producer = producer(compression, Map.of())) {
            send(producer, bytes, false);
        }
    }

    /** Sends transactions of so many bytes each; every third one is aborted after the broker has all of it. */
    void produceTransactions(CompressionType compression, int count, long bytesEach) {
        Map<String, Object> config = Map.of("transactional.id", topic);
        try (KafkaProducer<byte[], byte[]> producer = producer(compression, config)) {
            producer.initTransactions();
            for (int transaction = 0; transaction < count; transaction++) {
                boolean abort = transaction % 3 == 2;
                producer.beginTransaction();
                send(producer, bytesEach, abort);
                if (abort) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
    }

    private void send(KafkaProducer<byte[], byte[]> producer, long bytes, boolean aborted) {
        AtomicReference<Exception> failure = new AtomicReference<>();
        long messages = bytes / Message.MEAN_BYTES;
        for (long i = 0; i < messages && failure.get() == null; i++) {
            int partition = (int) (i % partitions.size());
            Message message = Message.of(seed, partition, next[partition]++);
            Sent sent = partitions.get(partition);
            producer.send(message.toRecord(topic, partition), (metadata, exception) -> {
                if (exception != null) {
                    failure.compareAndSet(null, exception);
                } else {
                    sent.add(metadata.offset(), aborted);
                }
            });
        }
        producer.flush();
        if (failure.get() != null) {
            throw new AssertionError("producing to " + topic + " failed", failure.get());
        }
    }

    private KafkaProducer<byte[], byte[]> producer(CompressionType compression, Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(more);
        config.put("bootstrap.servers", cluster.bootstrap());
        config.put("compression.type", compression.name);
        config.put("batch.size", 64 << 10);
        config.put("linger.ms", 20);
        config.put("acks", "all");
        // A broker that is killed comes back while the producer waits for it.
        config.put("delivery.timeout.ms", (int) Scale.patience().toMillis());
        config.put("max.block.ms", Scale.patience().toMillis());
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }
}
