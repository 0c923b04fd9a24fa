package io.seglift;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Where an engine's operations end: one queue of the library, and one daemon thread that polls it.
 *
 * <p>Invariant: what is registered stays reachable, and with it all memory that is lent, until its completion was
 * polled. The thread ends when the library says that the queue is shut down and empty. The queue is freed when the
 * thread, those who submit, and the writers that it wakes have left it.
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

    private static final Logger LOG = LoggerFactory.getLogger(Completions.class);
    /** Operations in flight, each of which has memory of its own: far more than a budget of many GiB can carry. */
    private static final int CAPACITY = 1 << 14;
    private static final int BATCH = 64;
    /** A completion as engine.c writes it: user_data, kind, code, count, result, error. */
    private static final int STRIDE = 6 * Long.BYTES;
    private static final int WRITABLE = 1;
    private static final int CLOSED = Code.CLOSED.number();
    /** How long a line of the log waits at most, because nothing wakes the thread for one. */
    private static final long LOG_PAUSE_MILLIS = 250;
    private static final long PAUSE_NANOS = 10_000_000;
    /** A second of pauses. */
    private static final int FREE_TRIES = 100;

    private final Handle queue;
    private final Map<Long, Sink> sinks = new ConcurrentHashMap<>();
    private final AtomicLong ids = new AtomicLong();
    private final Runnable log;
    /** Where the library writes completions, from the start: a thread that found no memory for it would end nothing. */
    private final ByteBuffer batch;
    private final Thread thread = new Thread(this, "seglift-completions");

    /**
     * @param log takes what the library has logged
     * @param end runs when the queue is freed
     */
    private Completions(long queue, ByteBuffer batch, Runnable log, Runnable end) {
        this.queue = new Handle(queue, "the engine", pointer -> {
            free(pointer);
            forwardLog();
            end.run();
        });
        this.batch = batch;
        this.log = log;
        thread.setDaemon(true);
    }

    static Completions start(long engine, Runnable log, Runnable end) throws SegliftException {
        ByteBuffer batch = ByteBuffer.allocateDirect(BATCH * STRIDE).order(ByteOrder.nativeOrder());
        long[] out = new long[2];
        Native.check(Native.queueNew(engine, CAPACITY, out), out);
        Completions completions = new Completions(out[1], batch, log, end);
        try {
            completions.thread.start();
        } catch (OutOfMemoryError e) {
            // So the JVM says that there are too many threads.
            free(out[1]);
            throw e;
        }
        return completions;
    }

    /** The queue, to submit to or to open a writer with; good until {@link #leaveQueue}. */
    long enterQueue() throws ClosedException {
        return queue.enter();
    }

    void leaveQueue() {
        queue.leave();
    }

    /**
     * Keeps a sink until its operation's completion, or until {@link #forget}; returns the number to submit it with.
     */
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

    /** Whether the thread runs; it ends when the queue is shut down and empty. */
    boolean isAlive() {
        return thread.isAlive();
    }

    void refuseToWaitForItself() {
        if (Thread.currentThread() == thread) {
            throw new IllegalStateException("a call that waits, on the thread " + thread.getName()
                    + ", for which it would wait: use an async call, or thenApplyAsync and the like of the future");
        }
    }

    /**
     * Cancels what runs; false if something did not end until then, be it a stage that depends on a future. It is
     * called once.
     *
     * @param deadline a time of {@link System#nanoTime}
     */
    boolean shutdown(long deadline) {
        long[] out = new long[1];
        int code;
        try {
            long pointer = queue.enter();
            try {
                code = Native.queueShutdown(pointer, Engine.millisUntil(deadline), out);
            } finally {
                queue.leave();
            }
        } catch (ClosedException e) {
            throw new AssertionError("closed before it was shut down", e);
        }
        Native.freeError(out[0]);
        return code == 0 && awaitEnd(deadline);
    }

    /** The thread has nothing more to wait for. If it is this thread, it ends when it comes back to its loop. */
    private boolean awaitEnd(long deadline) {
        boolean interrupted = false;
        long left;
        while (thread.isAlive() && thread != Thread.currentThread() && (left = Engine.millisUntil(deadline)) > 0) {
            try {
                thread.join(left);
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        return !thread.isAlive() || thread == Thread.currentThread();
    }

    @Override
    public void run() {
        int n;
        boolean told = false;
        while ((n = Native.queuePoll(queue.pointer(), batch, BATCH, LOG_PAUSE_MILLIS)) != -CLOSED) {
            for (int at = 0; at < n * STRIDE; at += STRIDE) {
                complete(at);
            }
            if (n < 0) {
                if (!told) {
                    warn("The queue of completions cannot be polled: {}; trying again", Code.of(-n));
                    told = true;
                }
                pause();
            }
            forwardLog();
        }
        queue.close();
        queue.leave();
    }

    /** A thread of the library may still be on its way out of the queue, and is gone soon. */
    private static void free(long queue) {
        long[] out = new long[1];
        int code = Native.queueFree(queue, out);
        for (int tries = 1; code != 0 && tries < FREE_TRIES; tries++) {
            Native.freeError(out[0]);
            pause();
            code = Native.queueFree(queue, out);
        }
        if (code != 0) {
            warn("A queue of completions could not be freed: {}", ErrorReport.take(code, out[0]).getMessage());
        }
    }

    /** Nothing that one completion throws may keep the others from their ends. */
    private void complete(int at) {
        try {
            Sink sink = sink(batch.getLong(at), batch.getLong(at + 8) == WRITABLE);
            if (sink != null) {
                sink.completed((int) batch.getLong(at + 16), batch.getLong(at + 24), batch.getLong(at + 32),
                        batch.getLong(at + 40));
            }
        } catch (Throwable e) {
            warn("A completion failed: {}", e);
        }
    }

    /** A logger that fails loses its line and nothing else. */
    private static void warn(String message, Object about) {
        try {
            LOG.warn(message, about);
        } catch (Throwable e) {
            // There is no other place to report it to.
        }
    }

    private Sink sink(long id, boolean stays) {
        while (true) {
            try {
                return stays ? sinks.get(id) : sinks.remove(id);
            } catch (OutOfMemoryError e) {
                pause();
            }
        }
    }

    /**
     * Waits for a heap that is full to have room again. Giving up instead would leave somebody waiting for ever, and a
     * broker copies nothing more while one of its threads waits.
     */
    
    static void pause() {
        LockSupport.parkNanos(PAUSE_NANOS);
    }

    private void forwardLog() {
        try {
            log.run();
        } catch (Throwable e) {
            // Lines may be lost; completions must not be.
        }
    }
}
