package io.seglift;

/** What a segment is made of. */
public enum Mode {
    /** A run of bytes. */
    BYTES,
    /** A run of records with ids and times. */
    RECORDS;

    private static final Mode[] BY_NUMBER = values();

    /** A number that only a newer library knows stands for bytes, as which every segment can be read. */
    static Mode of(long number) {
        return number >= 0 && number < BY_NUMBER.length ? BY_NUMBER[(int) number] : BYTES;
    }
}
