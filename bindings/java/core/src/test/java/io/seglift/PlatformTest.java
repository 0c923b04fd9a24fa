package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PlatformTest {
    @TempDir
    Path folder;

    @Test
    void theNamesOfJvmsBecomeThoseOfTheJars() {
        assertEquals("linux-x86_64", Platform.named("Linux", "amd64").toString());
        assertEquals("linux-aarch64", Platform.named("Linux", "aarch64").toString());
        assertEquals("darwin-aarch64", Platform.named("Mac OS X", "aarch64").toString());
        assertEquals("linux-riscv64", Platform.named("Linux", "riscv64").toString());
    }

    @Test
    void aSharedLibrarySaysWhatItWasBuiltFor() throws IOException {
        assertEquals(Optional.of(Platform.current()), Platform.of(Path.of(System.getProperty("seglift.library"))));
        assertEquals("linux-aarch64", Platform.of(elf(183, false)).orElseThrow().toString());
        assertEquals("linux-machine 22", Platform.of(elf(22, true)).orElseThrow().toString());
        byte[] mach = new byte[20];
        System.arraycopy(new byte[] {(byte) 0xcf, (byte) 0xfa, (byte) 0xed, (byte) 0xfe, 0x0c, 0, 0, 1}, 0, mach, 0, 8);
        assertEquals("darwin-aarch64", Platform.of(file(mach)).orElseThrow().toString());
    }

    @Test
    void aFileOfAnotherKindIsNoSharedLibrary() throws IOException {
        assertEquals(Optional.empty(), Platform.of(file(new byte[0])));
        assertEquals(Optional.empty(), Platform.of(file("a page that explains what went wrong".getBytes())));
    }

    private Path elf(int machine, boolean bigEndian) throws IOException {
        byte[] header = new byte[64];
        System.arraycopy(new byte[] {0x7f, 'E', 'L', 'F', 2, (byte) (bigEndian ? 2 : 1), 1}, 0, header, 0, 7);
        header[bigEndian ? 19 : 18] = (byte) machine;
        return file(header);
    }

    private Path file(byte[] content) throws IOException {
        return Files.write(Files.createTempFile(folder, "library", null), content);
    }
}
