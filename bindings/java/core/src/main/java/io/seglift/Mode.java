package io.seglift;

/** What a segment is made of. */
public enum Mode {
    /** A run of bytes. */
    BYTES,
    /** A run of records with ids and times. */
    RECORDS;

    private static final Mode[] BY_NUMBER = values();

    static Mode of(long number) {
        return BY_NUMBER[(int) number];
    }
}
