package io.seglift;

import java.time.Duration;
import java.time.Instant;
import java.util.function.BooleanSupplier;
import org.opentest4j.AssertionFailedError;

/** Tests wait for what must come, not for a time. */
final class Waiting {
    private Waiting() {}

    /** Far longer than anything takes here, for machines that are busy. */
    static final Duration PATIENCE = Duration.ofSeconds(30);

    static void until(BooleanSupplier condition) throws InterruptedException {
        Instant end = Instant.now().plus(PATIENCE);
        while (!condition.getAsBoolean()) {
            if (Instant.now().isAfter(end)) {
                throw new AssertionFailedError("it did not come to pass in " + PATIENCE);
            }
            Thread.sleep(1);
        }
    }
}
