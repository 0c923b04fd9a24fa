package io.seglift;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.function.Executable;

/** A closed handle is closed, never a crash. */
class CloseTest {
    private static final String READS_ARE_SLOW = "fault+memory:?get=*:delay-200ms";

    private static SegmentRef offload(Seglift seglift) throws SegliftException {
        Segment segment = Segment.of("t/0", Samples.direct(Samples.bytes(100_000, 1))).build();
        return new SegmentRef("t/0", seglift.offload(segment, Call.DEFAULT).token());
    }

    @Test
    void afterCloseEachCallIsClosed() throws Exception {
        Seglift seglift = Seglift.open("memory:", Map.of());
        SegmentRef ref = offload(seglift);
        Lister lister = seglift.list("", "");
        Sweep sweep = seglift.sweep(SweepOptions.DRY_RUN);
        SegmentWriter writer = seglift.openWriter(WriterOptions.bytes("t/1"), Call.DEFAULT);
        seglift.close();
        seglift.close();
        ByteBuffer buffer = ByteBuffer.allocateDirect(100);
        List<Executable> calls = List.of(
                () -> offload(seglift),
                () -> seglift.read(ref, 0, buffer, Call.DEFAULT),
                () -> seglift.read(ref, 0, buffer, Call.DEFAULT.sequential()),
                () -> seglift.tryRead(ref, 0, buffer),
                () -> seglift.readBytes(ref, 0, 10, Call.DEFAULT),
                () -> seglift.readObject("t/0", 0, 10, Call.DEFAULT),
                () -> seglift.readAttachment(ref, "a", Call.DEFAULT),
                () -> seglift.readRecords(ref, 0, 0, 0, Call.DEFAULT),
                () -> seglift.stat(ref, Call.DEFAULT),
                () -> seglift.verify(ref, Call.DEFAULT),
                () -> seglift.delete(List.of("t/0"), Call.DEFAULT),
                () -> seglift.reap(ReapOptions.DRY_RUN, Call.DEFAULT),
                () -> seglift.list("", ""),
                () -> seglift.sweep(SweepOptions.DRY_RUN),
                () -> seglift.openWriter(WriterOptions.bytes("t/2"), Call.DEFAULT),
                () -> lister.next(0, Call.DEFAULT),
                () -> sweep.feed(List.of("t/0"), Call.DEFAULT, step -> {}),
                () -> writer.write(buffer),
                () -> writer.commit(new WriterFinish(), Call.DEFAULT),
                () -> Seglift.open(seglift.engine(), "memory:", Map.of()),
                () -> seglift.engine().metrics(),
                () -> seglift.engine().status());
        calls.forEach(call -> assertThrows(ClosedException.class, call));
        CompletionException failure =
                assertThrows(CompletionException.class, () -> seglift.statAsync(ref, Call.DEFAULT).join());
        assertInstanceOf(ClosedException.class, failure.getCause());
        lister.close();
        lister.close();
        assertThrows(ClosedException.class, () -> lister.next(0, Call.DEFAULT));
        sweep.close();
        sweep.close();
        writer.close();
    }

    @Test
    void anEngineClosesItsDriversAndItsThreadEnds() throws Exception {
        Engine engine = Engine.open(Map.of());
        Seglift first = Seglift.open(engine, "memory:", Map.of());
        Seglift second = Seglift.open(engine, "memory:", Map.of());
        second.close();
        assertEquals(engine, first.engine());
        offload(first);
        engine.close();
        engine.close();
        assertThrows(ClosedException.class, () -> offload(first));
        assertFalse(engine.completions().isAlive());
    }

    /** The library's own threads end only when the engine, and so its drivers, writers and queue, are freed. */
    @Test
    @EnabledOnOs(OS.LINUX)
    void closingFreesWhatTheLibraryHas() throws Exception {
        long before = nativeThreads();
        for (int i = 0; i < 3; i++) {
            Seglift seglift = Seglift.open("memory:", Map.of());
            SegmentRef ref = offload(seglift);
            seglift.openWriter(WriterOptions.records("t/1"), Call.DEFAULT).append(1, 1, ByteBuffer.allocate(10));
            seglift.verifyAsync(ref, Call.DEFAULT);
            seglift.list("", "");
            seglift.sweep(SweepOptions.DRY_RUN);
            assertTrue(nativeThreads() > before);
            seglift.close();
        }
        Waiting.until(() -> nativeThreads() <= before);
    }

    private static long nativeThreads() {
        try (Stream<Path> tasks = Files.list(Path.of("/proc/self/task"))) {
            return tasks.filter(task -> name(task).matches("seglift-\\d+")).count();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String name(Path task) {
        try {
            return Files.readString(task.resolve("comm")).strip();
        } catch (IOException ended) {
            return "";
        }
    }

    @Test
    void aStageThatHangsHoldsUpACloseNoLongerThanItsDeadline() throws Exception {
        Engine engine = Engine.open(Map.of());
        Seglift seglift = Seglift.open(engine, READS_ARE_SLOW, Map.of());
        SegmentRef ref = offload(seglift);
        CountDownLatch hold = new CountDownLatch(1);
        CompletableFuture<String> stage = seglift.statAsync(SegmentRef.of("t/0"), Call.DEFAULT).thenApply(info -> {
            assertDoesNotThrow(() -> hold.await());
            return Thread.currentThread().getName();
        });
        Waiting.until(() -> engine.completions().pending() == 0);
        long begun = System.nanoTime();
        engine.closeBy(begun + 300_000_000);
        assertTrue(System.nanoTime() - begun < 10_000_000_000L);
        assertTrue(engine.completions().isAlive());
        assertThrows(ClosedException.class, () -> seglift.stat(ref, Call.DEFAULT));
        hold.countDown();
        assertEquals("seglift-completions", stage.get());
        Waiting.until(() -> !engine.completions().isAlive());
    }

    @Test
    void verificationsShareAFewThreadsAndOneThatWaitsEndsAtOnceWhenItIsCancelled() throws Exception {
        try (Seglift seglift = Seglift.open("fault+memory:?get=*:stall", Map.of())) {
            SegmentRef ref = offload(seglift);
            List<CompletableFuture<VerifyReport>> hanging = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                hanging.add(seglift.verifyAsync(ref, Call.DEFAULT));
            }
            assertEquals(4, threads("seglift-verify"));
            CompletableFuture<VerifyReport> last = hanging.get(19);
            last.cancel(true);
            assertTrue(last.isCompletedExceptionally());
            assertFalse(hanging.get(0).isDone());
        }
    }

    @Test
    void aDriverThatCannotBeOpenedLeavesNoEngine() throws Exception {
        int before = threads("seglift-completions");
        for (int i = 0; i < 3; i++) {
            assertThrows(SegliftException.class, () -> Seglift.open("gopher:", Map.of()));
        }
        Waiting.until(() -> threads("seglift-completions") <= before);
    }

    private static int threads(String name) {
        return (int) Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals(name)).count();
    }

    @Test
    void closingUnderLoadEndsEachCallOnceAndCrashesNothing() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(8);
        try {
            for (int round = 0; round < 15; round++) {
                closeUnderLoad(threads);
            }
        } finally {
            threads.shutdownNow();
        }
    }

    private static void closeUnderLoad(ExecutorService threads) throws Exception {
        Engine engine = Engine.open(Map.of());
        Seglift seglift = Seglift.open(engine, "memory:", Map.of());
        SegmentRef ref = offload(seglift);
        AtomicInteger done = new AtomicInteger();
        List<Future<?>> running = new ArrayList<>();
        for (int t = 0; t < 8; t++) {
            int kind = t;
            running.add(threads.submit(() -> {
                ByteBuffer into = ByteBuffer.allocateDirect(4096);
                ClosedException closed = null;
                while (closed == null) {
                    try {
                        use(seglift, ref, into.clear(), kind);
                        done.incrementAndGet();
                    } catch (ClosedException e) {
                        closed = e;
                    } catch (CancelledException e) {
                        // It was on its way when the driver was closed.
                    }
                }
                return null;
            }));
        }
        Waiting.until(() -> done.get() > 200);
        if (done.get() % 2 == 0) {
            seglift.close();
        }
        engine.close();
        for (Future<?> thread : running) {
            thread.get();
        }
        assertEquals(0, engine.completions().pending());
    }

    private static void use(Seglift seglift, SegmentRef ref, ByteBuffer into, int kind) throws SegliftException {
        switch (kind % 4) {
            case 0 -> assertEquals(4096, seglift.read(ref, 1000, into, Call.DEFAULT));
            case 1 -> assertEquals(4096, seglift.read(ref, 1000, into, Call.DEFAULT.sequential()));
            case 2 -> {
                try (Bytes bytes = seglift.readBytes(ref, 1000, 100, Call.DEFAULT)) {
                    assertEquals(100, bytes.size());
                }
            }
            default -> assertTrue(seglift.stat(ref, Call.DEFAULT).segmentBytes() == 100_000);
        }
    }
}
