package io.seglift.kafka;

import io.seglift.SegliftException;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Reads whose failures take their time, if they are of a kind that may pass.
 *
 * <p>While a store is down the library refuses reads at once, and a consumer asks again at once: more than a thousand
 * times a second, each of which the broker logs. Held failures limit them to what the broker's reader threads, ten by
 * default, can wait for.
 *
 * <p>Trade-off: reads that memory could answer wait for a thread meanwhile, and a consumer sees up to this much later
 * that the store is back.
 */
final class HeldFailure {
    /** Twice as long as a broker lets a consumer wait for remote data ({@code remote.fetch.max.wait.ms}). */
    private static final Duration LEAST = Duration.ofSeconds(1);

    private HeldFailure() {}

    @FunctionalInterface
    interface Read<T> {
        T run() throws IOException;
    }

    /** Runs the read. If it fails for a reason that may pass, {@link #LEAST} has gone by since it began. */
    static <T> T of(Read<T> read) throws IOException {
        long begin = System.nanoTime();
        try {
            return read.run();
        } catch (SegliftException e) {
            if (e.retryable()) {
                hold(LEAST.toNanos() - (System.nanoTime() - begin));
            }
            throw e;
        }
    }

    /** Waits; an interrupt ends it and stays set. */
    private static void hold(long nanos) {
        try {
            TimeUnit.NANOSECONDS.sleep(nanos);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
