package io.seglift.kafka.tests;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.Channels;
import java.nio.channels.SeekableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.LifecycleMethodExecutionExceptionHandler;
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;

/**
 * The folder of a test class, removed when all of its tests passed. After a failure it stays until the next run: the
 * failure says where it is, and the end of every log in it is printed.
 */
final class Scratch implements BeforeAllCallback, AfterAllCallback, TestExecutionExceptionHandler,
        LifecycleMethodExecutionExceptionHandler {
    /** Bytes of each log: some forty lines. */
    private static final int END = 8 << 10;

    private Path folder;
    private boolean failed;

    Path folder() {
        return folder;
    }

    @Override
    public void beforeAll(ExtensionContext context) throws IOException {
        folder = Build.output().resolve("run").resolve(context.getRequiredTestClass().getSimpleName());
        remove();
        Files.createDirectories(folder);
    }

    @Override
    public void handleTestExecutionException(ExtensionContext context, Throwable failure) {
        throw keep(failure);
    }

    @Override
    public void handleBeforeAllMethodExecutionException(ExtensionContext context, Throwable failure) {
        throw keep(failure);
    }

    @Override
    public void handleAfterAllMethodExecutionException(ExtensionContext context, Throwable failure) {
        throw keep(failure);
    }

    @Override
    public void afterAll(ExtensionContext context) throws IOException {
        if (!failed) {
            remove();
        }
    }

    private AssertionError keep(Throwable failure) {
        failed = true;
        try (Stream<Path> files = Files.walk(folder)) {
            files.filter(file -> file.toString().endsWith(".log") && !file.toString().contains("/data/")).sorted()
                    .forEach(Scratch::printEnd);
        } catch (IOException e) {
            failure.addSuppressed(e);
        }
        return new AssertionError(failure.getMessage() + "\nLogs and data are kept in " + folder, failure);
    }

    private static void printEnd(Path log) {
        try (SeekableByteChannel channel = Files.newByteChannel(log)) {
            channel.position(Math.max(0, channel.size() - END));
            System.out.println("---- the end of " + log);
            System.out.println(new String(Channels.newInputStream(channel).readAllBytes(), StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void remove() throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
