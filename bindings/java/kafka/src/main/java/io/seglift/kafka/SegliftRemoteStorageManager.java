package io.seglift.kafka;

import io.seglift.Bytes;
import io.seglift.Call;
import io.seglift.DeleteResult;
import io.seglift.Receipt;
import io.seglift.Seglift;
import io.seglift.SegliftException;
import java.io.InputStream;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.server.log.remote.storage.LogSegmentData;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata.CustomMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteResourceNotFoundException;
import org.apache.kafka.server.log.remote.storage.RemoteStorageException;
import org.apache.kafka.server.log.remote.storage.RemoteStorageManager;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Kafka's tiered storage (KIP-405) on seglift: {@code remote.log.storage.manager.class.name}.
 *
 * <p>Each segment becomes one object, under a key that follows from its id. The token of its receipt is kept by Kafka
 * as the segment's custom metadata and saves later reads a request; without it they work as well.
 *
 * <p>Invariant: nothing but {@link RemoteStorageException} leaves a method of a configured instance, whatever
 * happens; see {@link Failures}. Each operation has a deadline, and an interrupt ends it. Threads: any number at
 * once.
 */
public final class SegliftRemoteStorageManager implements RemoteStorageManager {
    private static final Logger LOG = LoggerFactory.getLogger(SegliftRemoteStorageManager.class);

    /** Kafka's default for {@code remote.log.metadata.custom.metadata.max.bytes}; beyond it copying stops. */
    private static final int CUSTOM_METADATA_MAX = 128;
    /** What a consumer fetches of a partition at a time, unless told otherwise. */
    private static final int FETCH_BUFFER_SIZE = 1 << 20;
    /**
     * More than the reader threads of most brokers, which have 10 by default; only as many exist as were in use at
     * once.
     */
    private static final int FETCH_BUFFERS_KEPT = 64;
    /** What the library asks for in one request, by default (read.fetch.size). */
    private static final int LARGE_BUFFER_SIZE = 4 << 20;
    private static final int LARGE_BUFFERS_KEPT = 4;

    private final FetchBuffers buffers = new FetchBuffers(FETCH_BUFFER_SIZE, FETCH_BUFFERS_KEPT);
    private final FetchBuffers large = new FetchBuffers(LARGE_BUFFER_SIZE, LARGE_BUFFERS_KEPT);
    private volatile Failures failures = new Failures(new FailureLog("that is not configured", System::nanoTime));
    private volatile Tier tier;
    /** Guarded by this; a closed tier stays, since its store says best why it answers no more. */
    private boolean open;

    /** What {@link #configure} opened. */
    private record Tier(Seglift store, Call delete) {}

    /** Made by the broker, by name; it calls {@link #configure} next. */
    public SegliftRemoteStorageManager() {}

    /**
     * Opens the store, and closes the one of an earlier call.
     *
     * @param configs the broker's settings behind {@code rsm.config.}; the README of this module lists them
     * @throws ConfigException says which setting is wrong and what to do; the broker then does not start
     */
    @Override
    public synchronized void configure(Map<String, ?> configs) {
        KafkaSettings settings = KafkaSettings.of(configs);
        close();
        failures = new Failures(new FailureLog(settings.store(), System::nanoTime));
        try {
            Seglift store = Seglift.open(settings.store(), settings.library());
            tier = new Tier(store, Call.DEFAULT.withDeadline(settings.deleteTimeout()));
            open = true;
        } catch (SegliftException e) {
            ConfigException refused =
                    new ConfigException("tiered storage " + settings.store() + " cannot be opened: " + e.getMessage());
            refused.initCause(e);
            throw refused;
        }
        LOG.info("Tiered storage {} is open", settings.store());
    }

    /**
     * {@inheritDoc}
     *
     * @return the token of the segment's receipt, at most 128 bytes
     */
    @Override
    public Optional<CustomMetadata> copyLogSegmentData(RemoteLogSegmentMetadata metadata, LogSegmentData data)
            throws RemoteStorageException {
        return guarded("copying", metadata, tier -> {
            Receipt receipt = tier.store().offload(SegmentCopy.of(metadata, data), Call.DEFAULT);
            return Optional.of(customMetadata(receipt.token()));
        });
    }

    /** What Kafka keeps of a copy; refused here if Kafka would refuse it, which ends the partition's copying. */
    static CustomMetadata customMetadata(byte[] token) throws RemoteStorageException {
        if (token.length > CUSTOM_METADATA_MAX) {
            throw new RemoteStorageException("the receipt's token has " + token.length
                    + " bytes, and Kafka keeps at most " + CUSTOM_METADATA_MAX);
        }
        return new CustomMetadata(token);
    }

    /** {@inheritDoc} */
    @Override
    public InputStream fetchLogSegment(RemoteLogSegmentMetadata metadata, int startPosition)
            throws RemoteStorageException {
        return fetchLogSegment(metadata, startPosition, Integer.MAX_VALUE);
    }

    /**
     * {@inheritDoc}
     *
     * @param endPosition itself part of the range; past the segment's end it means that end
     */
    @Override
    public InputStream fetchLogSegment(RemoteLogSegmentMetadata metadata, int startPosition, int endPosition)
            throws RemoteStorageException {
        return guarded("fetching", metadata, tier -> {
            int size = metadata.segmentSizeInBytes();
            if (startPosition < 0 || startPosition > size || endPosition < startPosition) {
                throw new RemoteStorageException("there is no range from " + startPosition + " to " + endPosition
                        + " in the " + size + " bytes of segment " + SegmentKeys.of(metadata.remoteLogSegmentId()));
            }
            StoredSegment segment = StoredSegment.of(tier.store(), metadata, failures);
            return new SegmentInputStream(segment, buffers, large, startPosition, Math.min(size, endPosition + 1L))
                    .open();
        });
    }

    /** {@inheritDoc} */
    @Override
    public InputStream fetchIndex(RemoteLogSegmentMetadata metadata, IndexType indexType)
            throws RemoteStorageException {
        return guarded("fetching the " + indexType + " index of", metadata, tier -> {
            StoredSegment segment = StoredSegment.of(tier.store(), metadata, failures);
            Bytes index = segment.attachment(IndexNames.of(indexType)).orElseThrow(() ->
                    new RemoteResourceNotFoundException("segment " + segment.key() + " has no " + indexType + " index"));
            return new BytesInputStream(index);
        });
    }

    /** Removes the segment's object; success if there is none. {@inheritDoc} */
    @Override
    public void deleteLogSegmentData(RemoteLogSegmentMetadata metadata) throws RemoteStorageException {
        guarded("deleting", metadata, tier -> {
            List<String> keys = List.of(SegmentKeys.of(metadata.remoteLogSegmentId()));
            for (DeleteResult result : tier.store().delete(keys, tier.delete())) {
                if (result.failure().isPresent()) {
                    throw result.failure().get();
                }
            }
            return null;
        });
    }

    /** Ends what still runs, and closes the store. Closing twice is fine. */
    @Override
    public synchronized void close() {
        if (open) {
            open = false;
            tier.store().close();
            LOG.info("Tiered storage {} is closed", tier.store().uri());
        }
    }

    @FunctionalInterface
    private interface Operation<T> {
        T on(Tier tier) throws Exception;
    }

    /** The one place through which failures leave. */
    private <T> T guarded(String action, RemoteLogSegmentMetadata metadata, Operation<T> operation)
            throws RemoteStorageException {
        try {
            Tier configured = tier;
            if (configured == null) {
                throw new IllegalStateException("configure was not called, or failed");
            }
            return operation.on(configured);
        } catch (Throwable e) {
            throw failures.of(action, metadata, e);
        }
    }
}
