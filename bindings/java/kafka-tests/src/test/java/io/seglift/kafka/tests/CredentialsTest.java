package io.seglift.kafka.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
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
    /** What the broker logs of each fetch that failed. */
    private static final String FETCH_FAILED = "Error occurred while reading the remote data";
    private static final Duration CONSUMING = Duration.ofSeconds(5);
    /** One a second of each of the broker's reader threads; a consumer that nothing held would cause thousands. */
    private static final int FETCHES = 10 * (int) (CONSUMING.toSeconds() + 1);

    @RegisterExtension
    static final Scratch SCRATCH = new Scratch();

    @Test
    void wrongCredentialsAreExplainedOnceAndDoNotFillTheLogAndRightOnesLetTheSegmentsLeave() throws Exception {
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

            cluster.reconfigure(1, Map.of("s3.secret.key", WRONG));
            new Check(cluster, load).nothingComes(CONSUMING);
            int fetches = broker.logged(FETCH_FAILED).size();
            assertTrue(fetches > 0 && fetches <= FETCHES, fetches + " lines");
        }
    }
}
