package io.seglift.kafka.bench;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.server.log.remote.storage.RemoteStorageException;

/** One tier and its figures: a column of the table. */
final class Column implements AutoCloseable {
    private static final int MIB = 1 << 20;
    /** Of one round: enough for a p99 over all of them. */
    private static final int RANDOM_READS = 200;

    final String title;
    private final Tier tier;
    private final int copies;
    private final int segmentSize;
    private final Map<Figure, List<Cost>> costs = new EnumMap<>(Figure.class);
    private final List<Double> randomMillis = new ArrayList<>();
    private final Random random = new Random(1);
    private final byte[] bytes = new byte[MIB];

    Column(String title, Tier tier, int copies, int segmentSize) {
        this.title = title;
        this.tier = tier;
        this.copies = copies;
        this.segmentSize = segmentSize;
        forget();
    }

    /** Takes every figure once. */
    void round() throws IOException, RemoteStorageException {
        tier.clear();
        costs.get(Figure.COPY).add(Cost.of(this::copy));
        costs.get(Figure.FETCH).add(Cost.of(this::fetch));
        costs.get(Figure.WALK).add(Cost.of(this::walk));
        for (int i = 0; i < RANDOM_READS; i++) {
            long start = System.nanoTime();
            readAt(random.nextInt(copies), LogSegment.position(random.nextInt()));
            randomMillis.add((System.nanoTime() - start) / 1e6);
        }
    }

    /** Forgets what was measured, because it was for warming up. */
    void forget() {
        for (Figure figure : Figure.values()) {
            costs.put(figure, new ArrayList<>());
        }
        randomMillis.clear();
    }

    List<Cost> costs(Figure figure) {
        return costs.get(figure);
    }

    /** Milliseconds of a random read that this part of them, from 0 to 1, did not exceed. */
    double randomMillis(double quantile) {
        double[] sorted = randomMillis.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        return sorted[(int) Math.min(sorted.length - 1, quantile * sorted.length)];
    }

    @Override
    public void close() throws IOException, RemoteStorageException {
        tier.clear();
        tier.close();
    }

    private long copy() throws IOException, RemoteStorageException {
        for (int number = 0; number < copies; number++) {
            tier.copy(number);
        }
        return (long) copies * segmentSize;
    }

    private long fetch() throws IOException, RemoteStorageException {
        long sum = 0;
        for (int number = 0; number < copies; number++) {
            try (InputStream in = tier.open(number, 0, segmentSize)) {
                for (int count; (count = in.read(bytes)) > 0; ) {
                    sum += count;
                }
            }
        }
        if (sum != (long) copies * segmentSize) {
            throw new EOFException(title + ": of " + copies + " segments only " + sum + " bytes came back");
        }
        return sum;
    }

    private long walk() throws IOException, RemoteStorageException {
        for (int number = 0; number < copies; number++) {
            for (int position = 0; position < segmentSize; ) {
                position += readAt(number, position);
            }
        }
        return (long) copies * segmentSize;
    }

    /**
     * A fetch as brokers answer it: the header of the first batch, the rest of that, and then at one go what else fits
     * into a mebibyte. The consumer goes on behind the last batch that it got all of.
     *
     * @return how many bytes that were
     */
    private int readAt(int number, int position) throws IOException, RemoteStorageException {
        int wanted = Math.min(MIB, segmentSize - position);
        try (InputStream in = tier.open(number, position, wanted)) {
            int count = in.readNBytes(bytes, 0, LogSegment.HEADER);
            int first = LogSegment.batchSize(bytes, 0);
            count += in.readNBytes(bytes, count, first - count);
            count += in.readNBytes(bytes, count, wanted - count);
            if (count != wanted) {
                throw new EOFException(title + ": " + count + " bytes came back instead of " + wanted);
            }
            return LogSegment.wholeBatches(bytes, count);
        }
    }
}
