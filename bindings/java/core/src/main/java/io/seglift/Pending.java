package io.seglift;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.function.Supplier;

/**
 * What a call has begun, as a future.
 *
 * <p>Invariant: it is done only when the library has let go of the memory that was lent to it. So a cancel asks the
 * library to stop, and how it ended is said when it has ended. The same holds for all other ways in which a host could
 * end a future, time-outs included: they ask the library to stop, and the future ends with {@link CancelledException}.
 * Futures that depend on it are plain ones.
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
     * Asks the library to stop, as {@link #cancel}: {@link #completeOnTimeout} comes here.
     *
     * @return false, because the value does not count
     */
    @Override
    public boolean complete(T value) {
        return cancel(true);
    }

    /**
     * Asks the library to stop, as {@link #cancel}: {@link #orTimeout} comes here.
     *
     * @return false, because the failure does not count
     */
    @Override
    public boolean completeExceptionally(Throwable failure) {
        return cancel(true);
    }

    /** Asks the library to stop, as {@link #cancel}; the supplier is not asked. */
    @Override
    public CompletableFuture<T> completeAsync(Supplier<? extends T> supplier, Executor executor) {
        cancel(true);
        return this;
    }

    /** Is refused: the library may still use what was lent to it. */
    @Override
    public void obtrudeValue(T value) {
        throw new UnsupportedOperationException("only the library ends an operation; cancel asks it to");
    }

    /** Is refused, as {@link #obtrudeValue}. */
    @Override
    public void obtrudeException(Throwable failure) {
        obtrudeValue(null);
    }

    /** Ends it: the library has let go of the memory. */
    final void end(T value) {
        super.complete(value);
    }

    /** Ends it with a failure: the library has let go of the memory, or never had it. */
    final void fail(Throwable failure) {
        super.completeExceptionally(failure);
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
