package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.ref.WeakReference;
import java.lang.reflect.InvocationTargetException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Loads seglift anew, in class loaders and JVMs of their own. */
class LoadingTest {
    private static final String LIBRARY = System.getProperty("seglift.library");
    private static final String JNI = System.getProperty("seglift.jni");

    @TempDir
    Path folder;

    @AfterEach
    void properties() {
        System.setProperty("seglift.library", LIBRARY);
        System.setProperty("seglift.jni", JNI);
        System.clearProperty("seglift.tmpdir");
    }

    @Test
    void twoClassLoadersOfOneJvmOffloadAndReadAtTheSameTime() throws Exception {
        try (URLClassLoader one = isolated();
                URLClassLoader other = isolated();
                Host host = open(one)) {
            try (Host otherHost = open(other)) {
                assertEquals("hello", host.call());
                assertEquals("hello", otherHost.call());
            }
            assertEquals("hello", host.call());
        }
    }

    @Test
    void twoPluginsWithJarsOfTheirOwnRunAtTheSameTimeAndLeaveNoFile() throws Exception {
        System.clearProperty("seglift.library");
        System.clearProperty("seglift.jni");
        System.setProperty("seglift.tmpdir", folder.toString());
        Path jar = Files.createDirectory(folder.resolve("jar"));
        Path natives = Files.createDirectories(jar.resolve("META-INF/native/" + Platform.current()));
        Files.createSymbolicLink(natives.resolve(System.mapLibraryName("seglift")), Path.of(LIBRARY));
        Files.createSymbolicLink(natives.resolve(System.mapLibraryName("seglift_jni")), Path.of(JNI));
        try (URLClassLoader one = isolated(jar);
                URLClassLoader other = isolated(jar);
                Host host = open(one);
                Host otherHost = open(other);
                Stream<Path> files = Files.list(folder)) {
            assertEquals("hello", host.call());
            assertEquals("hello", otherHost.call());
            assertEquals(List.of(jar), files.toList());
        }
    }

    @Test
    void aLibraryThatIsTooOldSaysSo() throws Exception {
        Path older = folder.resolve(System.mapLibraryName("seglift"));
        Path root = Path.of(System.getProperty("seglift.root"));
        List<String> compile = List.of("cc", "-std=c11", "-shared", "-fPIC", "-I" + root.resolve("include"),
                "-o", older.toString(), root.resolve("bindings/java/core/src/test/c/older.c").toString());
        assertEquals(0, exitStatus(compile));
        System.setProperty("seglift.library", older.toString());
        String message = refusal();
        assertTrue(message.contains(older + " is too old: it offers ABI 1.0"), message);
    }

    @Test
    void aLibraryThatIsNotSegliftSaysSo() throws Exception {
        System.setProperty("seglift.library", JNI);
        String message = refusal();
        assertTrue(message.contains("is not seglift"), message);
    }

    @Test
    void aFailureIsRepeatedUntilItsCauseIsGone() throws Exception {
        try (URLClassLoader loader = isolated()) {
            System.setProperty("seglift.library", folder.resolve("nowhere").toString());
            assertThrows(IOException.class, () -> open(loader));
            assertThrows(IOException.class, () -> open(loader));
            System.setProperty("seglift.library", LIBRARY);
            try (Host host = open(loader)) {
                assertEquals("hello", host.call());
            }
        }
    }

    @Test
    void aClassLoaderIsCollectedWhenItsHostWasClosed() throws Exception {
        WeakReference<ClassLoader> loader = new WeakReference<>(usedAndClosed());
        Waiting.until(() -> {
            System.gc();
            return loader.get() == null;
        });
    }

    private static ClassLoader usedAndClosed() throws Exception {
        try (URLClassLoader loader = isolated(); Host host = open(loader)) {
            assertEquals("hello", host.call());
            return loader;
        }
    }

    /** Where one may not mount in a name space of one's own, the linker's refusal is injected into a like copy. */
    @Test
    void aFolderMountedNoexecIsNamedWithItsRemedy() throws Exception {
        List<String> mount = List.of("unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                "mount -t tmpfs -o noexec tmpfs '" + folder + "' && \"$@\"", "mount");
        String said = exitStatus(with(mount, List.of("true"))) == 0
                ? ChildJvm.run(with(mount, ChildJvm.command(List.of("-Dseglift.tmpdir=" + folder), SmallestHost.class)),
                        Map.of())
                : refusalOfACopyThatMayNotBeExecuted();
        assertTrue(said.contains("cannot load " + JNI + ": the file system of " + folder + " is mounted noexec, so"
                + " nothing can be loaded from it; name a folder elsewhere with -Dseglift.tmpdir=DIR"), said);
    }

    private String refusalOfACopyThatMayNotBeExecuted() throws IOException {
        try (InputStream shim = Files.newInputStream(Path.of(JNI));
                NativeFile copy = NativeFile.copied(shim, "shim.so", JNI, folder)) {
            Files.setPosixFilePermissions(copy.path(), PosixFilePermissions.fromString("rw-------"));
            return assertThrows(SegliftException.class, () -> NativeLibrary.bind(copy, path -> {
                throw new UnsatisfiedLinkError("failed to map segment from shared object");
            })).getMessage();
        }
    }

    /** A class loader that shares nothing with this one but the JDK. */
    private static URLClassLoader isolated(Path... more) throws MalformedURLException {
        List<URL> urls = new ArrayList<>();
        for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
            urls.add(Path.of(entry).toUri().toURL());
        }
        for (Path entry : more) {
            urls.add(entry.toUri().toURL());
        }
        return new URLClassLoader(urls.toArray(URL[]::new), ClassLoader.getPlatformClassLoader());
    }

    /** A {@link SmallestHost} of another class loader. */
    private record Host(Object object) implements AutoCloseable {
        Object call() throws Exception {
            return ((Callable<?>) object).call();
        }

        @Override
        public void close() throws IOException {
            try {
                ((AutoCloseable) object).close();
            } catch (Exception e) {
                throw new IOException(e);
            }
        }
    }

    private static Host open(ClassLoader loader) throws Exception {
        try {
            return new Host(loader.loadClass(SmallestHost.class.getName()).getConstructor().newInstance());
        } catch (InvocationTargetException e) {
            throw assertInstanceOf(IOException.class, e.getCause());
        }
    }

    private static String refusal() throws IOException {
        try (URLClassLoader loader = isolated()) {
            return assertThrows(IOException.class, () -> open(loader)).getMessage();
        }
    }

    private static List<String> with(List<String> before, List<String> after) {
        return Stream.concat(before.stream(), after.stream()).toList();
    }

    private static int exitStatus(List<String> command) throws InterruptedException {
        try {
            Process process = new ProcessBuilder(command).redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
            return process.waitFor();
        } catch (IOException missing) {
            return 127;
        }
    }
}
