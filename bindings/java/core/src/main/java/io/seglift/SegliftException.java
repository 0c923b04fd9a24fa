package io.seglift;

import java.io.IOException;
import java.time.Duration;
import java.util.Optional;

/**
 * Why a call failed. Its message says what happened, to what, and what to do; it is for people and holds no secret.
 * Programs go by {@link #code()}, or catch one of the subclasses.
 */
public class SegliftException extends IOException {
    private static final long serialVersionUID = 1;

    private final Code code;
    private final int httpStatus;
    private final String serviceCode;
    private final String requestId;
    private final String extendedRequestId;
    private final boolean retryable;
    private final long retryAfterMillis;

    SegliftException(ErrorReport report) {
        super(report.message());
        code = report.code();
        httpStatus = report.httpStatus();
        serviceCode = report.serviceCode();
        requestId = report.requestId();
        extendedRequestId = report.extendedRequestId();
        retryable = report.retryable();
        retryAfterMillis = report.retryAfterMillis();
    }

    /** What kind of failure it is. */
    public Code code() {
        return code;
    }

    /** The store's HTTP status; 0 if no store answered. */
    public int httpStatus() {
        return httpStatus;
    }

    /** The store's own code, such as {@code AccessDenied}; empty if there is none. */
    public String serviceCode() {
        return serviceCode;
    }

    /** The store's request id, for its support; empty if there is none. */
    public String requestId() {
        return requestId;
    }

    /** The store's extended request id ({@code x-amz-id-2} of S3); empty if there is none. */
    public String extendedRequestId() {
        return extendedRequestId;
    }

    /** Whether the same call may succeed later without anyone changing anything. */
    public boolean retryable() {
        return retryable;
    }

    /** How long the store asks to wait before the next attempt, if it said so. */
    public Optional<Duration> retryAfter() {
        return retryAfterMillis < 0 ? Optional.empty() : Optional.of(Duration.ofMillis(retryAfterMillis));
    }
}
