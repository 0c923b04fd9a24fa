package io.seglift.kafka.tests;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.common.record.CompressionType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * One cluster with its segments on MinIO: first what was tiered is read in every way, then a second broker takes over,
 * and in the end everything is deleted.
 */
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class MinioTest {
    private static final int SEEKS = 60;
    /** What a follower logs when it has fetched and taken over both. */
    private static final String STATE_FETCHED =
            "Built the leader epoch cache and producer snapshots from remote tier for Topic: ";

    /** What a broker logs of each read that failed, and how many threads it reads with. */
    private static final String READ_FAILED = "Error occurred while reading the remote data";
    private static final int READER_THREADS = 10;

    @RegisterExtension
    static final Scratch SCRATCH = new Scratch();

    private static Store.Bucket store;
    private static Cluster cluster;
    /** Every compression, one after the other. */
    private static Load records;
    /** Committed and aborted transactions. */
    private static Load transactions;

    @BeforeAll
    static void segmentsHaveLeft() throws Exception {
        store = Store.bucket("minio");
        // Without a cache every read needs the store.
        cluster = Cluster.start(KafkaVersion.V4_2, SCRATCH.folder(), store, Map.of("cache.memory.size", "0"));
        records = cluster.createTopic("records", 4, Scale.segmentBytes());
        transactions = cluster.createTopic("transactions", 2, Scale.segmentBytes());
        for (CompressionType compression : CompressionType.values()) {
            records.produce(compression, Scale.mebibytes(14));
        }
        transactions.produceTransactions(CompressionType.ZSTD, 24, Scale.mebibytes(1));
        new Tiering(cluster, records).awaitSegmentsLeft();
        new Tiering(cluster, transactions).awaitSegmentsLeft();
    }

    @AfterAll
    static void stop() {
        if (cluster != null) {
            cluster.close();
        }
    }

    @Test
    @Order(1)
    void everyRecordOfEveryCompressionComesBack() {
        new Check(cluster, records).everything();
    }

    @Test
    @Order(2)
    void aSeekToAnOffsetFindsItsRecordInTheStore() {
        new Check(cluster, records).seeksByOffset(SEEKS, 1);
        new Check(cluster, transactions).seeksByOffset(SEEKS, 2);
    }

    @Test
    @Order(3)
    void aSeekToATimeFindsTheFirstRecordThatIsNotOlder() {
        new Check(cluster, records).seeksByTime(SEEKS, 3);
    }

    @Test
    @Order(4)
    void whoReadsCommittedSeesNoRecordOfAnAbortedTransaction() {
        new Check(cluster, transactions).everythingCommitted();
    }

    @Test
    @Order(5)
    void whoReadsUncommittedSeesAbortedTransactionsToo() {
        new Check(cluster, transactions).everything();
    }

    @Test
    @Order(6)
    void whileTheStoreIsAwayTheBrokerStaysUpAndAfterwardsItCatchesUp() throws Exception {
        Instant begin = Instant.now();
        Instant back = begin.plus(Scale.outage());
        CompletableFuture<Void> reader;
        store.server().stop();
        try {
            reader = CompletableFuture.runAsync(new Check(cluster, transactions)::everything);
            records.produce(CompressionType.NONE, Scale.mebibytes(24));
            Thread.sleep(Math.max(0, Duration.between(Instant.now(), back).toMillis()));
            new Check(cluster, records).newest();
            assertFalse(reader.isDone(), () -> "who reads from the store waits until it is back: " + reader);
        } finally {
            store.server().start();
        }
        reader.get();
        long seconds = Duration.between(begin, Instant.now()).toSeconds();
        int complaints = cluster.broker(1).logged(READ_FAILED).size();
        assertTrue(complaints <= READER_THREADS * seconds, "in " + seconds + " s the broker complained " + complaints
                + " times");
        new Tiering(cluster, records).awaitSegmentsLeft();
        new Check(cluster, records).everything();
    }

    @Test
    @Order(7)
    void aSecondBrokerBuildsItsStateFromTheStoreAndLeads() throws Exception {
        Broker second = cluster.addBroker();
        for (Load load : List.of(records, transactions)) {
            // Replicas first, so that a follower starts with nothing but what the store has; then the leadership.
            cluster.reassign(load, List.of(2, 1));
            assertFalse(second.logged(STATE_FETCHED + load.topic()).isEmpty());
            cluster.electPreferredLeaders(load);
        }
        records.produce(CompressionType.NONE, Scale.mebibytes(10));
        transactions.produceTransactions(CompressionType.NONE, 6, Scale.mebibytes(1));
        for (Load load : List.of(records, transactions)) {
            new Tiering(cluster, load).awaitSegmentsLeft();
            new Check(cluster, load).everythingCommitted();
        }
        // Both have what the first leader tiered and what the second did.
        cluster.reassign(records, List.of(2));
        new Check(cluster, records).everything();
    }

    @Test
    @Order(8)
    void deletedTopicsLeaveNothingInTheBucket() throws Exception {
        assertFalse(store.contents().isEmpty());
        cluster.deleteTopic(records.topic());
        cluster.deleteTopic(transactions.topic());
        store.awaitEmpty();
    }
}
