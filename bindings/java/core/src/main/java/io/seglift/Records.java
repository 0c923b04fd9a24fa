package io.seglift;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Iterator;
import java.util.NoSuchElementException;

/**
 * A batch of records, all of which crossed at once. Close it soon; no payload of it may be used afterwards. Any number
 * of walks may go over it.
 */
public final class Records extends Lent implements Iterable<SegmentRecord> {
    /** What records.c puts in front: how many, where to read on, whether the segment ends. */
    private static final int HEADER = 3 * Long.BYTES;

    private final int count;
    private final long nextId;
    private final boolean atEnd;

    /** @param header the view in the machine's byte order */
    private Records(long memory, ByteBuffer view, ByteBuffer header) {
        super(memory, Native::freeMemory, view);
        count = (int) header.getLong(0);
        nextId = header.getLong(8);
        atEnd = header.getLong(16) != 0;
    }

    /** Takes over a batch of the library and frees it: what is left is a copy without gaps. */
    static Records take(long records) throws SegliftException {
        long[] out = new long[2];
        ByteBuffer view = Native.takeRecords(records, out);
        if (view == null) {
            String what = "no memory for a batch of records; ask for fewer bytes at a time";
            throw ErrorReport.of(Code.RESOURCE_EXHAUSTED, what).toException();
        }
        try {
            return new Records(out[1], view, view.duplicate().order(ByteOrder.nativeOrder()));
        } catch (Throwable e) {
            Native.freeMemory(out[1]);
            throw e;
        }
    }

    /** How many there are; 0 means that the segment has no such record. */
    public int count() {
        return count;
    }

    /** Where to read on: the last record's id + 1; of an empty batch, the id that was asked for. */
    public long nextId() {
        return nextId;
    }

    /** Whether the segment has no record behind this batch. */
    public boolean atEnd() {
        return atEnd;
    }

    /** The records in the order of their ids. */
    @Override
    public Iterator<SegmentRecord> iterator() {
        ByteBuffer memory = view().order(ByteOrder.nativeOrder()).position(HEADER);
        return new Iterator<>() {
            @Override
            public boolean hasNext() {
                refuseIfClosed();
                return memory.hasRemaining();
            }

            @Override
            public SegmentRecord next() {
                if (!hasNext()) {
                    throw new NoSuchElementException();
                }
                return RecordLayout.get(memory);
            }
        };
    }
}
