package io.seglift;

/** {@link Code#CLOSED}: the handle was closed before the call or during it. */
public final class ClosedException extends SegliftException {
    private static final long serialVersionUID = 1;

    ClosedException(ErrorReport report) {
        super(report);
    }
}
