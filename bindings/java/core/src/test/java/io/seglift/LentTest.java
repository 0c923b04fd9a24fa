package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Memory of the library that somebody forgot. */
class LentTest {
    private static final Logger LOG = Logger.getLogger(Lent.class.getName());

    private final List<String> warnings = new CopyOnWriteArrayList<>();
    private final Handler handler = new Handler() {
        @Override
        public void publish(LogRecord record) {
            if (record.getLevel() == Level.WARNING) {
                warnings.add(record.getMessage());
            }
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    @BeforeEach
    void listen() {
        LOG.addHandler(handler);
    }

    @AfterEach
    void stopListening() {
        LOG.removeHandler(handler);
    }

    @Test
    void whatWasNeverClosedIsFreedAndToldOf() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of())) {
            forget(seglift);
            collectUntilToldOf(2);
            assertTrue(warnings.stream().anyMatch(line -> line.startsWith("Bytes were never closed")));
            assertTrue(warnings.stream().anyMatch(line -> line.startsWith("Records were never closed")));
        }
    }

    @Test
    void whatWasClosedIsNotToldOf() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of())) {
            SegmentRef ref = records(seglift);
            for (int i = 0; i < 100; i++) {
                seglift.readRecords(ref, 0, 0, 0, Call.DEFAULT).close();
                seglift.readObject(ref.key(), 0, 10, Call.DEFAULT).close();
            }
            System.gc();
            assertEquals(List.of(), warnings);
        }
    }

    @Test
    void aBufferKeepsItsMemoryWhenItsBytesAreForgotten() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of())) {
            String key = records(seglift).key();
            ByteBuffer slice = seglift.readObject(key, 0, 10, Call.DEFAULT).buffer().slice(2, 4);
            forget(seglift);
            collectUntilToldOf(2);
            try (Bytes again = seglift.readObject(key, 2, 4, Call.DEFAULT)) {
                assertEquals(again.buffer(), slice);
            }
            assertEquals(2, warnings.size(), "none of the slice's");
            slice = null;
            collectUntilToldOf(3);
        }
    }

    private void collectUntilToldOf(int forgotten) throws InterruptedException {
        Waiting.until(() -> {
            System.gc();
            return warnings.size() == forgotten;
        });
    }

    private static void forget(Seglift seglift) throws SegliftException {
        SegmentRef ref = records(seglift);
        assertEquals(1, seglift.readRecords(ref, 0, 0, 0, Call.DEFAULT).count());
        assertEquals(10, seglift.readObject(ref.key(), 0, 10, Call.DEFAULT).size());
    }

    private static SegmentRef records(Seglift seglift) throws SegliftException {
        try (SegmentWriter writer = seglift.openWriter(WriterOptions.records("t/lent"), Call.DEFAULT)) {
            writer.append(1, 1, ByteBuffer.allocate(100));
            return new SegmentRef("t/lent", writer.commit(new WriterFinish(), Call.DEFAULT).token());
        }
    }
}
