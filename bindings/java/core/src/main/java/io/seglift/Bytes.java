package io.seglift;

import java.lang.ref.Cleaner;
import java.nio.ByteBuffer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Bytes in the library's own memory: a range of a segment, an attachment. Close it soon: what comes from a segment
 * counts against {@code memory.lent.limit} until then.
 *
 * <p>Invariant: the memory is freed once, by {@link #close}. The buffer must not be used after that; the JVM cannot
 * check it. Bytes outlive the driver that made them. Threads: any number may read.
 *
 * <p>Trade-off: no copy, and so a close that Java's garbage collector cannot do in time. Bytes that are forgotten are
 * found by a {@link Cleaner}, which frees them and says so in the log.
 */
public final class Bytes implements AutoCloseable {
    private static final ByteBuffer EMPTY = ByteBuffer.allocateDirect(0).asReadOnlyBuffer();

    private final Lent lent;
    private final Cleaner.Cleanable cleanable;
    private final ByteBuffer buffer;

    Bytes(long handle) {
        lent = new Lent(handle);
        cleanable = Lent.CLEANER.register(this, lent);
        ByteBuffer memory = Native.viewBytes(handle);
        buffer = memory == null ? EMPTY : memory.asReadOnlyBuffer();
    }

    /** The bytes as a direct buffer that cannot be written, at its start; each call returns one of its own. */
    public ByteBuffer buffer() {
        if (lent.closed) {
            throw new IllegalStateException("bytes that were closed");
        }
        return buffer.duplicate();
    }

    /** How many bytes there are. */
    public int size() {
        return buffer.capacity();
    }

    /** Gives the memory back. Closing twice is fine. */
    @Override
    public void close() {
        lent.closed = true;
        cleanable.clean();
    }

    /** What the cleaner runs: once, by whoever comes first. Knows nothing of the {@link Bytes}, or they would stay. */
    private static final class Lent implements Runnable {
        private static final Cleaner CLEANER = Cleaner.create();
        private static final Logger LOG = LoggerFactory.getLogger(Bytes.class);

        private final long handle;
        private volatile boolean closed;

        Lent(long handle) {
            this.handle = handle;
        }

        @Override
        public void run() {
            Native.freeBytes(handle);
            if (!closed) {
                LOG.warn("Bytes were never closed: their memory came back only with the garbage collection");
            }
        }
    }
}
