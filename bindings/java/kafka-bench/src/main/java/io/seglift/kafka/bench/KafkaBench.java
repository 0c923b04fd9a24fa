package io.seglift.kafka.bench;

import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * What tiering costs a broker's JVM: {@code make bench-kafka}. It moves segments through the plugin as a broker does, and
 * through {@link PlainTier}, in turns, so that a noisy moment meets all of them.
 *
 * <p>CPU seconds are those of this process alone; the server's are not in them. Seconds that pass are the machine's
 * business: the server takes its share of the same processors.
 */
public final class KafkaBench {
    private KafkaBench() {}

    /**
     * Measures and prints.
     *
     * @param arguments a folder for the segment; a file for the JSON; how many rounds; how many segments each moves. The
     *     settings of the plugin come on standard input, since a secret is among them, and with them {@code plain.bucket},
     *     the URL of a bucket that everybody may use
     */
    public static void main(String[] arguments) throws Exception {
        Logger.getLogger("").setLevel(Level.WARNING);
        Path folder = Path.of(arguments[0]);
        int rounds = Integer.parseInt(arguments[2]);
        int copies = Integer.parseInt(arguments[3]);
        Properties input = new Properties();
        input.load(System.in);
        URI plain = URI.create((String) input.remove("plain.bucket"));
        LogSegment segment = LogSegment.make(folder);
        try (Column none = new Column("none", plugin(segment, input, "none"), copies, segment.size());
                Column zstd = new Column("zstd", plugin(segment, input, "zstd"), copies, segment.size());
                Column floor = new Column("plain", new PlainTier(segment.data().logSegment(), plain), copies,
                        segment.size())) {
            List<Column> columns = List.of(none, zstd, floor);
            // The first one is for the JVM's compilers and the connections.
            for (int round = 0; round <= rounds; round++) {
                for (Column column : columns) {
                    column.round();
                    if (round == 0) {
                        column.forget();
                    }
                }
                System.err.println(round == 0 ? "warm" : "round " + round + " of " + rounds);
            }
            String setting = "Medians of " + rounds + " rounds of " + copies + " segments of 128 MiB; Java "
                    + Runtime.version().feature() + ", " + Runtime.getRuntime().availableProcessors()
                    + " processors, plain HTTP to versitygw beside it";
            Report report = new Report(setting, columns);
            System.out.print(report.table());
            Files.writeString(Path.of(arguments[1]), report.json());
        }
    }

    private static Tier plugin(LogSegment segment, Properties input, String codec) throws Exception {
        Map<String, String> settings = new HashMap<>();
        input.forEach((name, value) -> settings.put(name.toString(), value.toString()));
        settings.put("codec", codec);
        return new PluginTier(segment, settings);
    }
}
