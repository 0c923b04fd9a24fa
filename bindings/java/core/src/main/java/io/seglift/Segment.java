package io.seglift;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/**
 * A sealed segment to offload: where its bytes are, what travels with it, and what to do if its key is taken.
 *
 * <p>Immutable: one value can be offloaded again, by any thread. It is laid out for the library when it is built, so
 * later changes of the maps and arrays that were given change nothing. Only the source is read when it is offloaded.
 */
public final class Segment {
    private static final int SOURCE_PATH = 1;
    private static final int SOURCE_BYTES = 3;
    private static final int LOOK_FIRST = 1;
    static final int HAS_OFFSETS = 2;

    private final String key;
    /** What offload.c reads. */
    final byte[] packed;
    /** The direct memory that is lent, or null for a file. */
    final ByteBuffer memory;

    private Segment(Builder from) {
        key = from.key;
        memory = from.memory;
        Packer out = new Packer()
                .text(key, "key")
                .number(memory == null ? SOURCE_PATH : SOURCE_BYTES)
                .number(from.ifExists.ordinal())
                .number(from.codec.ordinal())
                .number((from.lookFirst ? LOOK_FIRST : 0) | (from.hasOffsets ? HAS_OFFSETS : 0))
                .text(from.path == null ? "" : Text.path(from.path), "path")
                .number(from.offset)
                .number(from.length)
                .number(from.firstOffset)
                .number(from.lastOffset)
                .number(from.expected == null ? 0 : from.expected.number())
                .number(from.expected == null ? 0 : from.expected.value())
                .text(from.resume == null ? "" : Text.path(from.resume), "path of the resume file");
        from.attachments.pack(out);
        packMetadata(out, from.metadata);
        packed = out.toBytes();
    }

    /** A segment whose bytes are a whole file, or with {@link Builder#range} a part of one. */
    public static Builder of(String key, Path file) {
        return new Builder(key, Objects.requireNonNull(file, "file"), null);
    }

    /**
     * A segment whose bytes are those between the position and the limit of a direct buffer. The memory is lent while
     * an offload runs: nobody may change it until the offload returned or its future is done.
     */
    public static Builder of(String key, ByteBuffer direct) {
        if (!direct.isDirect()) {
            throw new IllegalArgumentException(
                    "the source of " + key + " is a buffer on the heap; use ByteBuffer.allocateDirect");
        }
        return new Builder(key, null, direct.duplicate());
    }

    /** Its name in the store. */
    public String key() {
        return key;
    }

    static void packMetadata(Packer out, Map<String, byte[]> metadata) {
        out.number(metadata.size());
        metadata.forEach((name, value) -> out.text(name, "name of a metadata value").blob(value));
    }

    /** Collects what a segment is made of. For one thread. */
    public static final class Builder {
        private final String key;
        private final Path path;
        private final ByteBuffer memory;
        private final Attachments attachments = new Attachments();
        private final Map<String, byte[]> metadata = new LinkedHashMap<>();
        private long offset;
        private long length;
        private IfExists ifExists = IfExists.SUCCEED_IF_SAME;
        private Codec codec = Codec.DEFAULT;
        private boolean lookFirst;
        private boolean hasOffsets;
        private long firstOffset;
        private long lastOffset;
        private Path resume;
        private Digest expected;

        private Builder(String key, Path path, ByteBuffer memory) {
            this.key = Objects.requireNonNull(key, "key");
            this.path = path;
            this.memory = memory;
            Window window = memory == null ? new Window(0, 0) : Window.of(memory);
            offset = window.position();
            length = window.length();
        }

        /**
         * Only these bytes of the file; a length of 0 means up to its end.
         *
         * @throws IllegalStateException for memory, whose range is the buffer's position and limit
         */
        public Builder range(long offset, long length) {
            if (memory != null) {
                throw new IllegalStateException("the range of a buffer is its position and limit; slice it instead");
            }
            if (offset < 0 || length < 0) {
                throw new IllegalArgumentException("the range " + offset + "+" + length + " of " + path);
            }
            this.offset = offset;
            this.length = length;
            return this;
        }

        /** A file that travels with the segment, such as an index; it is read when the segment is. */
        public Builder attachment(String name, Path file) {
            attachments.add(name, file);
            return this;
        }

        /** Bytes that travel with the segment, copied now. */
        public Builder attachment(String name, byte[] bytes) {
            attachments.add(name, bytes);
            return this;
        }

        /** Bytes between a buffer's position and limit, which stay as they are, copied now. */
        public Builder attachment(String name, ByteBuffer bytes) {
            attachments.add(name, bytes);
            return this;
        }

        /** A value that {@link Seglift#stat} shows; {@code content-type} names what the payload holds. */
        public Builder metadata(String name, byte[] value) {
            metadata.put(name, value.clone());
            return this;
        }

        /** The broker's first and last offset, both part of the segment and not below 0. */
        public Builder offsets(long first, long last) {
            hasOffsets = true;
            firstOffset = first;
            lastOffset = last;
            return this;
        }

        /** What compresses it, instead of the setting {@code codec}. */
        public Builder codec(Codec codec) {
            this.codec = Objects.requireNonNull(codec, "codec");
            return this;
        }

        /** What to do if the key is taken; {@link IfExists#SUCCEED_IF_SAME} unless said. */
        public Builder ifExists(IfExists ifExists) {
            this.ifExists = Objects.requireNonNull(ifExists, "ifExists");
            return this;
        }

        /** Look whether the key is taken before any byte is sent: for retries. */
        public Builder lookFirst() {
            lookFirst = true;
            return this;
        }

        /** A small file that lets a later offload of the same key go on with this one; see docs/semantics.md. */
        public Builder resume(Path file) {
            resume = Objects.requireNonNull(file, "file");
            return this;
        }

        /** The digest that the segment must have, else {@link Code#SOURCE_FAILED} and nothing is committed. */
        public Builder expect(Digest digest) {
            expected = digest;
            return this;
        }

        /** The segment as described. @throws IllegalArgumentException for a text that UTF-8 cannot say, or a NUL */
        public Segment build() {
            return new Segment(this);
        }
    }
}
