package io.seglift.kafka.tests;

import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.function.Supplier;

/** Waits for conditions. What never comes is a failure that says what was waited for and how far it had come. */
final class Await {
    private static final Duration PAUSE = Duration.ofMillis(50);

    private Await() {
    }

    /**
     * Waits until {@code condition} holds.
     *
     * @param state describes how far it has come, for the failure
     */
    static void until(String what, Duration patience, Supplier<String> state, Callable<Boolean> condition)
            throws Exception {
        long deadline = System.nanoTime() + patience.toNanos();
        while (!condition.call()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + ": not within " + patience.toSeconds() + " s; " + state.get());
            }
            Thread.sleep(PAUSE.toMillis());
        }
    }
}
