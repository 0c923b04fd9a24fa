package io.seglift;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * An operating system and a processor, by the names that the jars of native libraries carry.
 *
 * @param os {@code linux}, {@code darwin}, or what the JVM calls it
 * @param arch {@code x86_64}, {@code aarch64}, or what the JVM calls it
 */
record Platform(String os, String arch) {
    /** For which platforms there may be a jar. */
    static final List<Platform> KNOWN = List.of(
            new Platform("linux", "x86_64"),
            new Platform("linux", "aarch64"),
            new Platform("darwin", "x86_64"),
            new Platform("darwin", "aarch64"));

    /** ELF's numbers for machines, at byte 18, and those of Mach-O for processors, at byte 4. */
    private static final int ELF_X86_64 = 62;
    private static final int ELF_AARCH64 = 183;
    private static final int MACH_X86_64 = 0x0100_0007;
    private static final int MACH_AARCH64 = 0x0100_000c;

    /** Both formats say in their first 20 bytes what machine they are for. */
    private static final int HEADER = 20;
    private static final int ELF_MAGIC = 0x7f45_4c46;
    private static final int MACH_MAGIC = 0xcffa_edfe;

    /** This JVM's. */
    static Platform current() {
        return named(System.getProperty("os.name"), System.getProperty("os.arch"));
    }

    /** The platform of a JVM whose {@code os.name} and {@code os.arch} are these. */
    static Platform named(String osName, String osArch) {
        String os = osName.toLowerCase(Locale.ROOT);
        String arch = osArch.toLowerCase(Locale.ROOT);
        return new Platform(
                os.startsWith("mac") ? "darwin" : os.replace(' ', '_'),
                switch (arch) {
                    case "amd64" -> "x86_64";
                    case "arm64" -> "aarch64";
                    default -> arch;
                });
    }

    /** The platform that a shared library was built for; empty if the file is none. */
    static Optional<Platform> of(Path file) throws IOException {
        ByteBuffer header;
        try (InputStream in = Files.newInputStream(file)) {
            header = ByteBuffer.wrap(in.readNBytes(HEADER));
        }
        if (header.limit() < HEADER) {
            return Optional.empty();
        }
        return switch (header.getInt(0)) {
            case ELF_MAGIC -> {
                boolean bigEndian = header.get(5) == 2;
                int machine = header.order(bigEndian ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN).getShort(18);
                yield Optional.of(new Platform("linux", machine(machine, ELF_X86_64, ELF_AARCH64)));
            }
            case MACH_MAGIC -> {
                int machine = header.order(ByteOrder.LITTLE_ENDIAN).getInt(4);
                yield Optional.of(new Platform("darwin", machine(machine, MACH_X86_64, MACH_AARCH64)));
            }
            default -> Optional.empty();
        };
    }

    private static String machine(int number, int x86, int arm) {
        return number == x86 ? "x86_64" : number == arm ? "aarch64" : "machine " + number;
    }

    /** As in {@code META-INF/native/linux-x86_64} and in the classifier of the jar. */
    @Override
    public String toString() {
        return os + "-" + arch;
    }
}
