package io.seglift.kafka;

import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Spans of time as seglift's settings write them: {@code 500ms}, {@code 10s}, {@code 1d}. */
final class Times {
    private static final Pattern TIME = Pattern.compile("(\\d{1,9})(ms|s|m|h|d)");
    /** A hundred years, which still fit into nanoseconds. */
    private static final Duration MAX = Duration.ofDays(36_500);

    private Times() {}

    /** @throws IllegalArgumentException says how a time is written */
    static Duration parse(String text) {
        Matcher matcher = TIME.matcher(text);
        if (!matcher.matches()) {
            throw new IllegalArgumentException(
                    "\"" + text + "\" is no time: write a whole number with ms, s, m, h or d");
        }
        long number = Long.parseLong(matcher.group(1));
        Duration time = switch (matcher.group(2)) {
            case "ms" -> Duration.ofMillis(number);
            case "s" -> Duration.ofSeconds(number);
            case "m" -> Duration.ofMinutes(number);
            case "h" -> Duration.ofHours(number);
            default -> Duration.ofDays(number);
        };
        if (time.compareTo(MAX) > 0) {
            throw new IllegalArgumentException("\"" + text + "\" is too long: 36500d at most");
        }
        return time;
    }
}
