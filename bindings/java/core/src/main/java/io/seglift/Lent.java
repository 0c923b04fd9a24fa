package io.seglift;

import java.lang.ref.Cleaner;
import java.nio.ByteBuffer;
import java.util.function.LongConsumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Memory of the library that Java looks at without a copy, until it is closed.
 *
 * <p>Invariant: it is freed once, by {@link #close}. A buffer of it must not be used after that, which the JVM cannot
 * check. It outlives the driver that made it. Threads: any number may read.
 *
 * <p>Trade-off: no copy, and so a close that the garbage collector cannot do in time. What was forgotten is found by a
 * {@link Cleaner}, which frees it and says so in the log.
 */
abstract sealed class Lent implements AutoCloseable permits Bytes, Records {
    private static final Cleaner CLEANER = Cleaner.create();
    private static final ByteBuffer EMPTY = ByteBuffer.allocateDirect(0).asReadOnlyBuffer();

    private final Memory memory;
    private final Cleaner.Cleanable cleanable;
    private final ByteBuffer view;

    /** @param view the memory, or null if there is none */
    Lent(long handle, LongConsumer free, ByteBuffer view) {
        memory = new Memory(handle, free, getClass());
        this.view = view == null ? EMPTY : view.asReadOnlyBuffer();
        // Each buffer that is made of the view refers to it: what is still looked at is not forgotten. This comes last:
        // until here a failure leaves the memory to the caller.
        cleanable = CLEANER.register(view == null ? this : view, memory);
    }

    /** The memory as a buffer of the caller's own, big-endian as each new one. */
    final ByteBuffer view() {
        refuseIfClosed();
        return view.duplicate();
    }

    final void refuseIfClosed() {
        if (memory.closed) {
            throw new IllegalStateException(getClass().getSimpleName() + " that were closed");
        }
    }

    final int viewSize() {
        return view.capacity();
    }

    /** Gives the memory back. Closing twice is fine. */
    @Override
    public final void close() {
        memory.closed = true;
        cleanable.clean();
    }

    /** What the cleaner runs: once, by whoever comes first. It refers neither to its {@link Lent} nor to the view. */
    private static final class Memory implements Runnable {
        private static final Logger LOG = LoggerFactory.getLogger(Lent.class);

        private final long handle;
        private final LongConsumer free;
        private final Class<?> type;
        private volatile boolean closed;

        Memory(long handle, LongConsumer free, Class<?> type) {
            this.handle = handle;
            this.free = free;
            this.type = type;
        }

        @Override
        public void run() {
            free.accept(handle);
            if (!closed) {
                LOG.warn("{} were never closed; their memory came back only with the garbage collection",
                        type.getSimpleName());
            }
        }
    }
}
