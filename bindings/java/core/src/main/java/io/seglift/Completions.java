package io.seglift;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Where an engine's operations end: one queue of the library, and one daemon thread that polls it.
 *
 * <p>Invariant: what is registered stays reachable, and with it all memory that is lent, until its completion was polled.
 * The thread is the only one that frees the queue, after the library said that it is shut down and empty.
 *
 * <p>Trade-off: dependent stages of futures run on this thread unless they are told otherwise. One that waits holds up
 * all others, and one that waits for another operation would wait for ever, which {@link #refuseToWaitForItself} turns
 * into an error.
 */
final class Completions implements Runnable {
    /** What a completion ends, or in the case of a writer, what it wakes. */
    interface Sink {
        void completed(int code, long count, long result, long error);
    }

    /** Operations in flight, each of which has memory of its own: far more than a budget of many GiB can carry. */
    private static final int CAPACITY = 1 << 14;
    private static final int BATCH = 64;
    /** A completion as engine.c writes it: user_data, kind, code, count, result, error. */
    private static final int STRIDE = 6 * Long.BYTES;
    private static final int WRITABLE = 1;
    private static final int CLOSED = Code.CLOSED.number();
    /** How long a line of the log waits at most, because nothing wakes the thread for one. */
    private static final long LOG_PAUSE_MILLIS = 250;

    final long queue;
    private final Map<Long, Sink> sinks = new ConcurrentHashMap<>();
    private final AtomicLong ids = new AtomicLong();
    private final Runnable log;
    private final Runnable end;
    private final Thread thread = new Thread(this, "seglift-completions");

    /**
     * @param log takes what the library has logged
     * @param end runs when the queue is freed
     */
    private Completions(long queue, Runnable log, Runnable end) {
        this.queue = queue;
        this.log = log;
        this.end = end;
        thread.setDaemon(true);
    }

    static Completions start(long engine, Runnable log, Runnable end) throws SegliftException {
        long[] out = new long[2];
        Native.check(Native.queueNew(engine, CAPACITY, out), out);
        Completions completions = new Completions(out[1], log, end);
        completions.thread.start();
        return completions;
    }

    /** Keeps a sink until its operation's completion, or until {@link #forget}; returns the number to submit it with. */
    long register(Sink sink) {
        long id = ids.incrementAndGet();
        sinks.put(id, sink);
        return id;
    }

    void forget(long id) {
        sinks.remove(id);
    }

    /** How many operations were submitted and have not completed; open writers count as well. */
    int pending() {
        return sinks.size();
    }

    void refuseToWaitForItself() {
        if (Thread.currentThread() == thread) {
            throw new IllegalStateException("a call that waits, on the thread seglift-completions, which must not wait: "
                    + "use the ...Async methods of CompletableFuture, such as thenApplyAsync, or an async call");
        }
    }

    /** Cancels what runs and waits at most so long until the thread has ended. */
    boolean shutdown(long timeoutMillis) {
        long[] out = new long[1];
        int code = Native.queueShutdown(queue, timeoutMillis, out);
        Native.freeError(out[0]);
        if (code != 0 || Thread.currentThread() == thread) {
            return code == 0;
        }
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        return true;
    }

    @Override
    public void run() {
        ByteBuffer batch = ByteBuffer.allocateDirect(BATCH * STRIDE).order(ByteOrder.nativeOrder());
        int n;
        while ((n = Native.queuePoll(queue, batch, BATCH, LOG_PAUSE_MILLIS)) != -CLOSED) {
            for (int at = 0; at < n * STRIDE; at += STRIDE) {
                complete(batch, at);
            }
            log.run();
        }
        long[] out = new long[1];
        Native.queueFree(queue, out);
        Native.freeError(out[0]);
        log.run();
        end.run();
    }

    private void complete(ByteBuffer batch, int at) {
        long id = batch.getLong(at);
        Sink sink = batch.getLong(at + 8) == WRITABLE ? sinks.get(id) : sinks.remove(id);
        if (sink != null) {
            sink.completed((int) batch.getLong(at + 16), batch.getLong(at + 24), batch.getLong(at + 32),
                    batch.getLong(at + 40));
        }
    }
}
