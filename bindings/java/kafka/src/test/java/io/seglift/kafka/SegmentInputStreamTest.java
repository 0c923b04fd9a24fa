package io.seglift.kafka;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

class SegmentInputStreamTest {
    private static final int CAPACITY = 1 << 20;

    private final byte[] segment = new byte[3_000_000];
    private final FetchBuffers buffers = new FetchBuffers(CAPACITY, 2);
    private final FetchBuffers large = new FetchBuffers(2 * CAPACITY, 1);
    private final FakeSource source = new FakeSource(segment);

    SegmentInputStreamTest() {
        new Random(1).nextBytes(segment);
    }

    /** A segment in memory, which remembers what was asked of it. */
    private static class FakeSource implements SegmentInputStream.Source {
        private final byte[] bytes;
        final List<Integer> asked = new ArrayList<>();

        FakeSource(byte[] bytes) {
            this.bytes = bytes;
        }

        @Override
        public int read(long offset, ByteBuffer into, boolean large) throws IOException {
            asked.add(into.remaining());
            int count = (int) Math.min(into.remaining(), bytes.length - offset);
            into.put(bytes, (int) offset, count);
            return count;
        }

        @Override
        public IOException failure(Throwable failure) {
            return new IOException("told: " + failure.getMessage(), failure);
        }
    }

    private SegmentInputStream open(long start, long end) throws IOException {
        return new SegmentInputStream(source, buffers, large, start, end).open();
    }

    @Test
    void itReadsByteByByte() throws IOException {
        try (SegmentInputStream in = open(100, 103)) {
            assertEquals(Byte.toUnsignedInt(segment[100]), in.read());
            assertEquals(Byte.toUnsignedInt(segment[101]), in.read());
            assertEquals(Byte.toUnsignedInt(segment[102]), in.read());
            assertEquals(-1, in.read());
            assertEquals(-1, in.read(new byte[5]));
        }
    }

    @Test
    void aReadIsShortOnlyAtTheEnd() throws IOException {
        byte[] into = new byte[2_500_000];
        try (SegmentInputStream in = open(1000, segment.length)) {
            assertEquals(17, in.read(into, 0, 17));
            assertEquals(2_000_000, in.read(into, 17, 2_000_000));
            assertArrayEquals(Arrays.copyOfRange(segment, 1000, 2_001_017), Arrays.copyOf(into, 2_000_017));
            assertEquals(segment.length - 2_001_017, in.read(into));
            assertEquals(-1, in.read(into));
            assertEquals(0, in.read(into, 0, 0));
        }
    }

    @Test
    void eachFetchFillsTheBufferWhateverTheReadsAre() throws IOException {
        try (SegmentInputStream in = open(0, segment.length)) {
            in.read(new byte[17]);
            in.read(new byte[900_000]);
            in.readAllBytes();
        }
        assertEquals(List.of(CAPACITY, CAPACITY, segment.length - 2 * CAPACITY), source.asked);
    }

    @Test
    void aLongStreamGoesOverToALargerBufferIfOneIsSpare() throws IOException {
        FakeSource longer = new FakeSource(new byte[(SegmentInputStream.LONG + 5) * CAPACITY]);
        new Random(2).nextBytes(longer.bytes);
        try (SegmentInputStream first = new SegmentInputStream(longer, buffers, large, 0, longer.bytes.length).open();
                SegmentInputStream second = new SegmentInputStream(longer, buffers, large, 0, longer.bytes.length)
                        .open()) {
            longer.asked.clear();
            assertArrayEquals(longer.bytes, first.readAllBytes());
            List<Integer> asked = new ArrayList<>(Collections.nCopies(SegmentInputStream.LONG - 1, CAPACITY));
            asked.addAll(List.of(2 * CAPACITY, 2 * CAPACITY, CAPACITY));
            assertEquals(asked, longer.asked);
            assertEquals(1, buffers.idle());
            longer.asked.clear();
            assertArrayEquals(longer.bytes, second.readAllBytes());
            assertEquals(Collections.nCopies(SegmentInputStream.LONG + 4, CAPACITY), longer.asked);
        }
        assertEquals(2, buffers.idle());
        assertEquals(1, large.idle());
    }

    @Test
    void nothingBehindTheRangeIsFetched() throws IOException {
        try (SegmentInputStream in = open(10, 20)) {
            in.readAllBytes();
        }
        assertEquals(List.of(10), source.asked);
    }

    @Test
    void whatIsSkippedIsNotFetched() throws IOException {
        try (SegmentInputStream in = open(0, 2_000_000)) {
            assertEquals(1_500_000, in.skip(1_500_000));
            assertEquals(Byte.toUnsignedInt(segment[1_500_000]), in.read());
            assertEquals(3, in.skip(3));
            assertEquals(Byte.toUnsignedInt(segment[1_500_004]), in.read());
            assertEquals(0, in.skip(-1));
            assertEquals(499_995, in.skip(Long.MAX_VALUE));
            assertEquals(-1, in.read());
        }
        assertEquals(List.of(CAPACITY, 500_000), source.asked);
    }

    @Test
    void availableIsWhatNeedsNoFetch() throws IOException {
        try (SegmentInputStream in = open(0, segment.length)) {
            assertEquals(CAPACITY, in.available());
            in.read(new byte[1000]);
            assertEquals(CAPACITY - 1000, in.available());
        }
    }

    @Test
    void transferToWritesTheRest() throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (SegmentInputStream in = open(5, segment.length)) {
            in.skip(10);
            assertEquals(segment.length - 15, in.transferTo(out));
        }
        assertArrayEquals(Arrays.copyOfRange(segment, 15, segment.length), out.toByteArray());
    }

    @Test
    void whatIsNotReadIsNotFetched() throws IOException {
        SegmentInputStream in = open(0, segment.length);
        in.read(new byte[17]);
        in.close();
        assertEquals(List.of(CAPACITY), source.asked);
    }

    @Test
    void aSegmentThatEndsBeforeItsRangeIsAFailureBehindItsLastByte() throws IOException {
        try (SegmentInputStream in = open(segment.length - 5, segment.length + 100)) {
            assertEquals(5, in.readNBytes(5).length);
            for (int i = 0; i < 2; i++) {
                String message = assertThrows(IOException.class, in::read).getMessage();
                assertTrue(message.contains("3000000 bytes of a segment of at least 3000100"), message);
            }
        }
        assertThrows(IOException.class, () -> open(segment.length, segment.length + 1));
        assertEquals(1, buffers.idle());
    }

    @Test
    void aClosedStreamRefusesToBeRead() throws IOException {
        SegmentInputStream in = open(0, 100);
        in.close();
        in.close();
        assertThrows(IOException.class, in::read);
        assertThrows(IOException.class, () -> in.read(new byte[1]));
        assertThrows(IOException.class, in::available);
        assertThrows(IOException.class, () -> in.skip(1));
        assertEquals(1, buffers.idle());
    }

    @Test
    void oneBufferServesOneStreamAfterTheOther() throws IOException {
        for (int i = 0; i < 10; i++) {
            open(0, 1_000_000).close();
            assertEquals(1, buffers.idle());
        }
    }

    @Test
    void noMoreBuffersAreKeptThanSaid() throws IOException {
        List<SegmentInputStream> open = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            open.add(open(0, 10));
        }
        open.forEach(SegmentInputStream::close);
        assertEquals(2, buffers.idle());
    }

    @Test
    void aStreamThatNobodyClosesGivesItsBufferBack() throws Exception {
        for (int i = 0; i < 1000 && buffers.idle() == 0; i++) {
            if (i == 0) {
                open(0, 100).read();
            }
            System.gc();
            Thread.sleep(10);
        }
        assertEquals(1, buffers.idle());
    }

    @Test
    void aSegmentThatCannotBeOpenedCostsNoBuffer() {
        IOException broken = new IOException("broken");
        SegmentInputStream.Source failing = new FakeSource(segment) {
            @Override
            public int read(long offset, ByteBuffer into, boolean large) throws IOException {
                throw broken;
            }
        };
        assertSame(
                broken,
                assertThrows(IOException.class, () -> new SegmentInputStream(failing, buffers, large, 0, 100).open()));
        assertEquals(1, buffers.idle());
    }

    @Test
    void anErrorWhileReadingIsAnIoException() throws IOException {
        SegmentInputStream.Source failing = new FakeSource(segment) {
            @Override
            public int read(long offset, ByteBuffer into, boolean large) throws IOException {
                if (offset > 0) {
                    throw new OutOfMemoryError("no memory");
                }
                return super.read(offset, into, large);
            }
        };
        try (SegmentInputStream in = new SegmentInputStream(failing, buffers, large, 0, segment.length).open()) {
            in.readNBytes(CAPACITY);
            IOException told = assertThrows(IOException.class, in::read);
            assertEquals("told: no memory", told.getMessage());
            assertEquals(0, in.available(), "nothing of a failed fetch is handed out");
        }
    }

    @Test
    void aCloseDuringAReadWaitsForNothingAndTheBufferStaysLentUntilTheReadEnds() throws Exception {
        CountDownLatch reading = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        SegmentInputStream.Source slow = new FakeSource(segment) {
            @Override
            public int read(long offset, ByteBuffer into, boolean large) throws IOException {
                if (offset > 0) {
                    reading.countDown();
                    try {
                        assertTrue(go.await(30, TimeUnit.SECONDS));
                    } catch (InterruptedException e) {
                        throw new IOException(e);
                    }
                }
                return super.read(offset, into, large);
            }
        };
        SegmentInputStream in = new SegmentInputStream(slow, buffers, large, 0, segment.length).open();
        AtomicReference<Throwable> failed = new AtomicReference<>();
        Thread reader = new Thread(() -> {
            try {
                in.readNBytes(CAPACITY + 1);
            } catch (Throwable e) {
                failed.set(e);
            }
        });
        reader.start();
        assertTrue(reading.await(30, TimeUnit.SECONDS));
        in.close();
        assertEquals(0, buffers.idle());
        go.countDown();
        reader.join(30_000);
        assertEquals(1, buffers.idle());
    }
}
