package io.seglift.kafka.tests;

import static java.util.stream.Collectors.toSet;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Pattern;
import org.apache.kafka.common.record.CompressionType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** A broker that is killed in the middle of copies, again and again. */
class CrashTest {
    private static final int KILLS = 3;
    /** Copies so slow, and in such parts, that a kill finds them half-way. */
    private static final Map<String, String> SLOW = Map.of(
            "codec", "none", "upload.part.size", "5MiB", "store.rate.up", "8MiB");

    private static final Pattern COPIED = Pattern.compile("Copied .* id=([^,}]+)}");

    @RegisterExtension
    static final Scratch SCRATCH = new Scratch();

    @Test
    void killsInTheMiddleOfCopiesLoseNothingAndLeaveNothingThatIsNotCleanedUp() throws Exception {
        Store.Bucket store = Store.bucket("minio");
        try (Cluster cluster = Cluster.start(KafkaVersion.V4_2, SCRATCH.folder(), store, SLOW)) {
            Load load = cluster.createTopic("crash", 3, Scale.segmentInParts());
            for (int kill = 0; kill < KILLS; kill++) {
                Set<String> before = new TreeSet<>(store.uploads());
                CompletableFuture<Void> producer =
                        CompletableFuture.runAsync(() -> load.produce(CompressionType.NONE, Scale.mebibytes(30)));
                Await.until("copies are under way", Scale.patience(), () -> "nothing is uploaded",
                        () -> !before.containsAll(store.uploads()));
                cluster.broker(1).kill();
                cluster.startBroker(1);
                producer.get();
            }
            new Tiering(cluster, load).awaitSegmentsLeft();
            Operator operator = new Operator(cluster, store, SCRATCH.folder());
            String planted = operator.keys().get(0) + "-of-a-copy-that-was-not-noted";
            operator.plant(planted);
            long planting = System.currentTimeMillis();
            Check check = new Check(cluster, load);
            check.everything();

            assertFalse(store.uploads().isEmpty(), "the kills left uploads behind");
            Await.until("a store that dates in whole seconds takes it for older than the list", Scale.patience(),
                    () -> "the clock stands", () -> System.currentTimeMillis() > planting + 2000);
            String list = operator.liveKeys();
            List<String> live = Operator.keys(list);
            Set<String> liveSegments = live.stream()
                    .map(key -> key.substring(key.lastIndexOf('/') + 1)).collect(toSet());
            assertTrue(liveSegments.containsAll(copied(cluster.broker(1))), "what was copied is live");
            Map<String, String> verdicts = operator.sweep(list);
            assertEquals("removed", verdicts.get(planted));
            assertEquals(List.of(), verdicts.entrySet().stream().filter(verdict -> verdict.getValue().equals("missing"))
                    .toList(), "every segment that the broker refers to is in the store");
            operator.reap();
            assertEquals(List.of(), store.uploads());
            assertEquals(live, operator.keys().stream()
                    // What came in parts is spared for a quarter of an hour, since parts hide when it was begun.
                    .filter(key -> !"young".equals(verdicts.get(key))).toList());
            check.everything();
        }
    }

    /** The ids of the segments that the broker says it has copied. */
    private static Set<String> copied(Broker broker) {
        Set<String> ids = broker.logged("to remote storage with segment-id").stream()
                .flatMap(line -> COPIED.matcher(line).results()).map(id -> id.group(1)).collect(toSet());
        assertFalse(ids.isEmpty());
        return ids;
    }
}
