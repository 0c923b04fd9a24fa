package io.seglift.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentId;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteStorageException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class FailuresTest {
    private final AtomicLong nanos = new AtomicLong();
    private final Failures failures = new Failures(new FailureLog("s3://b", nanos::get));
    private final RemoteLogSegmentMetadata segment = KafkaSegment.metadata(
            RemoteLogSegmentId.generateNew(new TopicIdPartition(Uuid.randomUuid(), new TopicPartition("orders", 3))),
            10);
    private final LoggedLines log = new LoggedLines(SegliftRemoteStorageManager.class);

    @BeforeEach
    void listen() {
        log.listen();
    }

    @AfterEach
    void stop() {
        log.close();
    }

    @Test
    void whateverFailsTheBrokerGetsItsOwnKindOfException() {
        for (Throwable failure : new Throwable[] {
            new NullPointerException(),
            new UnsatisfiedLinkError("x"),
            new StackOverflowError(),
            new Exception("x"),
            null
        }) {
            RemoteStorageException translated = failures.of("copying", segment, failure);
            assertEquals(RemoteStorageException.class, translated.getClass());
        }
    }

    @Test
    void aFailureThatCannotEvenBeDescribedIsStillOne() {
        Throwable hostile = new Error() {
            private static final long serialVersionUID = 1;

            @Override
            public String toString() {
                throw new OutOfMemoryError();
            }
        };
        RemoteStorageException translated = failures.of("copying", segment, hostile);
        assertEquals(translated.getMessage(), failures.ofStream("key", hostile).getMessage());
    }

    @Test
    void theBrokersOwnKindPassesAsItIs() {
        RemoteStorageException known = new RemoteStorageException("x");
        assertSame(known, failures.of("copying", segment, known));
    }

    @Test
    void theMessageNamesActionKeyAndCause() {
        String message = failures.of("copying", segment, new IllegalStateException("boom")).getMessage();
        String key = SegmentKeys.of(segment.remoteLogSegmentId());
        assertEquals("copying segment " + key + " failed: java.lang.IllegalStateException: boom", message);
    }

    @Test
    void theFirstOfAKindHasItsTraceAndRepeatsAreTheirMessage() {
        RemoteStorageException first = failures.of("copying", segment, new IllegalStateException("boom"));
        assertNotNull(first.getCause());
        assertTrue(first.getStackTrace().length > 0);
        for (int i = 0; i < 1000; i++) {
            RemoteStorageException repeat = failures.of("copying", segment, new IllegalStateException("boom"));
            assertNull(repeat.getCause());
            assertEquals(0, repeat.getStackTrace().length);
            assertEquals(first.getMessage(), repeat.getMessage());
        }
    }

    @Test
    void theRemedyIsSaidOnceAndAgainMinutesLaterWithACount() {
        for (int i = 0; i < 1000; i++) {
            failures.of("copying", segment, new IllegalStateException("boom"));
        }
        assertEquals(1, log.lines().size());
        assertFalse(log.lines().get(0).contains("times since"));
        nanos.addAndGet(TimeUnit.MINUTES.toNanos(10));
        failures.of("copying", segment, new IllegalStateException("boom"));
        failures.of("copying", segment, new IllegalStateException("boom"));
        assertEquals(2, log.lines().size());
        assertTrue(log.lines().get(1).contains("and 999 times since this was last said"), log.lines().get(1));
    }
}
