package io.seglift.kafka.bench;

import com.sun.management.OperatingSystemMXBean;
import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.apache.kafka.server.log.remote.storage.RemoteStorageException;

/**
 * What a piece of work cost this process, each for a GiB that it moved.
 *
 * @param cpu seconds of CPU of all threads, native ones and the JVM's own among them; the kernel's part for their calls, too
 * @param seconds that passed
 * @param heap MiB that threads of Java allocated
 */
record Cost(double cpu, double seconds, double heap) {
    private static final double GIB = 1L << 30;
    private static final double MIB = 1L << 20;
    private static final double NANOS = 1e9;
    private static final OperatingSystemMXBean PROCESS =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    /** Work that may fail. */
    interface Work {
        /** @return how many bytes it moved */
        long run() throws IOException, RemoteStorageException;
    }

    static Cost of(Work work) throws IOException, RemoteStorageException {
        long heap = allocated();
        long cpu = PROCESS.getProcessCpuTime();
        long start = System.nanoTime();
        double gib = work.run() / GIB;
        return new Cost((PROCESS.getProcessCpuTime() - cpu) / NANOS / gib, (System.nanoTime() - start) / NANOS / gib,
                (allocated() - heap) / MIB / gib);
    }

    /** The median of one part of several costs. */
    static double median(List<Cost> costs, ToDoubleFunction<Cost> part) {
        double[] sorted = costs.stream().mapToDouble(part).sorted().toArray();
        return sorted[sorted.length / 2];
    }

    private static long allocated() {
        long[] allocated = THREADS.getThreadAllocatedBytes(THREADS.getAllThreadIds());
        // A thread that has just ended has none.
        return Arrays.stream(allocated).filter(bytes -> bytes > 0).sum();
    }
}
