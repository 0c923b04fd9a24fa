package io.seglift;

import java.time.Instant;

/**
 * An object of a listing.
 *
 * @param key its key
 * @param objectBytes its length
 * @param modified when it was written, by the store's clock
 */
public record ObjectEntry(String key, long objectBytes, Instant modified) {}
