package io.seglift.kafka;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.util.Objects;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A range of a segment as the broker wants it: it opens one at a position, reads a header of 17 bytes and the batch
 * behind it, one batch after the other up to a mebibyte or so, and closes it early.
 *
 * <p>Bytes are fetched into a shared direct buffer and copied from there to the caller's array; nothing else is
 * copied or allocated. Each fetch fills the buffer, the first one too: the broker answers nobody before it has read
 * all that it wants, which is a buffer full by default, so a small first fetch would only be a request more in its
 * way. What lies ahead the library fetches by itself, once it sees that one stream begins where another ended.
 *
 * <p>A stream that is read on and on goes over to a larger buffer, if one is spare: fewer requests, and past the
 * library's cache, since whoever reads so much by himself will hardly share it.
 *
 * <p>Invariant: the buffer goes back when the stream is closed and no fetch into it runs. So a close during a read
 * does not wait: the read gives the buffer back when it ends.
 */
final class SegmentInputStream extends InputStream {
    /** Buffers full from which on a stream counts as one that is read on and on: more than a broker reads for a fetch. */
    static final int LONG = 8;

    /** Where the bytes of one segment come from. */
    interface Source {
        /**
         * Reads from {@code offset} of the segment until the buffer is full or the segment ends.
         *
         * @param large whether this is much at one time, behind which as much will be asked for in the same way
         * @return how many bytes it read; 0 only at the end
         */
        int read(long offset, ByteBuffer into, boolean large) throws IOException;

        /** What a reader of the stream is told of a failure of {@link #read}. */
        IOException failure(Throwable failure);
    }

    private final Source source;
    private final FetchBuffers large;
    private FetchBuffers.Lease lease;
    /** What was fetched and not yet read lies between its position and its limit. */
    private ByteBuffer fetched;
    private int fetches;
    private boolean isLarge;
    private final ReentrantLock reading = new ReentrantLock();
    private volatile boolean closed;
    /** Where the next fetch begins in the segment. */
    private long offset;
    /** Where the stream ends in the segment. */
    private final long end;

    /**
     * @param buffers where its buffer is from
     * @param large where it takes a larger one from, once it has become long
     * @param start first byte of the segment to be read
     * @param end the byte behind the last one, which the segment has if it is whole
     */
    SegmentInputStream(Source source, FetchBuffers buffers, FetchBuffers large, long start, long end) {
        this.source = source;
        this.large = large;
        this.offset = start;
        this.end = end;
        use(buffers.lend(this));
    }

    private void use(FetchBuffers.Lease lent) {
        lease = lent;
        fetched = lent.buffer().clear().limit(0);
    }

    /**
     * Fetches the first bytes, so that a segment which cannot be read is known when it is opened.
     *
     * @throws IOException the source's own
     */
    SegmentInputStream open() throws IOException {
        try {
            fetch();
            return this;
        } catch (Throwable e) {
            close();
            throw e;
        }
    }

    @Override
    public int read() throws IOException {
        enter();
        try {
            return hasNext() ? Byte.toUnsignedInt(fetched.get()) : -1;
        } finally {
            leave();
        }
    }

    /** Reads {@code length} bytes; fewer only at the end of the range. */
    @Override
    public int read(byte[] into, int at, int length) throws IOException {
        Objects.checkFromIndexSize(at, length, into.length);
        if (length == 0) {
            return 0;
        }
        enter();
        try {
            int done = 0;
            while (done < length && hasNext()) {
                int count = Math.min(length - done, fetched.remaining());
                fetched.get(into, at + done, count);
                done += count;
            }
            return done == 0 ? -1 : done;
        } finally {
            leave();
        }
    }

    /** Leaves bytes out; those that were not fetched yet never are. */
    @Override
    public long skip(long count) throws IOException {
        enter();
        try {
            long skipped = Math.max(0, Math.min(count, fetched.remaining() + end - offset));
            int buffered = (int) Math.min(skipped, fetched.remaining());
            fetched.position(fetched.position() + buffered);
            offset += skipped - buffered;
            return skipped;
        } finally {
            leave();
        }
    }

    /** How many bytes can be read without a fetch. */
    @Override
    public int available() throws IOException {
        enter();
        try {
            return fetched.remaining();
        } finally {
            leave();
        }
    }

    /** Ends the stream without waiting for anything; may be called from any thread, and more than once. */
    @Override
    public void close() {
        closed = true;
        giveBackIfClosed();
    }

    /** Whether there is a byte to read, fetched now if need be. */
    private boolean hasNext() throws IOException {
        if (!fetched.hasRemaining() && offset < end) {
            try {
                fetch();
            } catch (Throwable e) {
                throw source.failure(e);
            }
        }
        return fetched.hasRemaining();
    }

    private void fetch() throws IOException {
        if (fetches++ >= LONG && !isLarge && end - offset > fetched.capacity()) {
            enlarge();
        }
        int wanted = (int) Math.min(fetched.capacity(), end - offset);
        fetched.clear().limit(wanted);
        int count = 0;
        try {
            count = HeldFailure.of(() -> fill(wanted));
        } finally {
            fetched.position(0).limit(count);
            // The lease must not end because nobody uses the stream any more but this fetch.
            Reference.reachabilityFence(this);
        }
        offset += count;
    }

    private void enlarge() {
        FetchBuffers.Lease spare = large.lendSpare(this);
        if (spare != null) {
            lease.end();
            use(spare);
            isLarge = true;
        }
    }

    private int fill(int wanted) throws IOException {
        int count = source.read(offset, fetched, isLarge);
        if (count == 0 && wanted > 0) {
            throw new EOFException("the object has " + offset + " bytes of a segment of at least " + end
                    + ": it is damaged, or another one");
        }
        return count;
    }

    private void enter() throws IOException {
        reading.lock();
        if (closed) {
            leave();
            throw new IOException("the stream is closed");
        }
    }

    private void leave() {
        reading.unlock();
        giveBackIfClosed();
    }

    /** Called by each who closes and each who ends a read, so that the last one of them gives the buffer back. */
    private void giveBackIfClosed() {
        if (closed && reading.tryLock()) {
            lease.end();
            reading.unlock();
        }
    }
}
