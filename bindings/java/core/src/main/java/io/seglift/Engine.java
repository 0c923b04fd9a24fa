package io.seglift;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Threads, memory budget, caches, metrics and logs, shared by all drivers that are opened on it. A host needs one.
 *
 * <p>Invariant: each operation that was accepted ends its future once, on the engine's one daemon thread
 * {@code seglift-completions} (a verify on a thread {@code seglift-verify}); the engine is freed when its last operation has ended. Threads: any number.
 */
public final class Engine implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Engine.class);
    /** Operations end within two seconds of a cancel; a store that hangs may take its attempt's time-out. */
    static final long CLOSE_MILLIS = 30_000;

    private final Handle handle;
    private final Completions completions;
    private final MetricsBean bean;
    private final Verifications verifications = new Verifications();
    private final Set<Seglift> drivers = ConcurrentHashMap.newKeySet();

    private Engine(long engine) throws SegliftException {
        handle = new Handle(engine, "the engine", Engine::free);
        try {
            completions = Completions.start(engine, new LogForwarder(() -> Native.logPoll(engine)), handle::leave);
        } catch (SegliftException | Error e) {
            handle.close();
            handle.leave();
            throw e;
        }
        bean = MetricsBean.register(this::metrics);
    }

    /**
     * Opens an engine. Settings of drivers may be among these and are ignored, so that one map does for both.
     *
     * @param settings by their names, such as {@code memory.budget}; docs/configuration.md has all
     * @throws SegliftException {@link Code#INVALID_CONFIG} names the setting and the remedy
     */
    public static Engine open(Map<String, String> settings) throws SegliftException {
        NativeLibrary.load();
        long[] out = new long[2];
        Native.check(Native.engineOpen(pack(new Packer(), settings), out), out);
        return new Engine(out[1]);
    }

    /** The metrics as Prometheus text; docs/metrics.md explains each. */
    public String metrics() throws SegliftException {
        return document(Native::engineMetrics);
    }

    /** What the engine does now: threads, memory, operations in flight and the last ones that failed, as JSON. */
    public String status() throws SegliftException {
        return document(Native::engineStatus);
    }

    /**
     * Closes the drivers that are still open, cancels what runs, and waits for its end, half a minute at most; what
     * then still hangs ends in the background. Closing twice is fine.
     */
    @Override
    public void close() {
        closeBy(closeDeadline());
    }

    /** Closes it, or goes on to wait for no one, at this time of {@link System#nanoTime}. */
    void closeBy(long deadline) {
        if (handle.close()) {
            close(deadline);
        }
    }

    private void close(long deadline) {
        bean.close();
        drivers.forEach(driver -> driver.closeBy(deadline));
        verifications.shutdown();
        if (!completions.shutdown(deadline)) {
            LOG.warn("Operations, or what depends on their futures, have not ended {} ms after the engine was closed;"
                    + " their memory stays until they have", CLOSE_MILLIS);
        }
    }

    /** When a close that begins now stops to wait; one close has one deadline, however much it closes. */
    static long closeDeadline() {
        return System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(CLOSE_MILLIS);
    }

    /** What is left until a deadline, 0 when it is over. */
    static long millisUntil(long deadline) {
        return Math.max(0, TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime()));
    }

    /** Hands an operation to the library; a refusal is the future's failure. */
    <T> Operation<T> submit(Handle target, Object lent, Operation.Decoder<T> decoder, Submission submission) {
        Operation<T> operation = new Operation<>(this, lent, decoder);
        try {
            long pointer = target.enter();
            try {
                submit(operation, pointer, submission);
            } finally {
                target.leave();
            }
        } catch (SegliftException e) {
            operation.fail(e);
        }
        return operation;
    }

    private void submit(Operation<?> operation, long target, Submission submission) throws SegliftException {
        long[] out = new long[2];
        long id = completions.register(operation);
        boolean accepted = false;
        try {
            long queue = completions.enterQueue();
            try {
                Native.check(submission.submit(target, queue, id, out), out);
                accepted = true;
                operation.started(out[1]);
            } finally {
                completions.leaveQueue();
            }
        } finally {
            if (!accepted) {
                completions.forget(id);
            }
        }
    }

    /** One submit of the library. */
    interface Submission {
        int submit(long target, long queue, long id, long[] out);
    }

    void cancel(long op) {
        try {
            long engine = handle.enter();
            try {
                Native.cancel(engine, op);
            } finally {
                handle.leave();
            }
        } catch (ClosedException e) {
            // Closing has cancelled everything.
        }
    }

    Handle handle() {
        return handle;
    }

    Completions completions() {
        return completions;
    }

    Verifications verifications() {
        return verifications;
    }

    /** Takes a driver to close with the engine; at once, if that was closed in the meantime. */
    void opened(Seglift driver) {
        drivers.add(driver);
        if (handle.isClosed()) {
            driver.close();
        }
    }

    void closed(Seglift driver) {
        drivers.remove(driver);
    }

    static byte[] pack(Packer out, Map<String, String> settings) {
        out.number(settings.size());
        settings.forEach((name, value) -> out.text(name, "name of a setting").text(value, "value of " + name));
        return out.toBytes();
    }

    private interface Document {
        byte[] of(long engine, long[] out);
    }

    private String document(Document document) throws SegliftException {
        long[] out = new long[1];
        byte[] text;
        long engine = handle.enter();
        try {
            text = document.of(engine, out);
        } finally {
            handle.leave();
        }
        if (text == null) {
            throw ErrorReport.take(Code.INTERNAL.number(), out[0]);
        }
        return new String(text, StandardCharsets.UTF_8);
    }

    private static void free(long engine) {
        long[] out = new long[1];
        int code = Native.engineFree(engine, out);
        if (code != 0) {
            LOG.warn("The engine could not be freed", ErrorReport.take(code, out[0]));
        }
    }
}
