package io.seglift;

import java.nio.ByteBuffer;
import java.nio.file.Path;

/** What is known of a segment only when it has been written. For one thread; a commit copies it. */
public final class WriterFinish {
    private final Attachments attachments = new Attachments();
    private boolean hasOffsets;
    private long firstOffset;
    private long lastOffset;
    private Digest expected;

    /** Nothing yet, which is fine for a commit. */
    public WriterFinish() {}

    /** A file that travels with the segment. */
    public WriterFinish attachment(String name, Path file) {
        attachments.add(name, file);
        return this;
    }

    /** Bytes that travel with the segment, copied now. */
    public WriterFinish attachment(String name, byte[] bytes) {
        attachments.add(name, bytes);
        return this;
    }

    /** Bytes between a buffer's position and limit, which stay as they are, copied now. */
    public WriterFinish attachment(String name, ByteBuffer bytes) {
        attachments.add(name, bytes);
        return this;
    }

    /** The broker's first and last offset, both part of the segment and not below 0. */
    public WriterFinish offsets(long first, long last) {
        hasOffsets = true;
        firstOffset = first;
        lastOffset = last;
        return this;
    }

    /** The digest that the segment must have, else {@link Code#SOURCE_FAILED} and nothing is committed. */
    public WriterFinish expect(Digest digest) {
        expected = digest;
        return this;
    }

    /** As writer.c reads it. */
    byte[] pack() {
        Packer out = new Packer();
        attachments.pack(out);
        return out.number(hasOffsets ? Segment.HAS_OFFSETS : 0)
                .number(firstOffset)
                .number(lastOffset)
                .number(expected == null ? 0 : expected.number())
                .number(expected == null ? 0 : expected.value())
                .toBytes();
    }
}
