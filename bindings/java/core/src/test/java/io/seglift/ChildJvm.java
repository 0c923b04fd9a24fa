package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Programs of the tests in JVMs of their own, with the libraries of this one and under -Xcheck:jni. */
final class ChildJvm {
    /** A storm of full size takes minutes; what takes longer hangs. */
    private static final long PATIENCE_MINUTES = 15;

    private ChildJvm() {}

    /** The command that runs a program. */
    static List<String> command(List<String> options, Class<?> program, String... arguments) {
        List<String> command = new ArrayList<>();
        command.add(ProcessHandle.current().info().command().orElseThrow());
        command.add("-Xcheck:jni");
        command.add("-Dseglift.library=" + System.getProperty("seglift.library"));
        command.add("-Dseglift.jni=" + System.getProperty("seglift.jni"));
        command.addAll(options);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), program.getName()));
        command.addAll(List.of(arguments));
        return command;
    }

    /** What a command prints; it must end well, and -Xcheck:jni be silent. */
    static String run(List<String> command, Map<String, String> environment) throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().putAll(environment);
        Process process = builder.start();
        try {
            String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertTrue(process.waitFor(PATIENCE_MINUTES, TimeUnit.MINUTES), "it hangs: " + command);
            assertEquals(0, process.exitValue(), said);
            assertFalse(said.contains("in native method"), said);
            return said;
        } finally {
            process.destroyForcibly();
        }
    }
}
