package io.seglift;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;

/** Segments of bytes that are written in pieces. */
class WriterTest {
    private static final int SIZE = 20_000_000;

    @Test
    void whatWasWrittenInPiecesReadsBackWhole() throws Exception {
        byte[] content = Samples.bytes(SIZE, 1);
        CRC32C crc = new CRC32C();
        crc.update(content);
        try (Seglift seglift = Seglift.open("memory:", Map.of());
                SegmentWriter writer = seglift.openWriter(
                        WriterOptions.bytes("t/pieces").maxBytes(SIZE).codec(Codec.NONE), Call.DEFAULT)) {
            ByteBuffer all = Samples.direct(content);
            for (int at = 0; at < SIZE; at += 777_777) {
                ByteBuffer piece = all.position(at).limit(Math.min(SIZE, at + 777_777));
                writer.write(piece);
                assertEquals(0, piece.remaining());
                all.clear();
            }
            Receipt receipt = writer.commit(
                    new WriterFinish()
                            .attachment("index", new byte[] {1, 2})
                            .offsets(5, 9)
                            .expect(Digest.crc32c(crc.getValue())),
                    Call.DEFAULT);
            SegmentRef ref = new SegmentRef("t/pieces", receipt.token());
            ByteBuffer into = ByteBuffer.allocateDirect(SIZE);
            assertEquals(SIZE, seglift.read(ref, 0, into, Call.DEFAULT));
            assertArrayEquals(content, Samples.array(into.flip()));
            SegmentInfo info = seglift.stat(ref, Call.DEFAULT);
            assertEquals(new SegmentInfo.Range(5, 9), info.offsets().orElseThrow());
            assertEquals("index", info.attachments().get(0).name());
        }
    }

    @Test
    void aWriterThatIsClosedLeavesNothingAndIsClosed() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of())) {
            SegmentWriter writer = seglift.openWriter(WriterOptions.bytes("t/dropped"), Call.DEFAULT);
            writer.write(Samples.direct(Samples.bytes(1000, 2)));
            writer.close();
            writer.close();
            ByteBuffer more = Samples.direct(new byte[10]);
            assertThrows(ClosedException.class, () -> writer.write(more));
            assertThrows(ClosedException.class, () -> writer.commit(new WriterFinish(), Call.DEFAULT));
            assertThrows(NotFoundException.class, () -> seglift.stat(SegmentRef.of("t/dropped"), Call.DEFAULT));
        }
    }

    @Test
    void anAbortedWriterIsClosed() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of());
                SegmentWriter writer = seglift.openWriter(WriterOptions.bytes("t/aborted"), Call.DEFAULT)) {
            writer.abort(Call.DEFAULT);
            assertThrows(ClosedException.class, () -> writer.commit(new WriterFinish(), Call.DEFAULT));
        }
    }

    @Test
    void aSegmentTakesNoMoreThanWasDeclared() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of());
                SegmentWriter writer =
                        seglift.openWriter(WriterOptions.bytes("t/full").maxBytes(1000), Call.DEFAULT)) {
            ByteBuffer much = Samples.direct(new byte[1001]);
            assertThrows(OutOfRangeException.class, () -> writer.write(much));
        }
    }

    @Test
    void aFullWriterWaitsUntilAnInterruptEndsItOrItsDriverIsClosed() throws Exception {
        for (boolean interrupt : new boolean[] {true, false}) {
            Seglift seglift = Seglift.open("fault+memory:?part=*:stall&put=*:stall&begin=*:stall", Map.of());
            SegmentWriter writer = seglift.openWriter(WriterOptions.bytes("t/stuck").codec(Codec.NONE), Call.DEFAULT);
            CompletableFuture<Throwable> end = new CompletableFuture<>();
            Thread thread = new Thread(() -> {
                ByteBuffer piece = ByteBuffer.allocateDirect(1 << 20);
                try {
                    while (true) {
                        writer.write(piece.clear());
                    }
                } catch (SegliftException e) {
                    end.complete(Thread.currentThread().isInterrupted() ? e : e.initCause(new Exception("no flag")));
                } catch (Throwable e) {
                    end.complete(e);
                }
            });
            thread.start();
            Waiting.until(() -> thread.getState() == Thread.State.WAITING);
            if (interrupt) {
                thread.interrupt();
                Throwable failure = end.get();
                assertInstanceOf(CancelledException.class, failure);
                assertEquals(null, failure.getCause(), "the interrupt flag is set");
                assertThrows(BusyException.class, () -> writeFromTwoThreads(writer));
                seglift.close();
            } else {
                seglift.close();
                assertInstanceOf(ClosedException.class, end.get());
            }
            thread.join();
            assertTrue(seglift.engine().completions().pending() == 0);
        }
    }

    /** One thread waits in the full writer, the other is told so. */
    private static void writeFromTwoThreads(SegmentWriter writer) throws Exception {
        ByteBuffer piece = ByteBuffer.allocateDirect(1 << 20);
        ByteBuffer second = ByteBuffer.allocateDirect(1 << 20);
        Thread waiting = new Thread(() -> assertThrows(CancelledException.class, () -> writer.write(piece)));
        waiting.start();
        Waiting.until(() -> waiting.getState() == Thread.State.WAITING);
        try {
            writer.write(second);
        } finally {
            waiting.interrupt();
            waiting.join();
        }
    }

    @Test
    void bytesAreNotAppendedAndHeapIsNotWritten() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of());
                SegmentWriter writer = seglift.openWriter(WriterOptions.bytes("t/mode"), Call.DEFAULT)) {
            ByteBuffer heap = ByteBuffer.allocate(10);
            assertThrows(IllegalStateException.class, () -> writer.append(1, 1, heap));
            assertThrows(IllegalArgumentException.class, () -> writer.write(heap));
        }
    }
}
