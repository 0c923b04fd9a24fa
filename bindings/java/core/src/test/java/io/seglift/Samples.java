package io.seglift;

import java.nio.ByteBuffer;
import java.util.Random;

/** Payloads for tests: the same ones for the same seed. */
final class Samples {
    private Samples() {}

    /** Half of it random, half of it text that compresses, in pieces of a kilobyte. */
    static byte[] bytes(int size, long seed) {
        byte[] bytes = new byte[size];
        byte[] piece = new byte[1024];
        Random random = new Random(seed);
        for (int at = 0; at < size; at += piece.length) {
            if (random.nextBoolean()) {
                random.nextBytes(piece);
            } else {
                java.util.Arrays.fill(piece, (byte) ('a' + random.nextInt(26)));
            }
            System.arraycopy(piece, 0, bytes, at, Math.min(piece.length, size - at));
        }
        return bytes;
    }

    static ByteBuffer direct(byte[] bytes) {
        return ByteBuffer.allocateDirect(bytes.length).put(bytes).flip();
    }

    static byte[] array(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }
}
