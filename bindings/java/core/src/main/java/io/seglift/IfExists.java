package io.seglift;

/** What an offload does when its key is taken. Nothing is ever overwritten. */
public enum IfExists {
    /** Success if the same segment with the same attachments is there, else {@link Code#ALREADY_EXISTS}. */
    SUCCEED_IF_SAME,
    /** Success if the same segment is there, whatever its attachments, else {@link Code#ALREADY_EXISTS}. */
    SUCCEED_IF_SAME_SEGMENT,
    /** Always {@link Code#ALREADY_EXISTS}. */
    FAIL
}
