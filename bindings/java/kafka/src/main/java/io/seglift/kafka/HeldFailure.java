package io.seglift.kafka;

import io.seglift.CancelledException;
import io.seglift.ClosedException;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Reads for consumers whose failures take their time.
 *
 * <p>A consumer asks again at once, whatever the reason: a store that is down or refuses the credentials is asked more
 * than a thousand times a second, each of which the broker logs. Held failures limit that to what the broker's reader
 * threads, ten by default, can wait for.
 *
 * <p>Invariant: no other thread is held. Brokers fetch leader epochs and producer snapshots in a replica fetcher,
 * under its lock, and 3.9 looks up offsets by time on a request handler.
 *
 * <p>Trade-off: reads that memory could answer wait for a thread meanwhile, and a consumer sees up to this much later
 * that the store is back.
 */
final class HeldFailure {
    /** How the names of the threads begin that read for consumers, in Kafka 3.9 to 4.2. */
    static final String READER_THREAD = "remote-log-reader";
    /** Twice as long as a broker lets a consumer wait for remote data ({@code remote.fetch.max.wait.ms}). */
    private static final Duration LEAST = Duration.ofSeconds(1);

    private HeldFailure() {}

    @FunctionalInterface
    interface Read<T> {
        T run() throws IOException;
    }

    /**
     * Runs the read. If it fails on a reader thread, {@link #LEAST} has gone by since it began, unless the broker
     * itself ended it.
     */
    static <T> T of(Read<T> read) throws IOException {
        long begin = System.nanoTime();
        try {
            return read.run();
        } catch (CancelledException | ClosedException e) {
            throw e;
        } catch (IOException e) {
            if (Thread.currentThread().getName().startsWith(READER_THREAD)) {
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
