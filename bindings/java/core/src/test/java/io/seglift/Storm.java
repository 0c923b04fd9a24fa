package io.seglift;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Consumer;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * Operations of all kinds from several threads at once, of which many are cancelled and interrupted, in a JVM of its own
 * whose heap has a fixed size: what its memory grows by was left behind on the native side.
 *
 * <p>It prints what it counted as {@code name=value} lines; {@link LeakTest} judges them.
 */
final class Storm {
    private static final int THREADS = 4;
    /** Of the warm-up, and of what is judged. */
    private static final int ROUNDS = 5;
    /** Segments that each thread reads; a new one takes the place of an old one, which is deleted. */
    private static final int SLOTS = 32;
    /** Operations that each thread has in flight. */
    private static final int WINDOW = 16;
    private static final int LARGEST_READ = 32 << 10;

    private final Seglift store;
    private final LongAdder begun = new LongAdder();
    private final LongAdder ended = new LongAdder();
    private final LongAdder cancelled = new LongAdder();

    private Storm(Seglift store) {
        this.store = store;
    }

    /** Arguments: how many operations warm the JVM up, and how many are compared with what it had then. */
    public static void main(String[] arguments) throws Exception {
        int warmUp = Integer.parseInt(arguments[0]);
        int operations = Integer.parseInt(arguments[1]);
        try (Engine engine = Engine.open(Map.of("cache.memory.size", "8MiB"));
                Seglift store = Seglift.open(engine, "memory:", Map.of("owner", "storm"))) {
            Storm storm = new Storm(store);
            print("resident.before", storm.rounds(warmUp, 0).max().orElseThrow());
            print("files.before", count("/proc/self/fd"));
            print("threads.before", count("/proc/self/task"));
            print("resident.after", storm.rounds(operations, ROUNDS).skip(ROUNDS / 2).min().orElseThrow());
            print("files.after", count("/proc/self/fd"));
            print("threads.after", count("/proc/self/task"));
            print("begun", storm.begun.sum());
            print("ended", storm.ended.sum());
            print("cancelled", storm.cancelled.sum());
            print("pending", engine.completions().pending());
            for (PrometheusText.Sample sample : PrometheusText.parse(engine.metrics())) {
                switch (sample.name()) {
                    case "seglift_operations_in_flight", "seglift_lent_bytes", "seglift_budget_waiters",
                            "seglift_open_writers" -> print(sample.name() + sample.labels(), sample.value());
                    default -> { }
                }
            }
        }
    }

    private static void print(String name, Number value) {
        System.out.println(name + "=" + value);
    }

    private static long residentKiB() throws Exception {
        System.gc();
        try (Stream<String> lines = Files.lines(Path.of("/proc/self/status"))) {
            String line = lines.filter(text -> text.startsWith("VmRSS:")).findFirst().orElseThrow();
            return Long.parseLong(line.replaceAll("\\D", ""));
        }
    }

    private static long count(String folder) throws Exception {
        try (Stream<Path> entries = Files.list(Path.of(folder))) {
            return entries.count();
        }
    }

    /** What was resident after each round: it breathes, so what grows shows in many looks and not in two. */
    private LongStream rounds(int operations, int first) throws Exception {
        long[] resident = new long[ROUNDS];
        for (int round = 0; round < ROUNDS; round++) {
            run(operations / ROUNDS, first + round);
            resident[round] = residentKiB();
        }
        return LongStream.of(resident);
    }

    private void run(int operations, int round) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(THREADS);
        List<Future<Void>> workers = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            workers.add(threads.submit(new Worker(operations / THREADS, round * THREADS + i)));
        }
        threads.shutdown();
        for (Future<Void> worker : workers) {
            worker.get();
        }
        // The thread pool counts among the threads of the process until it is gone.
        threads.awaitTermination(1, TimeUnit.MINUTES);
    }

    private final class Worker implements Callable<Void> {
        private final int operations;
        private final String prefix;
        private final Random random;
        private final ByteBuffer content = Samples.direct(Samples.bytes(64 << 10, 1));
        private final ByteBuffer own = ByteBuffer.allocateDirect(LARGEST_READ);
        private final List<ByteBuffer> buffers = new ArrayList<>();
        private final List<CompletableFuture<?>> window = new ArrayList<>();
        private final AtomicReferenceArray<SegmentRef> segments = new AtomicReferenceArray<>(SLOTS);
        private final Queue<String> replaced = new ConcurrentLinkedQueue<>();
        private int keys;

        Worker(int operations, int number) {
            this.operations = operations;
            this.prefix = "storm/" + number + "/";
            this.random = new Random(number);
            for (int i = 0; i < WINDOW; i++) {
                buffers.add(ByteBuffer.allocateDirect(LARGEST_READ));
                window.add(CompletableFuture.completedFuture(null));
            }
        }

        @Override
        public Void call() throws Exception {
            for (int i = 0; i < operations; i++) {
                begun.increment();
                if (random.nextInt(4) == 0) {
                    waiting();
                } else {
                    submit(i % WINDOW);
                }
            }
            for (CompletableFuture<?> operation : window) {
                settle(operation);
            }
            clear();
            return null;
        }

        /** Leaves nothing in the store, which is memory of this process. */
        private void clear() throws SegliftException {
            try (Lister lister = store.list(prefix, "")) {
                for (List<ObjectEntry> page; !(page = lister.next(100, Call.DEFAULT)).isEmpty(); ) {
                    store.delete(page.stream().map(ObjectEntry::key).toList(), Call.DEFAULT);
                }
            }
        }

        /** A call that waits; one of eight with a thread that is interrupted already. */
        private void waiting() throws SegliftException {
            if (random.nextInt(8) == 0) {
                Thread.currentThread().interrupt();
            }
            try {
                // Four of a hundred write or read much more than the others.
                switch (random.nextInt(100)) {
                    case 99 -> records();
                    case 98 -> store.verify(any(), Call.DEFAULT);
                    case 97 -> pages();
                    case 96 -> abandoned();
                    default -> small(random.nextInt(5));
                }
            } catch (NotFoundException | CancelledException | OutOfRangeException expected) {
                count(expected);
            } finally {
                Thread.interrupted();
                ended.increment();
            }
        }

        private void small(int kind) throws SegliftException {
            switch (kind) {
                case 0 -> {
                    Segment segment = segment();
                    take(segment, store.offload(segment, Call.DEFAULT));
                }
                case 1 -> store.readAttachment(any(), "index", Call.DEFAULT).close();
                case 2 -> store.tryRead(any(), 0, own.clear());
                case 3 -> store.stat(any(), Call.DEFAULT);
                default -> store.read(any(), random.nextInt(1024), own.clear(), Call.DEFAULT);
            }
        }

        /** A segment of records, written and read; its key is given up however that ends. */
        private void records() throws SegliftException {
            String key = prefix + keys++;
            try (SegmentWriter writer = store.openWriter(WriterOptions.records(key), Call.DEFAULT)) {
                for (int id = 1; id <= 100; id++) {
                    writer.append(id, 0, content.duplicate().limit(id));
                }
                SegmentRef ref = new SegmentRef(key, writer.commit(new WriterFinish(), Call.DEFAULT).token());
                try (Records batch = store.readRecords(ref, 50, 0, 0, Call.DEFAULT)) {
                    batch.forEach(SegmentRecord::payload);
                }
            } finally {
                replaced.add(key);
            }
        }

        private void pages() throws SegliftException {
            try (Lister lister = store.list(prefix, "")) {
                while (!lister.next(20, Call.DEFAULT).isEmpty()) { }
            }
        }

        /** A writer that never commits. */
        private void abandoned() throws SegliftException {
            try (SegmentWriter writer = store.openWriter(WriterOptions.bytes(prefix + keys++), Call.DEFAULT)) {
                writer.write(content.duplicate());
            }
        }

        /** A call that does not wait; one of four is cancelled, most often while it runs. */
        private void submit(int place) throws Exception {
            settle(window.get(place));
            switch (random.nextInt(6)) {
                case 0 -> {
                    Segment segment = segment();
                    start(place, store.offloadAsync(segment, Call.DEFAULT), receipt -> take(segment, receipt));
                }
                case 1 -> {
                    List<String> gone = Stream.generate(replaced::poll).limit(SLOTS).filter(Objects::nonNull).toList();
                    CompletableFuture<List<DeleteResult>> delete = store.deleteAsync(gone, Call.DEFAULT);
                    delete.exceptionally(failure -> {
                        replaced.addAll(gone);
                        return List.of();
                    });
                    start(place, delete, results -> { });
                }
                case 2 -> start(place, store.readBytesAsync(any(), 0, LARGEST_READ, Call.DEFAULT), Bytes::close);
                default -> start(place, store.readAsync(any(), random.nextInt(1024), buffers.get(place).clear(),
                        random.nextBoolean() ? Call.DEFAULT.sequential() : Call.DEFAULT.noCache()), count -> { });
            }
        }

        private <T> void start(int place, CompletableFuture<T> operation, Consumer<T> then) {
            window.set(place, operation.thenAccept(then).whenComplete((value, failure) -> ended.increment()));
            if (random.nextInt(4) == 0) {
                operation.cancel(true);
            }
        }

        private void settle(CompletableFuture<?> operation) throws Exception {
            try {
                operation.get(1, TimeUnit.MINUTES);
            } catch (ExecutionException e) {
                count(e.getCause());
            }
        }

        private void count(Throwable failure) {
            if (failure instanceof CancelledException) {
                cancelled.increment();
            } else if (!(failure instanceof NotFoundException || failure instanceof OutOfRangeException)) {
                throw new AssertionError("an operation of the storm failed for a reason of its own", failure);
            }
        }

        private Segment segment() {
            int size = 1024 * (1 + random.nextInt(32));
            return Segment.of(prefix + keys++, content.duplicate().limit(size)).attachment("index", new byte[100]).build();
        }

        private void take(Segment segment, Receipt receipt) {
            SegmentRef old = segments.getAndSet(random.nextInt(SLOTS), new SegmentRef(segment.key(), receipt.token()));
            if (old != null) {
                replaced.add(old.key());
            }
        }

        /** One of the segments that are there, or one that is not. */
        private SegmentRef any() {
            SegmentRef segment = segments.get(random.nextInt(SLOTS));
            return segment != null ? segment : SegmentRef.of(prefix + "none");
        }
    }
}
