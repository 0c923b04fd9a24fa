package io.seglift;

/** {@link Code#TIMED_OUT}: the deadline or the stall limit passed; nothing was committed. */
public final class TimedOutException extends SegliftException {
    private static final long serialVersionUID = 1;

    TimedOutException(ErrorReport report) {
        super(report);
    }
}
