package io.seglift;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Brokers end without closing what they opened. */
class ExitTest {
    @Test
    void aJvmThatExitsInTheMiddleOfOperationsEndsWell() throws Exception {
        for (int i = 0; i < 3; i++) {
            assertTrue(ChildJvm.run(ChildJvm.command(List.of(), Abandoned.class), Map.of()).contains("goodbye"));
        }
    }

    /** Leaves offloads and reads behind. */
    static final class Abandoned {
        private static final int SEGMENTS = 50;
        private static final int READS = 200;

        public static void main(String[] arguments) throws Exception {
            Seglift store = Seglift.open("memory:", Map.of());
            ByteBuffer content = ByteBuffer.allocateDirect(8 << 20);
            List<ByteBuffer> buffers = new ArrayList<>();
            for (int i = 0; i < SEGMENTS; i++) {
                store.offloadAsync(Segment.of("a/" + i, content.duplicate()).build(), Call.DEFAULT);
            }
            for (int i = 0; i < READS; i++) {
                buffers.add(ByteBuffer.allocateDirect(1 << 20));
                store.readAsync(SegmentRef.of("a/" + i % SEGMENTS), 0, buffers.get(i), Call.DEFAULT);
            }
            System.out.println("goodbye");
            System.exit(0);
        }
    }
}
