package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Listings, verification, reap and sweep. */
class MaintenanceTest {
    @TempDir
    Path folder;

    private static Receipt offload(Seglift seglift, String key, int size) throws SegliftException {
        return seglift.offload(Segment.of(key, Samples.direct(Samples.bytes(size, size))).build(), Call.DEFAULT);
    }

    @Test
    void aListingHasEachKeyOnceInByteOrder() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of())) {
            List<String> keys = new ArrayList<>();
            for (int i = 0; i < 25; i++) {
                keys.add("a/" + (char) ('a' + i) + "é");
                offload(seglift, keys.get(i), 100 + i);
            }
            offload(seglift, "b/other", 10);
            List<ObjectEntry> found = new ArrayList<>();
            try (Lister lister = seglift.list("a/", keys.get(1))) {
                List<ObjectEntry> page;
                while (!(page = lister.next(10, Call.DEFAULT)).isEmpty()) {
                    assertTrue(page.size() <= 10);
                    found.addAll(page);
                }
                assertEquals(List.of(), lister.next(10, Call.DEFAULT));
            }
            assertEquals(keys.subList(2, 25), found.stream().map(ObjectEntry::key).toList());
            assertTrue(found.get(0).objectBytes() > 0);
            assertTrue(Duration.between(found.get(0).modified(), java.time.Instant.now()).abs().toMinutes() < 5);
        }
    }

    @Test
    void aSoundObjectHasNoDamageAndABrokenOneSaysWhere() throws Exception {
        try (Seglift seglift = Seglift.open("file://" + folder, Map.of("codec", "none"))) {
            Receipt receipt = offload(seglift, "t/verified", 500_000);
            SegmentRef ref = new SegmentRef("t/verified", receipt.token());
            VerifyReport sound = seglift.verify(ref, Call.DEFAULT);
            assertTrue(sound.sound());
            assertEquals(receipt.blocks(), sound.blocks());
            assertEquals(500_000, sound.segmentBytes());

            Path object = folder.resolve("t/verified");
            byte[] bytes = Files.readAllBytes(object);
            bytes[250_000] ^= 1;
            Files.write(object, bytes);
            VerifyReport broken = seglift.verifyAsync(ref, Call.DEFAULT).get();
            assertFalse(broken.sound());
            assertEquals(1, broken.badBlocks());
            VerifyReport.Damage damage = broken.damage().get(0);
            assertEquals(VerifyReport.Part.BLOCK, damage.part());
            assertTrue(damage.offset() <= 250_000 && damage.offset() + damage.bytes() > 200_000);
            assertEquals(Code.CORRUPT, damage.cause().code());
            assertTrue(damage.records().isEmpty());
            assertThrows(NotFoundException.class, () -> seglift.verify(SegmentRef.of("t/none"), Call.DEFAULT));
        }
    }

    @Test
    void aSweepDeletesOnlyWhatNobodyRefersTo() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of())) {
            for (String key : List.of("s/1", "s/2", "s/3", "s/4")) {
                offload(seglift, key, 1000);
            }
            List<String> live = List.of("s/2", "s/4");
            Map<Verdict, Long> dry = sweep(seglift, new SweepOptions("s/", Duration.ofMillis(1), false), live);
            assertEquals(Map.of(Verdict.WOULD_REMOVE, 2L, Verdict.LIVE, 2L), dry);
            Map<Verdict, Long> done = sweep(seglift, new SweepOptions("s/", Duration.ofMillis(1), true), live);
            assertEquals(Map.of(Verdict.REMOVED, 2L, Verdict.LIVE, 2L), done);
            try (Lister lister = seglift.list("", "")) {
                assertEquals(live, lister.next(0, Call.DEFAULT).stream().map(ObjectEntry::key).toList());
            }
            try (Sweep empty = seglift.sweep(new SweepOptions("", Duration.ofMillis(1), true))) {
                SegliftException refused =
                        assertThrows(SegliftException.class, () -> empty.finish(Call.DEFAULT, step -> {}));
                assertEquals(Code.INVALID_ARGUMENT, refused.code());
            }
        }
    }

    private static Map<Verdict, Long> sweep(Seglift seglift, SweepOptions options, List<String> live) throws Exception {
        Map<Verdict, Long> counts = new EnumMap<>(Verdict.class);
        List<Cleanup> steps = new ArrayList<>();
        // The store's clock must pass the time of grace.
        Thread.sleep(5);
        try (Sweep sweep = seglift.sweep(options)) {
            sweep.feed(live, Call.DEFAULT, steps::add);
            sweep.finish(Call.DEFAULT, steps::add);
        }
        for (Cleanup step : steps) {
            step.counts().forEach((verdict, count) -> counts.merge(verdict, count.number(), Long::sum));
            step.entries().forEach(entry -> assertTrue(entry.name().startsWith("s/")));
        }
        assertTrue(steps.get(steps.size() - 1).done());
        return counts;
    }

    @Test
    void aReapFindsNothingWhereNothingWasAbandoned() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of())) {
            Cleanup cleanup = seglift.reap(ReapOptions.DRY_RUN, Call.DEFAULT);
            assertEquals(Map.of(), cleanup.counts());
            assertTrue(cleanup.done());
        }
    }
}
