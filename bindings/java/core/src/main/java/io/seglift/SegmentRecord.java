package io.seglift;

import java.nio.ByteBuffer;

/**
 * A record of a segment.
 *
 * @param id the id that it was appended with, unsigned
 * @param timeMicros the time that it was appended with, in microseconds
 * @param payload inside its {@link Records}: good until they are closed; cannot be written
 */
public record SegmentRecord(long id, long timeMicros, ByteBuffer payload) {}
