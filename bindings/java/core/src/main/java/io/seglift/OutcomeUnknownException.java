package io.seglift;

/** {@link Code#OUTCOME_UNKNOWN}: the commit may or may not have happened; repeat the offload to settle it. */
public final class OutcomeUnknownException extends SegliftException {
    private static final long serialVersionUID = 1;

    OutcomeUnknownException(ErrorReport report) {
        super(report);
    }
}
