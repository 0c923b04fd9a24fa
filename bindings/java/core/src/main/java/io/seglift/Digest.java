package io.seglift;

/** A digest of a whole segment that the host knows already, so that the library can compare. */
public record Digest(Kind kind, long value) {
    /** How the digest was computed. The order is that of SEGLIFT_DIGEST_*. */
    public enum Kind {
        /** CRC-32C (Castagnoli), in the low 32 bits. */
        CRC32C,
        /** CRC-64/NVME. */
        CRC64NVME
    }

    /** The value of a {@link java.util.zip.CRC32C} over the segment. */
    public static Digest crc32c(long value) {
        return new Digest(Kind.CRC32C, value);
    }

    /** The CRC-64/NVME of the segment, such as {@link Receipt#crc64nvme} of an earlier offload. */
    public static Digest crc64nvme(long value) {
        return new Digest(Kind.CRC64NVME, value);
    }

    /** The number of the C interface, where 0 means that no digest is expected. */
    int number() {
        return kind.ordinal() + 1;
    }
}
