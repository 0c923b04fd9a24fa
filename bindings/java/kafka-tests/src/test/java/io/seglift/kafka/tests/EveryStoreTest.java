package io.seglift.kafka.tests;

import java.util.Map;
import org.apache.kafka.common.record.CompressionType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What has to work with every store and every Kafka: produce, tier, consume, delete. */
class EveryStoreTest {
    private static final String TOPIC = "smoke";

    @RegisterExtension
    static final Scratch SCRATCH = new Scratch();

    @Test
    void aFolderTakesSegmentsAndGivesThemBack() throws Exception {
        produceTierConsumeDelete(KafkaVersion.V4_2, Store.folder(SCRATCH.folder()));
    }

    @Test
    void versitygwTakesSegmentsAndGivesThemBack() throws Exception {
        produceTierConsumeDelete(KafkaVersion.V4_2, Store.bucket("versitygw"));
    }

    @Test
    void theOldestKafkaTiersToo() throws Exception {
        produceTierConsumeDelete(KafkaVersion.V3_9, Store.bucket("minio"));
    }

    private static void produceTierConsumeDelete(KafkaVersion version, Store store) throws Exception {
        try (Cluster cluster = Cluster.start(version, SCRATCH.folder().resolve(version + "-" + store.kind()), store,
                Map.of())) {
            Load load = cluster.createTopic(TOPIC, 1, Scale.segmentBytes());
            load.produce(CompressionType.LZ4, Scale.mebibytes(14));
            load.produceTransactions(CompressionType.NONE, 4, Scale.mebibytes(1));
            new Tiering(cluster, load).awaitSegmentsLeft();
            Check check = new Check(cluster, load);
            check.everything();
            check.everythingCommitted();
            cluster.deleteTopic(TOPIC);
            store.awaitEmpty();
        }
    }
}
