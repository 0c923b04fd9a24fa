package io.seglift.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Map;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The heap of a broker is its own: what moves through the plugin does not lie there. */
class AllocationTest {
    private static final int SEGMENT = 64 << 20;
    /** 2 MiB of heap for each GiB that moves. */
    private static final long LIMIT = SEGMENT / 512;

    private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private final SegliftRemoteStorageManager manager = new SegliftRemoteStorageManager();
    private KafkaSegment segment;

    @TempDir
    Path folder;

    @BeforeEach
    void open() throws Exception {
        manager.configure(Map.of(
                "store", "file://" + folder.resolve("tier"),
                "owner", "test-cluster",
                "codec", "none",
                "file.fsync", "false"));
        segment = KafkaSegment.make(folder.resolve("log"), SEGMENT);
        // The first of each loads classes.
        fetch(segment.copied(manager), new byte[1 << 20]);
    }

    @AfterEach
    void close() {
        manager.close();
    }

    /** By this thread and the one that completes operations; others of the JVM do not count. */
    private long allocated() {
        long sum = threads.getThreadAllocatedBytes(Thread.currentThread().getId());
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            if (thread.getName().startsWith("seglift")) {
                sum += threads.getThreadAllocatedBytes(thread.getId());
            }
        }
        return sum;
    }

    private long fetch(RemoteLogSegmentMetadata copied, byte[] into) throws Exception {
        long sum = 0;
        try (InputStream in = manager.fetchLogSegment(copied, 0)) {
            for (int count; (count = in.read(into)) > 0; ) {
                sum += count;
            }
        }
        return sum;
    }

    @Test
    void aCopyAllocatesNextToNothing() throws Exception {
        manager.deleteLogSegmentData(segment.metadata());
        long before = allocated();
        segment.copied(manager);
        long bytes = allocated() - before;
        assertTrue(bytes <= LIMIT, bytes + " bytes");
    }

    @Test
    void aFetchAllocatesNextToNothing() throws Exception {
        RemoteLogSegmentMetadata copied = segment.copied(manager);
        byte[] into = new byte[1 << 20];
        long before = allocated();
        assertEquals(SEGMENT, fetch(copied, into));
        long bytes = allocated() - before;
        assertTrue(bytes <= LIMIT, bytes + " bytes");
    }

    @Test
    void anOpeningAllocatesItsStreamAndNoBuffer() throws Exception {
        RemoteLogSegmentMetadata copied = segment.copied(manager);
        byte[] into = new byte[1 << 20];
        long before = allocated();
        for (int position = 0; position < SEGMENT; position += 1 << 20) {
            try (InputStream in = manager.fetchLogSegment(copied, position)) {
                assertEquals(17, in.read(into, 0, 17));
                assertEquals((1 << 20) - 17, in.read(into, 17, (1 << 20) - 17));
            }
        }
        long bytes = allocated() - before;
        assertTrue(bytes <= 64 * 4096, bytes + " bytes");
    }
}
