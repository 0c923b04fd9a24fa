package io.seglift;

/** {@link Code#OUT_OF_RANGE}: the offset, record or attachment lies outside the segment. */
public final class OutOfRangeException extends SegliftException {
    private static final long serialVersionUID = 1;

    OutOfRangeException(ErrorReport report) {
        super(report);
    }
}
