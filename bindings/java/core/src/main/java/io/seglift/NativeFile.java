package io.seglift;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.util.Set;

/**
 * A native library as a file, for as long as it takes to load it.
 *
 * <p>A copy lies alone in a folder that only the owner can enter, because a JVM refuses a path that another of its
 * class loaders has loaded, and because nobody else may exchange it before it is loaded. Closing deletes the copy: the
 * process keeps what it has mapped, and nothing stays behind for an operator to clean up. What debuggers and profilers
 * lose by that, {@code -Dseglift.library} gives back: such a file is loaded where it lies.
 */
final class NativeFile implements AutoCloseable {
    private static final String PREFIX = "seglift-";

    private final Path path;
    private final String origin;
    private final boolean copy;

    private NativeFile(Path path, String origin, boolean copy) {
        this.path = path;
        this.origin = origin;
        this.copy = copy;
    }

    /** The file itself, which stays. */
    static NativeFile at(Path path) {
        return new NativeFile(path, path.toString(), false);
    }

    /**
     * A copy in a folder of its own below {@code parent}.
     *
     * @param origin where the bytes come from, for messages
     */
    static NativeFile copied(InputStream bytes, String name, String origin, Path parent) throws SegliftException {
        Path folder = null;
        try {
            // Where permissions are POSIX's, the folder is made with 0700.
            folder = Files.createTempDirectory(parent, PREFIX);
            Path file = folder.resolve(name);
            Files.copy(bytes, file, StandardCopyOption.REPLACE_EXISTING);
            if (Files.getFileStore(file).supportsFileAttributeView("posix")) {
                // With the permission to execute, Files.isExecutable tells a file system that forbids it.
                Files.setPosixFilePermissions(file, Set.of(
                        PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_WRITE,
                        PosixFilePermission.OWNER_EXECUTE));
            }
            return new NativeFile(file, origin, true);
        } catch (IOException e) {
            if (folder != null) {
                delete(folder.resolve(name));
                delete(folder);
            }
            throw ErrorReport.of(Code.INVALID_CONFIG, "cannot copy " + origin + " to the folder " + parent + " ("
                            + e + "): make room there, or name another folder with -Dseglift.tmpdir=DIR")
                    .toException();
        }
    }

    Path path() {
        return path;
    }

    /**
     * The error for a file that the dynamic linker did not take.
     *
     * @param reason the linker's own words
     */
    SegliftException refused(String reason) {
        return ErrorReport.of(Code.INVALID_CONFIG, "cannot load " + origin + ": " + cause(reason)).toException();
    }

    private String cause(String reason) {
        try {
            Platform here = Platform.current();
            Platform built = Platform.of(path).orElse(null);
            if (built == null) {
                return "it is no shared library";
            }
            if (!built.equals(here)) {
                return "it is built for " + built + ", and this JVM runs on " + here;
            }
        } catch (IOException unreadable) {
            return "it cannot be read: " + unreadable;
        }
        if (copy && !Files.isExecutable(path)) {
            return "the file system of " + path.getParent().getParent() + " is mounted noexec, so nothing can be loaded"
                    + " from it; name a folder elsewhere with -Dseglift.tmpdir=DIR";
        }
        return reason;
    }

    @Override
    public void close() {
        if (copy) {
            delete(path);
            delete(path.getParent());
        }
    }

    /** What cannot be deleted now (some systems hold mapped files) goes with the JVM. */
    private static void delete(Path path) {
        try {
            Files.deleteIfExists(path);
        } catch (IOException held) {
            if (Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
                path.toFile().deleteOnExit();
            }
        }
    }
}
