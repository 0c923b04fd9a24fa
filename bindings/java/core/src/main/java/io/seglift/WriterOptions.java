package io.seglift;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/** How a segment is written that is not there as a whole. For one thread; a writer copies it. */
public final class WriterOptions {
    private final String key;
    private final Mode mode;
    private Codec codec = Codec.DEFAULT;
    private IfExists ifExists = IfExists.SUCCEED_IF_SAME;
    private long maxBytes;
    private final Map<String, byte[]> metadata = new LinkedHashMap<>();

    private WriterOptions(String key, Mode mode) {
        this.key = Objects.requireNonNull(key, "key");
        this.mode = mode;
    }

    /** For a segment of bytes. */
    public static WriterOptions bytes(String key) {
        return new WriterOptions(key, Mode.BYTES);
    }

    /** For a segment of records. */
    public static WriterOptions records(String key) {
        return new WriterOptions(key, Mode.RECORDS);
    }

    /** What compresses it, instead of the setting {@code codec}. */
    public WriterOptions codec(Codec codec) {
        this.codec = Objects.requireNonNull(codec, "codec");
        return this;
    }

    /** What the commit does if the key is taken. */
    public WriterOptions ifExists(IfExists ifExists) {
        this.ifExists = Objects.requireNonNull(ifExists, "ifExists");
        return this;
    }

    /** Longest segment in bytes, from which the size of the parts follows; 0 = the setting {@code writer.max.size}. */
    public WriterOptions maxBytes(long maxBytes) {
        if (maxBytes < 0) {
            throw new IllegalArgumentException("a segment of at most " + maxBytes + " bytes");
        }
        this.maxBytes = maxBytes;
        return this;
    }

    /** A value that {@link Seglift#stat} shows. */
    public WriterOptions metadata(String name, byte[] value) {
        metadata.put(name, value.clone());
        return this;
    }

    String key() {
        return key;
    }

    Mode mode() {
        return mode;
    }

    /** As writer.c reads it. */
    byte[] pack() {
        Packer out = new Packer()
                .text(key, "key")
                .number(mode.ordinal())
                .number(codec.ordinal())
                .number(ifExists.ordinal())
                .number(maxBytes);
        Segment.packMetadata(out, metadata);
        return out.toBytes();
    }
}
