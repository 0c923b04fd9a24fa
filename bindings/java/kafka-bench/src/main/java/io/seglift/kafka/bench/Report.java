package io.seglift.kafka.bench;

import java.util.List;
import java.util.Locale;
import java.util.StringJoiner;

/** The figures as a table for people and as JSON. The first column is without a codec, the last one plain Java. */
final class Report {
    private static final String ROW = "%-36s %8s %8s %8s %11s %7s %11s %11s%n";

    private final String setting;
    private final List<Column> columns;

    /** @param setting what was measured where, for the first line */
    Report(String setting, List<Column> columns) {
        this.setting = setting;
        this.columns = columns;
    }

    /** The table. "x plain" is the first column's ratio to the last one: the number that machines agree on. */
    String table() {
        StringBuilder out = new StringBuilder(setting).append("\n\n");
        row(out, "CPU s/GiB of the process", "target", "none", "zstd", "plain Java", "x plain", "peer: none", "peer: zstd");
        for (Figure figure : Figure.values()) {
            double[] cpu = columns.stream().mapToDouble(column -> Cost.median(column.costs(figure), Cost::cpu)).toArray();
            row(out, figure.title, "<= " + two(figure.target), two(cpu[0]), two(cpu[1]), two(cpu[2]),
                    two(cpu[0] / cpu[2]), figure.peer, figure.peerZstd);
        }
        out.append('\n');
        double[] p50 = columns.stream().mapToDouble(column -> column.randomMillis(0.5)).toArray();
        double[] p99 = columns.stream().mapToDouble(column -> column.randomMillis(0.99)).toArray();
        row(out, "random 1 MiB, ms at p50", "<= 2.00", two(p50[0]), two(p50[1]), two(p50[2]), two(p50[0] / p50[2]),
                "5.4", "9.9");
        row(out, "random 1 MiB, ms at p99", "", two(p99[0]), two(p99[1]), two(p99[2]), two(p99[0] / p99[2]), "21", "35");
        double[] heap = columns.stream().mapToDouble(this::heap).toArray();
        row(out, "heap allocated, MiB per GiB copied", "<= 2.00", two(heap[0]), two(heap[1]), two(heap[2]), "", "", "");
        out.append("\nPeer: Aiven's RemoteStorageManager, segments of 128 MiB, chunks of 4 MiB, plain HTTP, warm; the walk with a\n"
                + "cache of 64 MiB (4.6 without). Measured earlier, not in this run.\n");
        return out.toString();
    }

    /** The same as JSON, with seconds per GiB besides. */
    String json() {
        StringJoiner all = new StringJoiner(",\n  ", "{\n  ", "\n}\n");
        all.add("\"setting\": \"" + setting + "\"");
        for (Column column : columns) {
            StringJoiner figures = new StringJoiner(", ", "{", "}");
            for (Figure figure : Figure.values()) {
                List<Cost> costs = column.costs(figure);
                String name = figure.name().toLowerCase(Locale.ROOT);
                figures.add("\"" + name + "_cpu_s_per_gib\": " + three(Cost.median(costs, Cost::cpu)));
                figures.add("\"" + name + "_s_per_gib\": " + three(Cost.median(costs, Cost::seconds)));
            }
            figures.add("\"random_p50_ms\": " + three(column.randomMillis(0.5)));
            figures.add("\"random_p99_ms\": " + three(column.randomMillis(0.99)));
            figures.add("\"copy_heap_mib_per_gib\": " + three(heap(column)));
            all.add("\"" + column.title + "\": " + figures);
        }
        return all.toString();
    }

    private double heap(Column column) {
        return Cost.median(column.costs(Figure.COPY), Cost::heap);
    }

    private static void row(StringBuilder out, Object... cells) {
        out.append(String.format(Locale.ROOT, ROW, cells));
    }

    private static String two(double number) {
        return String.format(Locale.ROOT, "%.2f", number);
    }

    private static String three(double number) {
        return String.format(Locale.ROOT, "%.3f", number);
    }
}
