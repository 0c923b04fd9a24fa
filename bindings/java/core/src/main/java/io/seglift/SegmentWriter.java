package io.seglift;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A segment that is being written, in pieces. It is invisible until its commit.
 *
 * <p>Records are collected here and cross in batches, so that what {@link #append} took may be refused by a later call.
 * A full writer waits until the store has taken something; an interrupt ends the wait with {@link CancelledException},
 * and what was not taken may be written again. Records that the segment has no place for are dropped with the {@link
 * OutOfRangeException} that says so; what was taken before them can be committed. Threads: one at a time; a second one is told {@link BusyException}.
 *
 * <p>Close it always: what was not committed is then given up and removed from the store, in the background.
 */
public final class SegmentWriter implements Child {
    /** Some hundred records of a kilobyte in a crossing that costs less than a microsecond. */
    private static final int BATCH = 256 << 10;
    /** The library's limit, known here so that a larger one is refused before it is copied. */
    private static final int LARGEST_RECORD = 64 << 20;

    private final Seglift driver;
    private final String key;
    private final Mode mode;
    private final Handle handle;
    private final long id;
    private final Semaphore room;
    private final AtomicBoolean busy = new AtomicBoolean();
    private ByteBuffer batch;
    /** Where the records of the batch begin that the library has not taken. */
    private int taken;
    private long lastId;
    private boolean hasRecords;
    /** The same of what the library has taken. */
    private long takenId;
    private boolean hasTaken;

    private SegmentWriter(Seglift driver, WriterOptions options, Semaphore room, long id, long writer) {
        this.driver = driver;
        this.key = options.key();
        this.mode = options.mode();
        this.room = room;
        this.id = id;
        handle = new Handle(writer, "the writer of " + key, this::free);
    }

    static SegmentWriter open(Seglift driver, WriterOptions options, Call call) throws SegliftException {
        Completions completions = driver.engine().completions();
        Semaphore room = new Semaphore(0);
        byte[] packed = options.pack();
        long[] out = new long[2];
        long id = completions.register((code, count, result, error) -> room.release());
        SegmentWriter writer = null;
        try {
            long pointer = driver.handle().enter();
            try {
                long queue = completions.enterQueue();
                try {
                    Native.check(Native.writerOpen(pointer, queue, id, packed, call.packed, out), out);
                    writer = new SegmentWriter(driver, options, room, id, out[1]);
                } finally {
                    if (writer == null) {
                        Native.writerFree(out[1]);
                        completions.leaveQueue();
                    }
                }
            } finally {
                driver.handle().leave();
            }
        } finally {
            if (writer == null) {
                completions.forget(id);
            }
        }
        return writer;
    }

    private void free(long writer) {
        Native.writerFree(writer);
        driver.engine().completions().forget(id);
        driver.engine().completions().leaveQueue();
    }

    /** The key that the commit will give it. */
    public String key() {
        return key;
    }

    /**
     * Appends the bytes between the position and the limit of a direct buffer, which are the caller's again when it
     * returns, and moves the position behind what was taken, also when it fails.
     *
     * @throws OutOfRangeException if the segment would become longer than it may
     */
    public void write(ByteBuffer direct) throws SegliftException {
        if (!direct.isDirect()) {
            throw new IllegalArgumentException("a buffer on the heap cannot be written; use ByteBuffer.allocateDirect");
        }
        begin();
        try {
            long[] out = new long[2];
            Window rest;
            while ((rest = Window.of(direct)).length() > 0) {
                Window window = rest;
                int code = inside(writer ->
                        Native.writerWrite(writer, direct, window.position(), window.length(), out));
                direct.position(window.position() + (int) out[1]);
                waitForRoom(code, out);
            }
        } finally {
            busy.set(false);
        }
    }

    /**
     * Appends a record. Its payload, between position and limit of any buffer, is copied.
     *
     * @param id unsigned, higher than that of the record before; gaps are fine
     * @param timeMicros any time in microseconds, such as when it was published
     * @throws IllegalArgumentException if the id is not higher, or the payload is longer than 64 MiB
     * @throws OutOfRangeException if the segment would become longer than it may: then the records behind the last one
     *     that it has a place for are dropped
     */
    public void append(long id, long timeMicros, ByteBuffer payload) throws SegliftException {
        begin();
        try {
            if (mode != Mode.RECORDS) {
                throw new IllegalStateException(key + " is written as bytes: call write, or open it with records");
            }
            if (hasRecords && Long.compareUnsigned(id, lastId) <= 0) {
                throw new IllegalArgumentException("record " + Long.toUnsignedString(id) + " of " + key
                        + " comes after " + Long.toUnsignedString(lastId) + "; ids must increase");
            }
            if (payload.remaining() > LARGEST_RECORD) {
                throw new IllegalArgumentException("record " + Long.toUnsignedString(id) + " of " + key + " has "
                        + payload.remaining() + " bytes; 64 MiB is the most that a record may have");
            }
            makePlace(RecordLayout.size(payload.remaining()));
            RecordLayout.put(batch, id, timeMicros, payload);
            lastId = id;
            hasRecords = true;
        } finally {
            busy.set(false);
        }
    }

    /** Hands over the records that were collected. Seldom needed: a full batch and a commit do it. */
    public void flush() throws SegliftException {
        begin();
        try {
            handOver();
        } finally {
            busy.set(false);
        }
    }

    private void makePlace(long size) throws SegliftException {
        if (batch == null || batch.remaining() < size) {
            handOver();
            if (batch == null || batch.capacity() < size) {
                batch = ByteBuffer.allocateDirect((int) Math.max(size, BATCH)).order(ByteOrder.nativeOrder());
            }
        }
    }

    private void handOver() throws SegliftException {
        if (batch == null) {
            return;
        }
        long[] out = new long[2];
        while (taken < batch.position()) {
            int code = inside(writer -> Native.writerAppend(writer, batch, taken, batch.position(), out));
            taken += (int) out[1];
            try {
                waitForRoom(code, out);
            } catch (OutOfRangeException e) {
                dropRefused();
                throw e;
            }
        }
        takenId = lastId;
        hasTaken = hasRecords;
        batch.clear();
        taken = 0;
    }

    /** Forgets what the segment has no place for, so that the writer goes on behind the last record that it took. */
    private void dropRefused() {
        ByteBuffer took = batch.duplicate().order(ByteOrder.nativeOrder()).position(0).limit(taken);
        while (took.hasRemaining()) {
            takenId = RecordLayout.get(took).id();
            hasTaken = true;
        }
        lastId = takenId;
        hasRecords = hasTaken;
        batch.clear();
        taken = 0;
    }

    /** Throws what is wrong; a writer that is only full signals when it is worth to try again. */
    private void waitForRoom(int code, long[] out) throws SegliftException {
        if (code != Code.WOULD_BLOCK.number()) {
            Native.check(code, out);
            return;
        }
        Native.freeError(out[0]);
        driver.engine().completions().refuseToWaitForItself();
        try {
            room.acquire();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw ErrorReport.of(Code.CANCELLED, "interrupted while the writer of " + key + " waited for the store")
                    .toException();
        }
    }

    /**
     * Commits what was written as one object. It ends as {@link Seglift#offload} does; afterwards the writer is closed.
     */
    public Receipt commit(WriterFinish finish, Call call) throws SegliftException {
        driver.engine().completions().refuseToWaitForItself();
        return startCommit(finish, call).await();
    }

    /** Starts a commit; see {@link #commit}. Records that were collected are handed over before, which may wait. */
    public CompletableFuture<Receipt> commitAsync(WriterFinish finish, Call call) throws SegliftException {
        return startCommit(finish, call);
    }

    private Operation<Receipt> startCommit(WriterFinish finish, Call call) throws SegliftException {
        byte[] packed = finish.pack();
        begin();
        try {
            handOver();
            return driver.engine().submit(handle, null, (count, receipt) -> Receipt.take(receipt),
                    (writer, queue, operation, out) -> Native.writerCommit(writer, queue, operation, packed,
                            call.packed, out));
        } finally {
            busy.set(false);
        }
    }

    /** Gives up what was written and waits until it is removed from the store; afterwards the writer is closed. */
    public void abort(Call call) throws SegliftException {
        driver.engine().completions().refuseToWaitForItself();
        begin();
        try {
            driver.engine().<Void>submit(handle, null, (count, none) -> null, (writer, queue, operation, out) ->
                            Native.writerAbort(writer, queue, operation, call.packed, out))
                    .await();
        } finally {
            busy.set(false);
        }
    }

    /** Frees the writer; what was not committed is given up in the background. Closing twice is fine. */
    @Override
    public void close() {
        if (handle.close()) {
            driver.closed(this);
            room.release();
            handle.leave();
        }
    }

    private void begin() throws SegliftException {
        if (!busy.compareAndSet(false, true)) {
            String what = "the writer of " + key + " is in use by another thread";
            throw ErrorReport.of(Code.BUSY, what).toException();
        }
    }

    private interface Crossing {
        int cross(long writer);
    }

    private int inside(Crossing crossing) throws ClosedException {
        long writer = handle.enter();
        try {
            return crossing.cross(writer);
        } finally {
            handle.leave();
        }
    }
}
