package io.seglift.kafka;

import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.server.log.remote.storage.LogSegmentData;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentId;
import org.apache.kafka.server.log.remote.storage.RemoteLogSegmentMetadata;
import org.apache.kafka.server.log.remote.storage.RemoteStorageException;
import org.apache.kafka.server.log.remote.storage.RemoteStorageManager;
import org.apache.kafka.server.log.remote.storage.RemoteStorageManager.IndexType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Whatever a broker hands to the methods of the interface, and whatever breaks inside: only {@link
 * RemoteStorageException} leaves. The methods are found by reflection, so that one which Kafka adds is tested, too.
 */
class NothingElseLeavesTest {
    @TempDir
    Path folder;

    private final SegliftRemoteStorageManager manager = new SegliftRemoteStorageManager();
    private KafkaSegment segment;

    @BeforeEach
    void open() throws IOException {
        manager.configure(Map.of("store", "memory:", "owner", "test-cluster"));
        segment = KafkaSegment.make(folder, 1000);
    }

    @AfterEach
    void close() {
        manager.close();
    }

    private static List<Method> methods() {
        List<Method> methods = Arrays.stream(RemoteStorageManager.class.getDeclaredMethods())
                .filter(method -> Arrays.asList(method.getExceptionTypes()).contains(RemoteStorageException.class))
                .toList();
        assertTrue(methods.size() >= 5, methods.toString());
        return methods;
    }

    private Object[] arguments(Method method, RemoteLogSegmentMetadata metadata, LogSegmentData data) {
        return Arrays.stream(method.getParameterTypes())
                .map(type -> type == RemoteLogSegmentMetadata.class
                        ? metadata
                        : type == LogSegmentData.class ? data : type == IndexType.class ? IndexType.OFFSET : (Object) 0)
                .toArray();
    }

    private static void assertOnlyTheirOwnKind(Method method, RemoteStorageManager manager, Object... arguments) {
        Throwable thrown = assertThrows(InvocationTargetException.class, () -> method.invoke(manager, arguments))
                .getCause();
        assertInstanceOf(RemoteStorageException.class, thrown, method.toString());
    }

    /** Metadata that throws as soon as it is asked for anything. */
    private static RemoteLogSegmentMetadata throwing(Throwable failure) {
        RemoteLogSegmentId id = RemoteLogSegmentId.generateNew(
                new TopicIdPartition(Uuid.randomUuid(), new TopicPartition("orders", 3)));
        return new RemoteLogSegmentMetadata(id, 0, 1, 1, 1, 1, 10, Map.of(0, 0L)) {
            @Override
            public RemoteLogSegmentId remoteLogSegmentId() {
                throw sneaky(failure);
            }

            @Override
            public Optional<CustomMetadata> customMetadata() {
                throw sneaky(failure);
            }

            @Override
            public int segmentSizeInBytes() {
                throw sneaky(failure);
            }
        };
    }

    @SuppressWarnings("unchecked")
    private static <E extends Throwable> RuntimeException sneaky(Throwable failure) throws E {
        throw (E) failure;
    }

    @Test
    void whenAnArgumentThrows() {
        for (Throwable failure : List.of(
                new OutOfMemoryError("x"),
                new StackOverflowError(),
                new UnsatisfiedLinkError("x"),
                new NoClassDefFoundError("x"),
                new ExceptionInInitializerError("x"),
                new AssertionError("x"),
                new IllegalStateException("x"),
                new InterruptedException("x"),
                new IOException("x"))) {
            for (Method method : methods()) {
                assertOnlyTheirOwnKind(method, manager, arguments(method, throwing(failure), segment.data()));
            }
        }
    }

    @Test
    void whenAnArgumentIsNull() {
        for (Method method : methods()) {
            assertOnlyTheirOwnKind(method, manager, arguments(method, null, null));
        }
    }

    @Test
    void whenItIsNotConfigured() {
        for (Method method : methods()) {
            Object[] arguments = arguments(method, segment.metadata(), segment.data());
            assertOnlyTheirOwnKind(method, new SegliftRemoteStorageManager(), arguments);
        }
    }

    @Test
    void whenItIsClosed() {
        manager.close();
        for (Method method : methods()) {
            assertOnlyTheirOwnKind(method, manager, arguments(method, segment.metadata(), segment.data()));
        }
    }
}
