package io.seglift;

import java.nio.ByteBuffer;
import java.util.Map;
import java.util.concurrent.Callable;

/**
 * An open store that offloads a segment and reads it back when it is called: for tests that load seglift in class
 * loaders and JVMs of their own, and so know it only as a Callable.
 */
public final class SmallestHost implements Callable<String>, AutoCloseable {
    private final Seglift store = Seglift.open("memory:", Map.of());

    public SmallestHost() throws SegliftException {}

    /** What came back. */
    @Override
    public String call() throws SegliftException {
        ByteBuffer segment = ByteBuffer.allocateDirect(5).put("hello".getBytes()).flip();
        store.offload(Segment.of("a/0", segment).ifExists(IfExists.SUCCEED_IF_SAME).build(), Call.DEFAULT);
        ByteBuffer back = ByteBuffer.allocateDirect(5);
        store.read(SegmentRef.of("a/0"), 0, back, Call.DEFAULT);
        byte[] bytes = new byte[back.flip().remaining()];
        back.get(bytes);
        return new String(bytes);
    }

    @Override
    public void close() {
        store.close();
    }

    /** Prints what came back, or why nothing can. */
    public static void main(String[] arguments) {
        try (SmallestHost host = new SmallestHost()) {
            System.out.println(host.call());
        } catch (SegliftException e) {
            System.out.println(e.getMessage());
        }
    }
}
