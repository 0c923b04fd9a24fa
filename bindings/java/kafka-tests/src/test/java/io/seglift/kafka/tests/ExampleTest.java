package io.seglift.kafka.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** The example that the README shows, in short. */
class ExampleTest {
    @RegisterExtension
    static final Scratch SCRATCH = new Scratch();

    @Test
    void theExampleShowsMessagesThatLeaveTheDiskAndComeBack() throws Exception {
        Path output = SCRATCH.folder().resolve("example.log");
        ProcessBuilder builder = new ProcessBuilder(Build.root().resolve("examples/kafka/run.sh").toString(),
                "--mib", "40", "--seconds", "5");
        builder.environment().put("SEGLIFT_KAFKA_JARS", Build.plugin().toString());
        int status = builder.redirectErrorStream(true).redirectOutput(output.toFile()).start().waitFor();
        String shown = Files.readString(output);
        assertEquals(0, status, shown);
        Matcher end = Pattern.compile("All 40960 messages came back as they were sent; (\\d+) of them").matcher(shown);
        assertTrue(end.find(), shown);
        assertTrue(Integer.parseInt(end.group(1)) > 0, "some came from the store");
    }
}
