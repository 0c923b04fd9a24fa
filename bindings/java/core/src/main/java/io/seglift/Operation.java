package io.seglift;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/**
 * An operation that was handed to the library, as a future that its completion ends.
 *
 * <p>Invariant: it is done only when the library has let go of the memory that was lent to it. So a cancel asks the
 * library to stop and leaves it to the completion to say how it ended. {@link Completions} holds it, and with it the
 * lent memory, until then, even if nobody else does.
 */
final class Operation<T> extends CompletableFuture<T> implements Completions.Sink {
    /** Makes the result out of a completion's parts. */
    interface Decoder<T> {
        T decode(long count, long result) throws SegliftException;
    }

    private final Engine engine;
    private final Decoder<T> decoder;
    /** Held for its memory; never read. */
    @SuppressWarnings("unused")
    private final Object lent;
    private volatile long op;

    Operation(Engine engine, Object lent, Decoder<T> decoder) {
        this.engine = engine;
        this.lent = lent;
        this.decoder = decoder;
    }

    void started(long op) {
        this.op = op;
    }

    @Override
    public void completed(int code, long count, long result, long error) {
        try {
            if (code != 0 && result == 0) {
                completeExceptionally(ErrorReport.take(code, error));
                return;
            }
            // A batch of which a part failed has its results all the same, and those say it better than the error.
            Native.freeError(error);
            T value = decoder.decode(count, result);
            if (!complete(value) && value instanceof Bytes bytes) {
                bytes.close();
            }
        } catch (Throwable e) {
            completeExceptionally(e);
        }
    }

    /**
     * Asks the library to stop. The future ends soon afterwards: with {@link CancelledException}, or with its result if
     * that was certain already.
     *
     * @return false, because it is not known yet how it ends
     */
    @Override
    public boolean cancel(boolean mayInterruptIfRunning) {
        if (!isDone()) {
            engine.cancel(op);
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
                    cancel(true);
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
