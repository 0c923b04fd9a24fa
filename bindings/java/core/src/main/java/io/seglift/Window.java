package io.seglift;

import java.nio.ByteBuffer;

/**
 * What is lent of a buffer: its bytes between position and limit, read once, so that a thread that moves them meanwhile
 * cannot make the library leave the buffer.
 */
record Window(int position, int length) {
    /**
     * Looks at the buffer once more as the JVM does: memory of an arena that is closed, or that belongs to another
     * thread, is an exception here and would be a crash in the library.
     */
    static Window of(ByteBuffer buffer) {
        int position = buffer.position();
        int length = buffer.limit() - position;
        if (length < 0) {
            throw new IllegalArgumentException("a buffer whose position and limit another thread moves");
        }
        if (length > 0) {
            buffer.get(position);
        }
        return new Window(position, length);
    }
}
