package io.seglift;

/**
 * A verify that runs on a thread of its own, because the library lists damage only to callers that wait. It reads a
 * whole object, so a thread is the least of what it costs.
 */
final class Verification extends Pending<VerifyReport> {
    private final Handle token;

    private Verification(long token) {
        this.token = new Handle(token, "the verification", Native::cancelFree);
    }

    static Verification start(Handle driver, SegmentRef ref, Call call) {
        Verification verification = new Verification(Native.cancelNew());
        Thread thread = new Thread(() -> verification.run(driver, ref, call), "seglift-verify");
        thread.setDaemon(true);
        thread.start();
        return verification;
    }

    private void run(Handle driver, SegmentRef ref, Call call) {
        try {
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
            end(VerifyReport.unpack(new Unpacker(report)));
        } catch (Throwable e) {
            fail(e);
        } finally {
            token.close();
            token.leave();
        }
    }

    @Override
    void stop() {
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
