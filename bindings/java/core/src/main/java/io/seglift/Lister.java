package io.seglift;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A walk over the keys of a store in byte order, page by page. Close it always.
 *
 * <p>Threads: one at a time; a second one is told {@link BusyException}.
 */
public final class Lister implements Child {
    private static final int END = Code.END.number();

    private final Seglift driver;
    private final Handle handle;
    private final AtomicBoolean busy = new AtomicBoolean();

    Lister(Seglift driver, long lister) {
        this.driver = driver;
        handle = new Handle(lister, "the listing", Native::listFree);
    }

    /**
     * The next page.
     *
     * @param max the most entries that it may have; 0 = 1,000
     * @return empty only at the end. After an exception the same page is loaded again.
     * @throws BusyException if another thread loads a page
     */
    public List<ObjectEntry> next(int max, Call call) throws SegliftException {
        if (max < 0) {
            throw new IllegalArgumentException("a page of " + max + " entries");
        }
        driver.engine().completions().refuseToWaitForItself();
        if (!busy.compareAndSet(false, true)) {
            throw ErrorReport.of(Code.BUSY, "the listing is in use by another thread").toException();
        }
        try {
            List<ObjectEntry> page;
            do {
                page = load(max, call);
            } while (page.isEmpty());
            return page;
        } catch (SegliftException e) {
            if (e.code().number() == END) {
                return List.of();
            }
            throw e;
        } finally {
            busy.set(false);
        }
    }

    private List<ObjectEntry> load(int max, Call call) throws SegliftException {
        long n = driver.engine().submit(handle, null, (count, none) -> count, (lister, queue, id, out) ->
                        Native.listNext(lister, queue, id, max, call.packed, out))
                .await();
        List<ObjectEntry> page = new ArrayList<>((int) n);
        long lister = handle.enter();
        try {
            Unpacker in = new Unpacker(Native.listPage(lister, n));
            while (in.hasMore()) {
                page.add(new ObjectEntry(in.text(), in.number(), SegmentInfo.micros(in.number())));
            }
        } finally {
            handle.leave();
        }
        return page;
    }

    /** Ends the walk. Closing twice is fine. */
    @Override
    public void close() {
        if (handle.close()) {
            driver.closed(this);
            handle.leave();
        }
    }
}
