package io.seglift;

import java.nio.ByteBuffer;

/**
 * The crossing: every native function, each one call of the library or one batch of them.
 *
 * <p>Handles are numbers. Texts, structs and tokens are arrays that {@link Packer} or {@link SegmentRef} laid out;
 * payloads are direct buffers with a position and a length. A function returns the library's code, writes its error's
 * handle to {@code out[0]} and its result to {@code out[1]}. It never throws, and never makes an object of our classes.
 * {@code take...} frees the handle that it is given.
 */
final class Native {
    /** What both sides of the crossing must have in common; raise it with each change of a function or a layout. */
    private static final int VERSION = 1;

    private Native() {}

    /**
     * Takes the function table of the library at this path.
     *
     * @throws SegliftException {@link Code#NOT_FOUND} if it cannot be opened, in the dynamic linker's words, or
     *     {@link Code#UNSUPPORTED_VERSION} if library, shim and this class do not belong together
     */
    static void attach(String library) throws SegliftException {
        byte[] problem = attach(new Packer().text(library, "path of the library").toBytes(), VERSION);
        if (problem != null) {
            Unpacker in = new Unpacker(problem);
            throw ErrorReport.of(Code.of((int) in.number()), in.text()).toException();
        }
    }

    /** Throws what a call has left in {@code out[0]} unless its code is 0. */
    static void check(int code, long[] out) throws SegliftException {
        if (code != 0) {
            throw ErrorReport.take(code, out[0]);
        }
    }

    // load.c

    private static native byte[] attach(byte[] library, int version);

    // error.c

    static native byte[] takeError(long error);

    static native void freeError(long error);

    // engine.c

    static native int engineOpen(byte[] settings, long[] out);

    static native int engineFree(long engine, long[] out);

    static native byte[] engineStatus(long engine, long[] out);

    static native byte[] engineMetrics(long engine, long[] out);

    /** The oldest line of the log: time in us, level, repeated, dropped, text; null when there is none. */
    static native byte[] logPoll(long engine);

    static native void cancel(long engine, long op);

    static native int queueNew(long engine, int capacity, long[] out);

    /** How many completions it wrote, or minus the code. */
    static native int queuePoll(long queue, ByteBuffer out, int max, long timeoutMillis);

    static native int queueShutdown(long queue, long timeoutMillis, long[] out);

    static native int queueFree(long queue, long[] out);

    // driver.c

    static native int driverOpen(long engine, byte[] uriAndSettings, long[] out);

    static native int driverClose(long driver, long timeoutMillis, long[] out);

    static native void driverFree(long driver);

    static native int delete(long driver, long queue, long id, byte[] keys, long[] call, long[] out);

    static native byte[] takeResults(long results);

    // offload.c

    static native int offload(
            long driver, long queue, long id, byte[] segment, ByteBuffer memory, long[] call, long[] out);

    static native byte[] takeReceipt(long receipt);

    // read.c

    /** From memory only: how many bytes, or minus the code. */
    static native int readCached(
            long driver, byte[] ref, long offset, ByteBuffer into, int position, int length, int flags, long[] out);

    static native int read(
            long driver, long queue, long id, byte[] ref, long offset, ByteBuffer into, int position, int length,
            long[] call, long[] out);

    static native int readBytesCached(long driver, byte[] ref, long offset, long length, int flags, long[] out);

    static native int readBytes(
            long driver, long queue, long id, byte[] ref, long offset, long length, long[] call, long[] out);

    static native int readObject(
            long driver, long queue, long id, byte[] key, long offset, long length, long[] call, long[] out);

    static native int readAttachment(
            long driver, long queue, long id, byte[] ref, byte[] name, long[] call, long[] out);

    static native int stat(long driver, long queue, long id, byte[] ref, long[] call, long[] out);

    static native byte[] takeInfo(long info);

    /** The memory of counted bytes, good until {@link #freeBytes}; null if there are none. */
    static native ByteBuffer viewBytes(long bytes);

    static native void freeBytes(long bytes);

    // records.c

    static native int readRecords(
            long driver, long queue, long id, byte[] ref, long first, long maxRecords, long maxBytes,
            long[] call, long[] out);

    /** The batch as one piece of memory, whose address is in {@code out[1]}; null if there is no memory. */
    static native ByteBuffer takeRecords(long records, long[] out);

    static native void freeMemory(long address);

    // writer.c

    static native int writerOpen(long driver, long queue, long id, byte[] options, long[] call, long[] out);

    /** {@code out[1]}: how many bytes were taken, also with an error. */
    static native int writerWrite(long writer, ByteBuffer from, int position, int length, long[] out);

    /**
     * Appends the records between two positions; {@code out[1]}: how many bytes of them were taken, also with an error.
     */
    static native int writerAppend(long writer, ByteBuffer from, int position, int limit, long[] out);

    static native int writerCommit(long writer, long queue, long id, byte[] finish, long[] call, long[] out);

    static native int writerAbort(long writer, long queue, long id, long[] call, long[] out);

    static native void writerFree(long writer);

    // list.c

    static native int listOpen(long driver, byte[] prefixAndAfter, long[] out);

    static native int listNext(long lister, long queue, long id, long max, long[] call, long[] out);

    /** The n entries of the page that was loaded last. */
    static native byte[] listPage(long lister, long n);

    static native void listFree(long lister);

    // verify.c

    /** A token for {@link #verify}. Cannot fail but for want of memory, which ends the process. */
    static native long cancelNew();

    static native void cancelRequest(long token);

    static native void cancelFree(long token);

    /** Waits; the report, or null with an error. */
    static native byte[] verify(long driver, long token, byte[] ref, long[] call, long[] out);

    // cleanup.c

    static native int reap(
            long driver, long queue, long id, long olderThanMillis, int reapFlags, long[] call, long[] out);

    static native int sweepBegin(long driver, byte[] prefix, long graceMillis, boolean delete, long[] out);

    static native int sweepFeed(long sweep, long queue, long id, byte[] keys, long[] call, long[] out);

    static native int sweepFinish(long sweep, long queue, long id, long[] call, long[] out);

    static native void sweepFree(long sweep);

    /** @param verdicts how many verdicts Java knows, 0 included */
    static native byte[] takeCleanup(long cleanup, int verdicts);
}
