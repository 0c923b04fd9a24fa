package io.seglift.kafka;

import io.seglift.Bytes;
import io.seglift.Call;
import io.seglift.OutOfRangeException;
import io.seglift.Seglift;
import io.seglift.SegmentRef;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Optional;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata.CustomMetadata;

/** A segment in the store, as Kafka reads it. */
record StoredSegment(Seglift store, SegmentRef ref, Failures failures) implements SegmentInputStream.Source {
    /** Whoever opens a segment where another stream of it ended reads on; others do not. The library sees it. */
    private static final Call READ = Call.DEFAULT;
    /** Large enough that nothing needs to be there before it is asked for; by then the reader is no fetch of a consumer. */
    private static final Call READ_LARGE = Call.DEFAULT.random();

    /** The segment that Kafka means, with the token that its copy returned, if Kafka has it. */
    static StoredSegment of(Seglift store, RemoteLogSegmentMetadata metadata, Failures failures) {
        byte[] token = metadata.customMetadata().map(CustomMetadata::value).orElse(null);
        SegmentRef ref = new SegmentRef(SegmentKeys.of(metadata.remoteLogSegmentId()), token);
        return new StoredSegment(store, ref, failures);
    }

    /** What is attached to the segment under this name; empty if nothing is. */
    Optional<Bytes> attachment(String name) throws IOException {
        return HeldFailure.of(() -> {
            try {
                return Optional.of(store.readAttachment(ref, name, Call.DEFAULT));
            } catch (OutOfRangeException e) {
                return Optional.empty();
            }
        });
    }

    String key() {
        return ref.key();
    }

    @Override
    public int read(long offset, ByteBuffer into, boolean large) throws IOException {
        return store.read(ref, offset, into, large ? READ_LARGE : READ);
    }

    @Override
    public IOException failure(Throwable failure) {
        return failures.ofStream(key(), failure);
    }
}
