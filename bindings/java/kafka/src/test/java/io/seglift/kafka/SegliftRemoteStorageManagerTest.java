package io.seglift.kafka;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.seglift.Bytes;
import io.seglift.Call;
import io.seglift.Seglift;
import io.seglift.SegmentRef;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteResourceNotFoundException;
import org.apache.kafka.server.log.remote.storage.RemoteStorageException;
import org.apache.kafka.server.log.remote.storage.RemoteStorageManager.IndexType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What Kafka is promised, asked through its own interface. */
class SegliftRemoteStorageManagerTest {
    @TempDir
    Path folder;

    private Path tier;
    private SegliftRemoteStorageManager manager;

    @BeforeEach
    void open() {
        tier = folder.resolve("tier");
        manager = opened(Map.of());
    }

    @AfterEach
    void close() {
        manager.close();
    }

    private SegliftRemoteStorageManager opened(Map<String, String> more) {
        Map<String, Object> settings = new HashMap<>(
                Map.of("store", "file://" + tier, "owner", "test-cluster", "broker.id", 1, "file.fsync", "false"));
        settings.putAll(more);
        SegliftRemoteStorageManager opened = new SegliftRemoteStorageManager();
        opened.configure(settings);
        return opened;
    }

    private byte[] fetch(RemoteLogSegmentMetadata segment, int start) throws Exception {
        try (InputStream in = manager.fetchLogSegment(segment, start)) {
            return in.readAllBytes();
        }
    }

    private byte[] fetch(RemoteLogSegmentMetadata segment, int start, int end) throws Exception {
        try (InputStream in = manager.fetchLogSegment(segment, start, end)) {
            return in.readAllBytes();
        }
    }

    private byte[] index(RemoteLogSegmentMetadata segment, IndexType type) throws Exception {
        try (InputStream in = manager.fetchIndex(segment, type)) {
            return in.readAllBytes();
        }
    }

    private long objects() throws Exception {
        try (var files = Files.walk(tier)) {
            return files.filter(Files::isRegularFile).count();
        }
    }

    @Test
    void aCopiedSegmentReadsBackByteForByte() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 5_000_001);
        RemoteLogSegmentMetadata copied = segment.copied(manager);
        assertArrayEquals(segment.log(), fetch(copied, 0));
        assertArrayEquals(segment.log(), fetch(segment.metadata(), 0), "without custom metadata");
    }

    @Test
    void everythingOfASegmentIsInOneObject() throws Exception {
        KafkaSegment segment = KafkaSegment.makeTransactional(folder.resolve("log"), 100_000);
        RemoteLogSegmentMetadata copied = segment.copied(manager);
        assertEquals(1, objects());
        assertArrayEquals(Files.readAllBytes(segment.data().offsetIndex()), index(copied, IndexType.OFFSET));
        assertArrayEquals(Files.readAllBytes(segment.data().timeIndex()), index(copied, IndexType.TIMESTAMP));
        assertArrayEquals(
                Files.readAllBytes(segment.data().transactionIndex().orElseThrow()),
                index(copied, IndexType.TRANSACTION));
        assertArrayEquals(
                Files.readAllBytes(segment.data().producerSnapshotIndex()), index(copied, IndexType.PRODUCER_SNAPSHOT));
        assertArrayEquals(KafkaSegment.LEADER_EPOCHS, index(copied, IndexType.LEADER_EPOCH));
    }

    @Test
    void anIndexIsReadInAnyWayAndEndsWithItsClose() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 1000);
        byte[] expected = Files.readAllBytes(segment.data().timeIndex());
        InputStream in = manager.fetchIndex(segment.copied(manager), IndexType.TIMESTAMP);
        assertEquals(expected.length, in.available());
        assertEquals(Byte.toUnsignedInt(expected[0]), in.read());
        assertEquals(9, in.skip(9));
        assertEquals(0, in.skip(-1));
        assertArrayEquals(Arrays.copyOfRange(expected, 10, 20), in.readNBytes(10));
        assertEquals(0, in.read(new byte[0]));
        in.close();
        in.close();
        assertEquals(-1, in.read());
        assertEquals(-1, in.read(new byte[1]));
    }

    @Test
    void anIndexThatIsReadToItsEndKeepsNoMemoryEvenIfNobodyClosesIt() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 1000);
        RemoteLogSegmentMetadata copied = segment.copied(manager);
        SegmentRef ref = new SegmentRef(SegmentKeys.of(copied.remoteLogSegmentId()), null);
        for (boolean bulk : new boolean[] {true, false}) {
            try (Seglift store = Seglift.open("file://" + tier, Map.of());
                    Bytes bytes = store.readAttachment(ref, "snapshot", Call.DEFAULT)) {
                BytesInputStream in = new BytesInputStream(bytes);
                in.readNBytes(10);
                assertEquals(10, bytes.buffer().remaining(), "there was no end yet");
                assertEquals(-1, bulk ? in.read(new byte[1]) : in.read());
                assertThrows(IllegalStateException.class, bytes::buffer);
            }
        }
    }

    @Test
    void customMetadataIsWhatKafkaKeeps() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 1000);
        int size = segment.copied(manager).customMetadata().orElseThrow().value().length;
        assertTrue(size > 0 && size <= 128, size + " bytes");
    }

    @Test
    void moreCustomMetadataThanKafkaKeepsIsRefused() throws Exception {
        assertEquals(128, SegliftRemoteStorageManager.customMetadata(new byte[128]).value().length);
        String message = assertThrows(
                        RemoteStorageException.class, () -> SegliftRemoteStorageManager.customMetadata(new byte[129]))
                .getMessage();
        assertTrue(message.contains("129 bytes"), message);
    }

    @Test
    void aRangeIncludesItsEndAndIsClampedToTheSegment() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 10_000);
        RemoteLogSegmentMetadata copied = segment.copied(manager);
        assertArrayEquals(Arrays.copyOfRange(segment.log(), 7, 8), fetch(copied, 7, 7));
        assertArrayEquals(Arrays.copyOfRange(segment.log(), 9_990, 10_000), fetch(copied, 9_990, 9_999));
        assertArrayEquals(Arrays.copyOfRange(segment.log(), 9_990, 10_000), fetch(copied, 9_990, 10_000));
        assertArrayEquals(Arrays.copyOfRange(segment.log(), 9_990, 10_000), fetch(copied, 9_990, Integer.MAX_VALUE));
        assertEquals(0, fetch(copied, 10_000).length);
    }

    @Test
    void aRangeThatDoesNotExistIsAnError() throws Exception {
        RemoteLogSegmentMetadata copied = KafkaSegment.make(folder.resolve("log"), 10_000).copied(manager);
        for (int[] range : new int[][] {{-1, 5}, {10_001, 10_002}, {8, 7}}) {
            RemoteStorageException refused = assertThrows(
                    RemoteStorageException.class, () -> manager.fetchLogSegment(copied, range[0], range[1]));
            assertTrue(refused.getMessage().contains("10000 bytes"), refused.getMessage());
        }
    }

    @Test
    void aThousandRandomRangesEqualTheFile() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 3_333_333);
        RemoteLogSegmentMetadata copied = segment.copied(manager);
        Random random = new Random(42);
        for (int i = 0; i < 1000; i++) {
            int start = random.nextInt(segment.log().length);
            int end = start + random.nextInt(random.nextBoolean() ? 100 : 1_500_000);
            byte[] expected = Arrays.copyOfRange(segment.log(), start, Math.min(end + 1, segment.log().length));
            assertArrayEquals(expected, fetch(copied, start, end), "range " + start + "-" + end);
        }
    }

    @Test
    void manyThreadsReadOneSegmentAtOnce() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 4_000_000);
        RemoteLogSegmentMetadata copied = segment.copied(manager);
        ExecutorService threads = Executors.newFixedThreadPool(8);
        try {
            List<Callable<byte[]>> readers = IntStream.range(0, 64)
                    .<Callable<byte[]>>mapToObj(i -> () -> fetch(copied, i * 50_000, i * 50_000 + 999_999))
                    .toList();
            List<Future<byte[]>> results = threads.invokeAll(readers);
            for (int i = 0; i < results.size(); i++) {
                int end = Math.min(i * 50_000 + 1_000_000, segment.log().length);
                assertArrayEquals(
                        Arrays.copyOfRange(segment.log(), i * 50_000, end), results.get(i).get());
            }
        } finally {
            threads.shutdownNow();
        }
    }

    @Test
    void aMissingSegmentIsNotFoundInEachOfItsParts() throws Exception {
        RemoteLogSegmentMetadata missing = KafkaSegment.make(folder.resolve("log"), 1000).metadata();
        assertThrows(RemoteResourceNotFoundException.class, () -> manager.fetchLogSegment(missing, 0));
        for (IndexType type : IndexType.values()) {
            assertThrows(RemoteResourceNotFoundException.class, () -> manager.fetchIndex(missing, type));
        }
    }

    @Test
    void anIndexThatTheSegmentHasNotIsNotFound() throws Exception {
        RemoteLogSegmentMetadata copied = KafkaSegment.make(folder.resolve("log"), 1000).copied(manager);
        assertThrows(RemoteResourceNotFoundException.class, () -> manager.fetchIndex(copied, IndexType.TRANSACTION));
    }

    @Test
    void aCopyOfTheSameIdSucceedsAgain() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 100_000);
        var first = segment.copied(manager).customMetadata();
        assertEquals(first, segment.copied(manager).customMetadata());
        assertEquals(1, objects());
    }

    @Test
    void aDeletedSegmentIsGoneAndDeletingItAgainIsSuccess() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 100_000);
        RemoteLogSegmentMetadata copied = segment.copied(manager);
        manager.deleteLogSegmentData(segment.metadata());
        assertEquals(0, objects());
        manager.deleteLogSegmentData(copied);
        assertThrows(RemoteResourceNotFoundException.class, () -> manager.fetchLogSegment(copied, 0));
    }

    @Test
    void anEmptySegmentIsASegment() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 0);
        assertEquals(0, fetch(segment.copied(manager), 0).length);
    }

    @Test
    void aSegmentSurvivesTheBrokerThatCopiedIt() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 100_000);
        RemoteLogSegmentMetadata copied = segment.copied(manager);
        manager.close();
        manager = opened(Map.of("codec", "none"));
        assertArrayEquals(segment.log(), fetch(copied, 0));
    }

    @Test
    void configuredAgainItClosesTheFirstStoreAndAClosedStoreIsClosedOnce() throws Exception {
        try (LoggedLines log = new LoggedLines(SegliftRemoteStorageManager.class)) {
            log.listen();
            manager.configure(Map.of("store", "memory:", "owner", "test-cluster"));
            assertEquals(List.of("Tiered storage file://" + tier + " is closed"), closings(log));
            manager.close();
            manager.close();
            assertEquals(2, closings(log).size());
        }
    }

    private static List<String> closings(LoggedLines log) {
        return log.all().stream().filter(line -> line.endsWith("is closed")).toList();
    }

    @Test
    void anObjectThatIsShorterThanItsSegmentIsAFailure() throws Exception {
        KafkaSegment segment = KafkaSegment.make(folder.resolve("log"), 1000);
        segment.copied(manager);
        RemoteLogSegmentMetadata longer = KafkaSegment.metadata(segment.metadata().remoteLogSegmentId(), 1001);
        try (LoggedLines log = new LoggedLines(SegliftRemoteStorageManager.class);
                InputStream in = manager.fetchLogSegment(longer, 0)) {
            log.listen();
            assertArrayEquals(segment.log(), in.readNBytes(1000));
            String message = assertThrows(IOException.class, in::read).getMessage();
            assertTrue(message.contains("CORRUPT: the object has 1000 bytes of a segment of at least 1001"), message);
            assertTrue(log.lines().get(0).contains("Remedy: the object is damaged"), log.lines().toString());
        }
    }
}
