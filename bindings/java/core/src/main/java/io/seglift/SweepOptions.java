package io.seglift;

import java.time.Duration;

/**
 * What to sweep, and how carefully.
 *
 * @param prefix only keys that begin so, and all keys that are fed must; empty = the whole store
 * @param grace how long an object must have been there before the sweep began, by the store's clock; zero = a day.
 *     Longer than it takes from the last byte of an offload until its key is in the list that is fed.
 * @param delete whether to delete; else the sweep only reports
 */
public record SweepOptions(String prefix, Duration grace, boolean delete) {
    /** A dry run over the whole store with a day of grace. */
    public static final SweepOptions DRY_RUN = new SweepOptions("", Duration.ZERO, false);

    /** Checks the time. */
    public SweepOptions {
        if (grace.isNegative()) {
            throw new IllegalArgumentException("a time of grace of " + grace);
        }
    }
}
