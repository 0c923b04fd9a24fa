package io.seglift;

/** {@link Code#BUSY}: the handle, the queue or the memory budget is in use; try again later. */
public final class BusyException extends SegliftException {
    private static final long serialVersionUID = 1;

    BusyException(ErrorReport report) {
        super(report);
    }
}
