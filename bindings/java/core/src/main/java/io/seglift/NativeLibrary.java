package io.seglift;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Brings the two native files into this class loader: the shim, which the JVM binds, and seglift itself, which the shim
 * opens.
 *
 * <p>Each is looked for by itself, in this order: the system property ({@code seglift.jni}, {@code seglift.library}),
 * the folders of {@code java.library.path}, {@code META-INF/native/OS-ARCH/} of the jars. The first that is there is
 * taken, and if it cannot be loaded, that is the error: nobody gets another library than the one that was named.
 *
 * <p>The shim is always loaded from a copy, because a JVM loads no path into two class loaders, and brokers give each
 * plugin one of its own. seglift itself has no such limit, and is copied only out of a jar.
 */
final class NativeLibrary {
    static final String SHIM = "seglift_jni";
    static final String SHIM_PROPERTY = "seglift.jni";
    static final String LIBRARY = "seglift";
    static final String LIBRARY_PROPERTY = "seglift.library";

    private static boolean shimLoaded;
    private static boolean attached;

    private final UnaryOperator<String> properties;
    private final ClassLoader jars;
    private final Platform platform;

    NativeLibrary(UnaryOperator<String> properties, ClassLoader jars, Platform platform) {
        this.properties = properties;
        this.jars = jars;
        this.platform = platform;
    }

    /**
     * Loads both unless they are loaded. A failure can be repeated: the next call tries again. Any thread.
     *
     * @throws SegliftException {@link Code#INVALID_CONFIG} if a file is missing or does not fit this machine, {@link
     *     Code#UNSUPPORTED_VERSION} if library, shim and these classes do not belong together
     */
    static synchronized void load() throws SegliftException {
        if (attached) {
            return;
        }
        NativeLibrary natives =
                new NativeLibrary(System::getProperty, NativeLibrary.class.getClassLoader(), Platform.current());
        if (!shimLoaded) {
            try (NativeFile shim = natives.find(SHIM, SHIM_PROPERTY)) {
                bind(shim, path -> System.load(path));
            }
            shimLoaded = true;
        }
        try (NativeFile library = natives.find(LIBRARY, LIBRARY_PROPERTY)) {
            attach(library);
        }
        attached = true;
    }

    /** The JVM binds the natives of the class loader that calls System.load, which is the one of this class. */
    static void bind(NativeFile shim, Consumer<String> load) throws SegliftException {
        try {
            load.accept(shim.path().toString());
        } catch (IllegalCallerException e) {
            throw shim.refused("this JVM allows no native code (" + e.getMessage()
                    + "); start it with --enable-native-access=ALL-UNNAMED");
        } catch (UnsatisfiedLinkError e) {
            throw shim.refused(e.getMessage());
        }
    }

    private static void attach(NativeFile library) throws SegliftException {
        try {
            Native.attach(library.path().toString());
        } catch (NotFoundException e) {
            // Of a library, not of a segment: nobody may take it for one.
            throw library.refused(e.getMessage());
        }
    }

    /** The file with this name, from the first place that has it. */
    NativeFile find(String name, String property) throws SegliftException {
        String file = System.mapLibraryName(name);
        Optional<Path> installed = named(property);
        if (installed.isEmpty()) {
            installed = onLibraryPath(file);
        }
        if (installed.isEmpty()) {
            return fromJar(file, property);
        }
        Path path = installed.get();
        return name.equals(SHIM) ? copy(() -> Files.newInputStream(path), file, path.toString()) : NativeFile.at(path);
    }

    private interface Source {
        InputStream open() throws IOException;
    }

    private NativeFile copy(Source source, String file, String origin) throws SegliftException {
        try (InputStream bytes = source.open()) {
            return NativeFile.copied(bytes, file, origin, temporary());
        } catch (SegliftException uncopied) {
            throw uncopied;
        } catch (IOException e) {
            throw missing("cannot read " + origin + ": " + e);
        }
    }

    private Optional<Path> named(String property) throws SegliftException {
        String value = properties.apply(property);
        if (value == null) {
            return Optional.empty();
        }
        Path path = Path.of(value).toAbsolutePath();
        if (!Files.isRegularFile(path)) {
            throw missing("-D" + property + " names " + path + ", and there is no such file");
        }
        return Optional.of(path);
    }

    private Optional<Path> onLibraryPath(String file) {
        return folders().map(folder -> Path.of(folder, file).toAbsolutePath()).filter(Files::isRegularFile).findFirst();
    }

    private Stream<String> folders() {
        String path = properties.apply("java.library.path");
        return Stream.of(path.split(File.pathSeparator)).filter(folder -> !folder.isEmpty());
    }

    private NativeFile fromJar(String file, String property) throws SegliftException {
        String resource = resource(platform, file);
        if (jars.getResource(resource) != null) {
            return copy(() -> jars.getResourceAsStream(resource), file, resource + " of the class path");
        }
        String others = Platform.KNOWN.stream()
                .filter(other -> jars.getResource(resource(other, file)) != null)
                .map(Platform::toString)
                .collect(Collectors.joining(", "));
        throw missing("there is no " + file + " for " + platform + ": -D" + property + " is not set, no folder of"
                + " java.library.path (" + properties.apply("java.library.path") + ") has it, and the jars of the class"
                + " path have it for " + (others.isEmpty() ? "no platform" : others) + "; add the jar of seglift with"
                + " the classifier " + platform + ", or name the file by -D" + property);
    }

    private static String resource(Platform platform, String file) {
        return "META-INF/native/" + platform + "/" + file;
    }

    private Path temporary() {
        String named = properties.apply("seglift.tmpdir");
        return Path.of(named != null ? named : properties.apply("java.io.tmpdir")).toAbsolutePath();
    }

    private static SegliftException missing(String message) {
        return ErrorReport.of(Code.INVALID_CONFIG, message).toException();
    }
}
