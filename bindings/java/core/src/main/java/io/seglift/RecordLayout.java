package io.seglift;

import java.nio.ByteBuffer;

/**
 * How records lie in memory that crosses, both ways, in the machine's byte order: id, time, length of the payload, the
 * payload, and a gap to the next multiple of eight. The other side is records.c and writer.c.
 */
final class RecordLayout {
    private static final int TIME = Long.BYTES;
    private static final int LENGTH = 2 * Long.BYTES;
    static final int HEADER = 3 * Long.BYTES;

    private RecordLayout() {}

    /** The bytes that a record takes. */
    static long size(int payload) {
        return HEADER + (payload + 7L & ~7L);
    }

    /** Writes a record at the position, and moves it behind the record; the payload's position stays. */
    static void put(ByteBuffer memory, long id, long timeMicros, ByteBuffer payload) {
        int at = memory.position();
        int length = payload.remaining();
        memory.putLong(at, id).putLong(at + TIME, timeMicros).putLong(at + LENGTH, length);
        memory.put(at + HEADER, payload, payload.position(), length);
        memory.position(at + (int) size(length));
    }

    /** The record at the position, which moves behind it. */
    static SegmentRecord get(ByteBuffer memory) {
        int at = memory.position();
        int length = (int) memory.getLong(at + LENGTH);
        SegmentRecord record = new SegmentRecord(
                memory.getLong(at), memory.getLong(at + TIME), memory.slice(at + HEADER, length));
        memory.position(at + (int) size(length));
        return record;
    }
}
