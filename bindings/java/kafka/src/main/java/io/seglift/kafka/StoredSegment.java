package io.seglift.kafka;

import io.seglift.Call;
import io.seglift.Seglift;
import io.seglift.SegmentRef;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata.CustomMetadata;

/** A segment in the store, as its streams read it. */
record StoredSegment(Seglift store, SegmentRef ref, Failures failures) implements SegmentInputStream.Source {
    /** Whoever opens a segment where another stream of it ended reads on; others do not. The library sees it. */
    private static final Call READ = Call.DEFAULT.maybeSequential();

    /** Which object a segment is, with the token that its copy returned, if Kafka has it. */
    static SegmentRef ref(RemoteLogSegmentMetadata metadata) {
        byte[] token = metadata.customMetadata().map(CustomMetadata::value).orElse(null);
        return new SegmentRef(SegmentKeys.of(metadata.remoteLogSegmentId()), token);
    }

    @Override
    public int read(long offset, ByteBuffer into) throws IOException {
        return HeldFailure.of(() -> store.read(ref, offset, into, READ));
    }

    @Override
    public IOException failure(Throwable failure) {
        return failures.ofStream(ref.key(), failure);
    }
}
