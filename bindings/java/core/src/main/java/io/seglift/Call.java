package io.seglift;

import java.time.Duration;

/**
 * How a call shall run: its limits of time, its rank among those that wait, and what the caches may expect.
 *
 * <p>Immutable, so make the ones that you need once and share them among threads.
 */
public final class Call {
    /** The settings {@code deadline.*} and {@code stall} hold, normal priority, no hint. */
    public static final Call DEFAULT = new Call(0, 0, 0, 0);

    static final int CACHED_ONLY = 1;
    private static final int NO_CACHE = 2;
    private static final int SEQUENTIAL = 4;
    private static final int RANDOM = 8;

    final long deadlineMillis;
    private final long stallMillis;
    final int flags;
    private final int priority;
    /** What pack.c reads. */
    final long[] packed;

    private Call(long deadlineMillis, long stallMillis, int flags, int priority) {
        this.deadlineMillis = deadlineMillis;
        this.stallMillis = stallMillis;
        this.flags = flags;
        this.priority = priority;
        packed = new long[] {deadlineMillis, stallMillis, flags, priority};
    }

    /** With this limit on the total time, queueing and retries included; longer than zero. */
    public Call withDeadline(Duration deadline) {
        return new Call(limit(deadline, "deadline"), stallMillis, flags, priority);
    }

    /** Offloads and writers: with this limit on the time without a byte moved; longer than zero. */
    public Call withStall(Duration stall) {
        return new Call(deadlineMillis, limit(stall, "stall limit"), flags, priority);
    }

    /** With this rank among those that wait for memory or a place: higher first, 0 is normal. */
    public Call withPriority(int priority) {
        return new Call(deadlineMillis, stallMillis, flags, priority);
    }

    /** What follows will be read soon: read ahead. */
    public Call sequential() {
        return new Call(deadlineMillis, stallMillis, flags & ~RANDOM | SEQUENTIAL, priority);
    }

    /** What follows will not be read: fetch no more than is asked for. */
    public Call random() {
        return new Call(deadlineMillis, stallMillis, flags & ~SEQUENTIAL | RANDOM, priority);
    }

    /** Leave nothing in the cache: for what will not be read again. */
    public Call noCache() {
        return new Call(deadlineMillis, stallMillis, flags | NO_CACHE, priority);
    }

    private static long limit(Duration time, String what) {
        if (time.isNegative() || time.isZero()) {
            throw new IllegalArgumentException("a " + what + " of " + time + "; it must be longer than zero");
        }
        return millis(time);
    }

    /** Rounded up, because zero means "as the settings say"; what is too long for a number is the longest. */
    static long millis(Duration time) {
        try {
            return time.plusNanos(999_999).toMillis();
        } catch (ArithmeticException tooLong) {
            return Long.MAX_VALUE;
        }
    }
}
