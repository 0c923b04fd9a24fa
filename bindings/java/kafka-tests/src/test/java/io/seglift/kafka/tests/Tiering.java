package io.seglift.kafka.tests;

import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.common.TopicPartition;

/** Where the segments of a topic are, as its brokers say. */
final class Tiering {
    private final Cluster cluster;
    private final Load load;

    Tiering(Cluster cluster, Load load) {
        this.cluster = cluster;
        this.load = load;
    }

    /** What a partition's leader says: the first offset on its disk, and the last one in the store. */
    private record Place(long earliestLocal, long latestTiered, long bytes) {
        /** Everything but the segment that is written to is in the store, and nowhere else. */
        boolean hasLeft(long segmentBytes) {
            return earliestLocal > 0 && latestTiered == earliestLocal - 1 && bytes <= segmentBytes;
        }
    }

    /** Waits until every sealed segment was copied and has left the leader's disk; each partition has at least one. */
    void awaitSegmentsLeft() throws Exception {
        Await.until("the sealed segments of " + load.topic() + " have left", Scale.patience(),
                () -> places().toString(), () -> {
                    Collection<Place> places = places().values();
                    return places.size() == load.topicPartitions().size()
                            && places.stream().allMatch(place -> place.hasLeft(load.segmentBytes()));
                });
    }

    private Map<Integer, Place> places() {
        try {
            Map<Integer, Integer> leaders = new HashMap<>();
            cluster.describe(load).forEach(partition -> leaders.put(partition.partition(), partition.leader().id()));
            Map<TopicPartition, Long> local = offsets(OffsetSpec.earliestLocal());
            Map<TopicPartition, Long> tiered = offsets(OffsetSpec.latestTiered());
            Map<Integer, Place> places = new TreeMap<>();
            for (int broker : Set.copyOf(leaders.values())) {
                for (LogDirDescription folder : folders(broker)) {
                    folder.replicaInfos().forEach((partition, replica) -> {
                        if (partition.topic().equals(load.topic()) && leaders.get(partition.partition()) == broker) {
                            places.put(partition.partition(),
                                    new Place(local.get(partition), tiered.get(partition), replica.size()));
                        }
                    });
                }
            }
            return places;
        } catch (ExecutionException | InterruptedException e) {
            throw new AssertionError("the brokers do not say where " + load.topic() + " is", e);
        }
    }

    private Collection<LogDirDescription> folders(int broker) throws ExecutionException, InterruptedException {
        return cluster.admin().describeLogDirs(List.of(broker)).allDescriptions().get().get(broker).values();
    }

    private Map<TopicPartition, Long> offsets(OffsetSpec which) throws ExecutionException, InterruptedException {
        Map<TopicPartition, OffsetSpec> questions = load.topicPartitions().stream()
                .collect(Collectors.toMap(Function.identity(), partition -> which));
        return cluster.admin().listOffsets(questions).all().get().entrySet().stream()
                .collect(Collectors.toMap(Map.Entry::getKey, answer -> answer.getValue().offset()));
    }
}
