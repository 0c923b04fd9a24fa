package io.seglift;

/**
 * An operation in the library's queue. {@link Completions} holds it until its completion was polled, and with it the
 * memory that was lent, even if nobody else does.
 */
final class Operation<T> extends Pending<T> implements Completions.Sink {
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
                throw ErrorReport.take(code, error);
            }
            // A batch of which a part failed has its results all the same, and those say it better than the error.
            Native.freeError(error);
            end(decoder.decode(count, result));
        } catch (Throwable e) {
            failForSure(e);
        }
    }

    private void failForSure(Throwable failure) {
        while (!isDone()) {
            try {
                fail(failure);
            } catch (OutOfMemoryError e) {
                Completions.pause();
            }
        }
    }

    @Override
    void stop() {
        engine.cancel(op);
    }
}
