package io.seglift;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/**
 * What a call has begun, as a future.
 *
 * <p>Invariant: it is done only when the library has let go of the memory that was lent to it. So a cancel asks the
 * library to stop, and how it ended is said when it has ended.
 */
abstract class Pending<T> extends CompletableFuture<T> {
    /** Asks the library to stop. Nothing happens if it has ended. */
    abstract void stop();

    /**
     * Asks the library to stop. The future ends soon afterwards: with {@link CancelledException}, or with its result if
     * that was certain already.
     *
     * @return false, because it is not known yet how it ends
     */
    @Override
    public boolean cancel(boolean mayInterruptIfRunning) {
        if (!isDone()) {
            stop();
        }
        return false;
    }

    /**
     * Waits for the end. An interrupt asks the library to stop and goes on waiting until it has let go of the memory,
     * which is soon; the thread's interrupt flag is set again.
     */
    T await() throws SegliftException {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return get();
                } catch (InterruptedException e) {
                    interrupted = true;
                    stop();
                }
            }
        } catch (ExecutionException e) {
            throw asThrownHere(e.getCause());
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** The failure with the stack of this thread instead of that of the thread that polls. */
    private static SegliftException asThrownHere(Throwable cause) {
        if (cause instanceof SegliftException failure) {
            failure.fillInStackTrace();
            return failure;
        }
        if (cause instanceof Error error) {
            throw error;
        }
        throw new IllegalStateException(cause);
    }
}
