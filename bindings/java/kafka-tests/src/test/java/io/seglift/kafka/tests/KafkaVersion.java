package io.seglift.kafka.tests;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The brokers that the tests run; their jars lie where Maven keeps them. */
enum KafkaVersion {
    V4_2("4.2", "-Dlog4j2.configurationFile=", "log4j2.properties"),
    V3_9("3.9", "-Dlog4j.configuration=file:", "log4j.properties");

    private final String name;
    private final String loggingOption;
    private final String loggingFile;

    KafkaVersion(String name, String loggingOption, String loggingFile) {
        this.name = name;
        this.loggingOption = loggingOption;
        this.loggingFile = loggingFile;
    }

    /** The class path of the broker, as the pom of {@code broker-VERSION} wrote it. */
    String classPath() {
        Path file = Build.root().resolve("target/java/seglift-kafka-broker-" + name + "/classpath");
        try {
            return Files.readString(file).strip();
        } catch (IOException e) {
            throw new UncheckedIOException("no class path of a Kafka " + name + " broker; build module kafka-tests/"
                    + "broker-" + name, e);
        }
    }

    /** The option of the JVM that makes the broker log to its standard output. */
    String logging() {
        return loggingOption + Build.output().resolve("test-classes").resolve(loggingFile);
    }

    /** Makes {@code folder} look like an unpacked Kafka, for scripts that want a {@code KAFKA_HOME}. */
    void unpack(Path folder) throws IOException {
        Path libs = Files.createDirectories(folder.resolve("libs"));
        for (String jar : List.of(classPath().split(System.getProperty("path.separator")))) {
            Files.createSymbolicLink(libs.resolve(Path.of(jar).getFileName()), Path.of(jar));
        }
    }
}
