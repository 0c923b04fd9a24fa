package io.seglift;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.Collections;

/**
 * What the object of a segment says of itself.
 *
 * @param uuid the object's own id
 * @param key the key that was asked for
 * @param owner who wrote it: the setting {@code owner}
 * @param segmentBytes length of the segment
 * @param objectBytes length of the object in the store
 * @param crc64nvme CRC-64/NVME of the segment
 * @param blocks number of blocks
 * @param blockSize bytes of the segment in a block
 * @param codec what compressed it
 * @param mode what it is made of
 * @param created when it was written, by its writer's clock
 * @param offsets the broker's first and last offset, if the offload gave them
 * @param formatVersion version of the object's format
 * @param records what is known of the records, in record mode
 * @param token for later reads, as the receipt had it
 * @param metadata the values that the offload gave, by name
 * @param attachments what travels with the segment, in the order of the offload
 */
public record SegmentInfo(
        UUID uuid,
        String key,
        String owner,
        long segmentBytes,
        long objectBytes,
        long crc64nvme,
        long blocks,
        long blockSize,
        Codec codec,
        Mode mode,
        Instant created,
        Optional<Range> offsets,
        int formatVersion,
        Optional<RecordRange> records,
        byte[] token,
        Map<String, byte[]> metadata,
        List<Attachment> attachments) {

    /** Two numbers and all between them. */
    public record Range(long first, long last) {}

    /**
     * The records of a segment.
     *
     * @param count how many
     * @param firstId id of the first one, unsigned
     * @param lastId id of the last one, unsigned
     * @param firstTimeMicros smallest time, in microseconds
     * @param lastTimeMicros largest time, in microseconds
     */
    public record RecordRange(
            long count, long firstId, long lastId, long firstTimeMicros, long lastTimeMicros) {}

    /**
     * An attachment as the object lists it.
     *
     * @param name its name
     * @param size its length in bytes
     * @param storedSize its length in the object
     * @param codec what compressed it
     * @param crc64nvme CRC-64/NVME of the attachment
     */
    public record Attachment(String name, long size, long storedSize, Codec codec, long crc64nvme) {}

    /** A copy of the token. */
    @Override
    public byte[] token() {
        return token.clone();
    }

    /** A reference with the token, for reads of this very object. */
    public SegmentRef ref() {
        return new SegmentRef(key, token);
    }

    /** Takes over an info of the library and frees it. */
    static SegmentInfo take(long info) {
        Unpacker in = new Unpacker(Native.takeInfo(info));
        UUID uuid = Receipt.uuid(in.blob());
        String key = in.text();
        String owner = in.text();
        long segmentBytes = in.number();
        long objectBytes = in.number();
        long crc64nvme = in.number();
        long blocks = in.number();
        long blockSize = in.number();
        Codec codec = Codec.of(in.number());
        Mode mode = Mode.of(in.number());
        Instant created = micros(in.number());
        boolean hasOffsets = in.number() != 0;
        Range offsets = new Range(in.number(), in.number());
        int formatVersion = (int) in.number();
        RecordRange records = new RecordRange(in.number(), in.number(), in.number(), in.number(), in.number());
        byte[] token = in.blob();
        Map<String, byte[]> metadata = new LinkedHashMap<>();
        for (long n = in.number(); n > 0; n--) {
            metadata.put(in.text(), in.blob());
        }
        List<Attachment> attachments = new ArrayList<>();
        for (long n = in.number(); n > 0; n--) {
            attachments.add(new Attachment(in.text(), in.number(), in.number(), Codec.of(in.number()), in.number()));
        }
        return new SegmentInfo(
                uuid,
                key,
                owner,
                segmentBytes,
                objectBytes,
                crc64nvme,
                blocks,
                blockSize,
                codec,
                mode,
                created,
                hasOffsets ? Optional.of(offsets) : Optional.empty(),
                formatVersion,
                mode == Mode.RECORDS ? Optional.of(records) : Optional.empty(),
                token,
                Collections.unmodifiableMap(metadata),
                List.copyOf(attachments));
    }

    static Instant micros(long since1970) {
        return Instant.EPOCH.plus(since1970, ChronoUnit.MICROS);
    }
}
