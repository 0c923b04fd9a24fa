package io.seglift.kafka;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.common.KafkaException;

/**
 * {@code seglift-kafka live-keys}: prints the keys of all segments that Kafka refers to, for {@code seglift sweep
 * --live}.
 *
 * <p>Invariant: it prints all of them or none, because what is not in the list may be deleted. Nothing is printed
 * before everything was read, nothing but the list goes to standard output, and its last line shows that it is whole.
 */
public final class LiveKeys {
    /** All keys were printed. */
    static final int DONE = 0;
    /** The list could not be made, and nothing was printed. */
    static final int FAILED = 1;
    /** The command line is wrong. */
    static final int USAGE = 2;

    private final KafkaCluster cluster;
    private final PrintStream out;
    private final PrintStream err;

    LiveKeys(KafkaCluster cluster, PrintStream out, PrintStream err) {
        this.cluster = cluster;
        this.out = out;
        this.err = err;
    }

    /** Runs the command and ends the JVM with its exit status. */
    public static void main(String[] args) {
        PrintStream out = System.out;
        // Loggers that nobody configured print to standard output.
        System.setOut(System.err);
        System.exit(new LiveKeys(KafkaCluster.REAL, out, System.err).run(args));
    }

    /** Runs the command and returns its exit status. */
    int run(String... args) {
        LiveKeysOptions options;
        try {
            options = LiveKeysOptions.of(args);
        } catch (IllegalArgumentException e) {
            err.println("seglift-kafka: " + e.getMessage());
            err.println("`seglift-kafka --help` shows the options");
            return USAGE;
        }
        if (options.help()) {
            out.print(LiveKeysOptions.HELP);
            return DONE;
        }
        try {
            // Whatever comes into the store from here on need not be in the list.
            Instant began = Instant.now();
            print(began, keys(began, options));
            return DONE;
        } catch (MetadataTopic.IncompleteException | KafkaException | IOException e) {
            return failed(reason(e));
        } catch (Throwable e) {
            // No memory for so many keys, clients of another version in KAFKA_HOME, …
            return failed(e.toString());
        }
    }

    private int failed(String why) {
        err.println("seglift-kafka: no list was made: " + why);
        return FAILED;
    }

    private List<String> keys(Instant began, LiveKeysOptions options) throws MetadataTopic.IncompleteException {
        long start = System.nanoTime();
        if (options.clusterId() != null) {
            String id = cluster.id(options.client(), options.timeout());
            if (!options.clusterId().equals(id)) {
                throw new MetadataTopic.IncompleteException("this is the cluster " + id + ", and not "
                        + options.clusterId() + ": see to --bootstrap-server");
            }
        }
        Duration left = options.timeout().minusNanos(System.nanoTime() - start);
        LiveSegments segments = new LiveSegments();
        try (Consumer<byte[], byte[]> consumer = cluster.consumer(options.consumer())) {
            new MetadataTopic(consumer).read(left, options.allowTruncated(), segments);
        }
        List<String> keys = segments.keys(began, options.inFlight());
        err.println(keys.size() + " live segments");
        return keys;
    }

    private void print(Instant began, List<String> keys) throws IOException {
        OutputStream lines = new BufferedOutputStream(out, 64 << 10);
        line(lines, "#seglift-live-keys 1 " + ChronoUnit.MICROS.between(Instant.EPOCH, began));
        for (String key : keys) {
            line(lines, key);
        }
        line(lines, "#end " + keys.size());
        lines.flush();
        if (out.checkError()) {
            throw new IOException("standard output could not be written; what is there is not the whole list");
        }
    }

    private static void line(OutputStream lines, String line) throws IOException {
        lines.write(line.getBytes(StandardCharsets.US_ASCII));
        lines.write('\n');
    }

    private static String reason(Throwable failure) {
        Throwable cause = failure.getCause();
        return failure.getMessage() + (cause == null ? "" : ": " + cause.getMessage());
    }
}
