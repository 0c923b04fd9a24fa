package io.seglift;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Failures arrive typed, with all that the store said. */
class ErrorsTest {
    /** A store that answers every request the same. */
    private static HttpServer answering(int status, Map<String, String> headers, String body) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        server.createContext("/", exchange -> {
            headers.forEach(exchange.getResponseHeaders()::add);
            boolean head = exchange.getRequestMethod().equals("HEAD");
            exchange.sendResponseHeaders(status, head ? -1 : bytes.length);
            if (!head) {
                exchange.getResponseBody().write(bytes);
            }
            exchange.close();
        });
        server.start();
        return server;
    }

    private static SegliftException failureOf(int status, Map<String, String> headers, String body) throws Exception {
        HttpServer server = answering(status, headers, body);
        try (Seglift seglift = Seglift.open("s3://bucket", Map.of(
                        "s3.endpoint", "http://127.0.0.1:" + server.getAddress().getPort(),
                        "s3.access.key", "AKIDEXAMPLE",
                        "s3.secret.key", "not-for-the-log",
                        "retry.attempts", "1"));
                Lister lister = seglift.list("", "")) {
            return assertThrows(SegliftException.class, () -> lister.next(0, Call.DEFAULT));
        } finally {
            server.stop(0);
        }
    }

    @Test
    void anErrorHasAllThatTheStoreSaid() throws Exception {
        SegliftException denied = failureOf(403, Map.of("x-amz-request-id", "R1", "x-amz-id-2", "X2"),
                "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>not you</Message></Error>");
        assertEquals(Code.PERMISSION_DENIED, denied.code());
        assertEquals(403, denied.httpStatus());
        assertEquals("AccessDenied", denied.serviceCode());
        assertEquals("R1", denied.requestId());
        assertEquals("X2", denied.extendedRequestId());
        assertFalse(denied.retryable());
        assertEquals(Optional.empty(), denied.retryAfter());
        assertFalse(denied.getMessage().contains("not-for-the-log"));
    }

    @Test
    void aBusyStoreSaysWhenToComeBack() throws Exception {
        SegliftException slow = failureOf(503, Map.of("retry-after", "7"),
                "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>slow</Message></Error>");
        assertEquals(Code.THROTTLED, slow.code());
        assertTrue(slow.retryable());
        assertEquals(Optional.of(Duration.ofSeconds(7)), slow.retryAfter());
    }

    @Test
    void aFailureHasTheStackOfItsCaller() throws Exception {
        try (Seglift seglift = Seglift.open("memory:", Map.of())) {
            SegliftException missing =
                    assertThrows(NotFoundException.class, () -> seglift.stat(SegmentRef.of("t/none"), Call.DEFAULT));
            assertTrue(Arrays.stream(missing.getStackTrace()).anyMatch(frame -> frame.getClassName()
                    .equals(ErrorsTest.class.getName())));
            CompletionException wrapped = assertThrows(CompletionException.class,
                    () -> seglift.statAsync(SegmentRef.of("t/none"), Call.DEFAULT).join());
            assertInstanceOf(NotFoundException.class, wrapped.getCause());
        }
    }

    @Test
    void theStoresFailuresHaveTheirClasses() throws Exception {
        Map<String, Class<? extends SegliftException>> classes = Map.of(
                "NOT_FOUND", NotFoundException.class,
                "NOT_FOUND_OR_DENIED", NotFoundOrDeniedException.class,
                "CORRUPT", CorruptException.class,
                "TIMED_OUT", TimedOutException.class,
                "PERMISSION_DENIED", SegliftException.class);
        for (Map.Entry<String, Class<? extends SegliftException>> entry : classes.entrySet()) {
            String uri = "fault+memory:?list=*:" + entry.getKey();
            try (Seglift seglift = Seglift.open(uri, Map.of("retry.attempts", "1"));
                    Lister lister = seglift.list("", "")) {
                SegliftException failure = assertThrows(SegliftException.class, () -> lister.next(0, Call.DEFAULT));
                assertEquals(entry.getKey(), failure.code().name());
                assertSame(entry.getValue(), failure.getClass());
            }
        }
    }

    @Test
    void aPanicInTheLibraryIsAnInternalErrorAndTheEngineGoesOn() throws Exception {
        try (Seglift seglift = Seglift.open("fault+memory:?list=1:panic", Map.of());
                Lister lister = seglift.list("", "")) {
            SegliftException defect = assertThrows(SegliftException.class, () -> lister.next(0, Call.DEFAULT));
            assertEquals(Code.INTERNAL, defect.code());
            assertEquals(List.of(), lister.next(0, Call.DEFAULT));
        }
    }

    @Test
    void aDamagedBlockIsCorruptAndADeadlineIsKept() throws Exception {
        Segment segment = Segment.of("t/0", Samples.direct(Samples.bytes(300_000, 1))).codec(Codec.NONE).build();
        ByteBuffer into = ByteBuffer.allocateDirect(1000);
        try (Seglift seglift = Seglift.open("fault+memory:?get=*:flip-4000", Map.of())) {
            SegmentRef ref = new SegmentRef("t/0", seglift.offload(segment, Call.DEFAULT).token());
            assertThrows(CorruptException.class, () -> seglift.read(ref, 0, into, Call.DEFAULT));
            assertEquals(0, into.position());
        }
        try (Seglift seglift = Seglift.open("fault+memory:?get=*:stall", Map.of())) {
            SegmentRef ref = new SegmentRef("t/0", seglift.offload(segment, Call.DEFAULT).token());
            Call soon = Call.DEFAULT.withDeadline(Duration.ofMillis(50));
            assertThrows(TimedOutException.class, () -> seglift.read(ref, 0, into, soon));
        }
    }

    @Test
    void aWrongSettingNamesTheRightOne() {
        SegliftException wrong =
                assertThrows(SegliftException.class, () -> Seglift.open("memory:", Map.of("upload.part.sise", "8MiB")));
        assertEquals(Code.INVALID_CONFIG, wrong.code());
        assertTrue(wrong.getMessage().contains("upload.part.size"), wrong.getMessage());
        List<Executable> opens = List.of(
                () -> Engine.open(Map.of("memory.budget", "much")),
                () -> Seglift.open("gopher://store", Map.of()),
                () -> Seglift.open("", Map.of()));
        opens.forEach(open -> assertThrows(SegliftException.class, open));
    }

    @Test
    void eachCodeHasItsNumberAndAnUnknownOneIsInternal() {
        Set<Integer> numbers = new HashSet<>();
        for (Code code : Code.values()) {
            assertTrue(numbers.add(code.number()));
            assertSame(code, Code.of(code.number()));
        }
        Stream.of(0, 5, 36, 100, -1, Integer.MAX_VALUE).forEach(n -> assertSame(Code.INTERNAL, Code.of(n)));
    }
}
