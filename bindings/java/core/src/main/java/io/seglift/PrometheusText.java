package io.seglift;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The samples in a page of metrics (Prometheus text format 0.0.4), as far as the library writes it: label values have
 * neither commas nor quotes, and a family's HELP stands before its samples.
 */
final class PrometheusText {
    /**
     * One number of the page.
     *
     * @param name of the metric, for histograms with {@code _bucket}, {@code _sum} or {@code _count}
     * @param labels their values, in the order of the page
     * @param help what the metric means
     * @param value a Double for the sum of a histogram, else a Long
     */
    record Sample(String name, List<String> labels, String help, Number value) {}

    private static final String HELP = "# HELP ";

    private PrometheusText() {}

    static List<Sample> parse(String page) {
        Map<String, String> help = new HashMap<>();
        List<Sample> samples = new ArrayList<>();
        for (String line : page.split("\n")) {
            if (line.startsWith(HELP)) {
                int name = line.indexOf(' ', HELP.length());
                help.put(line.substring(HELP.length(), name), line.substring(name + 1));
            } else if (!line.startsWith("#") && !line.isBlank()) {
                samples.add(sample(line, help));
            }
        }
        return samples;
    }

    private static Sample sample(String line, Map<String, String> help) {
        int value = line.lastIndexOf(' ');
        String key = line.substring(0, value);
        int open = key.indexOf('{');
        String name = open < 0 ? key : key.substring(0, open);
        List<String> labels = new ArrayList<>();
        if (open >= 0) {
            for (String label : key.substring(open + 1, key.length() - 1).split(",")) {
                labels.add(label.substring(label.indexOf('"') + 1, label.length() - 1));
            }
        }
        String family = help.containsKey(name) ? name : name.replaceFirst("_(bucket|sum|count)$", "");
        String number = line.substring(value + 1);
        return new Sample(name, List.copyOf(labels), help.getOrDefault(family, ""),
                name.endsWith("_sum") ? (Number) Double.valueOf(number) : (Number) Long.valueOf(number));
    }
}
