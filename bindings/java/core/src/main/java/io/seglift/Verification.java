package io.seglift;

import java.util.concurrent.atomic.AtomicBoolean;

/** One verify, run by a thread of {@link Verifications}; one that has not begun ends at once when it is stopped. */
final class Verification extends Pending<VerifyReport> implements Runnable {
    private final Handle token;
    private final Handle driver;
    private final SegmentRef ref;
    private final Call call;
    /** Set by who comes first: the thread that runs it, or who stops it before. */
    private final AtomicBoolean taken = new AtomicBoolean();

    Verification(long token, Handle driver, SegmentRef ref, Call call) {
        this.token = new Handle(token, "the verification", Native::cancelFree);
        this.driver = driver;
        this.ref = ref;
        this.call = call;
    }

    @Override
    public void run() {
        if (!taken.compareAndSet(false, true)) {
            return;
        }
        VerifyReport report;
        try {
            report = verify();
        } catch (Throwable e) {
            free();
            fail(e);
            return;
        }
        free();
        end(report);
    }

    private VerifyReport verify() throws SegliftException {
        long[] out = new long[1];
        byte[] report;
        long pointer = driver.enter();
        try {
            report = Native.verify(pointer, token.pointer(), ref.packed, call.packed, out);
        } finally {
            driver.leave();
        }
        if (report == null) {
            throw ErrorReport.take(Code.INTERNAL.number(), out[0]);
        }
        return VerifyReport.unpack(new Unpacker(report));
    }

    /** Ends what has not begun. */
    void refuse(ErrorReport why) {
        if (taken.compareAndSet(false, true)) {
            free();
            fail(why.toException());
        }
    }

    void free() {
        if (token.close()) {
            token.leave();
        }
    }

    @Override
    void stop() {
        refuse(ErrorReport.of(Code.CANCELLED, "cancelled before the verification began"));
        try {
            long pointer = token.enter();
            try {
                Native.cancelRequest(pointer);
            } finally {
                token.leave();
            }
        } catch (ClosedException e) {
            // It has ended.
        }
    }
}
