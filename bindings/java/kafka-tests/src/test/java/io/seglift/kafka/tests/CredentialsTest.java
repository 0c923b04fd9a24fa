package io.seglift.kafka.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.apache.kafka.common.record.CompressionType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** A broker whose store refuses it. */
class CredentialsTest {
    private static final String WRONG = "this-is-not-the-secret";
    /** What the broker logs of each copy that failed. */
    private static final String COPY_FAILED = "Error occurred while copying log segments of partition";
    private static final int FAILURES = 12;

    @RegisterExtension
    static final Scratch SCRATCH = new Scratch();

    @Test
    void wrongCredentialsAreExplainedInTheLogOnceAndRightOnesLetTheSegmentsLeave() throws Exception {
        Store store = Store.bucket("minio");
        try (Cluster cluster = Cluster.start(KafkaVersion.V4_2, SCRATCH.folder(), store,
                Map.of("s3.secret.key", WRONG))) {
            Load load = cluster.createTopic("refused", 2, Scale.segmentBytes());
            load.produce(CompressionType.NONE, Scale.mebibytes(12));
            Broker broker = cluster.broker(1);
            Await.until(FAILURES + " copies failed", Scale.patience(), () -> broker.logged(COPY_FAILED).size() + " did",
                    () -> broker.logged(COPY_FAILED).size() >= FAILURES);
            assertTrue(broker.isAlive());
            new Check(cluster, load).everything();
            assertEquals(1, broker.logged("Remedy:").size());
            assertTrue(broker.logged("Remedy:").get(0).contains("rsm.config.s3.secret.key"));
            assertEquals(1, broker.logged("Caused by: io.seglift").size(), "one trace tells where it came from");
            assertEquals(List.of(), broker.logged(WRONG));
            assertEquals(List.of(), store.contents());

            cluster.reconfigure(1, Map.of());
            new Tiering(cluster, load).awaitSegmentsLeft();
            new Check(cluster, load).everything();
        }
    }
}
