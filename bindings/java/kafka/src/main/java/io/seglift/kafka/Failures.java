package io.seglift.kafka;

import io.seglift.CancelledException;
import io.seglift.ClosedException;
import io.seglift.Code;
import io.seglift.NotFoundException;
import io.seglift.SegliftException;
import java.io.EOFException;
import java.io.IOException;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteResourceNotFoundException;
import org.apache.kafka.server.log.remote.storage.RemoteStorageException;

/**
 * Turns whatever went wrong into what the broker understands.
 *
 * <p>Invariant: the result is a {@link RemoteStorageException} for every {@link Throwable}, errors of the JVM
 * included: one that leaves a copy ends the partition's copying for good without a line in the log. It is a {@link
 * RemoteResourceNotFoundException} only if the store is certain that there is no such object.
 *
 * <p>The broker logs each exception with its trace, at each of its attempts. So only the first of a kind carries a
 * trace, and the cause; those that follow within some minutes are their message alone. What to do is in our own log,
 * once.
 */
final class Failures {
    private static final StackTraceElement[] NO_TRACE = {};
    /** Made beforehand, for a JVM that has no memory left to make one. */
    private static final RemoteStorageException BEYOND_WORDS = new RemoteStorageException(
            "it failed, and there was not even memory to say why: raise the broker's heap (KAFKA_HEAP_OPTS)");
    private static final IOException READING_BEYOND_WORDS = new IOException(BEYOND_WORDS.getMessage());

    static {
        BEYOND_WORDS.setStackTrace(NO_TRACE);
        READING_BEYOND_WORDS.setStackTrace(NO_TRACE);
    }

    private final FailureLog log;

    Failures(FailureLog log) {
        this.log = log;
    }

    /** The exception for a failure of {@code action}, such as "copying", of a segment. */
    RemoteStorageException of(String action, RemoteLogSegmentMetadata segment, Throwable failure) {
        try {
            String key = segment == null ? "null" : SegmentKeys.of(segment.remoteLogSegmentId());
            return translate(action, key, failure);
        } catch (Throwable e) {
            return BEYOND_WORDS;
        }
    }

    /** The exception for a failed read of a stream that was handed out. */
    IOException ofStream(String key, Throwable failure) {
        try {
            RemoteStorageException translated = translate("reading", key, failure);
            IOException reading = new IOException(translated.getMessage(), translated.getCause());
            reading.setStackTrace(translated.getStackTrace());
            return reading;
        } catch (Throwable e) {
            return READING_BEYOND_WORDS;
        }
    }

    private RemoteStorageException translate(String action, String key, Throwable failure) {
        if (failure instanceof RemoteStorageException known) {
            return known;
        }
        String what = action + " segment " + key + " failed: " + describe(failure);
        boolean first = isExpected(failure) || log.report(codeOf(failure), what, failure);
        Throwable cause = first ? failure : null;
        RemoteStorageException translated = failure instanceof NotFoundException
                ? new RemoteResourceNotFoundException(what, cause)
                : new RemoteStorageException(what, cause);
        if (!first) {
            translated.setStackTrace(NO_TRACE);
        }
        return translated;
    }

    /** What the broker itself caused: it stopped a copy, or stops altogether. */
    private static boolean isExpected(Throwable failure) {
        return failure instanceof CancelledException || failure instanceof ClosedException;
    }

    private static Code codeOf(Throwable failure) {
        if (failure instanceof SegliftException known) {
            return known.code();
        }
        // An object ended before its segment did.
        return failure instanceof EOFException ? Code.CORRUPT : Code.INTERNAL;
    }

    private static String describe(Throwable failure) {
        return failure instanceof SegliftException || failure instanceof EOFException
                ? codeOf(failure) + ": " + failure.getMessage()
                : failure.toString();
    }
}
