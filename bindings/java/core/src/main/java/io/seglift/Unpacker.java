package io.seglift;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Reads what comes back from the library as one array, in the form that {@link Packer} writes. */
final class Unpacker {
    private final byte[] bytes;
    private int at;

    Unpacker(byte[] bytes) {
        this.bytes = bytes;
    }

    long number() {
        long value = (long) Packer.LONGS.get(bytes, at);
        at += Long.BYTES;
        return value;
    }

    String text() {
        int length = (int) number();
        String text = new String(bytes, at, length, StandardCharsets.UTF_8);
        at += length + 1;
        return text;
    }

    byte[] blob() {
        int length = (int) number();
        at += length;
        return Arrays.copyOfRange(bytes, at - length, at);
    }

    boolean hasMore() {
        return at < bytes.length;
    }
}
