package io.seglift;

import java.nio.ByteBuffer;
import java.util.UUID;

/**
 * What an offload or a commit returns. Keep the key and the token: the token saves later reads the search for the tail.
 *
 * @param uuid the object's own id
 * @param segmentBytes length of the segment
 * @param objectBytes length of the object in the store
 * @param crc64nvme CRC-64/NVME of the segment
 * @param blocks number of blocks
 * @param records number of records; 0 in byte mode
 * @param codec what compressed it
 * @param mode what it is made of
 * @param existed whether the same content was there already; then the receipt describes what is there
 * @param atomicCreate whether the store created the object atomically, so that no other writer's can be overwritten
 * @param token opaque, at most {@link SegmentRef#TOKEN_MAX} bytes
 * @param resumedBytes bytes of parts that an earlier attempt had sent and that were not sent again
 */
public record Receipt(
        UUID uuid,
        long segmentBytes,
        long objectBytes,
        long crc64nvme,
        long blocks,
        long records,
        Codec codec,
        Mode mode,
        boolean existed,
        boolean atomicCreate,
        byte[] token,
        long resumedBytes) {

    /** A copy of the token. */
    @Override
    public byte[] token() {
        return token.clone();
    }

    /** Takes over a receipt of the library and frees it. */
    static Receipt take(long receipt) {
        Unpacker in = new Unpacker(Native.takeReceipt(receipt));
        return new Receipt(
                uuid(in.blob()),
                in.number(),
                in.number(),
                in.number(),
                in.number(),
                in.number(),
                Codec.of(in.number()),
                Mode.of(in.number()),
                in.number() != 0,
                in.number() != 0,
                in.blob(),
                in.number());
    }

    static UUID uuid(byte[] bytes) {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        return new UUID(buffer.getLong(), buffer.getLong());
    }
}
