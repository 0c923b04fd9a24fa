package io.seglift;

/** {@link Code#NOT_FOUND}: there is no such object, certainly. */
public final class NotFoundException extends SegliftException {
    private static final long serialVersionUID = 1;

    NotFoundException(ErrorReport report) {
        super(report);
    }
}
