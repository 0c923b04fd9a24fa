package io.seglift.kafka.tests;

import java.time.Duration;
import java.util.List;

/** How large the scenarios are: the same code is quick for every day, and full with {@code SCALE=full}. */
final class Scale {
    private static final boolean FULL = "full".equals(System.getenv("SCALE"));
    private static final long MIB = 1 << 20;

    private Scale() {
    }

    /** Bytes of payload where the quick test takes so many MiB: 200 MiB of all tests become 2 GiB. */
    static long mebibytes(int quick) {
        return quick * MIB * (FULL ? 10 : 1);
    }

    /** Bytes of a log segment. */
    static long segmentBytes() {
        return (FULL ? 32 : 4) * MIB;
    }

    /** Bytes of a log segment that goes out in several parts of 5 MiB, the smallest that S3 takes. */
    static long segmentInParts() {
        return (FULL ? 80 : 8) * MIB;
    }

    /** Options of the brokers' JVMs: one that lives for seconds spends a third of its time on compiling code twice. */
    static List<String> jvmOptions() {
        return FULL ? List.of() : List.of("-XX:TieredStopAtLevel=1");
    }

    /** How long a store stays away. */
    static Duration outage() {
        return Duration.ofSeconds(FULL ? 180 : 15);
    }

    /** The longest that tiering, or a broker that starts, may take; a busy machine takes a tenth of it. */
    static Duration patience() {
        return Duration.ofSeconds(FULL ? 900 : 180);
    }
}
