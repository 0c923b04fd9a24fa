package io.seglift;

/** {@link Code#CORRUPT}: bytes do not match their checksum, or the object is not one of seglift's. */
public final class CorruptException extends SegliftException {
    private static final long serialVersionUID = 1;

    CorruptException(ErrorReport report) {
        super(report);
    }
}
