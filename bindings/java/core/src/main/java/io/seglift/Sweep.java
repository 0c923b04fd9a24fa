package io.seglift;

import java.util.List;
import java.util.function.Consumer;

/**
 * Deletes objects of this owner that nobody refers to: feed all keys that are referred to, in byte order, then finish.
 * Closing it before that stops it: nothing behind the last key that was fed is deleted. Threads: one at a time.
 */
public final class Sweep implements Child {
    /** Keys that cross at once: about as many as the page of the store that a step judges. */
    private static final int BATCH = 1000;

    private final Seglift driver;
    private final Handle handle;

    Sweep(Seglift driver, long sweep) {
        this.driver = driver;
        handle = new Handle(sweep, "the sweep", Native::sweepFree);
    }

    /**
     * Feeds keys, and judges the objects between them. After an exception close the sweep and begin another; what was
     * deleted stays so.
     *
     * @param keys in strictly increasing byte order over all feeds
     * @param steps told of each step as it is done
     */
    public void feed(List<String> keys, Call call, Consumer<Cleanup> steps) throws SegliftException {
        driver.engine().completions().refuseToWaitForItself();
        int at = 0;
        while (at < keys.size()) {
            byte[] packed = Seglift.packKeys(keys.subList(at, Math.min(keys.size(), at + BATCH)));
            long[] taken = new long[1];
            Operation.Decoder<Cleanup> decoder = (count, cleanup) -> {
                taken[0] = count;
                return Cleanup.take(cleanup);
            };
            Cleanup step = driver.engine().submit(handle, null, decoder, (sweep, queue, id, out) ->
                    Native.sweepFeed(sweep, queue, id, packed, call.packed, out)).await();
            at += (int) taken[0];
            steps.accept(step);
        }
    }

    /**
     * Says that the list is complete, and judges what lies behind its last key. A list without a key is refused,
     * because the sweep would delete everything.
     */
    public void finish(Call call, Consumer<Cleanup> steps) throws SegliftException {
        driver.engine().completions().refuseToWaitForItself();
        Cleanup step;
        do {
            step = driver.engine().submit(handle, null, (count, cleanup) -> Cleanup.take(cleanup),
                    (sweep, queue, id, out) -> Native.sweepFinish(sweep, queue, id, call.packed, out)).await();
            steps.accept(step);
        } while (!step.done());
    }

    /** Ends the sweep; a step that is under way ends by itself. Closing twice is fine. */
    @Override
    public void close() {
        if (handle.close()) {
            driver.closed(this);
            handle.leave();
        }
    }
}
