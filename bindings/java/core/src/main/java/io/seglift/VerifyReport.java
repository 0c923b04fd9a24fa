package io.seglift;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What the checksums of a whole object say.
 *
 * @param blocks blocks of the segment
 * @param badBlocks those that cannot be read as they were written
 * @param segmentBytes bytes of the segment
 * @param objectBytes bytes of the object
 * @param records records; 0 in byte mode
 * @param attachments attachments of the segment
 * @param badAttachments those that cannot be read as they were written
 * @param damage where it is damaged; what is not in it was read and is sound
 */
public record VerifyReport(
        long blocks,
        long badBlocks,
        long segmentBytes,
        long objectBytes,
        long records,
        long attachments,
        long badAttachments,
        List<Damage> damage) {

    /** What a damage is in, in the order of SEGLIFT_PART_*. */
    public enum Part {
        /** A part that only a newer library knows. */
        OTHER,
        /** The tail, without which nothing is found; {@code seglift cat --salvage} may still save blocks. */
        TAIL,
        /** A page of the block index: its blocks cannot be found, and may be sound themselves. */
        INDEX,
        /** Blocks. */
        BLOCK,
        /** An attachment. */
        ATTACHMENT,
        /** The header of a frame between the parts. Reading does without. */
        FRAME,
        /** The zstd seek table. Reading does without. */
        SEEK_TABLE,
        /** Every block is sound, and together they are not what was written. */
        CONTENT
    }

    /**
     * A stretch of an object that is not as it was written.
     *
     * @param part what it is in
     * @param position where it stands in the object
     * @param storedBytes how many bytes it has there; 0 where that is not known
     * @param offset which bytes of the segment cannot be read for it: where they begin
     * @param bytes how many; 0 if none
     * @param blocks how many blocks that is
     * @param records ids of the first and the last record that cannot be read for it, if any
     * @param attachment the name of the attachment, else empty
     * @param cause what is wrong; of several neighbours with the first
     */
    public record Damage(
            Part part,
            long position,
            long storedBytes,
            long offset,
            long bytes,
            long blocks,
            Optional<SegmentInfo.Range> records,
            String attachment,
            SegliftException cause) {}

    /** Whether every byte is as it was written. */
    public boolean sound() {
        return damage.isEmpty();
    }

    /** What verify.c packed. */
    static VerifyReport unpack(Unpacker in) {
        long blocks = in.number();
        long badBlocks = in.number();
        long segmentBytes = in.number();
        long objectBytes = in.number();
        long records = in.number();
        long attachments = in.number();
        long badAttachments = in.number();
        List<Damage> damage = new ArrayList<>();
        while (in.hasMore()) {
            damage.add(unpackDamage(in));
        }
        return new VerifyReport(blocks, badBlocks, segmentBytes, objectBytes, records, attachments, badAttachments,
                List.copyOf(damage));
    }

    private static Damage unpackDamage(Unpacker in) {
        int part = (int) in.number();
        long position = in.number();
        long storedBytes = in.number();
        long offset = in.number();
        long bytes = in.number();
        long blocks = in.number();
        boolean hasRecords = in.number() != 0;
        SegmentInfo.Range ids = new SegmentInfo.Range(in.number(), in.number());
        return new Damage(
                part < Part.values().length ? Part.values()[part] : Part.OTHER,
                position,
                storedBytes,
                offset,
                bytes,
                blocks,
                hasRecords ? Optional.of(ids) : Optional.empty(),
                in.text(),
                ErrorReport.unpack(in).toException());
    }
}
