import io.seglift.Call;
import io.seglift.Lister;
import io.seglift.ObjectEntry;
import io.seglift.Seglift;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A producer, a consumer, and a look twice a second at where the messages are. The consumer begins when the first
 * segments are in the store and nowhere else, so that what it reads first comes from there.
 *
 * <p>Run from its source by run.sh, with the jars of a Kafka broker and of seglift.
 */
final class WatchTiering {
    private static final String TOPIC = "orders";
    private static final List<TopicPartition> PARTITIONS =
            IntStream.range(0, 3).mapToObj(partition -> new TopicPartition(TOPIC, partition)).toList();
    private static final Map<String, String> TOPIC_CONFIG = Map.of(
            "remote.storage.enable", "true",
            "segment.bytes", Integer.toString(8 << 20),
            // Less than a segment: what was copied leaves the disk at once.
            "local.retention.bytes", "1",
            "file.delete.delay.ms", "500");
    private static final int MESSAGE = 1 << 10;
    private static final String ROW = "  %-10s %18s %14s %18s %16s";
    private static final double MIB = 1 << 20;
    private static final String PLUGIN_PREFIX = "rsm.config.";
    private static final long PAUSE_MILLIS = 500;
    /** Without a terminal that could be redrawn, a look at the state now and then is enough. */
    private static final long LINES_PAUSE_MILLIS = 5_000;

    private final String bootstrap;
    private final long messages;
    private final long nanosEach;

    /** Messages that were acknowledged, and consumed; and the sum of the checksums of each. */
    private final AtomicLong produced = new AtomicLong();
    private final AtomicLong producedSum = new AtomicLong();
    private final AtomicLong consumed = new AtomicLong();
    private final AtomicLong consumedSum = new AtomicLong();
    /** Those of them that were on no disk of the broker any more. */
    private final AtomicLong fromStore = new AtomicLong();
    private final AtomicReference<Exception> failure = new AtomicReference<>();
    /** Where each partition begins on the broker's disk; and where the consumer is. */
    private volatile Map<TopicPartition, Long> firstOnDisk = Map.of();
    private final Map<TopicPartition, AtomicLong> positions =
            PARTITIONS.stream().collect(Collectors.toMap(Function.identity(), partition -> new AtomicLong()));

    private WatchTiering(String bootstrap, int mib, int seconds) {
        this.bootstrap = bootstrap;
        messages = (long) (mib * MIB / MESSAGE);
        nanosEach = seconds * 1_000_000_000L / messages;
    }

    /** Arguments: the broker's properties, how many MiB to produce, in how many seconds; and whether to redraw. */
    public static void main(String[] arguments) throws Exception {
        Properties broker = new Properties();
        try (Reader file = Files.newBufferedReader(Path.of(arguments[0]))) {
            broker.load(file);
        }
        String bootstrap = broker.getProperty("listeners").replaceAll("PLAINTEXT://([^,]*).*", "$1");
        Map<String, String> settings = new HashMap<>();
        for (String name : broker.stringPropertyNames()) {
            if (name.startsWith(PLUGIN_PREFIX)) {
                settings.put(name.substring(PLUGIN_PREFIX.length()), broker.getProperty(name));
            }
        }
        boolean redraw = arguments.length > 3;
        try (Seglift store = Seglift.open(settings.remove("store"), settings);
                Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            WatchTiering show =
                    new WatchTiering(bootstrap, Integer.parseInt(arguments[1]), Integer.parseInt(arguments[2]));
            show.run(store, admin, redraw);
        }
    }

    private void run(Seglift store, Admin admin, boolean redraw) throws Exception {
        System.out.println("Waiting for the broker");
        NewTopic topic = new NewTopic(TOPIC, PARTITIONS.size(), (short) 1).configs(TOPIC_CONFIG);
        admin.createTopics(List.of(topic)).all().get();
        long start = System.nanoTime();
        start("producer", this::produce);
        boolean consuming = false;
        int drawn = 0;
        for (boolean over = false; !over && failure.get() == null; ) {
            over = consumed.get() == messages;
            State state = State.of(store, admin);
            firstOnDisk = state.firstOnDisk;
            if (!consuming && PARTITIONS.stream().allMatch(partition -> firstOnDisk.get(partition) > 0)) {
                consuming = true;
                start("consumer", this::consume);
            }
            List<String> lines = lines(state, (System.nanoTime() - start) / 1_000_000_000);
            // Up to the first of the lines that stand there, and each one to its end.
            System.out.print(redraw && drawn > 0 ? "\033[" + drawn + "A" : "\n");
            lines.forEach(line -> System.out.println(redraw ? line + "\033[K" : line));
            drawn = lines.size();
            if (!over) {
                Thread.sleep(redraw ? PAUSE_MILLIS : LINES_PAUSE_MILLIS);
            }
        }
        if (failure.get() != null) {
            throw failure.get();
        }
        if (consumedSum.get() != producedSum.get()) {
            throw new AssertionError("what was consumed is not what was produced");
        }
        System.out.printf("%nAll %d messages came back as they were sent; %d of them (%d %%) from the store.%n",
                consumed.get(), fromStore.get(), 100 * fromStore.get() / consumed.get());
    }

    /** Where the messages are. */
    private record State(
            Map<TopicPartition, Long> firstOnDisk,
            Map<TopicPartition, Long> lastInStore,
            Map<TopicPartition, Long> next,
            int objects,
            long objectBytes) {

        static State of(Seglift store, Admin admin) throws Exception {
            int objects = 0;
            long bytes = 0;
            try (Lister list = store.list("", "")) {
                for (List<ObjectEntry> page; !(page = list.next(0, Call.DEFAULT)).isEmpty(); ) {
                    objects += page.size();
                    bytes += page.stream().mapToLong(ObjectEntry::objectBytes).sum();
                }
            }
            return new State(offsets(admin, OffsetSpec.earliestLocal()), offsets(admin, OffsetSpec.latestTiered()),
                    offsets(admin, OffsetSpec.latest()), objects, bytes);
        }

        private static Map<TopicPartition, Long> offsets(Admin admin, OffsetSpec which) throws Exception {
            return admin.listOffsets(PARTITIONS.stream().collect(Collectors.toMap(Function.identity(), p -> which)))
                    .all().get().entrySet().stream()
                    .collect(Collectors.toMap(Map.Entry::getKey, answer -> answer.getValue().offset()));
        }
    }

    private List<String> lines(State state, long seconds) {
        List<String> lines = new ArrayList<>();
        lines.add(String.format(Locale.ROOT,
                "%3d s   produced %.1f MiB   in the store %d objects, %.1f MiB   consumed %.1f MiB",
                seconds, mib(produced), state.objects, state.objectBytes / MIB, mib(consumed)));
        lines.add(String.format(ROW, "partition", "only in the store", "stored up to", "on disk", "consumer"));
        for (TopicPartition partition : PARTITIONS) {
            long first = state.firstOnDisk.get(partition);
            long position = positions.get(partition).get();
            lines.add(String.format(ROW, partition,
                    first == 0 ? "-" : "0 .. " + (first - 1),
                    state.lastInStore.get(partition) < 0 ? "-" : state.lastInStore.get(partition),
                    state.next.get(partition) == 0 ? "-" : first + " .. " + (state.next.get(partition) - 1),
                    position == 0 ? "-" : position + (position < first ? " (store)" : " (disk)")));
        }
        return lines;
    }

    private static double mib(AtomicLong count) {
        return count.get() * MESSAGE / MIB;
    }

    private interface Task {
        void run() throws Exception;
    }

    private void start(String name, Task task) {
        Thread thread = new Thread(() -> {
            try {
                task.run();
            } catch (Exception e) {
                failure.compareAndSet(null, e);
            }
        }, name);
        thread.setDaemon(true);
        thread.start();
    }

    private void produce() throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", bootstrap), new ByteArraySerializer(), new ByteArraySerializer())) {
            long start = System.nanoTime();
            for (long number = 0; number < messages; number++) {
                byte[] value = message(number);
                TopicPartition partition = PARTITIONS.get((int) (number % PARTITIONS.size()));
                producer.send(new ProducerRecord<>(TOPIC, partition.partition(), null, value), (metadata, refusal) -> {
                    if (refusal != null) {
                        failure.compareAndSet(null, refusal);
                    } else {
                        produced.incrementAndGet();
                    }
                });
                producedSum.addAndGet(checksum(value));
                long early = start + (number + 1) * nanosEach - System.nanoTime();
                if (early > 10_000_000) {
                    Thread.sleep(early / 1_000_000);
                }
            }
        }
    }

    private void consume() {
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                Map.of("bootstrap.servers", bootstrap), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(PARTITIONS);
            consumer.seekToBeginning(PARTITIONS);
            while (consumed.get() < messages) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(PAUSE_MILLIS))) {
                    TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                    if (record.offset() < firstOnDisk.get(partition)) {
                        fromStore.incrementAndGet();
                    }
                    positions.get(partition).set(record.offset() + 1);
                    consumedSum.addAndGet(checksum(record.value()));
                    consumed.incrementAndGet();
                }
            }
        }
    }

    /** Lines such as brokers carry; each message is another one. */
    private static byte[] message(long number) {
        StringBuilder text = new StringBuilder(MESSAGE + 100);
        for (long line = 0, seed = number + 1; text.length() < MESSAGE; line++) {
            seed = seed * 6_364_136_223_846_793_005L + 1_442_695_040_888_963_407L;
            text.append("{\"order\":").append(number).append(",\"item\":").append(line)
                    .append(",\"state\":\"paid\",\"trace\":\"").append(Long.toHexString(seed)).append("\"}\n");
        }
        return text.substring(0, MESSAGE).getBytes(StandardCharsets.US_ASCII);
    }

    private static long checksum(byte[] value) {
        CRC32C crc = new CRC32C();
        crc.update(value);
        return crc.getValue();
    }
}
