package io.seglift.kafka;

import static org.apache.kafka.server.log.remote.storage.RemoteLogSegmentState.COPY_SEGMENT_FINISHED;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.MockConsumer;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.server.log.remote.metadata.storage.serialization.RemoteLogMetadataSerde;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentId;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The command against a topic in memory: {@link MockConsumer} has the client's behaviour without its broker. */
class LiveKeysTest {
    private static final Node BROKER = new Node(1, "localhost", 9092);
    private static final TopicPartition FIRST = new TopicPartition(MetadataTopic.NAME, 0);
    private static final TopicPartition SECOND = new TopicPartition(MetadataTopic.NAME, 1);

    private final MockConsumer<byte[], byte[]> consumer = new MockConsumer<>(OffsetResetStrategy.NONE);
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();
    private final Map<TopicPartition, Long> begins = new HashMap<>(Map.of(FIRST, 0L, SECOND, 0L));
    private final Map<TopicPartition, Long> ends = new HashMap<>(Map.of(FIRST, 0L, SECOND, 0L));
    private Node leader = BROKER;
    private Properties client;
    private String clusterId = "this-cluster";

    @TempDir
    Path folder;

    /** Another record of the topic, handed out by a poll of its own. */
    private void record(TopicPartition partition, byte[] value) {
        long offset = ends.merge(partition, 1L, Long::sum) - 1;
        consumer.schedulePollTask(() -> consumer.addRecord(
                new ConsumerRecord<>(partition.topic(), partition.partition(), offset, null, value)));
    }

    private String copied(TopicPartition partition, String topic) {
        RemoteLogSegmentId id = RemoteLogSegmentId.generateNew(
                new TopicIdPartition(Uuid.randomUuid(), new TopicPartition(topic, 0)));
        record(partition, new RemoteLogMetadataSerde().serialize(LiveSegmentsTest.begun(id, Duration.ofDays(9))));
        record(
                partition,
                new RemoteLogMetadataSerde()
                        .serialize(LiveSegmentsTest.became(id, COPY_SEGMENT_FINISHED, Duration.ofDays(9))));
        return SegmentKeys.of(id);
    }

    private int run(String... options) {
        return run(out, options);
    }

    private int run(OutputStream to, String... options) {
        List<PartitionInfo> partitions = new ArrayList<>();
        for (TopicPartition partition : List.of(FIRST, SECOND)) {
            Node[] replicas = {BROKER};
            partitions.add(new PartitionInfo(partition.topic(), partition.partition(), leader, replicas, replicas));
        }
        consumer.updatePartitions(MetadataTopic.NAME, partitions);
        consumer.updateBeginningOffsets(begins);
        consumer.updateEndOffsets(ends);
        List<String> args = new ArrayList<>(List.of("live-keys", "--bootstrap-server", "localhost:9092"));
        args.addAll(List.of(options));
        return command(to).run(args.toArray(String[]::new));
    }

    private LiveKeys command(OutputStream to) {
        return command(to, properties -> {
            client = properties;
            return consumer;
        });
    }

    private LiveKeys command(OutputStream to, Function<Properties, Consumer<byte[], byte[]>> consumers) {
        KafkaCluster cluster = new KafkaCluster() {
            @Override
            public String id(Properties properties, Duration timeout) {
                assertEquals("localhost:9092", properties.get("bootstrap.servers"));
                return clusterId;
            }

            @Override
            public Consumer<byte[], byte[]> consumer(Properties properties) {
                return consumers.apply(properties);
            }
        };
        return new LiveKeys(cluster, new PrintStream(to), new PrintStream(err));
    }

    /** The keys that were printed between the first line and the last one, which must be right. */
    private List<String> printed() {
        List<String> lines = out.toString().lines().toList();
        List<String> keys = lines.subList(1, lines.size() - 1);
        assertTrue(lines.get(0).matches("#seglift-live-keys 1 \\d{16}"), lines.get(0));
        assertEquals("#end " + keys.size(), lines.get(lines.size() - 1));
        assertTrue(out.toString().endsWith("\n"));
        return keys;
    }

    private void assertNothingPrinted(int status, String reason) {
        assertEquals(LiveKeys.FAILED, status);
        assertEquals("", out.toString());
        assertTrue(err.toString().contains(reason), err.toString());
    }

    @Test
    void allPartitionsAreReadAndTheirKeysPrintedInByteOrder() {
        String b = copied(FIRST, "b");
        String a = copied(SECOND, "a");
        String c = copied(FIRST, "c");
        assertEquals(LiveKeys.DONE, run());
        assertEquals(List.of(a, b, c), printed());
        assertEquals("3 live segments\n", err.toString());
        assertTrue(consumer.closed());
    }

    @Test
    void aTopicWithoutRecordsIsAnEmptyList() {
        assertEquals(LiveKeys.DONE, run());
        assertEquals(List.of(), printed());
    }

    @Test
    void theFirstLineSaysWhenReadingBegan() {
        Instant before = Instant.now();
        AtomicReference<Instant> firstPoll = new AtomicReference<>();
        consumer.schedulePollTask(() -> {
            firstPoll.set(Instant.now());
            while (Instant.now().compareTo(firstPoll.get().plusMillis(2)) < 0) {
                Thread.onSpinWait();
            }
        });
        copied(FIRST, "a");
        assertEquals(LiveKeys.DONE, run());
        long micros = Long.parseLong(out.toString().lines().findFirst().orElseThrow().split(" ")[2]);
        assertTrue(micros >= ChronoUnit.MICROS.between(Instant.EPOCH, before), out.toString());
        assertTrue(micros <= ChronoUnit.MICROS.between(Instant.EPOCH, firstPoll.get()), out.toString());
    }

    @Test
    void anotherClusterIsAFailure() {
        copied(FIRST, "a");
        assertNothingPrinted(run("--cluster-id", "that-cluster"), "this is the cluster this-cluster, and not that-");
        clusterId = null;
        assertNothingPrinted(run("--cluster-id", "that-cluster"), "this is the cluster null");
    }

    @Test
    void theClusterThatIsMeantIsRead() {
        String key = copied(FIRST, "a");
        assertEquals(LiveKeys.DONE, run("--cluster-id", "this-cluster"));
        assertEquals(List.of(key), printed());
    }

    @Test
    void whateverElseHappensIsAFailureInOneLine() {
        for (Throwable unexpected : List.of(new IllegalStateException("x"), new NoSuchMethodError("x"))) {
            err.reset();
            LiveKeys command = command(out, properties -> sneaky(unexpected));
            assertNothingPrinted(command.run("live-keys", "--bootstrap-server", "x:1"), unexpected.toString());
            assertEquals(1, err.toString().lines().count(), err.toString());
        }
    }

    @SuppressWarnings("unchecked")
    private static <T, E extends Throwable> T sneaky(Throwable failure) throws E {
        throw (E) failure;
    }

    @Test
    void aMissingTopicIsAFailure() {
        assertNothingPrinted(
                command(out).run("live-keys", "--bootstrap-server", "localhost:9092"),
                "there is no topic __remote_log_metadata");
    }

    @Test
    void aPartitionWithoutALeaderIsAFailure() {
        copied(FIRST, "a");
        leader = null;
        assertNothingPrinted(run(), "__remote_log_metadata-0 has no leader");
    }

    @Test
    void aRecordOfAnUnknownKindIsAFailure() {
        copied(FIRST, "a");
        record(SECOND, new byte[] {0, 99, 0, 1});
        assertNothingPrinted(run(), "record 0 of partition __remote_log_metadata-1 is not understood");
    }

    @Test
    void aRecordWithoutAValueIsAFailure() {
        copied(FIRST, "a");
        record(FIRST, null);
        assertNothingPrinted(run(), "record 2 of partition __remote_log_metadata-0 is not understood");
    }

    @Test
    void recordsThatDoNotComeInTimeAreAFailure() {
        copied(FIRST, "a");
        ends.put(SECOND, 1L);
        assertNothingPrinted(run("--timeout", "200ms"), "could be read within");
    }

    @Test
    void aMissingRightIsAFailure() {
        copied(FIRST, "a");
        consumer.schedulePollTask(() -> consumer.setPollException(
                new TopicAuthorizationException(Set.of(MetadataTopic.NAME))));
        ends.put(SECOND, 1L);
        assertNothingPrinted(run(), "Not authorized to access topics: [__remote_log_metadata]");
    }

    @Test
    void aClientThatCannotBeMadeIsAFailure() {
        LiveKeys command = command(out, properties -> {
            throw new KafkaException("Failed to construct", new IOException("no such keystore"));
        });
        assertNothingPrinted(
                command.run("live-keys", "--bootstrap-server", "x:1"), "Failed to construct: no such keystore");
    }

    private String copiedAfterTheFirstRecordsWent() {
        ends.put(FIRST, 5L);
        begins.put(FIRST, 5L);
        return copied(FIRST, "a");
    }

    @Test
    void aTopicWhoseFirstRecordsAreGoneIsAFailure() {
        copiedAfterTheFirstRecordsWent();
        assertNothingPrinted(run(), "__remote_log_metadata-0 begins at offset 5");
    }

    @Test
    void aTopicWhoseFirstRecordsAreGoneIsReadIfThatIsSaidToBeFine() {
        String key = copiedAfterTheFirstRecordsWent();
        assertEquals(LiveKeys.DONE, run("--allow-truncated"));
        assertEquals(List.of(key), printed());
    }

    @Test
    void aListThatCannotBeWrittenIsAFailure() {
        copied(FIRST, "a");
        OutputStream full = new OutputStream() {
            @Override
            public void write(int b) throws IOException {
                throw new IOException("No space left on device");
            }
        };
        assertEquals(LiveKeys.FAILED, run(full));
        assertTrue(err.toString().contains("not the whole list"), err.toString());
    }

    @Test
    void theClientReadsAsABrokerDoesWhateverTheFileSays() throws IOException {
        Path file = Files.writeString(
                folder.resolve("client.properties"),
                "security.protocol=SSL\ngroup.id=g\nisolation.level=read_committed\nauto.offset.reset=latest\n"
                        + "interceptor.classes=org.example.LeavesOut\n");
        assertEquals(LiveKeys.DONE, run("--command-config", file.toString()));
        assertEquals("SSL", client.get("security.protocol"));
        assertEquals("read_uncommitted", client.get("isolation.level"));
        assertEquals("none", client.get("auto.offset.reset"));
        assertEquals(null, client.get("group.id"));
        assertEquals(null, client.get("interceptor.classes"));
    }

    @Test
    void aWrongCommandLineIsAStatusOfItsOwn() {
        String[][] wrong = {
            {},
            {"dead-keys"},
            {"live-keys"},
            {"live-keys", "--bootstrap-server"},
            {"live-keys", "--bootstrap-server", "x:1", "--in-flight", "soon"},
            {"live-keys", "--bootstrap-server", "x:1", "--timeout", "999999999d"},
            {"live-keys", "--bootstrap-server", "x:1", "--cluster-id"},
            {"live-keys", "--bootstrap-server", "x:1", "--command-config", "/none"},
            {"live-keys", "--bootstrap-server", "x:1", "--force"},
        };
        for (String[] args : wrong) {
            assertEquals(LiveKeys.USAGE, command(out).run(args), String.join(" ", args));
        }
        assertEquals("", out.toString());
    }

    @Test
    void helpSaysWhatEveryOptionDoes() {
        assertEquals(LiveKeys.DONE, command(out).run("--help"));
        assertEquals(LiveKeys.DONE, command(out).run("live-keys", "--help"));
        for (String option : List.of(
                "--bootstrap-server",
                "--cluster-id",
                "--command-config",
                "--in-flight",
                "--timeout",
                "--allow-truncated",
                "--help")) {
            assertTrue(out.toString().contains("  " + option + " "), option);
        }
    }
}
