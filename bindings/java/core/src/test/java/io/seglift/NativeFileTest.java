package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is said of a file that the dynamic linker refuses. */
class NativeFileTest {
    @TempDir
    Path folder;

    @Test
    void aFileThatIsNoLibraryIsCalledSo() throws IOException {
        NativeFile text = NativeFile.at(Files.writeString(folder.resolve("libseglift.so"), "404 Not Found"));
        assertEquals("cannot load " + text.path() + ": it is no shared library", text.refused("?").getMessage());
    }

    @Test
    void aLibraryOfAnotherMachineIsCalledSo() throws IOException {
        byte[] header = new byte[64];
        System.arraycopy(new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1}, 0, header, 0, 7);
        header[18] = 22;
        NativeFile other = NativeFile.at(Files.write(folder.resolve("libseglift.so"), header));
        assertEquals("cannot load " + other.path() + ": it is built for linux-machine 22, and this JVM runs on "
                + Platform.current(), other.refused("?").getMessage());
    }

    @Test
    void aCopyThatMayNotBeExecutedPointsToTheFileSystem() throws IOException {
        try (InputStream shim = Files.newInputStream(Path.of(System.getProperty("seglift.jni")));
                NativeFile copy = NativeFile.copied(shim, "shim.so", "the shim", folder)) {
            // On a file system that is mounted noexec the JVM finds the copy just so, whatever its permissions are.
            Files.setPosixFilePermissions(copy.path(), PosixFilePermissions.fromString("rw-------"));
            String message = copy.refused("failed to map segment from shared object").getMessage();
            assertTrue(message.startsWith("cannot load the shim: the file system of " + folder + " is mounted noexec"),
                    message);
            assertTrue(message.contains("-Dseglift.tmpdir=DIR"), message);
        }
    }

    @Test
    void anyOtherReasonIsTheLinkersOwn() throws IOException {
        NativeFile library = NativeFile.at(Path.of(System.getProperty("seglift.library")));
        assertTrue(library.refused("undefined symbol: x").getMessage().endsWith(": undefined symbol: x"));
    }

    @Test
    void aJvmThatAllowsNoNativeCodeIsToldHowToAllowIt() {
        NativeFile shim = NativeFile.at(Path.of(System.getProperty("seglift.jni")));
        SegliftException e = assertThrows(SegliftException.class, () -> NativeLibrary.bind(shim, path -> {
            throw new IllegalCallerException("Illegal native access");
        }));
        assertEquals(Code.INVALID_CONFIG, e.code());
        assertTrue(e.getMessage().contains("--enable-native-access=ALL-UNNAMED"), e.getMessage());
    }

    @Test
    void aCopyThatBreaksOffLeavesNothing() throws IOException {
        InputStream breaking = new InputStream() {
            @Override
            public int read() throws IOException {
                throw new IOException("the jar is cut off");
            }
        };
        SegliftException e = assertThrows(SegliftException.class,
                () -> NativeFile.copied(breaking, "shim.so", "the shim", folder));
        assertTrue(e.getMessage().contains("the jar is cut off"), e.getMessage());
        try (var files = Files.list(folder)) {
            assertFalse(files.findAny().isPresent());
        }
    }
}
