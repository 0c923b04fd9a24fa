package io.seglift.kafka;

import io.seglift.Call;
import io.seglift.Seglift;
import io.seglift.SegliftException;
import io.seglift.SegmentRef;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata.CustomMetadata;

/** A segment in the store, as its streams read it. */
record StoredSegment(Seglift store, SegmentRef ref, Failures failures) implements SegmentInputStream.Source {
    /** Whoever opens a segment where another stream of it ended reads on; others do not. The library sees it. */
    private static final Call READ = Call.DEFAULT.maybeSequential();

    /**
     * How long a read takes at least that fails for a reason that may pass. While a store is down, reads are refused
     * at once, and a consumer asks again at once: with a thousand attempts a second, each of which the broker logs.
     * Its reader threads, of which it has ten by default, are what this limits them to.
     */
    private static final Duration FAILURE_TIME = Duration.ofSeconds(1);

    /** Which object a segment is, with the token that its copy returned, if Kafka has it. */
    static SegmentRef ref(RemoteLogSegmentMetadata metadata) {
        byte[] token = metadata.customMetadata().map(CustomMetadata::value).orElse(null);
        return new SegmentRef(SegmentKeys.of(metadata.remoteLogSegmentId()), token);
    }

    @Override
    public int read(long offset, ByteBuffer into) throws IOException {
        long begin = System.nanoTime();
        try {
            return store.read(ref, offset, into, READ);
        } catch (SegliftException e) {
            if (e.retryable()) {
                hold(FAILURE_TIME.toNanos() - (System.nanoTime() - begin));
            }
            throw e;
        }
    }

    /** Waits; an interrupt ends it and stays set. */
    private static void hold(long nanos) {
        try {
            TimeUnit.NANOSECONDS.sleep(nanos);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public IOException failure(Throwable failure) {
        return failures.ofStream(ref.key(), failure);
    }
}
