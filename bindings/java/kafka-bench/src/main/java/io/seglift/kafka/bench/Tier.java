package io.seglift.kafka.bench;

import java.io.IOException;
import java.io.InputStream;
import org.apache.kafka.server.log.remote.storage.RemoteStorageException;

/** A way to move copies of one segment out and back; they are numbered from 0. */
interface Tier extends AutoCloseable {
    /** Puts out one more copy of the segment. */
    void copy(int number) throws IOException, RemoteStorageException;

    /**
     * Opens a copy at a position.
     *
     * @param expected how many bytes will be read. The broker does not tell its plugin; whoever can ask for a range gains by it
     */
    InputStream open(int number, int position, int expected) throws IOException, RemoteStorageException;

    /** Removes all copies. */
    void clear() throws IOException, RemoteStorageException;

    @Override
    void close() throws IOException;
}
