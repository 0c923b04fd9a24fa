package io.seglift;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where native files are looked for. What loading them does is in {@link LoadingTest}. */
class NativeLibraryTest {
    private static final String LIBRARY_FILE = System.mapLibraryName(NativeLibrary.LIBRARY);
    private static final String SHIM_FILE = System.mapLibraryName(NativeLibrary.SHIM);

    @TempDir
    Path folder;

    private final Map<String, String> properties = new HashMap<>();
    private Path temporary;

    @BeforeEach
    void properties() throws IOException {
        temporary = Files.createDirectory(folder.resolve("tmp"));
        properties.put("java.io.tmpdir", temporary.toString());
        properties.put("java.library.path", "");
    }

    @Test
    void thePropertyComesBeforeTheLibraryPathAndThatBeforeTheJars() throws IOException {
        Path jar = inJar(Platform.current(), LIBRARY_FILE, "jar");
        assertEquals("jar", found(jar, NativeLibrary.LIBRARY, NativeLibrary.LIBRARY_PROPERTY));

        Path installed = Files.createDirectory(folder.resolve("lib"));
        Files.writeString(installed.resolve(LIBRARY_FILE), "library path");
        properties.put("java.library.path", folder.resolve("nowhere") + ":" + installed);
        assertEquals("library path", found(jar, NativeLibrary.LIBRARY, NativeLibrary.LIBRARY_PROPERTY));

        properties.put("seglift.library", Files.writeString(folder.resolve("mine.so"), "property").toString());
        assertEquals("property", found(jar, NativeLibrary.LIBRARY, NativeLibrary.LIBRARY_PROPERTY));
    }

    @Test
    void theShimIsACopyThatOnlyTheOwnerReachesAndThatIsGoneAfterwards() throws IOException {
        Path shim = Files.writeString(folder.resolve("shim.so"), "shim");
        properties.put("seglift.jni", shim.toString());
        NativeLibrary natives = natives(folder);
        try (NativeFile one = natives.find(NativeLibrary.SHIM, NativeLibrary.SHIM_PROPERTY);
                NativeFile other = natives.find(NativeLibrary.SHIM, NativeLibrary.SHIM_PROPERTY)) {
            assertFalse(one.path().equals(shim) || one.path().equals(other.path()));
            assertArrayEquals(Files.readAllBytes(shim), Files.readAllBytes(one.path()));
            assertEquals("rwx------",
                    PosixFilePermissions.toString(Files.getPosixFilePermissions(one.path().getParent())));
            assertEquals(SHIM_FILE, one.path().getFileName().toString());
        }
        assertEquals(List.of(), listed(temporary));
        assertTrue(Files.exists(shim));
    }

    @Test
    void theFolderOfCopiesCanBeNamed() throws IOException {
        Path elsewhere = Files.createDirectory(folder.resolve("elsewhere"));
        properties.put("seglift.tmpdir", elsewhere.toString());
        Path jar = inJar(Platform.current(), LIBRARY_FILE, "jar");
        try (NativeFile file = natives(jar).find(NativeLibrary.LIBRARY, NativeLibrary.LIBRARY_PROPERTY)) {
            assertEquals(elsewhere, file.path().getParent().getParent());
        }
    }

    @Test
    void aFolderThatCannotBeWrittenIsNamedWithItsRemedy() throws IOException {
        properties.put("seglift.tmpdir", folder.resolve("nowhere").toString());
        Path jar = inJar(Platform.current(), LIBRARY_FILE, "jar");
        String message = refusal(natives(jar));
        assertTrue(message.startsWith("cannot copy META-INF/native/" + Platform.current() + "/" + LIBRARY_FILE
                + " of the class path to the folder " + folder.resolve("nowhere")), message);
        assertTrue(message.contains("-Dseglift.tmpdir=DIR"), message);
    }

    @Test
    void aPropertyThatNamesNoFileIsAnErrorAndNotAReasonToLookElsewhere() throws IOException {
        properties.put("seglift.library", "/nowhere/libseglift.so");
        String message = refusal(natives(inJar(Platform.current(), LIBRARY_FILE, "jar")));
        assertEquals("-Dseglift.library names /nowhere/libseglift.so, and there is no such file", message);
    }

    @Test
    void aMissingPlatformIsNamedBesideThoseThatAreThere() throws IOException {
        inJar(new Platform("linux", "aarch64"), LIBRARY_FILE, "arm");
        Path jar = inJar(new Platform("darwin", "aarch64"), LIBRARY_FILE, "mac");
        NativeLibrary natives = new NativeLibrary(properties::get, loader(jar), new Platform("linux", "riscv64"));
        String message = refusal(natives);
        assertTrue(message.startsWith("there is no " + LIBRARY_FILE + " for linux-riscv64"), message);
        assertTrue(message.contains("for linux-aarch64, darwin-aarch64;"), message);
        assertTrue(message.contains("classifier linux-riscv64"), message);

        Path empty = Files.createDirectory(folder.resolve("empty"));
        assertTrue(refusal(natives(empty)).contains("for no platform;"));
    }

    private static String refusal(NativeLibrary natives) {
        SegliftException e = assertThrows(SegliftException.class,
                () -> natives.find(NativeLibrary.LIBRARY, NativeLibrary.LIBRARY_PROPERTY).close());
        assertEquals(Code.INVALID_CONFIG, e.code());
        return e.getMessage();
    }

    /** The content of the file that is found. */
    private String found(Path jar, String name, String property) throws IOException {
        try (NativeFile file = natives(jar).find(name, property)) {
            return Files.readString(file.path());
        }
    }

    private NativeLibrary natives(Path jar) throws IOException {
        return new NativeLibrary(properties::get, loader(jar), Platform.current());
    }

    /** A class path with this folder alone. */
    private static ClassLoader loader(Path jar) throws IOException {
        return new URLClassLoader(new URL[] {jar.toUri().toURL()}, null);
    }

    /** A folder that stands for the jar of a platform. */
    private Path inJar(Platform platform, String file, String content) throws IOException {
        Path jar = folder.resolve("jar");
        Path natives = Files.createDirectories(jar.resolve("META-INF/native/" + platform));
        Files.writeString(natives.resolve(file), content);
        return jar;
    }

    private static List<Path> listed(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.toList();
        }
    }
}
