package io.seglift;

import java.util.Arrays;

/**
 * Which segment to read: the key that it was offloaded under, and the token of its receipt.
 *
 * <p>Without a token each first read asks the store where the segment's tail is, and nothing is answered from memory.
 * Keep one reference for many reads: it holds what crosses to the library, made once.
 */
public final class SegmentRef {
    /** Longest token in bytes (SEGLIFT_TOKEN_MAX). */
    public static final int TOKEN_MAX = 128;

    private final String key;
    private final byte[] token;
    /** The key, a NUL, the token. */
    final byte[] packed;

    /** @param token copied; null or empty if it is not known, at most {@link #TOKEN_MAX} bytes */
    public SegmentRef(String key, byte[] token) {
        this.key = key;
        this.token = token == null ? new byte[0] : token.clone();
        if (this.token.length > TOKEN_MAX) {
            throw new IllegalArgumentException(
                    "a token of " + this.token.length + " bytes for " + key + "; none is longer than " + TOKEN_MAX);
        }
        byte[] text = Text.utf8(key, "key");
        packed = Arrays.copyOf(text, text.length + 1 + this.token.length);
        System.arraycopy(this.token, 0, packed, text.length + 1, this.token.length);
    }

    /** A reference without a token. */
    public static SegmentRef of(String key) {
        return new SegmentRef(key, null);
    }

    /** The key. */
    public String key() {
        return key;
    }

    /** A copy of the token; empty if there is none. */
    public byte[] token() {
        return token.clone();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof SegmentRef that && Arrays.equals(packed, that.packed);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(packed);
    }

    @Override
    public String toString() {
        return "SegmentRef[" + key + (token.length == 0 ? ", no token]" : "]");
    }
}
