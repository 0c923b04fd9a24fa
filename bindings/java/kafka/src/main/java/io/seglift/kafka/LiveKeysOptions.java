package io.seglift.kafka;

import java.io.IOException;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** What the command line of {@link LiveKeys} says. */
final class LiveKeysOptions {
    static final String HELP =
            """
            Usage: seglift-kafka live-keys --bootstrap-server HOST:PORT [OPTION…]

            Prints the key of every segment that the cluster refers to, one on each line in byte order:

                seglift-kafka live-keys --bootstrap-server localhost:9092 --cluster-id ID |
                    seglift sweep s3://BUCKET/PREFIX --live -

            The first line says when reading began and the last one how many keys there are, so that sweep refuses
            a list that was cut off, and spares what is younger than the list.

              --bootstrap-server HOST:PORT  a broker of the cluster
              --cluster-id ID               fail if it is not this cluster: the owner of the segments
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

    private final Properties client = new Properties();
    private String bootstrapServer;
    private String clusterId;
    private Duration inFlight = Duration.ofDays(1);
    private Duration timeout = Duration.ofMinutes(10);
    private boolean allowTruncated;
    private boolean help;

    /** @throws IllegalArgumentException says what is wrong with the command line */
    static LiveKeysOptions of(String[] args) {
        if (args.length == 0) {
            throw new IllegalArgumentException("a command is missing: live-keys");
        }
        LiveKeysOptions options = new LiveKeysOptions();
        options.help = args[0].equals("--help");
        if (!options.help && !args[0].equals("live-keys")) {
            throw new IllegalArgumentException("there is no command " + args[0] + "; there is live-keys");
        }
        for (int i = 1; i < args.length && !options.help; i++) {
            switch (args[i]) {
                case "--bootstrap-server" -> options.bootstrapServer = value(args, ++i);
                case "--cluster-id" -> options.clusterId = value(args, ++i);
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

    boolean help() {
        return help;
    }

    /** The only cluster that is meant; null for any. */
    String clusterId() {
        return clusterId;
    }

    Duration inFlight() {
        return inFlight;
    }

    Duration timeout() {
        return timeout;
    }

    boolean allowTruncated() {
        return allowTruncated;
    }

    /** Properties of any client of the cluster. */
    Properties client() {
        Properties properties = new Properties();
        properties.putAll(client);
        properties.put(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG, bootstrapServer);
        return properties;
    }

    /** Properties of a consumer that reads as a broker does, whatever the file says. */
    Properties consumer() {
        Properties properties = client();
        properties.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class.getName());
        properties.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class.getName());
        properties.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_uncommitted");
        // A place that is gone is a failure, not a reason to go on elsewhere.
        properties.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "none");
        properties.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
        properties.put(ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG, "false");
        properties.remove(ConsumerConfig.GROUP_ID_CONFIG);
        // They may leave records out.
        properties.remove(ConsumerConfig.INTERCEPTOR_CLASSES_CONFIG);
        return properties;
    }
}
