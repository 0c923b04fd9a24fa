package io.seglift;

import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * The threads that an engine verifies on, because the library lists damage only to callers that wait.
 *
 * <p>They are begun with the first verify and end when there was none for a while. Trade-off: a few, because each verify
 * reads a whole object and a few of those fill a link; what comes on top waits its turn.
 */
final class Verifications {
    private static final int THREADS = 4;
    private static final int WAITING = 1024;
    private static final long IDLE_SECONDS = 10;

    private final ThreadPoolExecutor threads = new ThreadPoolExecutor(
            THREADS, THREADS, IDLE_SECONDS, TimeUnit.SECONDS, new LinkedBlockingQueue<>(WAITING), task -> {
                Thread thread = new Thread(task, "seglift-verify");
                thread.setDaemon(true);
                return thread;
            });

    Verifications() {
        threads.allowCoreThreadTimeOut(true);
    }

    Verification start(Handle driver, SegmentRef ref, Call call) {
        Verification verification = new Verification(Native.cancelNew(), driver, ref, call);
        try {
            threads.execute(verification);
        } catch (RejectedExecutionException e) {
            verification.refuse(threads.isShutdown()
                    ? ErrorReport.of(Code.CLOSED, "the engine is closed")
                    : ErrorReport.of(Code.BUSY, WAITING + " verifications wait already; start fewer at once"));
        } catch (Throwable e) {
            verification.free();
            throw e;
        }
        return verification;
    }

    /** Takes no more; what was taken is told that its driver is closed. */
    void shutdown() {
        threads.shutdown();
    }
}
