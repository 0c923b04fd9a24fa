package io.seglift.kafka.tests;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Stream;

/** One broker: a folder with its properties, its data and its log, and the process that runs on them, if one does. */
final class Broker {
    /** What -Xcheck:jni says of a program that breaks its rules. */
    private static final List<String> JNI_COMPLAINTS = List.of("WARNING in native method", "FATAL ERROR in native",
            "WARNING: JNI");

    private final KafkaVersion version;
    private final Path data;
    private final Path properties;
    private final Path log;
    private Process process;

    /** Writes the properties and formats the storage. */
    Broker(KafkaVersion version, Path folder, String clusterId, Map<String, String> settings) throws Exception {
        this.version = version;
        data = Files.createDirectories(folder.resolve("data"));
        properties = folder.resolve("server.properties");
        log = folder.resolve("broker.log");
        configure(settings);
        int status = run("kafka.tools.StorageTool", "format", "-t", clusterId, "-c", properties.toString()).waitFor();
        if (status != 0) {
            throw new AssertionError("formatting failed; " + log + " says why");
        }
    }

    /** Writes other properties, for the next start. */
    void configure(Map<String, String> settings) throws IOException {
        Map<String, String> all = new HashMap<>(settings);
        all.put("log.dirs", data.toString());
        SettingsFile.write(properties, all);
    }

    void start() throws IOException {
        process = run("kafka.Kafka", properties.toString());
    }

    boolean isAlive() {
        return process != null && process.isAlive();
    }

    /** Ends the process as {@code kill -9} does; the folder stays. */
    void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    /** The lines with this text in them that the broker has logged in all of its lives. */
    List<String> logged(String text) {
        return logged(line -> line.contains(text));
    }

    List<String> logged(Predicate<String> wanted) {
        // One byte is one character here, so that no byte is an error; what is looked for is ASCII.
        try (Stream<String> lines = Files.lines(log, StandardCharsets.ISO_8859_1)) {
            return lines.filter(wanted).toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Lets the broker shut down in order, and fails if it broke the rules of JNI. */
    void stop() throws InterruptedException {
        if (isAlive()) {
            process.destroy();
            if (!process.waitFor(60, TimeUnit.SECONDS)) {
                kill();
                throw new AssertionError("the broker did not end when it was told to; see " + log);
            }
        }
        List<String> complaints = logged(line -> JNI_COMPLAINTS.stream().anyMatch(line::contains));
        if (!complaints.isEmpty()) {
            throw new AssertionError("-Xcheck:jni complains in " + log + ": " + complaints);
        }
    }

    private Process run(String mainClass, String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xms128m", "-Xmx512m", "-Xcheck:jni", version.logging()));
        command.addAll(Scale.jvmOptions());
        command.add(mainClass);
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command);
        builder.environment().put("CLASSPATH", version.classPath());
        // Whatever the environment says of credentials, the brokers have those of their properties.
        builder.environment().keySet().removeIf(name -> name.startsWith("AWS_"));
        return builder.redirectErrorStream(true).redirectOutput(Redirect.appendTo(log.toFile())).start();
    }
}
