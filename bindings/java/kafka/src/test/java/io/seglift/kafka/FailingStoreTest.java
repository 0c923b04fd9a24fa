package io.seglift.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteResourceNotFoundException;
import org.apache.kafka.server.log.remote.storage.RemoteStorageException;
import org.apache.kafka.server.log.remote.storage.RemoteStorageManager.IndexType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Stores that refuse, hide, are away or slow: what the broker and its operator get to see. */
@Timeout(60)
class FailingStoreTest {
    @TempDir
    Path folder;

    private final SegliftRemoteStorageManager manager = new SegliftRemoteStorageManager();
    private final LoggedLines log = new LoggedLines(SegliftRemoteStorageManager.class);
    private HttpServer server;

    @BeforeEach
    void listen() {
        log.listen();
    }

    @AfterEach
    void stop() {
        manager.close();
        log.close();
        if (server != null) {
            server.stop(0);
        }
    }

    private void open(String store, String... settings) {
        Map<String, String> configs = new HashMap<>(Map.of("store", store, "owner", "test-cluster"));
        for (int i = 0; i < settings.length; i += 2) {
            configs.put(settings[i], settings[i + 1]);
        }
        manager.configure(configs);
    }

    /** An S3 service that gives each request the same answer. */
    private void openS3ThatAnswers(int status, String code) throws IOException {
        String error = "<Error><Code>" + code + "</Code><Message>no</Message></Error>";
        byte[] body = error.getBytes(StandardCharsets.UTF_8);
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            exchange.getRequestBody().readAllBytes();
            boolean head = exchange.getRequestMethod().equals("HEAD");
            exchange.sendResponseHeaders(status, head ? -1 : body.length);
            if (!head) {
                exchange.getResponseBody().write(body);
            }
            exchange.close();
        });
        server.start();
        openS3(server.getAddress().getPort());
    }

    private void openS3(int port) {
        open(
                "s3://bucket/prefix",
                "s3.endpoint",
                "http://127.0.0.1:" + port,
                "s3.access.key",
                "AKIDTEST",
                "s3.secret.key",
                "hush-hush",
                "retry.attempts",
                "1");
    }

    /** One that a copy of some megabytes keeps busy for minutes. */
    private void openSlowFolder(String setting, String value) {
        open("file://" + folder.resolve("tier"), "store.rate.up", "64KiB", "codec", "none", setting, value);
    }

    private RemoteStorageException failure(Executable call) {
        return assertThrows(RemoteStorageException.class, call);
    }

    @Test
    void wrongCredentialsAreSaidOnceWithTheRemedy() throws Exception {
        openS3ThatAnswers(403, "InvalidAccessKeyId");
        KafkaSegment segment = KafkaSegment.make(folder, 100_000);
        RemoteStorageException first = failure(() -> segment.copied(manager));
        assertTrue(first.getMessage().contains("UNAUTHENTICATED"), first.getMessage());
        for (int i = 0; i < 20; i++) {
            RemoteStorageException repeat = failure(() -> segment.copied(manager));
            assertNull(repeat.getCause());
            assertEquals(0, repeat.getStackTrace().length);
            assertTrue(repeat.getMessage().contains("UNAUTHENTICATED"), repeat.getMessage());
        }
        assertEquals(1, log.lines().size(), log.lines().toString());
        String line = log.lines().get(0);
        assertTrue(line.startsWith("Tiered storage s3://bucket/prefix: copying segment orders-"), line);
        assertTrue(line.contains("Remedy: the store does not know these credentials"), line);
        assertFalse(line.contains("hush"), line);
    }

    @Test
    void aMissingBucketIsNoMissingSegment() throws Exception {
        openS3ThatAnswers(404, "NoSuchBucket");
        KafkaSegment segment = KafkaSegment.make(folder, 100_000);
        assertEquals(RemoteStorageException.class, failure(() -> segment.copied(manager)).getClass());
        assertEquals(
                RemoteStorageException.class,
                failure(() -> manager.fetchLogSegment(segment.metadata(), 0)).getClass());
        assertEquals(1, log.lines().size(), log.lines().toString());
        assertTrue(log.lines().get(0).contains("Remedy: check the bucket"), log.lines().get(0));
    }

    @Test
    void aSegmentThatMayBeHiddenIsNotCalledMissing() throws Exception {
        openS3ThatAnswers(403, "AccessDenied");
        RemoteLogSegmentMetadata segment = KafkaSegment.make(folder, 1000).metadata();
        for (Executable call : new Executable[] {
            () -> manager.fetchLogSegment(segment, 0), () -> manager.fetchIndex(segment, IndexType.TRANSACTION)
        }) {
            RemoteStorageException failure = failure(call);
            assertEquals(RemoteStorageException.class, failure.getClass(), failure.getMessage());
        }
    }

    @Test
    void aSegmentThatIsCertainlyMissingIs() throws Exception {
        openS3ThatAnswers(404, "NoSuchKey");
        RemoteLogSegmentMetadata segment = KafkaSegment.make(folder, 1000).metadata();
        assertThrows(RemoteResourceNotFoundException.class, () -> manager.fetchLogSegment(segment, 0));
        assertThrows(RemoteResourceNotFoundException.class, () -> manager.fetchIndex(segment, IndexType.OFFSET));
    }

    /** One that refuses connections, and is asked once for each operation. */
    private void openS3ThatIsAway() throws IOException {
        int port;
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = socket.getLocalPort();
        }
        openS3(port);
    }

    /** How long a fetch takes to fail on a thread of this name. */
    private long millisToFail(String thread, Executable fetch) throws Exception {
        AtomicLong millis = new AtomicLong(-1);
        Thread reader = new Thread(
                () -> {
                    long begin = System.nanoTime();
                    failure(fetch);
                    millis.set(TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin));
                },
                thread);
        reader.start();
        reader.join();
        assertTrue(millis.get() >= 0, "it failed");
        return millis.get();
    }

    private void assertFetchesAreHeld() throws Exception {
        RemoteLogSegmentMetadata segment = KafkaSegment.make(folder, 1000).metadata();
        for (Executable fetch : new Executable[] {
            () -> manager.fetchLogSegment(segment, 0), () -> manager.fetchIndex(segment, IndexType.OFFSET)
        }) {
            long millis = millisToFail("remote-log-reader-3", fetch);
            assertTrue(millis >= 999, millis + " ms");
        }
    }

    @Test
    void aFetchForAConsumerTakesASecondToFailIfTheStoreIsAway() throws Exception {
        openS3ThatIsAway();
        assertFetchesAreHeld();
    }

    @Test
    void aFetchForAConsumerTakesASecondToFailIfTheCredentialsAreWrong() throws Exception {
        openS3ThatAnswers(403, "InvalidAccessKeyId");
        assertFetchesAreHeld();
    }

    @Test
    void aFetchForAConsumerTakesASecondToFailIfTheSegmentIsMissing() throws Exception {
        openS3ThatAnswers(404, "NoSuchKey");
        assertFetchesAreHeld();
    }

    @Test
    void noOtherThreadIsHeld() throws Exception {
        openS3ThatIsAway();
        RemoteLogSegmentMetadata segment = KafkaSegment.make(folder, 1000).metadata();
        for (String thread : new String[] {"ReplicaFetcherThread-0-1", "data-plane-kafka-request-handler-0"}) {
            long millis = millisToFail(thread, () -> manager.fetchIndex(segment, IndexType.LEADER_EPOCH));
            assertTrue(millis < 999, millis + " ms");
        }
    }

    @Test
    void neitherAnIndexThatTheSegmentHasNotNorAStoreThatIsClosedIsWaitedFor() throws Exception {
        open("memory:");
        RemoteLogSegmentMetadata segment = KafkaSegment.make(folder, 1000).copied(manager);
        long missing = millisToFail("remote-log-reader-3", () -> manager.fetchIndex(segment, IndexType.TRANSACTION));
        assertTrue(missing < 999, missing + " ms");
        manager.close();
        long closed = millisToFail("remote-log-reader-3", () -> manager.fetchLogSegment(segment, 0));
        assertTrue(closed < 999, closed + " ms");
    }

    @Test
    void aMissingSegmentIsSaidOnceAndItsRepeatsHaveNoTrace() throws Exception {
        open("memory:");
        RemoteLogSegmentMetadata segment = KafkaSegment.make(folder, 1000).metadata();
        assertTrue(failure(() -> manager.fetchLogSegment(segment, 0)).getStackTrace().length > 0);
        RemoteStorageException repeat = failure(() -> manager.fetchLogSegment(segment, 0));
        assertEquals(RemoteResourceNotFoundException.class, repeat.getClass());
        assertNull(repeat.getCause());
        assertEquals(0, repeat.getStackTrace().length);
        assertEquals(1, log.lines().size(), log.lines().toString());
        assertTrue(log.lines().get(0).contains("Remedy: the object is gone"), log.lines().get(0));
    }

    @Test
    void aStoreThatIsAwayIsSaidOnceForAllItsFailures() throws Exception {
        openS3ThatIsAway();
        KafkaSegment segment = KafkaSegment.make(folder, 100_000);
        for (int i = 0; i < 3; i++) {
            failure(() -> segment.copied(manager));
            failure(() -> manager.fetchLogSegment(segment.metadata(), 0));
            failure(() -> manager.fetchIndex(segment.metadata(), IndexType.OFFSET));
            failure(() -> manager.deleteLogSegmentData(segment.metadata()));
        }
        assertEquals(1, log.lines().size(), log.lines().toString());
        assertTrue(log.lines().get(0).contains("the store cannot be reached"), log.lines().get(0));
    }

    @Test
    void aDeleteOfAStoreThatHangsEndsByItsOwnDeadline() throws Exception {
        try (ServerSocket silent = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            open(
                    "s3://bucket",
                    "s3.endpoint",
                    "http://127.0.0.1:" + silent.getLocalPort(),
                    "s3.access.key",
                    "AKIDTEST",
                    "s3.secret.key",
                    "hush-hush",
                    "kafka.delete.timeout",
                    "300ms");
            RemoteLogSegmentMetadata segment = KafkaSegment.make(folder, 1000).metadata();
            long begin = System.nanoTime();
            RemoteStorageException failure = failure(() -> manager.deleteLogSegmentData(segment));
            long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin);
            assertTrue(millis < 5_000, millis + " ms");
            assertTrue(failure.getMessage().contains("TIMED_OUT"), failure.getMessage());
        }
    }

    @Test
    void aCopyThatIsTooSlowEndsByItsDeadline() throws Exception {
        openSlowFolder("deadline.offload", "500ms");
        KafkaSegment segment = KafkaSegment.make(folder, 20_000_000);
        RemoteStorageException failure = failure(() -> segment.copied(manager));
        assertTrue(failure.getMessage().contains("TIMED_OUT"), failure.getMessage());
        assertThrows(RemoteResourceNotFoundException.class, () -> manager.fetchLogSegment(segment.metadata(), 0));
    }

    /** Begins a copy that would take minutes, does something to it, and returns how it ended. */
    private RemoteStorageException endOfASlowCopy(Consumer<Thread> meanwhile, AtomicBoolean interrupted)
            throws Exception {
        openSlowFolder("deadline.offload", "10m");
        KafkaSegment segment = KafkaSegment.make(folder, 20_000_000);
        AtomicReference<Throwable> end = new AtomicReference<>();
        CountDownLatch begun = new CountDownLatch(1);
        Thread copier = new Thread(() -> {
            begun.countDown();
            try {
                segment.copied(manager);
            } catch (Throwable e) {
                end.set(e);
            }
            interrupted.set(Thread.currentThread().isInterrupted());
        });
        copier.start();
        assertTrue(begun.await(30, TimeUnit.SECONDS));
        while (copier.getState() == Thread.State.RUNNABLE || copier.getState() == Thread.State.NEW) {
            Thread.onSpinWait();
        }
        meanwhile.accept(copier);
        copier.join(30_000);
        assertFalse(copier.isAlive());
        assertEquals(RemoteStorageException.class, end.get().getClass());
        return (RemoteStorageException) end.get();
    }

    @Test
    void anInterruptEndsACopyAndStaysSet() throws Exception {
        AtomicBoolean interrupted = new AtomicBoolean();
        RemoteStorageException end = endOfASlowCopy(Thread::interrupt, interrupted);
        assertTrue(end.getMessage().contains("CANCELLED"), end.getMessage());
        assertTrue(interrupted.get());
        assertEquals(0, log.lines().size(), "the broker wanted it");
    }

    @Test
    void closingEndsWhatRuns() throws Exception {
        AtomicBoolean interrupted = new AtomicBoolean();
        endOfASlowCopy(copier -> manager.close(), interrupted);
        assertFalse(interrupted.get());
        assertEquals(0, log.lines().size(), "the broker wanted it");
        RemoteLogSegmentMetadata segment = KafkaSegment.make(folder, 1000).metadata();
        assertTrue(failure(() -> manager.fetchLogSegment(segment, 0)).getMessage().contains("CLOSED"));
        manager.close();
    }
}
