package io.seglift.kafka;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;

/** What a class logs while somebody listens. */
final class LoggedLines extends Handler implements AutoCloseable {
    /** Held, because loggers that nobody refers to are collected with their handlers. */
    private final Logger logger;

    private final List<String> all = new CopyOnWriteArrayList<>();
    private final List<String> lines = new CopyOnWriteArrayList<>();

    LoggedLines(Class<?> source) {
        logger = Logger.getLogger(source.getName());
    }

    void listen() {
        logger.addHandler(this);
    }

    /** The errors and warnings. */
    List<String> lines() {
        return lines;
    }

    /** Those and all else. */
    List<String> all() {
        return all;
    }

    @Override
    public void publish(LogRecord record) {
        String line = new SimpleFormatter().formatMessage(record);
        all.add(line);
        if (record.getLevel().intValue() >= Level.WARNING.intValue()) {
            lines.add(line);
        }
    }

    @Override
    public void flush() {}

    @Override
    public void close() {
        logger.removeHandler(this);
    }
}
