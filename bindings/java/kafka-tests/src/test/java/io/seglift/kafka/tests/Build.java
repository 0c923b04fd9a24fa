package io.seglift.kafka.tests;

import java.nio.file.Path;

/** Where the build left what the tests run: the poms say it in system properties. */
final class Build {
    private Build() {
    }

    /** The top of the source tree. */
    static Path root() {
        return path("seglift.root");
    }

    /** The folder that {@code remote.log.storage.manager.class.path} points to. */
    static Path plugin() {
        return path("seglift.kafka");
    }

    /** The command line of seglift. */
    static Path command() {
        return path("seglift.command");
    }

    /** What this module may write to. */
    static Path output() {
        return root().resolve("target/java/seglift-kafka-tests");
    }

    private static Path path(String property) {
        String value = System.getProperty(property);
        if (value == null) {
            throw new IllegalStateException("the system property " + property + " is missing; the pom sets it");
        }
        return Path.of(value).toAbsolutePath().normalize();
    }
}
