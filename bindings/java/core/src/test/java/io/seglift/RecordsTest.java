package io.seglift;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Segments of records, written in pieces and read in batches. */
class RecordsTest {
    private record Sample(long id, long time, byte[] payload) {}

    @TempDir
    Path folder;

    /** Ids with gaps, payloads from nothing to far beyond a block. */
    private static List<Sample> samples(int n) {
        Random random = new Random(n);
        List<Sample> samples = new ArrayList<>();
        long id = 7;
        for (int i = 0; i < n; i++) {
            int size = i == n / 2 ? 700_000 : random.nextInt(3000);
            samples.add(new Sample(id, 1_700_000_000_000_000L + i, Samples.bytes(i == 3 ? 0 : size, i)));
            id += 1 + random.nextInt(5);
        }
        return samples;
    }

    @ParameterizedTest
    @ValueSource(strings = {"file", "memory"})
    void recordsComeBackWithTheirIdsTimesAndPayloads(String store) throws Exception {
        List<Sample> samples = samples(2000);
        try (Seglift seglift = Seglift.open(store.equals("file") ? "file://" + folder : "memory:", Map.of())) {
            SegmentRef ref = write(seglift, "t/records", samples);
            List<Sample> read = new ArrayList<>();
            long next = 0;
            boolean atEnd = false;
            while (!atEnd) {
                try (Records records = seglift.readRecords(ref, next, 300, 200_000, Call.DEFAULT)) {
                    assertTrue(records.count() > 0 && records.count() <= 300);
                    for (SegmentRecord record : records) {
                        assertTrue(record.payload().isReadOnly());
                        read.add(new Sample(record.id(), record.timeMicros(), Samples.array(record.payload())));
                    }
                    next = records.nextId();
                    atEnd = records.atEnd();
                }
            }
            assertSame(samples, read);
            SegmentInfo.RecordRange range = seglift.stat(ref, Call.DEFAULT).records().orElseThrow();
            assertEquals(2000, range.count());
            assertEquals(samples.get(0).id(), range.firstId());
            assertEquals(samples.get(1999).id(), range.lastId());
        }
    }

    @Test
    void aFullWriterTakesEachRecordOnce() throws Exception {
        Map<String, String> small = Map.of("codec", "none", "upload.part.size", "64KiB", "upload.concurrency", "1");
        List<Sample> samples = samples(2000);
        try (Seglift seglift = Seglift.open("fault+memory:?part=*:delay-5ms", small)) {
            SegmentRef ref = write(seglift, "t/slow", samples);
            List<Sample> read = new ArrayList<>();
            try (Records records = seglift.readRecords(ref, 0, 0, 100 << 20, Call.DEFAULT)) {
                assertTrue(records.atEnd());
                records.forEach(record ->
                        read.add(new Sample(record.id(), record.timeMicros(), Samples.array(record.payload()))));
            }
            assertSame(samples, read);
        }
    }

    @Test
    void aBatchBeginsAtTheFirstRecordThatIsNotLower() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of())) {
            SegmentRef ref = write(seglift, "t/gaps", List.of(
                    new Sample(10, 1, new byte[] {1}),
                    new Sample(20, 2, new byte[] {2}),
                    new Sample(-1, 3, new byte[0])));
            try (Records records = seglift.readRecords(ref, 11, 1, 0, Call.DEFAULT)) {
                assertEquals(20, records.iterator().next().id());
                assertEquals(21, records.nextId());
                assertFalse(records.atEnd());
            }
            try (Records records = seglift.readRecords(ref, 21, 0, 0, Call.DEFAULT)) {
                assertEquals(-1, records.iterator().next().id(), "ids are unsigned");
                assertTrue(records.atEnd());
            }
        }
    }

    @Test
    void anIdThatDoesNotIncreaseIsRefusedAndTheWriterGoesOn() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of());
                SegmentWriter writer = seglift.openWriter(WriterOptions.records("t/ids"), Call.DEFAULT)) {
            ByteBuffer payload = ByteBuffer.wrap(new byte[] {1, 2, 3});
            writer.append(5, 0, payload);
            assertThrows(IllegalArgumentException.class, () -> writer.append(5, 0, payload));
            assertThrows(IllegalArgumentException.class, () -> writer.append(4, 0, payload));
            writer.append(6, 0, payload);
            assertEquals(2, writer.commit(new WriterFinish(), Call.DEFAULT).records());
        }
    }

    @Test
    void afterARefusalWhatWasTakenIsCommitted() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of());
                SegmentWriter writer = seglift.openWriter(
                        WriterOptions.records("t/max").maxBytes(100_000), Call.DEFAULT)) {
            for (int i = 1; i <= 150; i++) {
                writer.append(i, 0, ByteBuffer.allocate(1000));
            }
            assertThrows(OutOfRangeException.class, writer::flush);
            assertThrows(OutOfRangeException.class, () -> {
                writer.append(150, 0, ByteBuffer.allocate(100_000));
                writer.flush();
            });
            Receipt receipt = writer.commit(new WriterFinish(), Call.DEFAULT);
            try (Records records = seglift.readRecords(new SegmentRef("t/max", receipt.token()), 0, 0, 1 << 20,
                    Call.DEFAULT)) {
                assertEquals(receipt.records(), records.count());
                assertTrue(records.count() > 90 && records.count() <= 100, "records: " + records.count());
                assertEquals(records.count() + 1, records.nextId());
            }
        }
    }

    @Test
    void afterARefusalALowerIdThanTheRefusedGoesOn() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of());
                SegmentWriter writer = seglift.openWriter(
                        WriterOptions.records("t/on").maxBytes(100_000), Call.DEFAULT)) {
            writer.append(1, 0, ByteBuffer.allocate(1000));
            writer.append(100, 0, ByteBuffer.allocate(200_000));
            assertThrows(OutOfRangeException.class, writer::flush);
            assertThrows(IllegalArgumentException.class, () -> writer.append(1, 0, ByteBuffer.allocate(0)));
            writer.append(2, 0, ByteBuffer.allocate(1000));
            assertEquals(2, writer.commit(new WriterFinish(), Call.DEFAULT).records());
        }
    }

    @Test
    void aRecordThatIsTooLongIsRefusedAtOnceAndTheWriterGoesOn() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of());
                SegmentWriter writer = seglift.openWriter(WriterOptions.records("t/big"), Call.DEFAULT)) {
            ByteBuffer small = ByteBuffer.allocate(10);
            ByteBuffer huge = ByteBuffer.allocate((64 << 20) + 1);
            writer.append(1, 0, small);
            assertThrows(IllegalArgumentException.class, () -> writer.append(2, 0, huge));
            writer.append(2, 0, small);
            assertEquals(2, writer.commit(new WriterFinish(), Call.DEFAULT).records());
        }
    }

    @Test
    void recordsThatWereClosedCannotBeWalkedOver() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of())) {
            SegmentRef ref = write(seglift, "t/closed", List.of(new Sample(1, 1, new byte[10])));
            Records records = seglift.readRecords(ref, 0, 0, 0, Call.DEFAULT);
            Iterator<SegmentRecord> begun = records.iterator();
            records.close();
            records.close();
            assertThrows(IllegalStateException.class, records::iterator);
            assertThrows(IllegalStateException.class, begun::hasNext);
            assertThrows(IllegalStateException.class, begun::next);
        }
    }

    private static SegmentRef write(Seglift seglift, String key, List<Sample> samples) throws SegliftException {
        try (SegmentWriter writer = seglift.openWriter(WriterOptions.records(key), Call.DEFAULT)) {
            for (Sample sample : samples) {
                writer.append(sample.id(), sample.time(), ByteBuffer.wrap(sample.payload()));
            }
            Receipt receipt = writer.commit(new WriterFinish(), Call.DEFAULT);
            assertEquals(samples.size(), receipt.records());
            assertEquals(Mode.RECORDS, receipt.mode());
            return new SegmentRef(key, receipt.token());
        }
    }

    private static void assertSame(List<Sample> wanted, List<Sample> got) {
        assertEquals(wanted.size(), got.size());
        for (int i = 0; i < wanted.size(); i++) {
            assertEquals(wanted.get(i).id(), got.get(i).id());
            assertEquals(wanted.get(i).time(), got.get(i).time());
            assertArrayEquals(wanted.get(i).payload(), got.get(i).payload());
        }
    }
}
