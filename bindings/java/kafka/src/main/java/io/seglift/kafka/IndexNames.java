package io.seglift.kafka;

import org.apache.kafka.server.log.remote.storage.RemoteStorageManager.IndexType;

/** What the indexes of a segment are called as attachments of its object: the names of Kafka's own files. */
final class IndexNames {
    private IndexNames() {}

    static String of(IndexType type) {
        return switch (type) {
            case OFFSET -> "index";
            case TIMESTAMP -> "timeindex";
            case TRANSACTION -> "txnindex";
            case PRODUCER_SNAPSHOT -> "snapshot";
            case LEADER_EPOCH -> "leader-epoch-checkpoint";
        };
    }
}
