package io.seglift.kafka;

import java.lang.ref.Cleaner;
import java.nio.ByteBuffer;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.Semaphore;

/**
 * Direct buffers that the streams of all fetches share, so that a fetch allocates none.
 *
 * <p>Invariant: a buffer belongs to one lease at a time, and no more than {@code kept} lie idle. The one that was given
 * back last is lent first, since it is still in the processor's cache.
 *
 * <p>Trade-off: there is always a buffer for who needs one, also when more fetches run than buffers are kept. The broker's reader threads
 * bound how many do; a fetch that waited here for another would hold one of them up.
 */
final class FetchBuffers {
    private static final Cleaner CLEANER = Cleaner.create();

    private final int capacity;
    private final ConcurrentLinkedDeque<ByteBuffer> idle = new ConcurrentLinkedDeque<>();
    private final Semaphore room;
    private final Semaphore spare;

    /**
     * @param capacity bytes of each buffer
     * @param kept how many are kept for the next fetch
     */
    FetchBuffers(int capacity, int kept) {
        this.capacity = capacity;
        this.room = new Semaphore(kept);
        this.spare = new Semaphore(kept);
    }

    /** Bytes of each buffer. */
    int capacity() {
        return capacity;
    }

    /** How many buffers lie idle. */
    int idle() {
        return idle.size();
    }

    /** Lends a buffer until the lease ends, or until {@code user} was collected without ending it. */
    Lease lend(Object user) {
        return new Lease(user, take(), () -> {});
    }

    /**
     * As {@link #lend} to those who can do without: null while as many of them have one as are kept, and where there is
     * no memory for another.
     */
    Lease lendSpare(Object user) {
        if (!spare.tryAcquire()) {
            return null;
        }
        try {
            return new Lease(user, take(), spare::release);
        } catch (OutOfMemoryError e) {
            spare.release();
            return null;
        }
    }

    private ByteBuffer take() {
        ByteBuffer buffer = idle.pollFirst();
        if (buffer == null) {
            return ByteBuffer.allocateDirect(capacity);
        }
        room.release();
        return buffer;
    }

    private void giveBack(ByteBuffer buffer) {
        if (room.tryAcquire()) {
            idle.addFirst(buffer);
        }
    }

    /** The right to use a buffer. */
    final class Lease {
        private final ByteBuffer buffer;
        private final Cleaner.Cleanable end;

        private Lease(Object user, ByteBuffer buffer, Runnable atEnd) {
            this.buffer = buffer;
            this.end = CLEANER.register(user, () -> {
                giveBack(buffer);
                atEnd.run();
            });
        }

        ByteBuffer buffer() {
            return buffer;
        }

        /** Gives the buffer back; again is nothing. */
        void end() {
            end.clean();
        }
    }
}
