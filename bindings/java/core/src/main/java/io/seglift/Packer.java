package io.seglift;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Writes what crosses to the library as one array: numbers of eight bytes, texts and blobs with their length in front,
 * texts with a NUL behind, so that C points into the array and copies nothing. The reader is pack.c.
 */
final class Packer {
    static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.nativeOrder());

    private byte[] bytes = new byte[256];
    private int length;

    Packer number(long value) {
        reserve(Long.BYTES);
        LONGS.set(bytes, length, value);
        length += Long.BYTES;
        return this;
    }

    Packer text(String text, String what) {
        byte[] utf8 = Text.utf8(text, what);
        blob(utf8);
        reserve(1);
        bytes[length++] = 0;
        return this;
    }

    Packer blob(byte[] blob) {
        number(blob.length);
        reserve(blob.length);
        System.arraycopy(blob, 0, bytes, length, blob.length);
        length += blob.length;
        return this;
    }

    byte[] toBytes() {
        return Arrays.copyOf(bytes, length);
    }

    private void reserve(int more) {
        int needed = Math.addExact(length, more);
        if (needed > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(needed, (int) Math.min(2L * bytes.length, Integer.MAX_VALUE - 8)));
        }
    }
}
