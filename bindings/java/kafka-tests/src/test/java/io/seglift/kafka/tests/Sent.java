package io.seglift.kafka.tests;

import java.util.Arrays;
import java.util.BitSet;

/**
 * What the broker has acknowledged of one partition: the offset of each message by its number, and which of them
 * belong to transactions that were aborted. Numbers and offsets rise together.
 */
final class Sent {
    private long[] offsets = new long[1024];
    private int count;
    private final BitSet aborted = new BitSet();

    synchronized void add(long offset, boolean isAborted) {
        if (count == offsets.length) {
            offsets = Arrays.copyOf(offsets, 2 * count);
        }
        if (count > 0 && offset <= offsets[count - 1]) {
            throw new AssertionError("offset " + offset + " was given after " + offsets[count - 1]);
        }
        offsets[count] = offset;
        aborted.set(count, isAborted);
        count++;
    }

    synchronized int count() {
        return count;
    }

    synchronized long offset(int number) {
        return offsets[number];
    }

    synchronized boolean isAborted(int number) {
        return aborted.get(number);
    }

    /** The number of the first message at or behind {@code offset}; {@link #count()} if there is none. */
    synchronized int numberAt(long offset) {
        int found = Arrays.binarySearch(offsets, 0, count, offset);
        return found >= 0 ? found : -found - 1;
    }
}
