package io.seglift;

import java.nio.ByteBuffer;

/**
 * Bytes in the library's own memory: a range of a segment, an attachment. Close them soon: what comes from a segment
 * counts against {@code memory.lent.limit} until then. No buffer of theirs may be used afterwards.
 */
public final class Bytes extends Lent {
    private Bytes(long handle) {
        super(handle, Native::freeBytes, Native.viewBytes(handle));
    }

    /** Takes over bytes of the library. */
    static Bytes take(long handle) {
        try {
            return new Bytes(handle);
        } catch (Throwable e) {
            Native.freeBytes(handle);
            throw e;
        }
    }

    /** The bytes as a direct buffer that cannot be written, at its start; each call returns one of its own. */
    public ByteBuffer buffer() {
        return view();
    }

    /** How many bytes there are. */
    public int size() {
        return viewSize();
    }
}
