package io.seglift.kafka.bench;

import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadataUpdate;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentState;
import org.apache.kafka.server.log.remote.storage.RemoteStorageException;
import org.apache.kafka.server.log.remote.storage.RemoteStorageManager;

/** The plugin, made and used as the broker does it: by name, through Kafka's interface. */
final class PluginTier implements Tier {
    private static final String PLUGIN = "io.seglift.kafka.SegliftRemoteStorageManager";
    private static final int BROKER = 1;

    private final LogSegment segment;
    private final RemoteStorageManager manager;
    private final List<RemoteLogSegmentMetadata> copies = new ArrayList<>();

    PluginTier(LogSegment segment, Map<String, String> settings) throws ReflectiveOperationException {
        this.segment = segment;
        manager = (RemoteStorageManager) Class.forName(PLUGIN).getDeclaredConstructor().newInstance();
        manager.configure(settings);
    }

    @Override
    public void copy(int number) throws RemoteStorageException {
        RemoteLogSegmentMetadata started = segment.metadata();
        copies.add(number, started.createWithUpdates(new RemoteLogSegmentMetadataUpdate(started.remoteLogSegmentId(),
                System.currentTimeMillis(), manager.copyLogSegmentData(started, segment.data()),
                RemoteLogSegmentState.COPY_SEGMENT_FINISHED, BROKER)));
    }

    @Override
    public InputStream open(int number, int position, int expected) throws RemoteStorageException {
        return manager.fetchLogSegment(copies.get(number), position);
    }

    @Override
    public void clear() throws RemoteStorageException {
        for (RemoteLogSegmentMetadata copy : copies) {
            manager.deleteLogSegmentData(copy);
        }
        copies.clear();
    }

    @Override
    public void close() throws IOException {
        manager.close();
    }
}
