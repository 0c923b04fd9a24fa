package io.seglift.kafka;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Properties;
import java.util.function.Function;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * {@code seglift-kafka live-keys}: prints the keys of all segments that Kafka refers to, for {@code seglift sweep
 * --live}.
 *
 * <p>Invariant: it prints all of them or none, because what is not in the list may be deleted. Nothing is printed
 * before everything was read, and nothing but keys goes to standard output.
 */
public final class LiveKeys {
    /** All keys were printed. */
    static final int DONE = 0;
    /** The list could not be made, and nothing was printed. */
    static final int FAILED = 1;
    /** The command line is wrong. */
    static final int USAGE = 2;

    private static final String HELP =
            """
            Usage: seglift-kafka live-keys --bootstrap-server HOST:PORT [OPTION…]

            Prints the key of every segment that the cluster refers to, one on each line in byte order:

                seglift-kafka live-keys --bootstrap-server localhost:9092 > live &&
                    seglift sweep s3://BUCKET/PREFIX --live live

              --bootstrap-server HOST:PORT  a broker of the cluster
              --command-config FILE         properties of the client, such as security.protocol
              --in-flight TIME              how long a broker may be at a copy or a removal (default 1d); a segment
                                            whose copy or removal began earlier and never ended is not live.
                                            Longer than the setting deadline.offload and the clocks' difference
              --timeout TIME                total time (default 10m)
              --allow-truncated             go on if the topic's first records are gone; only right if its
                                            retention is longer than that of every tiered topic
              --help                        this text

            Times are whole numbers with ms, s, m, h or d. Exit status: 0 all keys were printed, 1 they could not be
            had and none was printed, 2 the command line is wrong.
            """;

    private final Function<Properties, Consumer<byte[], byte[]>> client;
    private final PrintStream out;
    private final PrintStream err;

    LiveKeys(Function<Properties, Consumer<byte[], byte[]>> client, PrintStream out, PrintStream err) {
        this.client = client;
        this.out = out;
        this.err = err;
    }

    /** Runs the command and ends the JVM with its exit status. */
    public static void main(String[] args) {
        PrintStream out = System.out;
        // Loggers that nobody configured print to standard output.
        System.setOut(System.err);
        System.exit(new LiveKeys(KafkaConsumer::new, out, System.err).run(args));
    }

    /** What the command line says. */
    private static final class Options {
        private final Properties client = new Properties();
        private String bootstrapServer;
        private Duration inFlight = Duration.ofDays(1);
        private Duration timeout = Duration.ofMinutes(10);
        private boolean allowTruncated;
        private boolean help;

        static Options of(String[] args) {
            if (args.length == 0) {
                throw new IllegalArgumentException("a command is missing: live-keys");
            }
            Options options = new Options();
            options.help = args[0].equals("--help");
            if (!options.help && !args[0].equals("live-keys")) {
                throw new IllegalArgumentException("there is no command " + args[0] + "; there is live-keys");
            }
            for (int i = 1; i < args.length && !options.help; i++) {
                switch (args[i]) {
                    case "--bootstrap-server" -> options.bootstrapServer = value(args, ++i);
                    case "--command-config" -> options.load(Path.of(value(args, ++i)));
                    case "--in-flight" -> options.inFlight = Times.parse(value(args, ++i));
                    case "--timeout" -> options.timeout = Times.parse(value(args, ++i));
                    case "--allow-truncated" -> options.allowTruncated = true;
                    case "--help" -> options.help = true;
                    default -> throw new IllegalArgumentException("there is no option " + args[i]);
                }
            }
            if (!options.help && options.bootstrapServer == null) {
                throw new IllegalArgumentException("--bootstrap-server is missing");
            }
            return options;
        }

        private static String value(String[] args, int i) {
            if (i == args.length) {
                throw new IllegalArgumentException(args[i - 1] + " needs a value");
            }
            return args[i];
        }

        private void load(Path file) {
            try (Reader reader = Files.newBufferedReader(file, StandardCharsets.UTF_8)) {
                client.load(reader);
            } catch (IOException e) {
                throw new IllegalArgumentException("--command-config cannot be read: " + e, e);
            }
        }

        Properties client() {
            client.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrapServer);
            client.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class.getName());
            client.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class.getName());
            client.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_uncommitted");
            // A place that is gone is a failure, not a reason to go on elsewhere.
            client.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "none");
            client.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
            client.put(ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG, "false");
            client.remove(ConsumerConfig.GROUP_ID_CONFIG);
            return client;
        }
    }

    /** Runs the command and returns its exit status. */
    int run(String... args) {
        Options options;
        try {
            options = Options.of(args);
        } catch (IllegalArgumentException e) {
            err.println("seglift-kafka: " + e.getMessage());
            err.println("`seglift-kafka --help` shows the options");
            return USAGE;
        }
        if (options.help) {
            out.print(HELP);
            return DONE;
        }
        try {
            print(keys(options));
            return DONE;
        } catch (MetadataTopic.IncompleteException | KafkaException | IOException e) {
            err.println("seglift-kafka: no list was made: " + reason(e));
            return FAILED;
        }
    }

    private List<String> keys(Options options) throws MetadataTopic.IncompleteException {
        Instant now = Instant.now();
        LiveSegments segments = new LiveSegments();
        try (Consumer<byte[], byte[]> consumer = client.apply(options.client())) {
            new MetadataTopic(consumer).read(options.timeout, options.allowTruncated, segments);
        }
        List<String> keys = segments.keys(now, options.inFlight);
        err.println(keys.size() + " live segments");
        return keys;
    }

    private void print(List<String> keys) throws IOException {
        OutputStream lines = new BufferedOutputStream(out, 64 << 10);
        for (String key : keys) {
            lines.write(key.getBytes(StandardCharsets.US_ASCII));
            lines.write('\n');
        }
        lines.flush();
        if (out.checkError()) {
            throw new IOException("standard output could not be written; what is there is not the whole list");
        }
    }

    private static String reason(Throwable failure) {
        Throwable cause = failure.getCause();
        return failure.getMessage() + (cause == null ? "" : ": " + cause.getMessage());
    }
}
