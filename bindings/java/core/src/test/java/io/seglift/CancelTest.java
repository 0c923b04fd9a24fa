package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Cancels and interrupts stop what hangs, and nobody writes into a buffer afterwards. */
class CancelTest {
    private static final String READS_HANG = "fault+memory:?get=*:stall";
    private static final String WRITES_HANG = "fault+memory:?put=*:stall&part=*:stall&begin=*:stall";

    private static SegmentRef offload(Seglift seglift) throws SegliftException {
        Segment segment = Segment.of("t/0", Samples.direct(Samples.bytes(100_000, 1))).build();
        return new SegmentRef("t/0", seglift.offload(segment, Call.DEFAULT).token());
    }

    /** Runs a call that hangs, interrupts it, and gives back what it threw. */
    private static Throwable interrupted(Executable call) throws Exception {
        CompletableFuture<Throwable> end = new CompletableFuture<>();
        Thread thread = new Thread(() -> {
            Throwable thrown = assertThrows(Throwable.class, call);
            end.complete(Thread.currentThread().isInterrupted() ? thrown : new AssertionError("no flag", thrown));
        });
        thread.start();
        Waiting.until(() -> thread.getState() == Thread.State.WAITING);
        thread.interrupt();
        return end.get(Waiting.PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }

    @Test
    void anInterruptCancelsAReadAndKeepsTheFlag() throws Exception {
        try (Seglift seglift = Seglift.open(READS_HANG, Map.of())) {
            SegmentRef ref = offload(seglift);
            ByteBuffer into = ByteBuffer.allocateDirect(5000);
            assertInstanceOf(CancelledException.class, interrupted(() -> seglift.read(ref, 0, into, Call.DEFAULT)));
            assertEquals(0, into.position());
            assertInstanceOf(CancelledException.class,
                    interrupted(() -> seglift.stat(SegmentRef.of("t/0"), Call.DEFAULT)));
            assertInstanceOf(CancelledException.class,
                    interrupted(() -> seglift.verify(SegmentRef.of("t/0"), Call.DEFAULT)));
            Waiting.until(() -> seglift.engine().completions().pending() == 0);
        }
    }

    @Test
    void anInterruptCancelsAnOffload() throws Exception {
        try (Seglift seglift = Seglift.open(WRITES_HANG, Map.of())) {
            Segment segment = Segment.of("t/hangs", Samples.direct(Samples.bytes(100_000, 2))).build();
            assertInstanceOf(CancelledException.class, interrupted(() -> seglift.offload(segment, Call.DEFAULT)));
            assertThrows(NotFoundException.class, () -> seglift.stat(SegmentRef.of("t/hangs"), Call.DEFAULT));
        }
    }

    @Test
    void anInterruptThatCameBeforeCancelsToo() throws Exception {
        try (Seglift seglift = Seglift.open(READS_HANG, Map.of())) {
            SegmentRef ref = offload(seglift);
            Thread.currentThread().interrupt();
            assertThrows(CancelledException.class, () -> seglift.stat(SegmentRef.of("t/0"), Call.DEFAULT));
            assertTrue(Thread.interrupted());
            assertThrows(CancelledException.class, () -> {
                Thread.currentThread().interrupt();
                seglift.readBytes(ref, 0, 10, Call.DEFAULT);
            });
            assertTrue(Thread.interrupted());
        }
    }

    @Test
    void aCancelledFutureEndsWhenTheLibraryHasLetGo() throws Exception {
        try (Seglift seglift = Seglift.open(READS_HANG, Map.of())) {
            SegmentRef ref = offload(seglift);
            CompletableFuture<Integer> read =
                    seglift.readAsync(ref, 0, ByteBuffer.allocateDirect(5000), Call.DEFAULT);
            CompletableFuture<VerifyReport> verify = seglift.verifyAsync(ref, Call.DEFAULT);
            assertFalse(read.isDone());
            assertFalse(read.cancel(true));
            assertFalse(verify.cancel(true));
            ExecutionException failure =
                    assertThrows(ExecutionException.class, () -> read.get(30, TimeUnit.SECONDS));
            assertInstanceOf(CancelledException.class, failure.getCause());
            failure = assertThrows(ExecutionException.class, () -> verify.get(30, TimeUnit.SECONDS));
            assertInstanceOf(CancelledException.class, failure.getCause());
            assertFalse(read.isCancelled());
            assertFalse(read.cancel(true), "again, when it is over");
        }
    }

    @Test
    void closingEndsWhatHangs() throws Exception {
        Seglift seglift = Seglift.open(READS_HANG, Map.of());
        SegmentRef ref = offload(seglift);
        CompletableFuture<Integer> read = seglift.readAsync(ref, 0, ByteBuffer.allocateDirect(5000), Call.DEFAULT);
        CompletableFuture<VerifyReport> verify = seglift.verifyAsync(ref, Call.DEFAULT);
        seglift.close();
        for (CompletableFuture<?> hanging : new CompletableFuture<?>[] {read, verify}) {
            CompletionException failure = assertThrows(CompletionException.class, hanging::join);
            assertInstanceOf(SegliftException.class, failure.getCause());
        }
        assertEquals(0, seglift.engine().completions().pending());
    }

    @Test
    void noWayToEndAFutureIsFasterThanTheLibrary() throws Exception {
        List<Consumer<CompletableFuture<Integer>>> ways = List.of(
                read -> read.orTimeout(1, TimeUnit.MILLISECONDS),
                read -> read.completeOnTimeout(7, 1, TimeUnit.MILLISECONDS),
                read -> assertFalse(read.complete(7)),
                read -> assertFalse(read.completeExceptionally(new IllegalStateException("the host's own"))),
                read -> assertSame(read, read.completeAsync(() -> 7)));
        try (Seglift seglift = Seglift.open(READS_HANG, Map.of())) {
            SegmentRef ref = offload(seglift);
            for (Consumer<CompletableFuture<Integer>> way : ways) {
                CompletableFuture<Integer> read =
                        seglift.readAsync(ref, 0, ByteBuffer.allocateDirect(5000), Call.DEFAULT);
                AtomicInteger pending = new AtomicInteger(-1);
                CompletableFuture<Integer> end = read.whenComplete((count, failure) ->
                        pending.set(seglift.engine().completions().pending()));
                way.accept(read);
                ExecutionException failure =
                        assertThrows(ExecutionException.class, () -> end.get(30, TimeUnit.SECONDS));
                assertInstanceOf(CancelledException.class, failure.getCause());
                assertEquals(0, pending.get(), "the future ended before the library had let go of the buffer");
            }
        }
    }

    @Test
    void aFutureCannotBeForcedToAnotherEndAndWhatDependsOnItCan() throws Exception {
        try (Seglift seglift = Seglift.open(READS_HANG, Map.of())) {
            SegmentRef ref = offload(seglift);
            CompletableFuture<Integer> read = seglift.readAsync(ref, 0, ByteBuffer.allocateDirect(10), Call.DEFAULT);
            assertThrows(UnsupportedOperationException.class, () -> read.obtrudeValue(7));
            assertThrows(UnsupportedOperationException.class, () -> read.obtrudeException(new IOException("no")));
            assertTrue(read.copy().complete(7));
            assertFalse(read.isDone());
        }
    }

    @Test
    void bytesThatNobodyWantsAnyMoreAreFreed() throws Exception {
        try (Seglift seglift = Seglift.open("fault+memory:?get=1:delay-1000ms", Map.of())) {
            SegmentRef ref = offload(seglift);
            CompletableFuture<Bytes> read = seglift.readBytesAsync(ref, 0, 50_000, Call.DEFAULT);
            assertFalse(read.complete(null), "as completeOnTimeout does");
            assertThrows(ExecutionException.class, () -> read.get(30, TimeUnit.SECONDS));
            Waiting.until(() -> seglift.engine().completions().pending() == 0);
            // It ends on the thread that ended the read, and so after it.
            seglift.stat(ref, Call.DEFAULT);
            assertEquals(0, lentBytes(seglift));
            try (Bytes wanted = seglift.readBytes(ref, 0, 50_000, Call.DEFAULT)) {
                assertTrue(lentBytes(seglift) >= wanted.size());
            }
        }
    }

    private static long lentBytes(Seglift seglift) {
        try {
            String line = seglift.engine().metrics().lines().filter(text -> text.startsWith("seglift_lent_bytes"))
                    .findFirst().orElseThrow();
            return (long) Double.parseDouble(line.substring(line.lastIndexOf(' ')));
        } catch (SegliftException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void waitingOnTheThreadThatEndsTheWaitIsAnErrorAndNotForEver() throws Exception {
        try (Seglift seglift = Seglift.open(READS_HANG, Map.of())) {
            SegmentRef ref = offload(seglift);
            CompletableFuture<Integer> read =
                    seglift.readAsync(ref, 0, ByteBuffer.allocateDirect(10), Call.DEFAULT);
            CompletableFuture<Throwable> waits = read.handle((n, failure) ->
                    assertThrows(IllegalStateException.class, () -> seglift.stat(ref, Call.DEFAULT)));
            read.cancel(true);
            String message = waits.get(Waiting.PATIENCE.toSeconds(), TimeUnit.SECONDS).getMessage();
            assertTrue(message.contains("thenApplyAsync"), message);
        }
    }

    @Test
    void closingOnTheThreadThatEndsOperationsIsFine() throws Exception {
        Seglift seglift = Seglift.open(READS_HANG, Map.of());
        SegmentRef ref = offload(seglift);
        CompletableFuture<Integer> read = seglift.readAsync(ref, 0, ByteBuffer.allocateDirect(10), Call.DEFAULT);
        CompletableFuture<Boolean> closed = read.handle((n, failure) -> {
            seglift.close();
            return true;
        });
        read.cancel(true);
        assertTrue(closed.get(Waiting.PATIENCE.toSeconds(), TimeUnit.SECONDS));
        Waiting.until(() -> !seglift.engine().completions().isAlive());
    }
}
