package io.seglift;

/**
 * {@link Code#NOT_FOUND_OR_DENIED}: missing or forbidden, and the store does not say which. Never treat it as missing.
 */
public final class NotFoundOrDeniedException extends SegliftException {
    private static final long serialVersionUID = 1;

    NotFoundOrDeniedException(ErrorReport report) {
        super(report);
    }
}
