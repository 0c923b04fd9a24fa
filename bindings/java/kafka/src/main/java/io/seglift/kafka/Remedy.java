package io.seglift.kafka;

import io.seglift.Code;

/** What the operator of a broker can do about a failure, by its code. */
final class Remedy {
    private Remedy() {}

    /** A sentence without its full stop. */
    static String of(Code code) {
        return switch (code) {
            case UNAUTHENTICATED -> "the store does not know these credentials: check rsm.config.s3.access.key and"
                    + " rsm.config.s3.secret.key, or the broker's AWS environment";
            case PERMISSION_DENIED -> "the credentials do not allow this: `seglift doctor --policy admin` prints what a"
                    + " broker needs";
            case NOT_FOUND -> "the object is gone: unless the topic was just deleted or its retention ended, see which"
                    + " lifecycle rule or person deletes under this prefix";
            case NOT_FOUND_OR_DENIED -> "the store does not say whether the object is missing: allow s3:ListBucket";
            case INVALID_CONFIG -> "check the bucket, region and endpoint in rsm.config.*; `seglift doctor` tries them";
            case WRONG_STORE -> "the segment was copied to another store: name that in rsm.config.store.previous";
            case ARCHIVED -> "a lifecycle rule moved the object into a cold class: restore it, and spare the prefix";
            case NO_SPACE -> "the store is full: make room or raise its quota; local segments stay until then";
            case CORRUPT -> "the object is damaged: `seglift verify` says where, `seglift cat --salvage` saves what is"
                    + " good";
            case SOURCE_FAILED -> "the broker's own files could not be read: check its disk and log folder";
            case THROTTLED -> "the store asks to slow down: lower rsm.config.store.concurrency.writes, or raise its"
                    + " limits";
            case UNAVAILABLE, TIMED_OUT, OUTCOME_UNKNOWN -> "the store cannot be reached or is too slow; copies go"
                    + " on by themselves when it is back, local segments stay until then";
            case RESOURCE_EXHAUSTED, BUSY -> "memory or places ran out: raise rsm.config.memory.budget, or lower"
                    + " remote.log.manager.copier.thread.pool.size";
            case UNSUPPORTED_VERSION -> "a newer seglift wrote the object: upgrade this broker's plugin";
            default -> "this is not expected: please report it with the broker's log";
        };
    }
}
