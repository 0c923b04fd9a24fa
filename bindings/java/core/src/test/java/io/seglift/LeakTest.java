package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class LeakTest {
    private static final boolean FULL = "full".equals(System.getenv("SCALE"));
    private static final int OPERATIONS = FULL ? 2_000_000 : 100_000;
    /** Until here the cache of blocks fills, and the allocator finds its size. */
    private static final int WARM_UP = FULL ? 500_000 : 150_000;
    /** The allocator breathes two thirds of it. A leak of 200 bytes in each operation is more; of 10 at full size. */
    private static final long GROWTH_KIB = 12 << 10;

    /** The JVM's compiler and the library have pools of threads that breathe. */
    private static final int POOLS = 4;

    @Test
    void aHundredThousandOperationsOfWhichManyAreCancelledLeaveNothingBehind() throws Exception {
        String said = ChildJvm.run(
                ChildJvm.command(
                        // What grows by itself is kept small: the heap, the memory of the optimizing compiler,
                        List.of("-Xms128m", "-Xmx128m", "-XX:+AlwaysPreTouch", "-XX:TieredStopAtLevel=1"),
                        Storm.class, "" + WARM_UP, "" + OPERATIONS),
                // and the allocator's arenas, of which each thread could have its own.
                Map.of("MALLOC_ARENA_MAX", "2"));
        System.out.print(said);

        Map<String, Long> counted = new TreeMap<>();
        said.lines().filter(line -> line.matches("[^ =]+=-?\\d+")).forEach(line -> {
            int equals = line.lastIndexOf('=');
            counted.put(line.substring(0, equals), Long.valueOf(line.substring(equals + 1)));
        });
        assertEquals(WARM_UP + OPERATIONS, counted.get("begun"), said);
        assertEquals(counted.get("begun"), counted.get("ended"), "each operation ends once");
        assertTrue(counted.get("cancelled") > OPERATIONS / 100, said);
        assertEquals(0, counted.get("pending"), said);
        assertTrue(counted.get("files.after") <= counted.get("files.before"), said);
        assertTrue(counted.get("threads.after") <= counted.get("threads.before") + POOLS, said);
        counted.forEach((name, value) -> assertTrue(!name.startsWith("seglift_") || value == 0, name + " is " + value));
        assertTrue(counted.containsKey("seglift_lent_bytes[]"), said);
        long growth = counted.get("resident.after") - counted.get("resident.before");
        assertTrue(growth < GROWTH_KIB, "the process grew by " + growth + " KiB: " + said);
    }
}
