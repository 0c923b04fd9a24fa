package io.seglift.kafka;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;

/** The errors and warnings that a class logs while somebody listens. */
final class LoggedLines extends Handler {
    /** Held, because loggers that nobody refers to are collected with their handlers. */
    private final Logger logger;

    private final List<String> lines = new CopyOnWriteArrayList<>();

    LoggedLines(Class<?> source) {
        logger = Logger.getLogger(source.getName());
    }

    void listen() {
        logger.addHandler(this);
    }

    List<String> lines() {
        return lines;
    }

    @Override
    public void publish(LogRecord record) {
        if (record.getLevel().intValue() >= Level.WARNING.intValue()) {
            lines.add(new SimpleFormatter().formatMessage(record));
        }
    }

    @Override
    public void flush() {}

    @Override
    public void close() {
        logger.removeHandler(this);
    }
}
