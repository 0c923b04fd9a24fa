package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The README's program is one that works. */
class ReadmeTest {
    @TempDir
    Path folder;

    @Test
    void theProgramOfTheReadmeCompilesAndReadsBackWhatItOffloaded() throws Exception {
        Path readme = Path.of(System.getProperty("seglift.root"), "bindings/java/README.md");
        Matcher program = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(readme));
        assertTrue(program.find());
        Path source = Files.writeString(folder.resolve("FirstProgram.java"), program.group(1));
        ByteArrayOutputStream complaints = new ByteArrayOutputStream();
        int status = ToolProvider.getSystemJavaCompiler().run(null, null, complaints, "-Xlint:all", "-Werror",
                "--release", "17", "-cp", System.getProperty("java.class.path"), "-d", folder.toString(),
                source.toString());
        assertEquals(0, status, complaints.toString(StandardCharsets.UTF_8));

        Path segment = Files.write(folder.resolve("00000000000000000000.log"), Samples.bytes(5_000_000, 7));
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        PrintStream out = System.out;
        try (URLClassLoader loader = new URLClassLoader(new URL[] {folder.toUri().toURL()})) {
            System.setOut(new PrintStream(said, true, StandardCharsets.UTF_8));
            loader.loadClass("FirstProgram").getMethod("main", String[].class)
                    .invoke(null, (Object) new String[] {"file://" + folder.resolve("tier"), segment.toString()});
        } finally {
            System.setOut(out);
        }
        assertTrue(said.toString(StandardCharsets.UTF_8).startsWith("5000000 bytes are "), said.toString());
        assertTrue(said.toString(StandardCharsets.UTF_8).endsWith("the first 4096 of them are back\n"), said.toString());
    }
}
