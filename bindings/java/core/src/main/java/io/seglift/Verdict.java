package io.seglift;

/** What became of an upload or an object in a clean-up, in the order of SEGLIFT_VERDICT_*. */
public enum Verdict {
    /** One that only a newer library knows. */
    OTHER,
    /** It is gone. */
    REMOVED,
    /** It would be gone if this were not a dry run. */
    WOULD_REMOVE,
    /** Removing it failed; the entry says why. */
    FAILED,
    /** Sweep: it cannot be read, so nobody knows whose it is; the entry says why. It stays. */
    UNREADABLE,
    /** Another owner's. It stays. */
    OTHER_OWNER,
    /** Reap: the store does not show whose it is. It stays, unless all owners were asked for. */
    UNKNOWN_OWNER,
    /** Not old enough. It stays. */
    YOUNG,
    /** Reap: the process that began it lives. It stays. */
    ALIVE,
    /** Sweep: somebody refers to it. It stays. */
    LIVE,
    /** Sweep: somebody refers to it, and it is not in the store. */
    MISSING,
    /** It was there a moment ago, and somebody else ended or removed it. */
    GONE,
    /** Sweep: another object came under the key a moment ago. It stays. */
    CHANGED;

    static Verdict of(long number) {
        return number < values().length ? values()[(int) number] : OTHER;
    }
}
