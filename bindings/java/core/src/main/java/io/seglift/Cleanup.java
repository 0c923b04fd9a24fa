package io.seglift;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a reap, or a step of a sweep, found and did.
 *
 * @param counts how many ended how; those count as well that have no entry
 * @param entries the first ten thousand, in the order in which they were met
 * @param done whether nothing is left to do: of a reap always
 */
public record Cleanup(Map<Verdict, Count> counts, List<Entry> entries, boolean done) {
    private static final Count NONE = new Count(0, 0);

    /** How many uploads or objects, and how much that is in the store as far as it is known. */
    public record Count(long number, long bytes) {}

    /**
     * An upload or an object.
     *
     * @param name the key; of an upload to files the temporary file's name
     * @param uploadId of an upload: what the store knows it by, else empty
     * @param bytes its bytes in the store; 0 where they were not looked at
     * @param time when it was last changed, by the store's clock, if there is anything
     * @param verdict what became of it
     * @param failure why it failed or could not be read, if so
     */
    public record Entry(
            String name,
            String uploadId,
            long bytes,
            Optional<Instant> time,
            Verdict verdict,
            Optional<SegliftException> failure) {}

    /** How many ended so. */
    public Count count(Verdict verdict) {
        return counts.getOrDefault(verdict, NONE);
    }

    /** Takes over a clean-up of the library and frees it. */
    static Cleanup take(long cleanup) {
        Unpacker in = new Unpacker(Native.takeCleanup(cleanup, Verdict.values().length));
        boolean done = in.number() != 0;
        Map<Verdict, Count> counts = new EnumMap<>(Verdict.class);
        for (Verdict verdict : Verdict.values()) {
            Count count = new Count(in.number(), in.number());
            if (count.number() > 0) {
                counts.put(verdict, count);
            }
        }
        List<Entry> entries = new ArrayList<>();
        while (in.hasMore()) {
            entries.add(unpackEntry(in));
        }
        return new Cleanup(Collections.unmodifiableMap(counts), List.copyOf(entries), done);
    }

    private static Entry unpackEntry(Unpacker in) {
        String name = in.text();
        String uploadId = in.text();
        long bytes = in.number();
        long time = in.number();
        Verdict verdict = Verdict.of(in.number());
        boolean failed = in.number() != 0;
        return new Entry(
                name,
                uploadId,
                bytes,
                time == 0 ? Optional.empty() : Optional.of(SegmentInfo.micros(time)),
                verdict,
                failed ? Optional.of(ErrorReport.unpack(in).toException()) : Optional.empty());
    }
}
