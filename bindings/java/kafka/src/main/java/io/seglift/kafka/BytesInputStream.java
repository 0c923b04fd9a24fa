package io.seglift.kafka;

import io.seglift.Bytes;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * An index of a segment, read from the library's memory, which goes back at the end of the stream or with
 * {@link #close}: Kafka 3.9 reads producer snapshots to their end and never closes them. For one thread.
 */
final class BytesInputStream extends InputStream {
    private static final ByteBuffer CLOSED = ByteBuffer.allocate(0);

    private final Bytes bytes;
    private ByteBuffer rest;

    BytesInputStream(Bytes bytes) {
        this.bytes = bytes;
        this.rest = bytes.buffer();
    }

    @Override
    public int read() {
        return rest.hasRemaining() ? Byte.toUnsignedInt(rest.get()) : end();
    }

    @Override
    public int read(byte[] into, int at, int length) {
        Objects.checkFromIndexSize(at, length, into.length);
        if (length == 0) {
            return 0;
        }
        int count = Math.min(length, rest.remaining());
        rest.get(into, at, count);
        return count == 0 ? end() : count;
    }

    private int end() {
        close();
        return -1;
    }

    @Override
    public long skip(long count) {
        int skipped = (int) Math.max(0, Math.min(count, rest.remaining()));
        rest.position(rest.position() + skipped);
        return skipped;
    }

    @Override
    public int available() {
        return rest.remaining();
    }

    /** Gives the memory back; what is read after that is the end of the stream. */
    @Override
    public void close() {
        rest = CLOSED;
        bytes.close();
    }
}
