package io.seglift;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What goes in comes out, whichever way it goes. */
class RoundtripTest {
    private static final int SIZE = 3_000_001;

    @TempDir
    Path folder;

    /** A store by its name; those on files lie in the test's own folder. */
    private Seglift open(String store) throws Exception {
        String uri = store.equals("file") ? "file://" + Files.createDirectories(folder.resolve("store")) : "memory:";
        return Seglift.open(uri, Map.of("owner", "roundtrip"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"file", "memory"})
    void aSegmentReadsBackByteForByte(String store) throws Exception {
        byte[] content = Samples.bytes(SIZE, 1);
        Path file = Files.write(folder.resolve("segment.log"), content);
        try (Seglift seglift = open(store)) {
            Receipt receipt = seglift.offload(Segment.of("t/0/whole", file).build(), Call.DEFAULT);
            assertEquals(SIZE, receipt.segmentBytes());
            assertEquals(Mode.BYTES, receipt.mode());
            assertEquals(Codec.ZSTD, receipt.codec());
            assertFalse(receipt.existed());
            SegmentRef ref = new SegmentRef("t/0/whole", receipt.token());
            ByteBuffer into = ByteBuffer.allocateDirect(SIZE + 10);
            assertEquals(SIZE, seglift.read(ref, 0, into, Call.DEFAULT));
            assertEquals(SIZE, into.position());
            assertArrayEquals(content, Samples.array(into.flip()));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"file", "memory"})
    void aRangeGoesBetweenThePositionAndTheLimit(String store) throws Exception {
        byte[] content = Samples.bytes(SIZE, 2);
        try (Seglift seglift = open(store)) {
            SegmentRef ref = offload(seglift, "t/0/range", content);
            for (Call call : List.of(
                    Call.DEFAULT,
                    Call.DEFAULT.sequential(),
                    Call.DEFAULT.random().noCache())) {
                ByteBuffer into = ByteBuffer.allocateDirect(5000).position(100).limit(1100);
                assertEquals(1000, seglift.read(ref, 777_777, into, call));
                assertEquals(1100, into.position());
                byte[] all = Samples.array(into.clear());
                assertArrayEquals(Arrays.copyOfRange(content, 777_777, 778_777), Arrays.copyOfRange(all, 100, 1100));
                assertArrayEquals(new byte[100], Arrays.copyOf(all, 100));
                assertArrayEquals(new byte[3900], Arrays.copyOfRange(all, 1100, 5000));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"file", "memory"})
    void aReadIsShortAtTheEndEmptyThereAndOutOfRangeBehind(String store) throws Exception {
        try (Seglift seglift = open(store)) {
            SegmentRef ref = offload(seglift, "t/0/end", Samples.bytes(10_000, 3));
            ByteBuffer into = ByteBuffer.allocateDirect(100);
            assertEquals(30, seglift.read(ref, 9_970, into, Call.DEFAULT));
            assertEquals(0, seglift.read(ref, 10_000, into, Call.DEFAULT));
            assertThrows(OutOfRangeException.class, () -> seglift.read(ref, 10_001, into, Call.DEFAULT));
            assertEquals(30, into.position());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"file", "memory"})
    void manyReadsAtOnceEachGetTheirOwnBytes(String store) throws Exception {
        byte[] content = Samples.bytes(SIZE, 4);
        try (Seglift seglift = open(store)) {
            SegmentRef ref = offload(seglift, "t/0/many", content);
            ByteBuffer[] into = new ByteBuffer[200];
            List<CompletableFuture<Integer>> reads = new java.util.ArrayList<>();
            for (int i = 0; i < into.length; i++) {
                into[i] = ByteBuffer.allocateDirect(4096);
                reads.add(seglift.readAsync(ref, i * 10_007L, into[i], Call.DEFAULT));
            }
            for (int i = 0; i < into.length; i++) {
                assertEquals(4096, reads.get(i).join());
                assertEquals(0, into[i].position());
                assertArrayEquals(Arrays.copyOfRange(content, i * 10_007, i * 10_007 + 4096), Samples.array(into[i]));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"file", "memory"})
    void whatMemoryHoldsIsReadWithoutWaiting(String store) throws Exception {
        byte[] content = Samples.bytes(SIZE, 5);
        try (Seglift seglift = open(store)) {
            SegmentRef ref = offload(seglift, "t/0/cached", content);
            ByteBuffer into = ByteBuffer.allocateDirect(1000);
            assertTrue(seglift.tryRead(ref, 5000, into).isEmpty());
            assertEquals(0, into.position());
            seglift.read(ref, 5000, into, Call.DEFAULT);
            assertEquals(1000, seglift.tryRead(ref, 5000, into.clear()).getAsInt());
            assertArrayEquals(Arrays.copyOfRange(content, 5000, 6000), Samples.array(into.flip()));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"file", "memory"})
    void bytesComeWithoutACopyAndOutliveTheirDriver(String store) throws Exception {
        byte[] content = Samples.bytes(SIZE, 6);
        Bytes cold;
        Bytes warm;
        try (Seglift seglift = open(store)) {
            SegmentRef ref = offload(seglift, "t/0/bytes", content);
            cold = seglift.readBytes(ref, 1_000_000, 2000, Call.DEFAULT);
            warm = seglift.readBytes(ref, 1_000_000, 2000, Call.DEFAULT);
            try (Bytes none = seglift.readBytes(ref, SIZE, 10, Call.DEFAULT)) {
                assertEquals(0, none.size());
                assertEquals(0, none.buffer().remaining());
            }
        }
        for (Bytes bytes : List.of(cold, warm)) {
            assertTrue(bytes.buffer().isReadOnly());
            assertArrayEquals(Arrays.copyOfRange(content, 1_000_000, 1_002_000), Samples.array(bytes.buffer()));
            bytes.close();
            bytes.close();
            assertThrows(IllegalStateException.class, bytes::buffer);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"file", "memory"})
    void attachmentsAndMetadataComeBackAsTheyWereGiven(String store) throws Exception {
        byte[] index = Samples.bytes(70_000, 7);
        ByteBuffer epochs = ByteBuffer.wrap("0 0\n1 42\n".getBytes(StandardCharsets.UTF_8)).position(4);
        Segment segment = Segment.of("t/0/attached", Samples.direct(Samples.bytes(100_000, 8)))
                .attachment("index", Files.write(folder.resolve("00.index"), index))
                .attachment("leader epochs 🦀", epochs)
                .attachment("empty", new byte[0])
                .metadata("content-type", "application/x-test".getBytes(StandardCharsets.UTF_8))
                .metadata("raw", new byte[] {0, -1, 2})
                .offsets(41, 1L << 40)
                .codec(Codec.NONE)
                .build();
        try (Seglift seglift = open(store)) {
            Receipt receipt = seglift.offload(segment, Call.DEFAULT);
            SegmentRef ref = new SegmentRef(segment.key(), receipt.token());
            assertEquals(4, epochs.position());
            try (Bytes read = seglift.readAttachment(ref, "index", Call.DEFAULT)) {
                assertArrayEquals(index, Samples.array(read.buffer()));
            }
            try (Bytes read = seglift.readAttachment(ref, "leader epochs 🦀", Call.DEFAULT)) {
                assertEquals("1 42\n", StandardCharsets.UTF_8.decode(read.buffer()).toString());
            }
            try (Bytes read = seglift.readAttachment(ref, "empty", Call.DEFAULT)) {
                assertEquals(0, read.size());
            }
            assertThrows(OutOfRangeException.class, () -> seglift.readAttachment(ref, "other", Call.DEFAULT));

            SegmentInfo info = seglift.stat(ref, Call.DEFAULT);
            assertEquals(receipt.uuid(), info.uuid());
            assertEquals("roundtrip", info.owner());
            assertEquals(receipt.crc64nvme(), info.crc64nvme());
            assertEquals(Codec.NONE, info.codec());
            assertEquals(new SegmentInfo.Range(41, 1L << 40), info.offsets().orElseThrow());
            assertTrue(info.records().isEmpty());
            assertEquals(ref, info.ref());
            assertEquals(2, info.metadata().size());
            assertArrayEquals(new byte[] {0, -1, 2}, info.metadata().get("raw"));
            assertEquals(List.of("index", "leader epochs 🦀", "empty"),
                    info.attachments().stream().map(SegmentInfo.Attachment::name).toList());
            assertEquals(70_000, info.attachments().get(0).size());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"file", "memory"})
    void aPartOfAFileIsASegmentAndItsObjectCanBeReadRaw(String store) throws Exception {
        byte[] content = Samples.bytes(50_000, 9);
        Path file = Files.write(folder.resolve("part.log"), content);
        try (Seglift seglift = open(store)) {
            Receipt receipt = seglift.offload(Segment.of("t/0/part", file).range(100, 40_000).build(), Call.DEFAULT);
            try (Bytes read = seglift.readBytes(SegmentRef.of("t/0/part"), 0, 50_000, Call.DEFAULT);
                    Bytes object = seglift.readObject("t/0/part", 0, receipt.objectBytes(), Call.DEFAULT)) {
                assertArrayEquals(Arrays.copyOfRange(content, 100, 40_100), Samples.array(read.buffer()));
                assertEquals(receipt.objectBytes(), object.size());
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"file", "memory"})
    void aRepeatedOffloadSaysThatItExistedAndNothingIsOverwritten(String store) throws Exception {
        Segment segment = Segment.of("t/0/again", Samples.direct(Samples.bytes(9999, 10))).build();
        Segment other = Segment.of("t/0/again", Samples.direct(Samples.bytes(9999, 11))).lookFirst().build();
        try (Seglift seglift = open(store)) {
            Receipt first = seglift.offload(segment, Call.DEFAULT);
            Receipt second = seglift.offload(segment, Call.DEFAULT);
            assertTrue(second.existed());
            assertEquals(first.uuid(), second.uuid());
            AlreadyExistsException taken =
                    assertThrows(AlreadyExistsException.class, () -> seglift.offload(other, Call.DEFAULT));
            assertEquals(Code.ALREADY_EXISTS, taken.code());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"file", "memory"})
    void aDeleteAnswersForEachKey(String store) throws Exception {
        try (Seglift seglift = open(store)) {
            SegmentRef ref = offload(seglift, "t/0/gone", Samples.bytes(1000, 12));
            List<String> keys = List.of("t/0/never", "t/../bad", "t/0/gone");
            List<DeleteResult> results = seglift.delete(keys, Call.DEFAULT);
            assertEquals(keys, results.stream().map(DeleteResult::key).toList());
            assertTrue(results.get(0).failure().isEmpty());
            assertEquals(Code.INVALID_ARGUMENT, results.get(1).failure().orElseThrow().code());
            assertTrue(results.get(2).failure().isEmpty());
            assertThrows(NotFoundException.class, () -> seglift.stat(ref, Call.DEFAULT));
        }
    }

    private static SegmentRef offload(Seglift seglift, String key, byte[] content) throws SegliftException {
        Receipt receipt = seglift.offload(Segment.of(key, Samples.direct(content)).build(), Call.DEFAULT);
        return new SegmentRef(key, receipt.token());
    }
}
