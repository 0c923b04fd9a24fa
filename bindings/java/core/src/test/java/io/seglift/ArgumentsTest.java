package io.seglift;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What cannot be is refused before it crosses, or by the library, and never harms. */
class ArgumentsTest {
    private static Seglift seglift;

    @BeforeAll
    static void open() throws SegliftException {
        seglift = Seglift.open("memory:", Map.of());
    }

    @AfterAll
    static void close() {
        seglift.close();
    }

    private static SegmentRef offload(String key) throws SegliftException {
        Segment segment = Segment.of(key, Samples.direct(Samples.bytes(10_000, 1))).build();
        return new SegmentRef(key, seglift.offload(segment, Call.DEFAULT).token());
    }

    private static void refused(String because, Executable call) {
        IllegalArgumentException refusal = assertThrows(IllegalArgumentException.class, call);
        assertTrue(refusal.getMessage().contains(because), refusal.getMessage());
    }

    @Test
    void onlyDirectMemoryIsLent() throws Exception {
        SegmentRef ref = offload("t/direct");
        ByteBuffer heap = ByteBuffer.allocate(10);
        ByteBuffer readOnly = ByteBuffer.allocateDirect(10).asReadOnlyBuffer();
        for (Call call : List.of(Call.DEFAULT, Call.DEFAULT.sequential())) {
            refused("on the heap", () -> seglift.read(ref, 0, heap, call));
            refused("read-only", () -> seglift.read(ref, 0, readOnly, call));
        }
        refused("on the heap", () -> seglift.readAsync(ref, 0, heap, Call.DEFAULT));
        refused("read-only", () -> seglift.tryRead(ref, 0, readOnly));
        refused("on the heap", () -> Segment.of("t/heap", heap));
    }

    @Test
    void aFullBufferReadsNothing() throws Exception {
        SegmentRef ref = offload("t/nothing");
        ByteBuffer full = ByteBuffer.allocateDirect(10).position(10);
        assertEquals(0, seglift.read(ref, 5, full, Call.DEFAULT));
        assertEquals(0, seglift.read(ref, 5, full, Call.DEFAULT.sequential()));
        assertEquals(0, seglift.read(ref, 5, ByteBuffer.allocateDirect(0), Call.DEFAULT.sequential()));
    }

    @Test
    void sliceOfABufferIsWhatIsReadAndWritten() throws Exception {
        ByteBuffer whole = Samples.direct(Samples.bytes(10_000, 7));
        ByteBuffer part = whole.slice(3000, 5000).position(100).limit(4100);
        Receipt receipt = seglift.offload(Segment.of("t/slice", part).build(), Call.DEFAULT);
        assertEquals(4000, receipt.segmentBytes());
        assertEquals(100, part.position());
        ByteBuffer into = ByteBuffer.allocateDirect(9000).slice(1000, 6000);
        assertEquals(4000, seglift.read(new SegmentRef("t/slice", receipt.token()), 0, into, Call.DEFAULT));
        assertArrayEquals(Samples.array(part), Samples.array(into.flip()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"t/naïve", "t/日本語", "t/🦀/👩‍👩‍👧", "t/\u00a0\ufeff\ufffd e\u0301"})
    void oddUnicodeComesThroughAsItIs(String key) throws Exception {
        SegmentRef ref = offload(key);
        assertEquals(key, seglift.stat(ref, Call.DEFAULT).key());
        try (Lister lister = seglift.list(key, "")) {
            assertEquals(key, lister.next(0, Call.DEFAULT).get(0).key());
        }
        assertTrue(seglift.delete(List.of(key), Call.DEFAULT).get(0).failure().isEmpty());
    }

    @Test
    void aTextThatUtf8CannotSayIsRefused() {
        ByteBuffer direct = ByteBuffer.allocateDirect(1);
        for (String half : List.of("a\ud83e", "\udd80b", "\udd80\ud83e")) {
            refused("half a surrogate pair", () -> SegmentRef.of(half));
            refused("half a surrogate pair", () -> Segment.of(half, direct).build());
            refused("half a surrogate pair", () -> Segment.of("k", direct).attachment(half, new byte[0]).build());
            refused("half a surrogate pair", () -> Segment.of("k", direct).metadata(half, new byte[0]).build());
            refused("half a surrogate pair", () -> seglift.delete(List.of("t/0", half), Call.DEFAULT));
            refused("half a surrogate pair", () -> Engine.open(Map.of("owner", half)));
        }
        refused("a NUL", () -> SegmentRef.of("t/0\0"));
        refused("a NUL", () -> Segment.of("\0", direct).build());
        refused("a NUL", () -> Seglift.open("memory:\0", Map.of()));
        refused("a NUL", () -> seglift.list("a\0b", ""));
        refused("a NUL", () -> seglift.readAttachment(SegmentRef.of("t"), "\0", Call.DEFAULT));
    }

    @Test
    void aRefusedValueIsNotShownBecauseItMayBeASecret() {
        for (String end : List.of("\0", "\ud83e")) {
            Throwable refusal = assertThrows(IllegalArgumentException.class,
                    () -> Engine.open(Map.of("s3.secret.key", "not-for-the-log" + end)));
            for (Throwable said = refusal; said != null; said = said.getCause()) {
                assertFalse(said.toString().contains("not-for-the-log"), said.toString());
            }
            assertTrue(refusal.getMessage().contains("value of s3.secret.key"), refusal.getMessage());
        }
    }

    @Test
    void aListingIsForOneThreadAtATime() throws Exception {
        try (Seglift hangs = Seglift.open("fault+memory:?list=*:stall", Map.of()); Lister lister = hangs.list("", "")) {
            Thread first = new Thread(() ->
                    assertThrows(CancelledException.class, () -> lister.next(0, Call.DEFAULT)));
            first.start();
            Waiting.until(() -> first.getState() == Thread.State.WAITING);
            assertThrows(BusyException.class, () -> lister.next(0, Call.DEFAULT));
            first.interrupt();
            first.join();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "/", "a/../b", "./a", "a//b"})
    void whatIsNoKeyTheLibraryRefuses(String key) {
        ByteBuffer direct = ByteBuffer.allocateDirect(1);
        SegliftException refusal = assertThrows(SegliftException.class,
                () -> seglift.offload(Segment.of(key, direct).build(), Call.DEFAULT));
        assertEquals(Code.INVALID_ARGUMENT, refusal.code());
    }

    @Test
    void aKeyOfAnyLengthCrosses() {
        String long1 = "k/" + "é".repeat(5000);
        SegliftException refusal = assertThrows(SegliftException.class, () -> offload(long1));
        assertEquals(Code.INVALID_ARGUMENT, refusal.code());
        assertThrows(SegliftException.class, () -> seglift.stat(SegmentRef.of(long1), Call.DEFAULT));
    }

    @Test
    void offsetsBeyondEveryEndAreOutOfRangeOrRefused() throws Exception {
        SegmentRef ref = offload("t/far");
        ByteBuffer into = ByteBuffer.allocateDirect(10);
        for (long offset : new long[] {10_001, 1L << 31, 1L << 32, Long.MAX_VALUE, -1, Long.MIN_VALUE}) {
            for (Call call : List.of(Call.DEFAULT, Call.DEFAULT.sequential())) {
                assertThrows(OutOfRangeException.class, () -> seglift.read(ref, offset, into, call));
                assertThrows(OutOfRangeException.class, () -> seglift.readBytes(ref, offset, 10, call));
            }
        }
        refused("2147483647", () -> seglift.readBytes(ref, 0, 1L << 31, Call.DEFAULT));
        refused("2147483647", () -> seglift.readObject("t/far", 0, -1, Call.DEFAULT));
    }

    @Test
    void aTokenIsCopiedAndADamagedOneIsRefused() throws Exception {
        SegmentRef ref = offload("t/token");
        byte[] token = ref.token();
        token[0] ^= 1;
        assertEquals(ref, new SegmentRef("t/token", ref.token()));
        SegmentRef damaged = new SegmentRef("t/token", token);
        ByteBuffer into = ByteBuffer.allocateDirect(10);
        SegliftException refusal =
                assertThrows(SegliftException.class, () -> seglift.read(damaged, 0, into, Call.DEFAULT));
        assertEquals(Code.INVALID_ARGUMENT, refusal.code());
        refused("none is longer than 128", () -> new SegmentRef("t/token", new byte[129]));
    }

    @Test
    void timesMustBeLongerThanZero() {
        refused("longer than zero", () -> Call.DEFAULT.withDeadline(Duration.ZERO));
        refused("longer than zero", () -> Call.DEFAULT.withStall(Duration.ofSeconds(-1)));
        assertEquals(1, Call.DEFAULT.withDeadline(Duration.ofNanos(1)).deadlineMillis, "rounded up");
        assertEquals(Long.MAX_VALUE, Call.DEFAULT.withDeadline(Duration.ofSeconds(Long.MAX_VALUE)).deadlineMillis);
        refused("older than", () -> new ReapOptions(Duration.ofSeconds(-1), true, false));
        refused("grace", () -> new SweepOptions("", Duration.ofSeconds(-1), false));
    }

    @Test
    void timesBeyondEveryNumberAreTheLongest() throws Exception {
        Duration ever = Duration.ofSeconds(Long.MAX_VALUE, 999_999_999);
        SegmentRef ref = offload("t/ever");
        Call patient = Call.DEFAULT.withDeadline(ever).withStall(ever);
        assertEquals(10_000, seglift.stat(ref, patient).segmentBytes());
        ReapOptions oldest = new ReapOptions(ever, true, false);
        assertEquals(0, seglift.reap(oldest, patient).count(Verdict.WOULD_REMOVE).number());
    }

    @Test
    void aWindowIsWhatLiesBetweenPositionAndLimit() {
        ByteBuffer buffer = ByteBuffer.allocateDirect(100).position(10).limit(30);
        assertEquals(new Window(10, 20), Window.of(buffer));
        assertEquals(new Window(30, 0), Window.of(buffer.position(30)));
    }

    @Test
    void aModeThatOnlyANewerLibraryKnowsReadsAsBytes() {
        assertEquals(Mode.RECORDS, Mode.of(1));
        assertEquals(Mode.BYTES, Mode.of(2));
        assertEquals(Mode.BYTES, Mode.of(-1));
    }

    @Test
    void anOffloadOfWhatIsNotThereFails() {
        SegliftException missing = assertThrows(SegliftException.class, () -> seglift.offload(
                Segment.of("t/source", Path.of("/does/not/exist")).build(), Call.DEFAULT));
        assertEquals(Code.SOURCE_FAILED, missing.code());
        refused("two attachments", () -> Segment.of("t/twice", Path.of("/x"))
                .attachment("a", new byte[0]).attachment("a", Path.of("/y")));
    }

    @Test
    void aDigestThatDoesNotMatchStopsTheOffload() {
        Segment segment = Segment.of("t/digest", Samples.direct("abc".getBytes(StandardCharsets.UTF_8)))
                .expect(Digest.crc64nvme(1)).build();
        SegliftException failure = assertThrows(SegliftException.class, () -> seglift.offload(segment, Call.DEFAULT));
        assertEquals(Code.SOURCE_FAILED, failure.code());
        assertThrows(NotFoundException.class, () -> seglift.stat(SegmentRef.of("t/digest"), Call.DEFAULT));
    }
}
