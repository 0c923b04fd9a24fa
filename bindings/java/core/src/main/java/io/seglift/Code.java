package io.seglift;

/** Why a call failed, as the library numbers it ({@code SEGLIFT_*} in seglift.h). */
public enum Code {
    /** A value is out of its range, or a text is not well formed. */
    INVALID_ARGUMENT(1),
    /** The request asks for something that only a newer library offers. */
    UNSUPPORTED_FIELD(2),
    /** The object needs a newer version of seglift. */
    UNSUPPORTED_VERSION(3),
    /** A setting is unknown, malformed or contradicts another. */
    INVALID_CONFIG(4),
    /** There is no such object, certainly. */
    NOT_FOUND(10),
    /** The store hides whether the object is missing or forbidden. Never treat it as missing. */
    NOT_FOUND_OR_DENIED(11),
    /** The key exists with another content; nothing was changed. */
    ALREADY_EXISTS(12),
    /** The bytes do not match their checksum, or the object is not a seglift object. */
    CORRUPT(13),
    /** The offset, record or attachment lies outside the segment. */
    OUT_OF_RANGE(14),
    /** The object is in a cold class and must be restored first. */
    ARCHIVED(15),
    /** The token names another store than this driver's. */
    WRONG_STORE(16),
    /** The source of an offload could not be read, or changed while it was. */
    SOURCE_FAILED(17),
    /** No or wrong credentials. */
    UNAUTHENTICATED(20),
    /** The credentials do not allow this. */
    PERMISSION_DENIED(21),
    /** The store asks to slow down. */
    THROTTLED(22),
    /** The store could not be reached or failed. */
    UNAVAILABLE(23),
    /** The deadline or the stall limit passed; nothing was committed. */
    TIMED_OUT(24),
    /** The caller cancelled; nothing was committed. */
    CANCELLED(25),
    /** The commit was sent and its result could not be learnt. Repeat the offload with the same key to settle it. */
    OUTCOME_UNKNOWN(26),
    /** The disk or the quota behind the store is full. */
    NO_SPACE(27),
    /** The handle, the queue or the memory budget is in use; try again later. */
    BUSY(30),
    /** The answer needs I/O and the caller asked for none, or a writer is full. */
    WOULD_BLOCK(31),
    /** Memory, threads or descriptors ran out, or the request can never fit the budget. */
    RESOURCE_EXHAUSTED(32),
    /** The handle is closed. */
    CLOSED(33),
    /** The handle was inherited through a fork. */
    FORKED(34),
    /** There is nothing more. */
    END(35),
    /** A defect in seglift, or a code that this version does not know; the message says which. */
    INTERNAL(99);

    private static final Code[] BY_NUMBER = new Code[100];

    static {
        for (Code code : values()) {
            BY_NUMBER[code.number] = code;
        }
    }

    private final int number;

    Code(int number) {
        this.number = number;
    }

    /** The number of the C interface. */
    public int number() {
        return number;
    }

    /** The code with this number; {@link #INTERNAL} for one that only a newer library knows. */
    static Code of(int number) {
        Code code = number > 0 && number < BY_NUMBER.length ? BY_NUMBER[number] : null;
        return code != null ? code : INTERNAL;
    }
}
