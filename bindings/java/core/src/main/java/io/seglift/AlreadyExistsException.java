package io.seglift;

/** {@link Code#ALREADY_EXISTS}: the key is taken by another content; nothing was changed. */
public final class AlreadyExistsException extends SegliftException {
    private static final long serialVersionUID = 1;

    AlreadyExistsException(ErrorReport report) {
        super(report);
    }
}
