package io.seglift;

/** What compresses the blocks of a segment. */
public enum Codec {
    /** What the setting {@code codec} says. In what the library tells: one that only a newer version knows. */
    DEFAULT,
    /** The segment's bytes as they are. */
    NONE,
    /** One zstd frame for each block. */
    ZSTD;

    private static final Codec[] BY_NUMBER = values();

    static Codec of(long number) {
        return number < BY_NUMBER.length ? BY_NUMBER[(int) number] : DEFAULT;
    }
}
