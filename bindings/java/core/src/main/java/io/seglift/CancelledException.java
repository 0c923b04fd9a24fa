package io.seglift;

/** {@link Code#CANCELLED}: the caller cancelled or was interrupted; nothing was committed. */
public final class CancelledException extends SegliftException {
    private static final long serialVersionUID = 1;

    CancelledException(ErrorReport report) {
        super(report);
    }
}
