package io.seglift.kafka;

import io.seglift.Code;
import java.time.Duration;
import java.util.EnumMap;
import java.util.Map;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Says in the broker's log why tiering fails and what to do: once for each code, and again with a count when it still
 * fails minutes later. A broker tries each partition twice a minute, so an outage would otherwise fill the log.
 */
final class FailureLog {
    private static final Logger LOG = LoggerFactory.getLogger(SegliftRemoteStorageManager.class);

    /** Often enough that the end of a log file shows what is wrong. */
    private static final Duration SILENCE = Duration.ofMinutes(10);

    private final String store;
    private final LongSupplier nanoTime;
    private final Map<Code, Seen> seen = new EnumMap<>(Code.class);

    /**
     * @param store what the lines name
     * @param nanoTime a clock such as {@link System#nanoTime}
     */
    FailureLog(String store, LongSupplier nanoTime) {
        this.store = store;
        this.nanoTime = nanoTime;
    }

    private static final class Seen {
        private long loggedAt;
        private long since;
    }

    /**
     * Takes note of a failure.
     *
     * @return whether a line was logged for it, which means that it is the first of its code for a while
     */
    boolean report(Code code, String what, Throwable failure) {
        long now = nanoTime.getAsLong();
        long repeats;
        synchronized (seen) {
            Seen last = seen.get(code);
            if (last != null && now - last.loggedAt < SILENCE.toNanos()) {
                last.since++;
                return false;
            }
            repeats = last == null ? 0 : last.since;
            Seen next = new Seen();
            next.loggedAt = now;
            seen.put(code, next);
        }
        String again = repeats == 0 ? "" : " (and " + repeats + " times since this was last said)";
        LOG.error("Tiered storage {}: {}{}. Remedy: {}.", store, what, again, Remedy.of(code));
        LOG.debug("Where it happened", failure);
        return true;
    }
}
