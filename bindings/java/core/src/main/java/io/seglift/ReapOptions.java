package io.seglift;

import java.time.Duration;

/**
 * Which abandoned uploads to abort.
 *
 * @param olderThan start and newest part of an upload must be longer ago, by the store's clock; zero = a day
 * @param dryRun abort nothing, only report
 * @param allOwners uploads of other owners as well, and those whose owner the store does not show. S3 shows that of
 *     none. Say it only where no other host uses the bucket and prefix.
 */
public record ReapOptions(Duration olderThan, boolean dryRun, boolean allOwners) {
    /** A dry run: this owner's uploads that are older than a day. */
    public static final ReapOptions DRY_RUN = new ReapOptions(Duration.ZERO, true, false);

    private static final int FLAG_DRY_RUN = 1;
    private static final int FLAG_ALL_OWNERS = 2;

    /** Checks the time. */
    public ReapOptions {
        if (olderThan.isNegative()) {
            throw new IllegalArgumentException("uploads that are older than " + olderThan);
        }
    }

    int flags() {
        return (dryRun ? FLAG_DRY_RUN : 0) | (allOwners ? FLAG_ALL_OWNERS : 0);
    }
}
