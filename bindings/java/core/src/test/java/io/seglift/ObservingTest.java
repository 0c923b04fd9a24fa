package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import javax.management.JMException;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import org.junit.jupiter.api.Test;

/** What an operator sees of an engine. */
class ObservingTest {
    private final MBeanServer server = ManagementFactory.getPlatformMBeanServer();

    @Test
    void theMetricsOfAnEngineAreInJmxUntilItIsClosed() throws Exception {
        Set<ObjectName> before = engines();
        try (Seglift store = Seglift.open("memory:", Map.of())) {
            ObjectName engine = only(before);
            store.offload(Segment.of("a/0", Samples.direct(new byte[1000])).build(), Call.DEFAULT);
            store.read(SegmentRef.of("a/0"), 0, ByteBuffer.allocateDirect(1000), Call.DEFAULT);
            // A bean's numbers may be a second old.
            Waiting.until(() -> attribute(engine, "seglift_operations_total.read.OK").equals(1L));
            assertEquals(1000L, server.getAttribute(engine, "seglift_segment_bytes_total.offload.raw"));
            assertTrue(server.getMBeanInfo(engine).getAttributes().length > 100);
            assertTrue(store.engine().metrics().contains("seglift_operations_total{op=\"read\",result=\"OK\"} 1\n"));
        }
        assertEquals(before, engines());
    }

    @Test
    void whatTheLibraryLogsReachesSlf4jOnceAndAtItsLevel() throws Exception {
        List<LogRecord> records = new CopyOnWriteArrayList<>();
        Logger logger = Logger.getLogger(LogForwarder.LOGGER);
        Handler handler = handler(records);
        logger.addHandler(handler);
        try (Seglift store = Seglift.open("memory:", Map.of())) {
            store.offload(Segment.of("a/0", Samples.direct(new byte[10])).build(), Call.DEFAULT);
        } finally {
            // The engine is closed, and with it the last lines are out.
            logger.removeHandler(handler);
        }
        assertEquals(
                List.of(Level.INFO + " driver: opened store=memory:", Level.INFO + " driver: closed store=memory:"),
                records.stream().map(record -> record.getLevel() + " " + record.getMessage().replaceFirst("memory:.*", "memory:"))
                        .toList());
    }

    private static Handler handler(List<LogRecord> records) {
        return new Handler() {
            @Override
            public void publish(LogRecord record) {
                if (record.getLoggerName().equals(LogForwarder.LOGGER)) {
                    records.add(record);
                }
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
    }

    private Object attribute(ObjectName bean, String name) {
        try {
            return server.getAttribute(bean, name);
        } catch (JMException e) {
            throw new AssertionError(e);
        }
    }

    private Set<ObjectName> engines() throws JMException {
        return server.queryNames(new ObjectName("io.seglift:type=Engine,*"), null);
    }

    private ObjectName only(Set<ObjectName> before) throws JMException {
        Set<ObjectName> now = new HashSet<>(engines());
        now.removeAll(before);
        assertEquals(1, now.size());
        return now.iterator().next();
    }
}
