package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Offsets that no int holds. With SCALE=full those, too, that no unsigned one holds. */
class BigOffsetsTest {
    private static final long SIZE = (System.getenv("SCALE") != null && System.getenv("SCALE").equals("full")
            ? 1L << 32 : 1L << 31) + (1 << 20);

    @TempDir
    Path folder;

    @Test
    void aLongSegmentIsReadWhereNoIntReaches() throws Exception {
        Path sparse = folder.resolve("long.log");
        try (FileChannel channel = FileChannel.open(sparse, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            for (long at : new long[] {0, (1L << 31) - 4, SIZE - 8}) {
                channel.write(ByteBuffer.allocate(8).putLong(0, at + 1), at);
            }
        }
        try (Seglift seglift = Seglift.open("memory:", Map.of("codec.zstd.level", "-7"))) {
            Receipt receipt = seglift.offload(
                    Segment.of("t/long", sparse).offsets(1L << 40, (1L << 62) + 1).build(), Call.DEFAULT);
            assertEquals(SIZE, receipt.segmentBytes());
            SegmentRef ref = new SegmentRef("t/long", receipt.token());
            ByteBuffer into = ByteBuffer.allocateDirect(8);
            for (long at : new long[] {0, (1L << 31) - 4, SIZE - 8}) {
                assertEquals(8, seglift.read(ref, at, into.clear(), Call.DEFAULT));
                assertEquals(at + 1, into.getLong(0));
                try (Bytes bytes = seglift.readBytes(ref, at, 8, Call.DEFAULT)) {
                    assertEquals(at + 1, bytes.buffer().getLong());
                }
            }
            assertEquals(0, seglift.read(ref, SIZE, into.clear(), Call.DEFAULT));
            assertEquals((1L << 62) + 1, seglift.stat(ref, Call.DEFAULT).offsets().orElseThrow().last());
        }
    }
}
