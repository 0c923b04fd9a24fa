package io.seglift;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A driver: the connection of an engine to one store. Cheap; a host may open hundreds.
 *
 * <p>What reads, writes or deletes comes in two shapes; {@link #tryRead}, {@link #openWriter}, {@link #list} and
 * {@link #sweep} have one. The {@code ...Async} one returns a future that ends on the thread {@code seglift-completions},
 * or that of {@link #verifyAsync} on {@code seglift-verify}: what depends on it must not wait there. Cancelling the future asks the library to stop,
 * and it ends when the library has let go of the memory that was lent to it. The other one waits. An interrupt cancels
 * it: it throws {@link CancelledException}, or returns its result if that was certain already, with the thread's
 * interrupt flag set.
 *
 * <p>Direct buffers are lent from the call until it returns or its future is done; nobody may use them meanwhile, and an
 * arena that they come from must stay open.
 * Threads: any number. After {@link #close} each call is {@link Code#CLOSED}.
 */
public final class Seglift implements AutoCloseable {
    private final Engine engine;
    private final boolean ownsEngine;
    private final String uri;
    private final Handle handle;
    private final Set<Child> children = ConcurrentHashMap.newKeySet();

    private Seglift(Engine engine, boolean ownsEngine, String uri, long driver) {
        this.engine = engine;
        this.ownsEngine = ownsEngine;
        this.uri = uri;
        handle = new Handle(driver, "the driver of " + uri, pointer -> {
            Native.driverFree(pointer);
            engine.handle().leave();
        });
    }

    /**
     * Opens a driver with an engine of its own, which is closed with it.
     *
     * @param uri the store: {@code s3://bucket/prefix}, {@code file:///var/tier}, {@code memory:}
     * @param settings by their names; docs/configuration.md has all
     */
    public static Seglift open(String uri, Map<String, String> settings) throws SegliftException {
        Engine engine = Engine.open(settings);
        try {
            return open(engine, true, uri, settings);
        } catch (SegliftException | RuntimeException | Error e) {
            engine.close();
            throw e;
        }
    }

    /** Opens a driver on an engine; of the settings those of the driver count. */
    public static Seglift open(Engine engine, String uri, Map<String, String> settings) throws SegliftException {
        return open(engine, false, uri, settings);
    }

    private static Seglift open(Engine engine, boolean owns, String uri, Map<String, String> settings)
            throws SegliftException {
        byte[] packed = Engine.pack(new Packer().text(uri, "URI of the store"), settings);
        long[] out = new long[2];
        Seglift driver = null;
        // The driver stays inside the engine, so that the engine is freed after it.
        long pointer = engine.handle().enter();
        try {
            Native.check(Native.driverOpen(pointer, packed, out), out);
            driver = new Seglift(engine, owns, uri, out[1]);
        } finally {
            if (driver == null) {
                engine.handle().leave();
            }
        }
        engine.opened(driver);
        return driver;
    }

    /** The engine that it was opened on. */
    public Engine engine() {
        return engine;
    }

    /** The store, as it was given. */
    public String uri() {
        return uri;
    }

    /** Offloads a segment as one object; see {@link #offload}. */
    public CompletableFuture<Receipt> offloadAsync(Segment segment, Call call) {
        return startOffload(segment, call);
    }

    /**
     * Offloads a segment as one object. It ends committed (a receipt), not committed (an exception), or as
     * {@link OutcomeUnknownException}: then repeat it with the same key. Nothing is ever overwritten.
     */
    public Receipt offload(Segment segment, Call call) throws SegliftException {
        mayWait();
        return startOffload(segment, call).await();
    }

    private Operation<Receipt> startOffload(Segment segment, Call call) {
        if (segment.memory != null) {
            Window.of(segment.memory);
        }
        return engine.submit(handle, segment, (count, receipt) -> Receipt.take(receipt), (driver, queue, id, out) ->
                Native.offload(driver, queue, id, segment.packed, segment.memory, call.packed, out));
    }

    /**
     * Reads into a direct buffer from its position on, at most as much as remains; see {@link #read}. The position
     * stays as it is; the future has the number of bytes.
     */
    public CompletableFuture<Integer> readAsync(SegmentRef ref, long offset, ByteBuffer into, Call call) {
        return startRead(ref, offset, into, call);
    }

    /**
     * Reads the segment's bytes from an offset on into a direct buffer, which it fills unless the segment ends before,
     * and moves the buffer's position. What is in memory is answered without a change of thread.
     *
     * @return how many bytes; 0 at the very end of the segment
     * @throws OutOfRangeException past the end
     */
    public int read(SegmentRef ref, long offset, ByteBuffer into, Call call) throws SegliftException {
        mayWait();
        int n = readCached(ref, offset, into, call.flags | Call.CACHED_ONLY);
        if (n < 0) {
            n = startRead(ref, offset, into, call).await();
            into.position(into.position() + n);
        }
        return n;
    }

    /**
     * Reads as {@link #read} if memory alone can answer, at once; empty if it cannot. Without a token it never can.
     */
    public OptionalInt tryRead(SegmentRef ref, long offset, ByteBuffer into) throws SegliftException {
        int n = readCached(ref, offset, into, Call.CACHED_ONLY);
        return n < 0 ? OptionalInt.empty() : OptionalInt.of(n);
    }

    /** How many bytes, or -1 if it would have to wait. */
    private int readCached(SegmentRef ref, long offset, ByteBuffer into, int flags) throws SegliftException {
        writableDirect(into);
        Window window = Window.of(into);
        long[] out = new long[1];
        long driver = handle.enter();
        int n;
        try {
            n = Native.readCached(driver, ref.packed, offset, into, window.position(), window.length(), flags,
                    out);
        } finally {
            handle.leave();
        }
        if (n >= 0) {
            into.position(window.position() + n);
            return n;
        }
        if (n == -Code.WOULD_BLOCK.number()) {
            Native.freeError(out[0]);
            return -1;
        }
        throw ErrorReport.take(-n, out[0]);
    }

    private Operation<Integer> startRead(SegmentRef ref, long offset, ByteBuffer into, Call call) {
        writableDirect(into);
        Window window = Window.of(into);
        return engine.submit(handle, into, (count, none) -> (int) count, (driver, queue, id, out) ->
                Native.read(driver, queue, id, ref.packed, offset, into, window.position(), window.length(), call.packed,
                        out));
    }

    /** Reads a range without a copy; see {@link #readBytes}. */
    public CompletableFuture<Bytes> readBytesAsync(SegmentRef ref, long offset, long length, Call call) {
        return startReadBytes(ref, offset, length, call);
    }

    /**
     * Reads a range into memory of the library, without a copy where one cached block holds it. Close the result.
     *
     * @param length at most {@link Integer#MAX_VALUE}; fewer bytes come only at the end of the segment
     */
    public Bytes readBytes(SegmentRef ref, long offset, long length, Call call) throws SegliftException {
        mayWait();
        fitsBuffer(length);
        Bytes cached = readBytesCached(ref, offset, length, call);
        return cached != null ? cached : startReadBytes(ref, offset, length, call).await();
    }

    /** From memory if it can, as {@link #readCached}; null if it would have to wait. */
    private Bytes readBytesCached(SegmentRef ref, long offset, long length, Call call) throws SegliftException {
        long[] out = new long[2];
        long driver = handle.enter();
        int code;
        try {
            code = Native.readBytesCached(driver, ref.packed, offset, length, call.flags | Call.CACHED_ONLY, out);
        } finally {
            handle.leave();
        }
        if (code == Code.WOULD_BLOCK.number()) {
            Native.freeError(out[0]);
            return null;
        }
        Native.check(code, out);
        return Bytes.take(out[1]);
    }

    private Operation<Bytes> startReadBytes(SegmentRef ref, long offset, long length, Call call) {
        fitsBuffer(length);
        return engine.submit(handle, null, (count, bytes) -> Bytes.take(bytes), (driver, queue, id, out) ->
                Native.readBytes(driver, queue, id, ref.packed, offset, length, call.packed, out));
    }

    /** Reads an attachment, whole and verified; see {@link #readAttachment}. */
    public CompletableFuture<Bytes> readAttachmentAsync(SegmentRef ref, String name, Call call) {
        return startReadAttachment(ref, name, call);
    }

    /**
     * Reads an attachment, whole and verified. Close the result.
     *
     * @throws OutOfRangeException if the segment has none of this name
     */
    public Bytes readAttachment(SegmentRef ref, String name, Call call) throws SegliftException {
        mayWait();
        return startReadAttachment(ref, name, call).await();
    }

    private Operation<Bytes> startReadAttachment(SegmentRef ref, String name, Call call) {
        byte[] packedName = new Packer().text(name, "name of an attachment").toBytes();
        return engine.submit(handle, null, (count, bytes) -> Bytes.take(bytes), (driver, queue, id, out) ->
                Native.readAttachment(driver, queue, id, ref.packed, packedName, call.packed, out));
    }

    /** Reads bytes of an object as they lie in the store; see {@link #readObject}. */
    public CompletableFuture<Bytes> readObjectAsync(String key, long offset, long length, Call call) {
        return startReadObject(key, offset, length, call);
    }

    /** Reads bytes of an object as they lie in the store, unverified: to copy objects elsewhere. Close the result. */
    public Bytes readObject(String key, long offset, long length, Call call) throws SegliftException {
        mayWait();
        return startReadObject(key, offset, length, call).await();
    }

    private Operation<Bytes> startReadObject(String key, long offset, long length, Call call) {
        fitsBuffer(length);
        byte[] packedKey = new Packer().text(key, "key").toBytes();
        return engine.submit(handle, null, (count, bytes) -> Bytes.take(bytes), (driver, queue, id, out) ->
                Native.readObject(driver, queue, id, packedKey, offset, length, call.packed, out));
    }

    /** What the segment's object says of itself; see {@link #stat}. */
    public CompletableFuture<SegmentInfo> statAsync(SegmentRef ref, Call call) {
        return startStat(ref, call);
    }

    /** What the segment's object says of itself: sizes, codec, offsets, metadata, attachments, a token. */
    public SegmentInfo stat(SegmentRef ref, Call call) throws SegliftException {
        mayWait();
        return startStat(ref, call).await();
    }

    private Operation<SegmentInfo> startStat(SegmentRef ref, Call call) {
        return engine.submit(handle, null, (count, info) -> SegmentInfo.take(info), (driver, queue, id, out) ->
                Native.stat(driver, queue, id, ref.packed, call.packed, out));
    }

    /** Deletes objects; see {@link #delete}. */
    public CompletableFuture<List<DeleteResult>> deleteAsync(List<String> keys, Call call) {
        return startDelete(keys, call);
    }

    /**
     * Deletes objects. What is not there is deleted already: success. A failure of one key does not keep the others.
     *
     * @return a result for each key, in their order
     * @throws SegliftException only if nothing was tried
     */
    public List<DeleteResult> delete(List<String> keys, Call call) throws SegliftException {
        mayWait();
        return startDelete(keys, call).await();
    }

    private Operation<List<DeleteResult>> startDelete(List<String> keys, Call call) {
        List<String> copy = List.copyOf(keys);
        byte[] packed = packKeys(copy);
        return engine.submit(handle, null, (count, results) -> DeleteResult.take(copy, results),
                (driver, queue, id, out) -> Native.delete(driver, queue, id, packed, call.packed, out));
    }

    static byte[] packKeys(List<String> keys) {
        Packer packed = new Packer().number(keys.size());
        keys.forEach(key -> packed.text(key, "key"));
        return packed.toBytes();
    }

    /** Reads records; see {@link #readRecords}. */
    public CompletableFuture<Records> readRecordsAsync(
            SegmentRef ref, long firstId, long maxRecords, long maxBytes, Call call) {
        return startReadRecords(ref, firstId, maxRecords, maxBytes, call);
    }

    /**
     * Reads records of a segment that was written as records: from the first one whose id is {@code firstId} or higher,
     * at least one if there is any. Close the result.
     *
     * @param firstId unsigned
     * @param maxRecords the most records; 0 = no limit
     * @param maxBytes the most bytes of payload, unless the first record alone is longer; 0 = what one fetch brings
     */
    public Records readRecords(SegmentRef ref, long firstId, long maxRecords, long maxBytes, Call call)
            throws SegliftException {
        mayWait();
        return startReadRecords(ref, firstId, maxRecords, maxBytes, call).await();
    }

    private Operation<Records> startReadRecords(
            SegmentRef ref, long firstId, long maxRecords, long maxBytes, Call call) {
        if (maxRecords < 0 || maxBytes < 0) {
            throw new IllegalArgumentException("at most " + maxRecords + " records of " + maxBytes + " bytes");
        }
        return engine.submit(handle, null, (count, records) -> Records.take(records), (driver, queue, id, out) ->
                Native.readRecords(driver, queue, id, ref.packed, firstId, maxRecords, maxBytes, call.packed, out));
    }

    /**
     * Opens a writer and reserves its memory, whose size does not depend on the segment's. Close it always.
     *
     * @param call its deadline is for the whole life of the writer
     * @throws BusyException when {@code memory.budget} is taken
     */
    public SegmentWriter openWriter(WriterOptions options, Call call) throws SegliftException {
        return adopt(SegmentWriter.open(this, options, call));
    }

    /**
     * Begins a walk over the keys of the store. Nothing is read yet. Close it always.
     *
     * @param prefix only keys that begin so; empty = all
     * @param after only keys that are higher in byte order; empty = all
     */
    public Lister list(String prefix, String after) throws SegliftException {
        byte[] packed = new Packer().text(prefix, "prefix").text(after, "key to begin after").toBytes();
        return adopt(new Lister(this, open((driver, out) -> Native.listOpen(driver, packed, out))));
    }

    /** Checks a whole object; see {@link #verify}. */
    public CompletableFuture<VerifyReport> verifyAsync(SegmentRef ref, Call call) {
        return engine.verifications().start(handle, ref, call);
    }

    /**
     * Reads the whole object past the caches, checks every checksum of it, and says where it is damaged. Damage is no
     * exception, as long as the object can be found and is one of seglift's.
     */
    public VerifyReport verify(SegmentRef ref, Call call) throws SegliftException {
        mayWait();
        return engine.verifications().start(handle, ref, call).await();
    }

    /** Aborts abandoned uploads; see {@link #reap}. */
    public CompletableFuture<Cleanup> reapAsync(ReapOptions options, Call call) {
        return startReap(options, call);
    }

    /**
     * Aborts uploads of this owner that were begun and never ended, because their process was killed.
     *
     * @return also when some could not be aborted: count {@link Verdict#FAILED}
     */
    public Cleanup reap(ReapOptions options, Call call) throws SegliftException {
        mayWait();
        return startReap(options, call).await();
    }

    private Operation<Cleanup> startReap(ReapOptions options, Call call) {
        return engine.submit(handle, null, (count, cleanup) -> Cleanup.take(cleanup), (driver, queue, id, out) ->
                Native.reap(driver, queue, id, Call.millis(options.olderThan()), options.flags(), call.packed, out));
    }

    /** Begins a sweep, which deletes objects that nobody refers to. Nothing is read or deleted yet. Close it always. */
    public Sweep sweep(SweepOptions options) throws SegliftException {
        byte[] prefix = new Packer().text(options.prefix(), "prefix").toBytes();
        return adopt(new Sweep(this, open((driver, out) ->
                Native.sweepBegin(driver, prefix, Call.millis(options.grace()), options.delete(), out))));
    }

    private interface Opening {
        int open(long driver, long[] out);
    }

    /** The handle of something that is opened on this driver. */
    private long open(Opening opening) throws SegliftException {
        long[] out = new long[2];
        long driver = handle.enter();
        try {
            Native.check(opening.open(driver, out), out);
            return out[1];
        } finally {
            handle.leave();
        }
    }

    Handle handle() {
        return handle;
    }

    /** Takes what to close with the driver; at once, if that was closed in the meantime. */
    private <T extends Child> T adopt(T child) {
        children.add(child);
        if (handle.isClosed()) {
            child.close();
        }
        return child;
    }

    void closed(Child child) {
        children.remove(child);
    }

    /**
     * Cancels what runs, waits for its end, half a minute at most, and frees the driver; what then still hangs ends in
     * the background. An engine of its own is closed with it. Closing twice is fine.
     */
    @Override
    public void close() {
        closeBy(Engine.closeDeadline());
    }

    void closeBy(long deadline) {
        if (!handle.close()) {
            return;
        }
        long[] out = new long[1];
        Native.driverClose(handle.pointer(), Engine.millisUntil(deadline), out);
        Native.freeError(out[0]);
        children.forEach(Child::close);
        handle.leave();
        engine.closed(this);
        if (ownsEngine) {
            engine.closeBy(deadline);
        }
    }

    private void mayWait() {
        engine.completions().refuseToWaitForItself();
    }

    private static void writableDirect(ByteBuffer into) {
        if (!into.isDirect() || into.isReadOnly()) {
            throw new IllegalArgumentException("a buffer that is " + (into.isDirect() ? "read-only" : "on the heap")
                    + " cannot be read into; use ByteBuffer.allocateDirect");
        }
    }

    private static void fitsBuffer(long length) {
        if (length < 0 || length > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("a range of " + length + " bytes; a buffer takes 0 to 2147483647");
        }
    }
}
