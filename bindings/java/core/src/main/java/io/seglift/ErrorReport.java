package io.seglift;

/** What the library says of a failure, before it becomes an exception of the right class. */
record ErrorReport(
        Code code,
        String message,
        int httpStatus,
        String serviceCode,
        String requestId,
        String extendedRequestId,
        boolean retryable,
        long retryAfterMillis) {

    /** A failure on this side of the boundary. */
    static ErrorReport of(Code code, String message) {
        return new ErrorReport(code, message, 0, "", "", "", false, -1);
    }

    static ErrorReport unpack(Unpacker in) {
        int number = (int) in.number();
        String message = in.text();
        Code code = Code.of(number);
        return new ErrorReport(
                code,
                code.number() == number ? message : "code " + number + " of a newer library: " + message,
                (int) in.number(),
                in.text(),
                in.text(),
                in.text(),
                in.number() != 0,
                in.number());
    }

    /** The exception for an error handle of the library, which is freed; 0 if the library gave none. */
    static SegliftException take(int code, long error) {
        if (error == 0) {
            return of(Code.of(code), Code.of(code) + ", and no memory to say more").toException();
        }
        return unpack(new Unpacker(Native.takeError(error))).toException();
    }

    SegliftException toException() {
        return switch (code) {
            case NOT_FOUND -> new NotFoundException(this);
            case NOT_FOUND_OR_DENIED -> new NotFoundOrDeniedException(this);
            case ALREADY_EXISTS -> new AlreadyExistsException(this);
            case CORRUPT -> new CorruptException(this);
            case OUT_OF_RANGE -> new OutOfRangeException(this);
            case TIMED_OUT -> new TimedOutException(this);
            case CANCELLED -> new CancelledException(this);
            case OUTCOME_UNKNOWN -> new OutcomeUnknownException(this);
            case BUSY -> new BusyException(this);
            case CLOSED -> new ClosedException(this);
            default -> new SegliftException(this);
        };
    }
}
