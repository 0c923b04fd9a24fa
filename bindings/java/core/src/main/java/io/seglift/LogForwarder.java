package io.seglift;

import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Carries what the library logs to slf4j: logger {@code io.seglift}, the levels as they are.
 *
 * <p>What repeats is counted by the library and comes as one line ("999 times more"), and lines that were lost because
 * nobody took them come as a line that says how many. A logger that fails loses its line and nothing else: this runs on
 * the thread that completes operations.
 */
final class LogForwarder implements Runnable {
    /** The name of the logger, for all engines of a JVM. */
    static final String LOGGER = "io.seglift";

    /** Lines in a round: a millisecond for a logger that takes some microseconds for each. */
    static final int ROUND = 256;

    private static final int ERROR = 1;
    private static final int WARN = 2;
    private static final int INFO = 3;

    private final Supplier<byte[]> lines;
    private final Logger logger;

    /** @param lines the next line as {@link Native#logPoll} writes it; null when there is none */
    LogForwarder(Supplier<byte[]> lines) {
        this(lines, LoggerFactory.getLogger(LOGGER));
    }

    LogForwarder(Supplier<byte[]> lines, Logger logger) {
        this.lines = lines;
        this.logger = logger;
    }

    /** Forwards lines that wait, so many at most that completions behind them come soon. */
    @Override
    public void run() {
        byte[] line;
        for (int n = 0; n < ROUND && (line = lines.get()) != null; n++) {
            try {
                forward(new Unpacker(line));
            } catch (RuntimeException | LinkageError e) {
                // There is no other place to report it to.
            }
        }
    }

    private void forward(Unpacker line) {
        line.number(); // the time: slf4j takes its own, and a line waits for a quarter of a second at most
        int level = (int) line.number();
        line.number(); // repetitions and losses: the text says them
        line.number();
        String text = withoutLevel(line.text());
        switch (level) {
            case ERROR -> logger.error(text);
            case WARN -> logger.warn(text);
            case INFO -> logger.info(text);
            default -> logger.debug(text);
        }
    }

    /** The library's lines begin with their level, which slf4j shows in its own way. */
    private static String withoutLevel(String text) {
        int end = text.indexOf(' ');
        return text.substring(end + 1);
    }
}
