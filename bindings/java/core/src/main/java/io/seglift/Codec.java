package io.seglift;

/** What compresses the blocks of a segment. */
public enum Codec {
    /** What the setting {@code codec} says; no receipt has it. */
    DEFAULT,
    /** The segment's bytes as they are. */
    NONE,
    /** One zstd frame for each block. */
    ZSTD;

    private static final Codec[] BY_NUMBER = values();

    static Codec of(long number) {
        return BY_NUMBER[(int) number];
    }
}
