/* seglift: tiered storage for message brokers.
 *
 * A broker hands over a sealed segment of its log; seglift puts it into an object store as one object, and reads any
 * range of it back. This file is the whole interface. It is generated from src/ffi: change it there.
 *
 * A first program
 *
 *     seglift_driver *driver;
 *     seglift_error *err;
 *     if (seglift_open(NULL, "file:///var/tier", NULL, &driver, &err) != SEGLIFT_OK)
 *       return fail(seglift_error_message(err));
 *     seglift_segment segment = seglift_segment_init();
 *     segment.key = "orders/0/00000000000000000000-6f0c2b9e";
 *     segment.source = SEGLIFT_SOURCE_PATH;
 *     segment.path = "/var/log/broker/orders-0/00000000000000000000.log";
 *     seglift_receipt receipt = seglift_receipt_init();
 *     if (seglift_offload_segment(driver, &segment, NULL, &receipt, &err) != SEGLIFT_OK)
 *       return fail(seglift_error_message(err));
 *     seglift_ref ref = seglift_ref_init();
 *     ref.key = segment.key;
 *     ref.token = receipt.token;
 *     ref.token_len = receipt.token_len;
 *     if (seglift_read_range(driver, &ref, offset, buf, sizeof buf, NULL, &n, &err) != SEGLIFT_OK)
 *       return fail(seglift_error_message(err));
 *     seglift_driver_free(driver);
 *
 * Link with -lseglift, or load the library with dlopen and take all functions from the table that seglift_get_api
 * returns.
 *
 * Rules
 *
 * Results.   Every function that can fail returns a seglift_code and takes a seglift_error **, which may be NULL. It is
 *            set to an error of yours (seglift_error_free) when the code is an error, else to NULL; so it is with
 *            SEGLIFT_END, the normal end of a sequence. Outputs mean something only with SEGLIFT_OK unless the function
 *            says more; pointers that are outputs are NULL otherwise. errno is no part of it.
 * Strings    are NUL-terminated UTF-8. Blobs are a pointer and a length in bytes; a length is at most PTRDIFF_MAX, and a
 *            pointer may be NULL when its length is 0. Times of the clock are microseconds since 1970 UTC (_us), spans
 *            are milliseconds (_ms).
 * Structs    begin with their size, so that they can grow: set it to sizeof. The seglift_..._init functions at the end of
 *            this file do that and set all else to zero, which is the default of every field.
 *            In: a size below that of version 1.0 is INVALID_ARGUMENT. Bytes past what the library knows, reserved fields
 *            and unknown flags must be zero, else UNSUPPORTED_FIELD: no request is silently ignored.
 *            Out: set size before the call; the library writes what fits and sets size to what it wrote.
 *            Arrays have a stride, the sizeof of an element, because the library's may be larger or smaller than yours.
 * Ownership. What you pass in stays yours and is copied, but for two things that are lent: the buffer of a read, and the
 *            memory of a SEGLIFT_SOURCE_BYTES segment. They are the library's until the call returns, or, if it was
 *            submitted, until its completion was polled; nothing is written or read after that, not even by an attempt
 *            that was given up. What you get is yours and has one _free, which takes NULL. Bytes, records, infos, results
 *            and errors outlive the driver that made them.
 * Threads.   Engines, drivers, queues, cancel tokens and bytes take any number of threads at once; infos, results and
 *            errors too, since nobody changes them. Configurations, records and listers take one at a time. A writer takes
 *            one at a time and tells a second one BUSY. _free comes last: nobody uses the handle during or after it.
 * Time.      A call that may do I/O takes a seglift_call (NULL = defaults) and ends by its deadline. Without one the
 *            settings deadline.read, deadline.offload and deadline.other hold. None hangs.
 * Async.     A _submit returns at once; the operation ends in a queue with exactly one completion, whatever happens to it.
 *            If the submit itself fails, no completion comes.
 * Close      and free are two: after _close every call returns CLOSED; after _free the handle is gone.
 * Wrong      handles (of another type, freed) are most often recognised and are INVALID_ARGUMENT; do not build on it.
 * Fork.      In a child process inherited handles return FORKED and their _free only forgets them; open new ones. A
 *            configuration, and what is plain memory (bytes, records, infos, results, errors), can still be read.
 * Panics     do not leave the library: a defect is INTERNAL with a message. It installs no signal handlers, and stays in
 *            memory after dlclose.
 * Since      says with which version of this interface (SEGLIFT_ABI_MAJOR.SEGLIFT_ABI_MINOR) something came.
 * Secrets    are in no error, log line, metric or document.
 */
#ifndef SEGLIFT_H
#define SEGLIFT_H


#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Major number of the ABI: libraries of one major take programs of the same major, older and newer. */
#define SEGLIFT_ABI_MAJOR 1
/** Minor number of the ABI: grows when functions or fields are appended. */
#define SEGLIFT_ABI_MINOR 1
/** It worked. */
#define SEGLIFT_OK 0
/** A pointer is NULL, a length or a value is out of its range, a string is not UTF-8. */
#define SEGLIFT_INVALID_ARGUMENT 1
/**
 * A struct carries non-zero bytes that this library does not know: the caller asks for
 * something that a newer version offers.
 */
#define SEGLIFT_UNSUPPORTED_FIELD 2
/** The object needs a newer version of seglift. */
#define SEGLIFT_UNSUPPORTED_VERSION 3
/** A setting is unknown, malformed or contradicts another. */
#define SEGLIFT_INVALID_CONFIG 4
/** There is no such object, certainly. */
#define SEGLIFT_NOT_FOUND 10
/** The store hides whether the object is missing or forbidden. Never treat it as missing. */
#define SEGLIFT_NOT_FOUND_OR_DENIED 11
/** The key exists with another content; nothing was changed. */
#define SEGLIFT_ALREADY_EXISTS 12
/** The bytes do not match their checksum, or the object is not a seglift object. */
#define SEGLIFT_CORRUPT 13
/** The offset, record or attachment lies outside the segment. */
#define SEGLIFT_OUT_OF_RANGE 14
/** The object is in a cold class and must be restored first. */
#define SEGLIFT_ARCHIVED 15
/** The receipt names another store than this driver's. */
#define SEGLIFT_WRONG_STORE 16
/** The source (file, descriptor) of an offload could not be read, or changed while it was. */
#define SEGLIFT_SOURCE_FAILED 17
/** No or wrong credentials. */
#define SEGLIFT_UNAUTHENTICATED 20
/** The credentials do not allow this. */
#define SEGLIFT_PERMISSION_DENIED 21
/** The store asks to slow down. */
#define SEGLIFT_THROTTLED 22
/** The store could not be reached or failed. */
#define SEGLIFT_UNAVAILABLE 23
/** The deadline or the stall limit passed; nothing was committed. */
#define SEGLIFT_TIMED_OUT 24
/** The caller cancelled; nothing was committed. */
#define SEGLIFT_CANCELLED 25
/**
 * The commit was sent and its result could not be learnt. Repeat the offload with the same
 * key to settle it.
 */
#define SEGLIFT_OUTCOME_UNKNOWN 26
/** The disk or the quota behind the store is full. */
#define SEGLIFT_NO_SPACE 27
/** The handle, the queue or the memory budget is in use; try again later. */
#define SEGLIFT_BUSY 30
/** The answer needs I/O and the caller asked for none, or a writer is full. */
#define SEGLIFT_WOULD_BLOCK 31
/** Memory, threads or descriptors ran out, or the request can never fit the budget. */
#define SEGLIFT_RESOURCE_EXHAUSTED 32
/** The handle is closed. */
#define SEGLIFT_CLOSED 33
/** The handle was inherited through `fork`; open a new one in the child. */
#define SEGLIFT_FORKED 34
/** There is nothing more: the end of a listing or of a batch of records. */
#define SEGLIFT_END 35
/** A defect in seglift; the message says where. */
#define SEGLIFT_INTERNAL 99
/**
 * Answer from memory, or WOULD_BLOCK: the call itself does no I/O. Of a reader that goes on, a hit still has the library
 * fetch ahead, unless RANDOM or NO_CACHE is set as well.
 */
#define SEGLIFT_CALL_CACHED_ONLY 1
/** Leave nothing in the cache: for what will not be read again. */
#define SEGLIFT_CALL_NO_CACHE 2
/** What follows will be read soon: read ahead. */
#define SEGLIFT_CALL_SEQUENTIAL 4
/** What follows will not be read: fetch no more than is asked for. */
#define SEGLIFT_CALL_RANDOM 8
/** Longest token in bytes. */
#define SEGLIFT_TOKEN_MAX 128
/** seglift_segment.source: a file, by its path. */
#define SEGLIFT_SOURCE_PATH 1
/** seglift_segment.source: an open file descriptor. */
#define SEGLIFT_SOURCE_FD 2
/** seglift_segment.source: bytes in memory. */
#define SEGLIFT_SOURCE_BYTES 3
/** The key is taken by the same segment and the same attachments: success. By anything else: ALREADY_EXISTS. */
#define SEGLIFT_IF_EXISTS_SUCCEED_IF_SAME 0
/** The key is taken by the same segment, whatever its attachments: success. */
#define SEGLIFT_IF_EXISTS_SUCCEED_IF_SAME_SEGMENT 1
/** The key is taken: ALREADY_EXISTS. */
#define SEGLIFT_IF_EXISTS_FAIL 2
/** The codec of the driver's setting. */
#define SEGLIFT_CODEC_DEFAULT 0
/** The segment's bytes as they are. */
#define SEGLIFT_CODEC_NONE 1
/** One zstd frame for each block. */
#define SEGLIFT_CODEC_ZSTD 2
/** Look whether the key is taken before any byte is sent: for retries. */
#define SEGLIFT_SEGMENT_LOOK_FIRST 1
/** first_offset and last_offset are set. */
#define SEGLIFT_SEGMENT_HAS_OFFSETS 2
/** No digest is expected. */
#define SEGLIFT_DIGEST_NONE 0
/** CRC-32C (Castagnoli), in the low 32 bits. */
#define SEGLIFT_DIGEST_CRC32C 1
/** CRC-64/NVME. */
#define SEGLIFT_DIGEST_CRC64NVME 2
/** The segment is a run of bytes. */
#define SEGLIFT_MODE_BYTES 0
/** The segment is a run of records with ids and times. */
#define SEGLIFT_MODE_RECORDS 1
/** seglift_completion.kind: an operation ended. */
#define SEGLIFT_COMPLETION_OPERATION 0
/** seglift_completion.kind: a writer that returned WOULD_BLOCK has room again, or has failed: call it. */
#define SEGLIFT_COMPLETION_WRITABLE 1
/** seglift_progress_info.state: no operation of this engine ever had this id. */
#define SEGLIFT_PROGRESS_UNKNOWN 0
/** It waits for memory or a permit. */
#define SEGLIFT_PROGRESS_QUEUED 1
/** It runs. */
#define SEGLIFT_PROGRESS_RUNNING 2
/** It is over: its completion is or was in its queue, and the other fields are 0. */
#define SEGLIFT_PROGRESS_DONE 3
/** seglift_policy.flags: offload_before is set. */
#define SEGLIFT_POLICY_HAS_OFFLOAD_BEFORE 1
/** seglift_segment_state.flags: a local copy exists. */
#define SEGLIFT_STATE_LOCAL 1
/** Offload the segment. */
#define SEGLIFT_ACTION_OFFLOAD 1
/**
 * Drop the local copy: the store has the segment for long enough, or its retention is over. DATA LOSS IS MEANT in the
 * second case: a segment without an object has no other copy. See seglift_plan.
 */
#define SEGLIFT_ACTION_DROP_LOCAL 2
/** Delete the object: the segment's retention is over. */
#define SEGLIFT_ACTION_DELETE_TIERED 4
/** It is gone. */
#define SEGLIFT_VERDICT_REMOVED 1
/** It would be gone without dry-run. */
#define SEGLIFT_VERDICT_WOULD_REMOVE 2
/** Somebody tried to remove it and failed; the entry's error says why. */
#define SEGLIFT_VERDICT_FAILED 3
/** Sweep: it cannot be read, so nobody knows whose it is; the entry's error says why. It stays. */
#define SEGLIFT_VERDICT_UNREADABLE 4
/** Another owner's. It stays. */
#define SEGLIFT_VERDICT_OTHER_OWNER 5
/** Reap: the store does not show whose it is. It stays, unless ALL_OWNERS was said. */
#define SEGLIFT_VERDICT_UNKNOWN_OWNER 6
/** Not old enough. It stays. */
#define SEGLIFT_VERDICT_YOUNG 7
/** Reap: the process that began it lives. It stays. */
#define SEGLIFT_VERDICT_ALIVE 8
/** Sweep: you refer to it. It stays. */
#define SEGLIFT_VERDICT_LIVE 9
/** Sweep: you refer to it, and it is not in the store. */
#define SEGLIFT_VERDICT_MISSING 10
/** It was there a moment ago, and somebody else ended or removed it. */
#define SEGLIFT_VERDICT_GONE 11
/** Sweep: another object came under the key a moment ago. It stays. */
#define SEGLIFT_VERDICT_CHANGED 12
/** seglift_reap_options.flags: abort nothing, only report. */
#define SEGLIFT_REAP_DRY_RUN 1
/**
 * seglift_reap_options.flags: uploads of other owners as well, and those whose owner the store does not show. S3 shows
 * that of none: there reap aborts nothing without this flag. Say it where no other host uses the bucket and prefix.
 */
#define SEGLIFT_REAP_ALL_OWNERS 2
/** seglift_sweep_options.flags: delete. Without it a sweep only reports. */
#define SEGLIFT_SWEEP_DELETE 1
/**
 * What a damage is in: the tail, without which nothing is found. `seglift cat --salvage` may still save blocks. Since 1.1,
 * as all SEGLIFT_PART_*.
 */
#define SEGLIFT_PART_TAIL 1
/** A page of the block index: its blocks cannot be found, and may be sound themselves. */
#define SEGLIFT_PART_INDEX 2
/** Blocks. */
#define SEGLIFT_PART_BLOCK 3
/** An attachment. */
#define SEGLIFT_PART_ATTACHMENT 4
/** The header of a frame between the parts. Reading does without; stock zstd does not. */
#define SEGLIFT_PART_FRAME 5
/** The zstd seek table. Reading does without; tools of the seekable format do not. */
#define SEGLIFT_PART_SEEK_TABLE 6
/** Every block is sound, and together they are not what was written. */
#define SEGLIFT_PART_CONTENT 7

/**
 * Bytes that the library made: a range of a segment, an attachment, a document. Immutable.
 * Ownership: counted. Whoever gets one holds a count and gives it back with seglift_bytes_free; they outlive
 * the driver and the engine that made them. What comes from a segment counts against memory.lent.limit until
 * the last count is back, so do not hoard.
 * Threads: any number at once. Since 1.0.
 */
typedef struct seglift_bytes seglift_bytes;

/**
 * A request to stop: one token for any number of calls, synchronous and asynchronous (seglift_call.cancel).
 * Ownership: yours, until seglift_cancel_free, which may come while calls still run. Threads: any number at once.
 * Since 1.0.
 */
typedef struct seglift_cancel seglift_cancel;

/**
 * What a reap, or a step of a sweep, found and did.
 * Ownership: yours, until seglift_cleanup_free. Threads: any number at once, read only. Since 1.0.
 */
typedef struct seglift_cleanup seglift_cleanup;

/**
 * Settings, by name. See docs/configuration.md for all of them.
 * Ownership: yours, until seglift_config_free; seglift_open and seglift_engine_open copy what they need.
 * Threads: one at a time. A child process may go on using it. Since 1.0.
 */
typedef struct seglift_config seglift_config;

/**
 * Where a segment is damaged: blocks and pages first, in the order of the segment, then what else there is. What no entry
 * names was read and is sound. Of a ruined segment that has more than 10,000 stretches the last one names what is sound
 * in between, too.
 * Ownership: yours, until seglift_damage_free. Threads: any number at once, read only. Since 1.1.
 */
typedef struct seglift_damage seglift_damage;

/**
 * A connection of an engine to one store: cheap, a broker may open hundreds.
 * Ownership: yours, until seglift_driver_free. Threads: any number at once. Since 1.0.
 */
typedef struct seglift_driver seglift_driver;

/**
 * Threads, memory budget, caches, metrics and logs, shared by all drivers that are opened on it. Most hosts need
 * none of their own: wherever a function takes an engine, NULL is the process's default engine, which is made
 * with the settings of the environment when it is first used and lives as long as the process.
 * Ownership: yours, until seglift_engine_free. Threads: any number at once. Since 1.0.
 */
typedef struct seglift_engine seglift_engine;

/**
 * Why a call failed: a code, a sentence for a human, and what the store said.
 * Ownership: yours, until seglift_error_free; it outlives every other handle.
 * Threads: any number may read it at once. Since 1.0.
 */
typedef struct seglift_error seglift_error;

/**
 * What stat found. Immutable; no reads happen through it.
 * Ownership: yours, until seglift_info_free; it outlives its driver. Threads: any number at once. Since 1.0.
 */
typedef struct seglift_info seglift_info;

/**
 * A walk over the objects of a store, page by page.
 * Ownership: yours, until seglift_list_free; also while a page is being loaded. Threads: one at a time. Since 1.0.
 */
typedef struct seglift_lister seglift_lister;

/**
 * Where asynchronous calls end. Each accepted operation puts exactly one completion here.
 * Ownership: yours, until seglift_queue_free. Threads: any number at once; several may poll. Since 1.0.
 */
typedef struct seglift_queue seglift_queue;

/**
 * A batch of records, and where the walk over it stands.
 * Ownership: yours, until seglift_records_free; it outlives its driver, and counts against memory.lent.limit.
 * Threads: one at a time. Since 1.0.
 */
typedef struct seglift_records seglift_records;

/**
 * The results of a batch, one for each key.
 * Ownership: yours, until seglift_results_free, which frees its errors too. Threads: any number at once. Since 1.0.
 */
typedef struct seglift_results seglift_results;

/**
 * A sweep: deletes objects of this owner that you do not refer to. Begin it, then feed the keys that you refer to in
 * byte order, all of them, then finish it. To stop, free it: nothing behind the last key that was fed is deleted.
 * Ownership: yours, until seglift_sweep_free. Threads: one at a time. Since 1.0.
 */
typedef struct seglift_sweep seglift_sweep;

/**
 * A segment that is being written. It is invisible until its commit.
 * Ownership: yours, until seglift_writer_free. Threads: one at a time; a second one is told BUSY. Since 1.0.
 */
typedef struct seglift_writer seglift_writer;

/**
 * What a call returns: SEGLIFT_OK or one of the codes below. New codes may come: treat an unknown one as
 * you treat SEGLIFT_INTERNAL. Since 1.0.
 */
typedef int32_t seglift_code;

/** A named blob that travels with a segment, such as an index of the broker: data or path, not both. Since 1.0. */
typedef struct seglift_attachment {
  /** sizeof(seglift_attachment). */
  size_t size;
  /** UTF-8, unique in the segment. */
  const char *name;
  /** The blob, copied by the call; NULL with a path, or for an empty one. */
  const void *data;
  /** Its length in bytes. */
  size_t len;
  /** A file, read when the segment is; NULL with data. */
  const char *path;
} seglift_attachment;

/** A named value of the metadata. Since 1.0. */
typedef struct seglift_pair {
  /** sizeof(seglift_pair). */
  size_t size;
  /** UTF-8. "content-type" names what the payload holds. */
  const char *name;
  /** Any bytes. */
  const void *value;
  /** Its length in bytes. */
  size_t value_len;
} seglift_pair;

/** A segment to offload. Since 1.0. */
typedef struct seglift_segment {
  /** sizeof(seglift_segment). */
  size_t size;
  /** The segment's name in the store: a path of UTF-8 names without "." and "..". Put the attempt's UUID into it. */
  const char *key;
  /** SEGLIFT_SOURCE_*. */
  uint32_t source;
  /** SEGLIFT_IF_EXISTS_*. */
  uint32_t if_exists;
  /** SEGLIFT_CODEC_*. */
  uint32_t codec;
  /** SEGLIFT_SEGMENT_* bits. */
  uint32_t flags;
  /** PATH: the file. Else NULL. */
  const char *path;
  /**
   * BYTES: the memory. Lent until the call returns or the completion was polled; nobody may change it meanwhile.
   * Else NULL.
   */
  const void *data;
  /** FD: a readable file; duplicated, so you may close yours when the call returns. It is read with pread. */
  int32_t fd;
  /** Zero. */
  uint32_t reserved0;
  /** Where the segment begins in the file or the memory. */
  uint64_t offset;
  /** PATH, FD: length in bytes, 0 = to the end of the file. BYTES: exactly so many bytes. */
  uint64_t length;
  /** attachment_count structs, attachment_stride bytes apart. */
  const struct seglift_attachment *attachments;
  /** How many. */
  size_t attachment_count;
  /** sizeof(seglift_attachment). */
  size_t attachment_stride;
  /** metadata_count structs, metadata_stride bytes apart. */
  const struct seglift_pair *metadata;
  /** How many. */
  size_t metadata_count;
  /** sizeof(seglift_pair). */
  size_t metadata_stride;
  /** With HAS_OFFSETS: the broker's first offset, not below 0. */
  int64_t first_offset;
  /** With HAS_OFFSETS: the broker's last offset, itself part of the segment. */
  int64_t last_offset;
  /**
   * SEGLIFT_DIGEST_*: the segment's digest that you know. If it does not match, the offload is SOURCE_FAILED and
   * nothing is committed.
   */
  uint32_t expected_kind;
  /** Zero. */
  uint32_t reserved1;
  /** The digest. */
  uint64_t expected_digest;
  /**
   * PATH, FD: the path of a small file that lets another offload go on with this one, or NULL. It is written before the
   * first part is sent, removed when the offload is settled, and yours to keep meanwhile. An offload that fails then
   * keeps what it has sent: repeat it with the same key and file, or let a reap end it. See docs/semantics.md. Since 1.1.
   */
  const char *resume;
} seglift_segment;

/** How a call shall run. Every function that may do I/O takes one; NULL = all defaults. Since 1.0. */
typedef struct seglift_call {
  /** sizeof(seglift_call). */
  size_t size;
  /** Total time in ms, queueing and retries included; 0 = the setting deadline.*; below 0 is invalid. */
  int64_t deadline_ms;
  /** Offloads and writers: longest time in ms without a byte moved; 0 = the setting stall; below 0 is invalid. */
  int64_t stall_ms;
  /** SEGLIFT_CALL_* bits. */
  uint32_t flags;
  /** Higher first among those that wait; 0 = normal. */
  int32_t priority;
  /** NULL = it can be cancelled by seglift_op_cancel only, if it is asynchronous. */
  const struct seglift_cancel *cancel;
} seglift_call;

/** What an offload or a commit returns. Keep key and token: the token saves later reads the search. Since 1.0. */
typedef struct seglift_receipt {
  /** You: sizeof(seglift_receipt). The library: how many bytes it wrote. */
  size_t size;
  /** The object's own id. */
  uint8_t uuid[16];
  /** Length of the segment in bytes. */
  uint64_t segment_bytes;
  /** Length of the object in the store in bytes. */
  uint64_t object_bytes;
  /** CRC-64/NVME of the segment. */
  uint64_t crc64nvme;
  /** Number of blocks. */
  uint64_t blocks;
  /** Number of records; 0 in byte mode. */
  uint64_t records;
  /** SEGLIFT_CODEC_NONE or SEGLIFT_CODEC_ZSTD. */
  uint32_t codec;
  /** SEGLIFT_MODE_BYTES or SEGLIFT_MODE_RECORDS. */
  uint32_t mode;
  /** 1 = the same content was there already; the receipt describes what is there. */
  uint32_t existed;
  /** 1 = the store created the object atomically, so that no other writer can have been overwritten. */
  uint32_t atomic_create;
  /** Bytes of the token in use. */
  uint32_t token_len;
  /** Opaque. Give it to reads in seglift_ref. */
  uint8_t token[SEGLIFT_TOKEN_MAX];
  /** Zero. */
  uint32_t reserved0;
  /**
   * Bytes of parts that the store had from an earlier attempt and that were not sent again; 0 without
   * seglift_segment.resume. Since 1.1.
   */
  uint64_t resumed_bytes;
} seglift_receipt;

/** Which segment to read. Since 1.0. */
typedef struct seglift_ref {
  /** sizeof(seglift_ref). */
  size_t size;
  /** The key that it was offloaded under. */
  const char *key;
  /** The receipt's token; NULL = the library looks for the object's tail itself, which costs a request more. */
  const void *token;
  /** Its length in bytes. */
  size_t token_len;
} seglift_ref;

/** A record of a batch. Since 1.0. */
typedef struct seglift_record {
  /** You: sizeof(seglift_record). The library: how many bytes it wrote. */
  size_t size;
  /** The id that it was appended with. */
  uint64_t id;
  /** The time that it was appended with, in us. */
  int64_t time_us;
  /** The payload, inside the batch: valid until seglift_records_free. */
  const void *data;
  /** Its length in bytes. */
  size_t len;
} seglift_record;

/** The summary of a segment. Since 1.0. */
typedef struct seglift_summary {
  /** You: sizeof(seglift_summary). The library: how many bytes it wrote. */
  size_t size;
  /** The object's own id. */
  uint8_t uuid[16];
  /** The key that was asked for. Valid as long as the info. */
  const char *key;
  /** Who wrote it: the setting owner. Valid as long as the info. */
  const char *owner;
  /** Length of the segment in bytes. */
  uint64_t segment_bytes;
  /** Length of the object in the store in bytes. */
  uint64_t object_bytes;
  /** CRC-64/NVME of the segment. */
  uint64_t crc64nvme;
  /** Number of blocks. */
  uint64_t blocks;
  /** Bytes of the segment in a block. */
  uint64_t block_size;
  /** Number of records; 0 in byte mode. */
  uint64_t records;
  /** SEGLIFT_CODEC_NONE or SEGLIFT_CODEC_ZSTD. */
  uint32_t codec;
  /** SEGLIFT_MODE_*. */
  uint32_t mode;
  /** When it was written, in us since 1970 by its writer's clock. */
  int64_t created_us;
  /** With has_offsets: the broker's first offset. */
  int64_t first_offset;
  /** With has_offsets: the broker's last offset. */
  int64_t last_offset;
  /** 1 if the offload gave offsets. */
  uint32_t has_offsets;
  /** Version of the object's format. */
  uint32_t format_version;
  /** Record mode: id of the first record. */
  uint64_t first_id;
  /** Record mode: id of the last record. */
  uint64_t last_id;
  /** Record mode: smallest time in us. */
  int64_t first_time_us;
  /** Record mode: largest time in us. */
  int64_t last_time_us;
  /** Number of pairs for seglift_info_metadata. */
  uint32_t metadata_count;
  /** Number of attachments for seglift_info_attachment. */
  uint32_t attachment_count;
  /** Bytes of the token in use. */
  uint32_t token_len;
  /** A token for later reads, as the receipt had it. */
  uint8_t token[SEGLIFT_TOKEN_MAX];
  /** Zero. */
  uint32_t reserved0;
} seglift_summary;

/** An attachment as the object lists it. Since 1.0. */
typedef struct seglift_attachment_info {
  /** You: sizeof(seglift_attachment_info). The library: how many bytes it wrote. */
  size_t size;
  /** Its name. Valid as long as the info. */
  const char *name;
  /** Its length in bytes. */
  uint64_t len;
  /** Its length in the object in bytes. */
  uint64_t stored_len;
  /** SEGLIFT_CODEC_NONE or SEGLIFT_CODEC_ZSTD. */
  uint32_t codec;
  /** Zero. */
  uint32_t reserved0;
  /** CRC-64/NVME of the attachment. */
  uint64_t crc64nvme;
} seglift_attachment_info;

/** What verify found. Since 1.0. */
typedef struct seglift_verify_report {
  /** You: sizeof(seglift_verify_report). The library: how many bytes it wrote. */
  size_t size;
  /** Blocks of the segment. */
  uint64_t blocks;
  /** Those that cannot be read as they were written. */
  uint64_t bad_blocks;
  /** Bytes of the segment. */
  uint64_t segment_bytes;
  /** Bytes of the object. */
  uint64_t object_bytes;
  /** Records; 0 in byte mode. */
  uint64_t records;
  /** Attachments of the segment. */
  uint64_t attachments;
  /** Those that cannot be read as they were written. */
  uint64_t bad_attachments;
} seglift_verify_report;

/** An object of a listing. Since 1.0. */
typedef struct seglift_entry {
  /** You: sizeof(seglift_entry). The library: how many bytes it wrote. */
  size_t size;
  /** Its key. Valid until the next seglift_list_next or seglift_list_free. */
  const char *key;
  /** Its length in bytes. */
  uint64_t object_bytes;
  /** When it was written, in us since 1970 by the store's clock. */
  int64_t modified_us;
} seglift_entry;

/** How a segment is written. Since 1.0. */
typedef struct seglift_writer_options {
  /** sizeof(seglift_writer_options). */
  size_t size;
  /** As in seglift_segment. */
  const char *key;
  /** SEGLIFT_MODE_*. */
  uint32_t mode;
  /** SEGLIFT_CODEC_*. */
  uint32_t codec;
  /** SEGLIFT_IF_EXISTS_*. */
  uint32_t if_exists;
  /** Zero: no flag has a meaning for writers yet. */
  uint32_t flags;
  /** Longest segment in bytes, from which the size of the parts follows; 0 = the setting writer.max.size. */
  uint64_t max_bytes;
  /** metadata_count structs, metadata_stride bytes apart. */
  const struct seglift_pair *metadata;
  /** How many. */
  size_t metadata_count;
  /** sizeof(seglift_pair). */
  size_t metadata_stride;
  /**
   * NULL: write and append wait until there is room. Else they never wait: they take what fits, and when nothing
   * does they return WOULD_BLOCK, after which this queue gets one SEGLIFT_COMPLETION_WRITABLE when there is room.
   */
  struct seglift_queue *queue;
  /** user_data of those completions. */
  void *user_data;
} seglift_writer_options;

/** A record to append. Since 1.0. */
typedef struct seglift_record_in {
  /** sizeof(seglift_record_in). */
  size_t size;
  /** Higher than that of the record before; gaps are fine. */
  uint64_t id;
  /** Any time in us, such as when it was published. */
  int64_t time_us;
  /** The payload. */
  const void *data;
  /** Its length in bytes, at most 64 MiB. */
  size_t len;
} seglift_record_in;

/** The end of a segment that was written in pieces. Since 1.0. */
typedef struct seglift_writer_finish {
  /** sizeof(seglift_writer_finish). */
  size_t size;
  /** attachment_count structs, attachment_stride bytes apart. */
  const struct seglift_attachment *attachments;
  /** How many. */
  size_t attachment_count;
  /** sizeof(seglift_attachment). */
  size_t attachment_stride;
  /** SEGLIFT_SEGMENT_HAS_OFFSETS or 0. */
  uint32_t flags;
  /** Zero. */
  uint32_t reserved0;
  /** With HAS_OFFSETS: the broker's first offset, not below 0. */
  int64_t first_offset;
  /** With HAS_OFFSETS: the broker's last offset, itself part of the segment. */
  int64_t last_offset;
  /** SEGLIFT_DIGEST_*, as in seglift_segment. */
  uint32_t expected_kind;
  /** Zero. */
  uint32_t reserved1;
  /** The digest. */
  uint64_t expected_digest;
} seglift_writer_finish;

/** The id of an asynchronous operation, unique in its engine, never 0. Since 1.0. */
typedef uint64_t seglift_op;

/**
 * How an operation ended. The poller owns what the pointers point to: take a pointer out by setting it to NULL and
 * free it yourself, or leave it to seglift_completion_clear. Since 1.0.
 */
typedef struct seglift_completion {
  /** The library: how many bytes it wrote. */
  size_t size;
  /** The id that the submit returned; 0 for WRITABLE. */
  seglift_op op;
  /** What the submit was given. */
  void *user_data;
  /** SEGLIFT_COMPLETION_*. */
  uint32_t kind;
  /** How it ended. */
  seglift_code code;
  /** Bytes read, entries listed, keys deleted, live keys taken by a sweep. */
  uint64_t count;
  /** Unless code is OK or END. seglift_error_free. */
  struct seglift_error *error;
  /** Of offload_segment and writer_commit. seglift_receipt_free. */
  struct seglift_receipt *receipt;
  /** Of read_range_bytes, read_attachment and get_object_range. seglift_bytes_free. */
  struct seglift_bytes *bytes;
  /** Of read_records. seglift_records_free. */
  struct seglift_records *records;
  /** Of stat. seglift_info_free. */
  struct seglift_info *info;
  /** Of delete, also when code is not OK. seglift_results_free. */
  struct seglift_results *results;
  /** Of verify, also when code is CORRUPT. seglift_verify_report_free. */
  struct seglift_verify_report *report;
  /** Of reap, sweep_feed and sweep_finish. seglift_cleanup_free. */
  struct seglift_cleanup *cleanup;
} seglift_completion;

/** How far an operation has come. Since 1.0. */
typedef struct seglift_progress_info {
  /** You: sizeof(seglift_progress_info). The library: how many bytes it wrote. */
  size_t size;
  /** SEGLIFT_PROGRESS_UNKNOWN, _QUEUED, _RUNNING or _DONE. */
  uint32_t state;
  /** Zero. */
  uint32_t reserved0;
  /** Bytes moved. */
  uint64_t bytes_done;
  /** Bytes to move; 0 = not known. */
  uint64_t bytes_total;
  /** Time since it began, in ms. */
  int64_t age_ms;
  /** Time since a byte was moved, in ms. */
  int64_t idle_ms;
} seglift_progress_info;

/** A line of the log. Since 1.0. */
typedef struct seglift_log_line {
  /** You: sizeof(seglift_log_line). The library: how many bytes it wrote. */
  size_t size;
  /** When, in us since 1970. */
  int64_t time_us;
  /** 1 error, 2 warning, 3 information, 4 debug. */
  uint32_t level;
  /** How many more lines like this one there were and are left out. */
  uint32_t repeated;
  /** How many lines were lost before this one, because nobody took them. */
  uint64_t dropped;
  /**
   * The line, without a newline. Of a poll: yours, seglift_bytes_free. In a callback: the library's;
   * seglift_bytes_ref keeps it.
   */
  struct seglift_bytes *text;
} seglift_log_line;

/** When to offload, drop and delete. seglift_plan_policy fills in the defaults. Since 1.0. */
typedef struct seglift_policy {
  /** sizeof(seglift_policy). */
  size_t size;
  /**
   * Bytes of sealed segments that may stay without an object; the oldest beyond them are offloaded.
   * 0 = as soon as possible, below 0 = off.
   */
  int64_t size_threshold;
  /** Age in ms, from sealed_us, at which a sealed segment is offloaded: 0 = as soon as possible, below 0 = off. */
  int64_t age_threshold_ms;
  /** How many ms a local copy stays after its offload: 0 = not at all, below 0 = for ever. */
  int64_t deletion_lag_ms;
  /**
   * Bytes that the log keeps at least, the open segment included; older segments are deleted, also those that have
   * no object. 0 or below = off.
   */
  int64_t retention_size;
  /** Age in ms at which a sealed segment is deleted, also one that has no object. 0 or below = off. */
  int64_t retention_age_ms;
  /**
   * With HAS_OFFLOAD_BEFORE: each sealed segment whose next_offset is no higher is offloaded, whatever the
   * thresholds say.
   */
  int64_t offload_before;
  /** SEGLIFT_POLICY_* bits. */
  uint32_t flags;
  /** Zero. */
  uint32_t reserved0;
} seglift_policy;

/** What the broker knows of a segment. Since 1.0. */
typedef struct seglift_segment_state {
  /** sizeof(seglift_segment_state). */
  size_t size;
  /** Offset of its first entry; not below 0. */
  int64_t base_offset;
  /** Offset behind its last entry. */
  int64_t next_offset;
  /** Its length. */
  uint64_t bytes;
  /** When it was sealed, in us since 1970; 0 = it is open. */
  int64_t sealed_us;
  /** When it was offloaded, in us since 1970, which is when you got the receipt; 0 = not yet. */
  int64_t offloaded_us;
  /** SEGLIFT_STATE_* bits. */
  uint32_t flags;
  /** Zero. */
  uint32_t reserved0;
} seglift_segment_state;

/** What to reap. Since 1.0. */
typedef struct seglift_reap_options {
  /** sizeof(seglift_reap_options). */
  size_t size;
  /** Start and newest part of an upload must be longer ago than this, in ms, by the store's clock; 0 = a day. */
  int64_t older_than_ms;
  /** SEGLIFT_REAP_* bits. */
  uint32_t flags;
  /** Zero. */
  uint32_t reserved0;
} seglift_reap_options;

/** An upload or an object, and what became of it. Since 1.0. */
typedef struct seglift_cleanup_entry {
  /** You: sizeof(seglift_cleanup_entry). The library: how many bytes it wrote. */
  size_t size;
  /** The key; of an upload to files the temporary file's name. Valid as long as the cleanup. */
  const char *name;
  /** Of an upload: what the store knows it by, else "". Valid as long as the cleanup. */
  const char *upload_id;
  /** Its bytes in the store; 0 where they were not looked at. */
  uint64_t bytes;
  /** When it was last changed, in us since 1970 by the store's clock; 0 where there is nothing. */
  int64_t time_us;
  /** Why it failed or could not be read, else NULL. It belongs to the cleanup: do not free it. */
  const struct seglift_error *error;
  /** SEGLIFT_VERDICT_*. */
  uint32_t verdict;
  /** Zero. */
  uint32_t reserved0;
} seglift_cleanup_entry;

/** What to sweep, and how carefully. Since 1.0. */
typedef struct seglift_sweep_options {
  /** sizeof(seglift_sweep_options). */
  size_t size;
  /** Only keys that begin with this text, and all that you feed must; NULL = the whole store. Copied. */
  const char *prefix;
  /**
   * How long an object must have been there before the sweep began, in ms, by the store's clock; 0 = a day. Longer than
   * you take from the last byte of an offload, over its commit, until its key is in the list that you feed.
   */
  int64_t grace_ms;
  /** SEGLIFT_SWEEP_* bits. */
  uint32_t flags;
  /** Zero. */
  uint32_t reserved0;
} seglift_sweep_options;

/** A stretch of an object that is not as it was written. Since 1.1. */
typedef struct seglift_damage_entry {
  /** You: sizeof(seglift_damage_entry). The library: how many bytes it wrote. */
  size_t size;
  /** SEGLIFT_PART_*. */
  uint32_t part;
  /** 1 if records cannot be read for it: first_id and last_id mean something then. */
  uint32_t has_records;
  /** Where it stands in the object. */
  uint64_t position;
  /** How many bytes it has there; 0 where that is not known. */
  uint64_t stored_bytes;
  /** Which bytes of the segment cannot be read for it: where they begin. */
  uint64_t offset;
  /** How many; 0 if none. */
  uint64_t bytes;
  /** How many blocks that is. */
  uint64_t blocks;
  /** Which records cannot be read for it: first id. */
  uint64_t first_id;
  /** Last id. Ids may have gaps. */
  uint64_t last_id;
  /** The name of the attachment, else "". Valid as long as the damage. */
  const char *attachment;
  /** What is wrong; of several neighbours with the first. It belongs to the damage: do not free it. */
  const struct seglift_error *error;
} seglift_damage_entry;

/**
 * The functions of this header as a table: one member for each, without seglift_ in front (delete_ has a line behind it,
 * because delete is a word of C++). A member lies within size, or the library is older than the header.
 * Static; never freed. Since 1.0.
 */
typedef struct seglift_api {
  /** How many bytes the library's table has. */
  size_t size;
  /** SEGLIFT_ABI_MAJOR of the library. */
  uint32_t abi_major;
  /** SEGLIFT_ABI_MINOR of the library. */
  uint32_t abi_minor;
  const char *(*version)(void);
  uint32_t (*abi_version)(void);
  const char *(*code_name)(seglift_code code);
  seglift_code (*error_code)(const struct seglift_error *error);
  const char *(*error_message)(const struct seglift_error *error);
  uint32_t (*error_http_status)(const struct seglift_error *error);
  const char *(*error_service_code)(const struct seglift_error *error);
  const char *(*error_request_id)(const struct seglift_error *error);
  const char *(*error_extended_request_id)(const struct seglift_error *error);
  uint32_t (*error_retryable)(const struct seglift_error *error);
  int64_t (*error_retry_after_ms)(const struct seglift_error *error);
  void (*error_free)(struct seglift_error *error);
  seglift_code (*config_new)(struct seglift_config **config, struct seglift_error **err);
  seglift_code (*config_set)(struct seglift_config *config,
                             const char *key,
                             const char *value,
                             struct seglift_error **err);
  seglift_code (*config_load)(struct seglift_config *config, const char *path, struct seglift_error **err);
  seglift_code (*config_load_env)(struct seglift_config *config, struct seglift_error **err);
  seglift_code (*config_describe)(const struct seglift_config *config,
                                  struct seglift_bytes **json,
                                  struct seglift_error **err);
  void (*config_free)(struct seglift_config *config);
  seglift_code (*engine_open)(const struct seglift_config *config,
                              struct seglift_engine **engine,
                              struct seglift_error **err);
  seglift_code (*engine_free)(struct seglift_engine *engine, struct seglift_error **err);
  seglift_code (*open)(struct seglift_engine *engine,
                       const char *uri,
                       const struct seglift_config *config,
                       struct seglift_driver **driver,
                       struct seglift_error **err);
  seglift_code (*driver_close)(struct seglift_driver *driver, int64_t timeout_ms, struct seglift_error **err);
  void (*driver_free)(struct seglift_driver *driver);
  seglift_code (*cancel_new)(struct seglift_cancel **cancel, struct seglift_error **err);
  void (*cancel_request)(struct seglift_cancel *cancel);
  void (*cancel_free)(struct seglift_cancel *cancel);
  seglift_code (*offload_segment)(struct seglift_driver *driver,
                                  const struct seglift_segment *segment,
                                  const struct seglift_call *call,
                                  struct seglift_receipt *receipt,
                                  struct seglift_error **err);
  seglift_code (*read_range)(struct seglift_driver *driver,
                             const struct seglift_ref *segment,
                             uint64_t offset,
                             void *buf,
                             size_t len,
                             const struct seglift_call *call,
                             size_t *nread,
                             struct seglift_error **err);
  seglift_code (*read_range_bytes)(struct seglift_driver *driver,
                                   const struct seglift_ref *segment,
                                   uint64_t offset,
                                   uint64_t len,
                                   const struct seglift_call *call,
                                   struct seglift_bytes **bytes,
                                   struct seglift_error **err);
  const void *(*bytes_data)(const struct seglift_bytes *bytes);
  size_t (*bytes_len)(const struct seglift_bytes *bytes);
  struct seglift_bytes *(*bytes_ref)(struct seglift_bytes *bytes);
  void (*bytes_free)(struct seglift_bytes *bytes);
  seglift_code (*read_records)(struct seglift_driver *driver,
                               const struct seglift_ref *segment,
                               uint64_t first,
                               uint64_t max_records,
                               uint64_t max_bytes,
                               const struct seglift_call *call,
                               struct seglift_records **records,
                               struct seglift_error **err);
  size_t (*records_count)(const struct seglift_records *records);
  seglift_code (*records_next)(struct seglift_records *records,
                               struct seglift_record *record,
                               struct seglift_error **err);
  uint64_t (*records_next_id)(const struct seglift_records *records);
  uint32_t (*records_at_end)(const struct seglift_records *records);
  void (*records_free)(struct seglift_records *records);
  seglift_code (*read_attachment)(struct seglift_driver *driver,
                                  const struct seglift_ref *segment,
                                  const char *name,
                                  const struct seglift_call *call,
                                  struct seglift_bytes **bytes,
                                  struct seglift_error **err);
  seglift_code (*stat)(struct seglift_driver *driver,
                       const struct seglift_ref *segment,
                       const struct seglift_call *call,
                       struct seglift_info **info,
                       struct seglift_error **err);
  seglift_code (*info_summary)(const struct seglift_info *info,
                               struct seglift_summary *summary,
                               struct seglift_error **err);
  seglift_code (*info_metadata)(const struct seglift_info *info,
                                size_t i,
                                struct seglift_pair *pair,
                                struct seglift_error **err);
  seglift_code (*info_attachment)(const struct seglift_info *info,
                                  size_t i,
                                  struct seglift_attachment_info *attachment,
                                  struct seglift_error **err);
  void (*info_free)(struct seglift_info *info);
  seglift_code (*verify)(struct seglift_driver *driver,
                         const struct seglift_ref *segment,
                         const struct seglift_call *call,
                         struct seglift_verify_report *report,
                         struct seglift_error **err);
  seglift_code (*delete_)(struct seglift_driver *driver,
                          const char *const *keys,
                          size_t n,
                          const struct seglift_call *call,
                          struct seglift_results **results,
                          struct seglift_error **err);
  size_t (*results_count)(const struct seglift_results *results);
  seglift_code (*results_code)(const struct seglift_results *results, size_t i);
  const struct seglift_error *(*results_error)(const struct seglift_results *results, size_t i);
  void (*results_free)(struct seglift_results *results);
  seglift_code (*list_open)(struct seglift_driver *driver,
                            const char *prefix,
                            const char *after,
                            struct seglift_lister **lister,
                            struct seglift_error **err);
  seglift_code (*list_next)(struct seglift_lister *lister,
                            size_t max,
                            const struct seglift_call *call,
                            size_t *n,
                            struct seglift_error **err);
  seglift_code (*list_entry)(const struct seglift_lister *lister,
                             size_t i,
                             struct seglift_entry *entry,
                             struct seglift_error **err);
  void (*list_free)(struct seglift_lister *lister);
  seglift_code (*get_object_range)(struct seglift_driver *driver,
                                   const char *key,
                                   uint64_t offset,
                                   uint64_t len,
                                   const struct seglift_call *call,
                                   struct seglift_bytes **bytes,
                                   struct seglift_error **err);
  seglift_code (*writer_open)(struct seglift_driver *driver,
                              const struct seglift_writer_options *options,
                              const struct seglift_call *call,
                              struct seglift_writer **writer,
                              struct seglift_error **err);
  seglift_code (*writer_write)(struct seglift_writer *writer,
                               const void *data,
                               size_t len,
                               const struct seglift_call *call,
                               size_t *written,
                               struct seglift_error **err);
  seglift_code (*writer_append)(struct seglift_writer *writer,
                                const struct seglift_record_in *record,
                                const struct seglift_call *call,
                                struct seglift_error **err);
  seglift_code (*writer_append_many)(struct seglift_writer *writer,
                                     const struct seglift_record_in *records,
                                     size_t n,
                                     size_t stride,
                                     const struct seglift_call *call,
                                     size_t *appended,
                                     struct seglift_error **err);
  seglift_code (*writer_commit)(struct seglift_writer *writer,
                                const struct seglift_writer_finish *finish,
                                const struct seglift_call *call,
                                struct seglift_receipt *receipt,
                                struct seglift_error **err);
  seglift_code (*writer_abort)(struct seglift_writer *writer,
                               const struct seglift_call *call,
                               struct seglift_error **err);
  void (*writer_free)(struct seglift_writer *writer);
  seglift_code (*queue_new)(struct seglift_engine *engine,
                            size_t capacity,
                            struct seglift_queue **queue,
                            struct seglift_error **err);
  int32_t (*queue_fd)(const struct seglift_queue *queue);
  seglift_code (*queue_poll)(struct seglift_queue *queue,
                             struct seglift_completion *out,
                             size_t max,
                             size_t stride,
                             int64_t timeout_ms,
                             size_t *n,
                             struct seglift_error **err);
  seglift_code (*queue_shutdown)(struct seglift_queue *queue, int64_t timeout_ms, struct seglift_error **err);
  seglift_code (*queue_free)(struct seglift_queue *queue, struct seglift_error **err);
  void (*completion_clear)(struct seglift_completion *completion);
  void (*receipt_free)(struct seglift_receipt *receipt);
  void (*verify_report_free)(struct seglift_verify_report *report);
  seglift_code (*offload_segment_submit)(struct seglift_driver *driver,
                                         const struct seglift_segment *segment,
                                         const struct seglift_call *call,
                                         struct seglift_queue *queue,
                                         void *user_data,
                                         seglift_op *op,
                                         struct seglift_error **err);
  seglift_code (*read_range_submit)(struct seglift_driver *driver,
                                    const struct seglift_ref *segment,
                                    uint64_t offset,
                                    void *buf,
                                    size_t len,
                                    const struct seglift_call *call,
                                    struct seglift_queue *queue,
                                    void *user_data,
                                    seglift_op *op,
                                    struct seglift_error **err);
  seglift_code (*read_range_bytes_submit)(struct seglift_driver *driver,
                                          const struct seglift_ref *segment,
                                          uint64_t offset,
                                          uint64_t len,
                                          const struct seglift_call *call,
                                          struct seglift_queue *queue,
                                          void *user_data,
                                          seglift_op *op,
                                          struct seglift_error **err);
  seglift_code (*read_records_submit)(struct seglift_driver *driver,
                                      const struct seglift_ref *segment,
                                      uint64_t first,
                                      uint64_t max_records,
                                      uint64_t max_bytes,
                                      const struct seglift_call *call,
                                      struct seglift_queue *queue,
                                      void *user_data,
                                      seglift_op *op,
                                      struct seglift_error **err);
  seglift_code (*read_attachment_submit)(struct seglift_driver *driver,
                                         const struct seglift_ref *segment,
                                         const char *name,
                                         const struct seglift_call *call,
                                         struct seglift_queue *queue,
                                         void *user_data,
                                         seglift_op *op,
                                         struct seglift_error **err);
  seglift_code (*stat_submit)(struct seglift_driver *driver,
                              const struct seglift_ref *segment,
                              const struct seglift_call *call,
                              struct seglift_queue *queue,
                              void *user_data,
                              seglift_op *op,
                              struct seglift_error **err);
  seglift_code (*verify_submit)(struct seglift_driver *driver,
                                const struct seglift_ref *segment,
                                const struct seglift_call *call,
                                struct seglift_queue *queue,
                                void *user_data,
                                seglift_op *op,
                                struct seglift_error **err);
  seglift_code (*delete_submit)(struct seglift_driver *driver,
                                const char *const *keys,
                                size_t n,
                                const struct seglift_call *call,
                                struct seglift_queue *queue,
                                void *user_data,
                                seglift_op *op,
                                struct seglift_error **err);
  seglift_code (*list_next_submit)(struct seglift_lister *lister,
                                   size_t max,
                                   const struct seglift_call *call,
                                   struct seglift_queue *queue,
                                   void *user_data,
                                   seglift_op *op,
                                   struct seglift_error **err);
  seglift_code (*get_object_range_submit)(struct seglift_driver *driver,
                                          const char *key,
                                          uint64_t offset,
                                          uint64_t len,
                                          const struct seglift_call *call,
                                          struct seglift_queue *queue,
                                          void *user_data,
                                          seglift_op *op,
                                          struct seglift_error **err);
  seglift_code (*writer_commit_submit)(struct seglift_writer *writer,
                                       const struct seglift_writer_finish *finish,
                                       const struct seglift_call *call,
                                       struct seglift_queue *queue,
                                       void *user_data,
                                       seglift_op *op,
                                       struct seglift_error **err);
  seglift_code (*writer_abort_submit)(struct seglift_writer *writer,
                                      const struct seglift_call *call,
                                      struct seglift_queue *queue,
                                      void *user_data,
                                      seglift_op *op,
                                      struct seglift_error **err);
  seglift_code (*op_cancel)(struct seglift_engine *engine, seglift_op op, struct seglift_error **err);
  seglift_code (*progress)(struct seglift_engine *engine,
                           seglift_op op,
                           struct seglift_progress_info *progress,
                           struct seglift_error **err);
  seglift_code (*status)(struct seglift_engine *engine, struct seglift_bytes **json, struct seglift_error **err);
  seglift_code (*metrics)(struct seglift_engine *engine, struct seglift_bytes **text, struct seglift_error **err);
  seglift_code (*log_poll)(struct seglift_engine *engine, struct seglift_log_line *line, struct seglift_error **err);
  seglift_code (*log_callback)(struct seglift_engine *engine,
                               void (*callback)(void *ctx, const struct seglift_log_line *line),
                               void *ctx,
                               struct seglift_error **err);
  seglift_code (*plan)(const struct seglift_policy *policy,
                       const struct seglift_segment_state *segments,
                       size_t n,
                       size_t stride,
                       int64_t now_us,
                       uint32_t *actions,
                       struct seglift_error **err);
  seglift_code (*plan_policy)(const struct seglift_config *config,
                              struct seglift_policy *policy,
                              struct seglift_error **err);
  seglift_code (*reap)(struct seglift_driver *driver,
                       const struct seglift_reap_options *options,
                       const struct seglift_call *call,
                       struct seglift_cleanup **cleanup,
                       struct seglift_error **err);
  uint64_t (*cleanup_count)(const struct seglift_cleanup *cleanup, uint32_t verdict, uint64_t *bytes);
  size_t (*cleanup_len)(const struct seglift_cleanup *cleanup);
  seglift_code (*cleanup_get)(const struct seglift_cleanup *cleanup,
                              size_t i,
                              struct seglift_cleanup_entry *entry,
                              struct seglift_error **err);
  uint32_t (*cleanup_done)(const struct seglift_cleanup *cleanup);
  void (*cleanup_free)(struct seglift_cleanup *cleanup);
  seglift_code (*reap_submit)(struct seglift_driver *driver,
                              const struct seglift_reap_options *options,
                              const struct seglift_call *call,
                              struct seglift_queue *queue,
                              void *user_data,
                              seglift_op *op,
                              struct seglift_error **err);
  seglift_code (*sweep_begin)(struct seglift_driver *driver,
                              const struct seglift_sweep_options *options,
                              struct seglift_sweep **sweep,
                              struct seglift_error **err);
  seglift_code (*sweep_feed)(struct seglift_sweep *sweep,
                             const char *const *keys,
                             size_t n,
                             const struct seglift_call *call,
                             size_t *taken,
                             struct seglift_cleanup **cleanup,
                             struct seglift_error **err);
  seglift_code (*sweep_finish)(struct seglift_sweep *sweep,
                               const struct seglift_call *call,
                               uint32_t *done,
                               struct seglift_cleanup **cleanup,
                               struct seglift_error **err);
  void (*sweep_free)(struct seglift_sweep *sweep);
  seglift_code (*sweep_feed_submit)(struct seglift_sweep *sweep,
                                    const char *const *keys,
                                    size_t n,
                                    const struct seglift_call *call,
                                    struct seglift_queue *queue,
                                    void *user_data,
                                    seglift_op *op,
                                    struct seglift_error **err);
  seglift_code (*sweep_finish_submit)(struct seglift_sweep *sweep,
                                      const struct seglift_call *call,
                                      struct seglift_queue *queue,
                                      void *user_data,
                                      seglift_op *op,
                                      struct seglift_error **err);
  seglift_code (*verify_damage)(struct seglift_driver *driver,
                                const struct seglift_ref *segment,
                                const struct seglift_call *call,
                                struct seglift_verify_report *report,
                                struct seglift_damage **damage,
                                struct seglift_error **err);
  size_t (*damage_len)(const struct seglift_damage *damage);
  seglift_code (*damage_get)(const struct seglift_damage *damage,
                             size_t i,
                             struct seglift_damage_entry *entry,
                             struct seglift_error **err);
  void (*damage_free)(struct seglift_damage *damage);
} seglift_api;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* ---- Versions and codes ---- */

/**
 * The library's version, such as "0.1.0"; not that of the ABI. Static; never freed.
 * Threads: any. Since 1.0.
 */
const char *seglift_version(void);

/**
 * The ABI of the loaded library: major << 16 | minor. It runs a program that was compiled against
 * SEGLIFT_ABI_MAJOR and SEGLIFT_ABI_MINOR if the majors are equal and its minor is not lower.
 * Threads: any. Since 1.0.
 */
uint32_t seglift_abi_version(void);

/**
 * The name of a code without SEGLIFT_ in front: "NOT_FOUND", "OK"; "UNKNOWN" for a number that is no code.
 * Static; never NULL, never freed. Threads: any. Since 1.0.
 */
const char *seglift_code_name(seglift_code code);

/* ---- Errors ---- */

/**
 * The code that the call returned. NULL is no error: SEGLIFT_OK.
 * Threads: any. Since 1.0.
 */
seglift_code seglift_error_code(const struct seglift_error *error);

/**
 * What happened, to what, and what to do about it: for a human and a log, no API. Holds no secret.
 * Valid as long as the error; never NULL ("" for NULL). Threads: any. Since 1.0.
 */
const char *seglift_error_message(const struct seglift_error *error);

/** The store's HTTP status; 0 if no store answered. Threads: any. Since 1.0. */
uint32_t seglift_error_http_status(const struct seglift_error *error);

/**
 * The store's own code, such as "AccessDenied"; "" if none. Valid as long as the error.
 * Threads: any. Since 1.0.
 */
const char *seglift_error_service_code(const struct seglift_error *error);

/**
 * The store's request id, for its support; "" if none. Valid as long as the error.
 * Threads: any. Since 1.0.
 */
const char *seglift_error_request_id(const struct seglift_error *error);

/**
 * The store's extended request id (x-amz-id-2 of S3); "" if none. Valid as long as the error.
 * Threads: any. Since 1.0.
 */
const char *seglift_error_extended_request_id(const struct seglift_error *error);

/**
 * 1 if the same call may succeed later without anyone changing anything, else 0.
 * Threads: any. Since 1.0.
 */
uint32_t seglift_error_retryable(const struct seglift_error *error);

/**
 * How many milliseconds the store asks to wait before the next attempt; -1 if it did not say.
 * Threads: any. Since 1.0.
 */
int64_t seglift_error_retry_after_ms(const struct seglift_error *error);

/** Frees an error. NULL is fine. Since 1.0. */
void seglift_error_free(struct seglift_error *error);

/* ---- Configuration ---- */

/**
 * A configuration of defaults; the environment is not looked at.
 * Errors: INVALID_ARGUMENT. Threads: any. Since 1.0.
 */
seglift_code seglift_config_new(struct seglift_config **config, struct seglift_error **err);

/**
 * Sets one setting: a name such as "upload.part.size" or an established alias, and its value as text: sizes
 * like "64MiB", times like "30s".
 * Errors: INVALID_CONFIG names the nearest known setting, or what the value may be. Threads: one. Since 1.0.
 */
seglift_code seglift_config_set(struct seglift_config *config,
                                const char *key,
                                const char *value,
                                struct seglift_error **err);

/**
 * Reads a file: TOML if its name ends in .toml, else a broker's own (broker.conf, server.properties), whose
 * other keys are ignored.
 * Errors: INVALID_CONFIG names file, line and remedy. Threads: one. Since 1.0.
 */
seglift_code seglift_config_load(struct seglift_config *config, const char *path, struct seglift_error **err);

/**
 * Takes settings out of the process's environment: SEGLIFT_UPLOAD_PART_SIZE is upload.part.size. What was set or
 * loaded from a file wins over it.
 * Errors: INVALID_CONFIG. Threads: one, and none that changes the environment meanwhile. Since 1.0.
 */
seglift_code seglift_config_load_env(struct seglift_config *config, struct seglift_error **err);

/**
 * Every setting with its value, source, default and meaning, as JSON; secrets are hidden.
 * Ownership: *json is yours, until seglift_bytes_free. Threads: one. Since 1.0.
 */
seglift_code seglift_config_describe(const struct seglift_config *config,
                                     struct seglift_bytes **json,
                                     struct seglift_error **err);

/** Frees a configuration. NULL is fine. Since 1.0. */
void seglift_config_free(struct seglift_config *config);

/* ---- Engines: most programs need none ---- */

/**
 * Opens an engine of your own with the settings of scope "engine"; config may be NULL for defaults.
 * Errors: INVALID_CONFIG, RESOURCE_EXHAUSTED. Threads: any. Since 1.0.
 */
seglift_code seglift_engine_open(const struct seglift_config *config,
                                 struct seglift_engine **engine,
                                 struct seglift_error **err);

/**
 * Frees an engine. NULL is fine, and the default engine cannot be freed.
 * Errors: BUSY while drivers or queues of it are open: free those first. Threads: none uses it any more.
 * Since 1.0.
 */
seglift_code seglift_engine_free(struct seglift_engine *engine, struct seglift_error **err);

/* ---- Drivers ---- */

/**
 * Opens a driver on a store: "file:///var/tier" (an absolute path) or "memory:" (for tests: gone when it is
 * closed). engine and config may be NULL; of the configuration the settings of scope "driver" count.
 * Errors: INVALID_ARGUMENT (the URI), INVALID_CONFIG, NOT_FOUND, PERMISSION_DENIED, FORKED. Threads: any.
 * Since 1.0.
 */
seglift_code seglift_open(struct seglift_engine *engine,
                          const char *uri,
                          const struct seglift_config *config,
                          struct seglift_driver **driver,
                          struct seglift_error **err);

/**
 * Closes a driver: cancels its operations and waits until each has completed, at most timeout_ms (-1 = as long as
 * it takes). From then on its calls return CLOSED; completions stay in their queues.
 * Errors: TIMED_OUT if operations are still ending: call again. Threads: any. Since 1.0.
 */
seglift_code seglift_driver_close(struct seglift_driver *driver, int64_t timeout_ms, struct seglift_error **err);

/**
 * Frees a driver. NULL is fine. What was not closed goes on in the background until it completes.
 * Threads: none uses it any more. Since 1.0.
 */
void seglift_driver_free(struct seglift_driver *driver);

/* ---- Cancelling ---- */

/** A token that nobody has used yet. Threads: any. Since 1.0. */
seglift_code seglift_cancel_new(struct seglift_cancel **cancel, struct seglift_error **err);

/**
 * Asks all calls with this token, those of now and those to come, to stop. They end soon: with CANCELLED, or with
 * their result if that was certain already; a commit that was sent is settled first. NULL is fine.
 * Threads: any. Since 1.0.
 */
void seglift_cancel_request(struct seglift_cancel *cancel);

/** Frees a token; it cancels nothing. NULL is fine. Since 1.0. */
void seglift_cancel_free(struct seglift_cancel *cancel);

/* ---- Offload ---- */

/**
 * Offloads a sealed segment as one object. It ends committed (OK and a receipt), not committed (an error), or as
 * OUTCOME_UNKNOWN: then repeat it with the same key. Before the commit nothing is visible under the key; nothing
 * is ever overwritten. receipt may be NULL.
 * Errors: ALREADY_EXISTS, SOURCE_FAILED, NO_SPACE, PERMISSION_DENIED, UNAVAILABLE, TIMED_OUT, CANCELLED, BUSY,
 * OUTCOME_UNKNOWN, CLOSED. Threads: any; blocks. Since 1.0.
 */
seglift_code seglift_offload_segment(struct seglift_driver *driver,
                                     const struct seglift_segment *segment,
                                     const struct seglift_call *call,
                                     struct seglift_receipt *receipt,
                                     struct seglift_error **err);

/* ---- Reading ranges ---- */

/**
 * Reads len bytes of the segment from offset into buf. *nread is less than len only at the end of the segment; at
 * its very end it is 0. Every byte was verified.
 * Errors: OUT_OF_RANGE past the end, NOT_FOUND, NOT_FOUND_OR_DENIED, CORRUPT, ARCHIVED, WRONG_STORE, WOULD_BLOCK
 * (CACHED_ONLY), TIMED_OUT, CANCELLED, BUSY, RESOURCE_EXHAUSTED, CLOSED; then the contents of buf mean nothing.
 * Threads: any; blocks; what is in memory is answered without a change of thread. Since 1.0.
 */
seglift_code seglift_read_range(struct seglift_driver *driver,
                                const struct seglift_ref *segment,
                                uint64_t offset,
                                void *buf,
                                size_t len,
                                const struct seglift_call *call,
                                size_t *nread,
                                struct seglift_error **err);

/**
 * Reads as seglift_read_range, into memory of the library: without a copy where one cached block holds the range.
 * Ownership: *bytes is yours, until seglift_bytes_free; fewer than len bytes only at the end of the segment.
 * Errors: as seglift_read_range; BUSY when memory.lent.limit is reached. Threads: any; blocks; what is in memory is
 * answered without a change of thread. Since 1.0.
 */
seglift_code seglift_read_range_bytes(struct seglift_driver *driver,
                                      const struct seglift_ref *segment,
                                      uint64_t offset,
                                      uint64_t len,
                                      const struct seglift_call *call,
                                      struct seglift_bytes **bytes,
                                      struct seglift_error **err);

/* ---- Bytes ---- */

/**
 * The first byte. Valid as long as you hold a count; NULL for NULL, and maybe for no bytes. Behind a text (JSON,
 * metrics, a log line) stands a NUL that seglift_bytes_len does not count.
 * Threads: any. Since 1.0.
 */
const void *seglift_bytes_data(const struct seglift_bytes *bytes);

/** The number of bytes; 0 for NULL. Threads: any. Since 1.0. */
size_t seglift_bytes_len(const struct seglift_bytes *bytes);

/**
 * One more count, for another holder; the pointer that it returns is freed on its own. Copies nothing.
 * NULL for NULL. Threads: any. Since 1.0.
 */
struct seglift_bytes *seglift_bytes_ref(struct seglift_bytes *bytes);

/**
 * Gives one count back; after the last one the memory is free. NULL is fine.
 * Threads: any. Since 1.0.
 */
void seglift_bytes_free(struct seglift_bytes *bytes);

/* ---- Reading records ---- */

/**
 * Reads records from the first one whose id is first or higher: at least one if there is any, then as long as
 * neither max_records nor max_bytes of payload is exceeded (0 = as much as one fetch brings). A batch without
 * records means that the segment has no such record.
 * Errors: INVALID_ARGUMENT for a segment in byte mode; else as seglift_read_range. Threads: any; blocks.
 * Since 1.0.
 */
seglift_code seglift_read_records(struct seglift_driver *driver,
                                  const struct seglift_ref *segment,
                                  uint64_t first,
                                  uint64_t max_records,
                                  uint64_t max_bytes,
                                  const struct seglift_call *call,
                                  struct seglift_records **records,
                                  struct seglift_error **err);

/** The number of records in the batch; 0 for NULL. Since 1.0. */
size_t seglift_records_count(const struct seglift_records *records);

/** The next record of the batch. END after the last. Threads: one. Since 1.0. */
seglift_code seglift_records_next(struct seglift_records *records,
                                  struct seglift_record *record,
                                  struct seglift_error **err);

/**
 * Where to read on: the id of the batch's last record + 1; of an empty batch, the id that was asked for.
 * Since 1.0.
 */
uint64_t seglift_records_next_id(const struct seglift_records *records);

/** 1 if the segment has no record behind the batch, else 0. Since 1.0. */
uint32_t seglift_records_at_end(const struct seglift_records *records);

/** Frees a batch and the payloads in it. NULL is fine. Since 1.0. */
void seglift_records_free(struct seglift_records *records);

/* ---- Attachments and what is known of a segment ---- */

/**
 * Reads an attachment by its name, whole and verified.
 * Ownership: *bytes is yours, until seglift_bytes_free. Errors: OUT_OF_RANGE if the segment has none of this name;
 * else as seglift_read_range. Threads: any; blocks. Since 1.0.
 */
seglift_code seglift_read_attachment(struct seglift_driver *driver,
                                     const struct seglift_ref *segment,
                                     const char *name,
                                     const struct seglift_call *call,
                                     struct seglift_bytes **bytes,
                                     struct seglift_error **err);

/**
 * What the segment's object says of itself: sizes, codec, offsets, metadata, attachments, a token.
 * Ownership: *info is yours, until seglift_info_free. Errors: as seglift_read_range. Threads: any; blocks.
 * Since 1.0.
 */
seglift_code seglift_stat(struct seglift_driver *driver,
                          const struct seglift_ref *segment,
                          const struct seglift_call *call,
                          struct seglift_info **info,
                          struct seglift_error **err);

/** The summary. Its strings are valid as long as the info. Threads: any. Since 1.0. */
seglift_code seglift_info_summary(const struct seglift_info *info,
                                  struct seglift_summary *summary,
                                  struct seglift_error **err);

/**
 * The i-th pair of the metadata, in the order of the names. Valid as long as the info.
 * Errors: OUT_OF_RANGE. Threads: any. Since 1.0.
 */
seglift_code seglift_info_metadata(const struct seglift_info *info,
                                   size_t i,
                                   struct seglift_pair *pair,
                                   struct seglift_error **err);

/**
 * The i-th attachment, in the order in which they were given. Valid as long as the info.
 * Errors: OUT_OF_RANGE. Threads: any. Since 1.0.
 */
seglift_code seglift_info_attachment(const struct seglift_info *info,
                                     size_t i,
                                     struct seglift_attachment_info *attachment,
                                     struct seglift_error **err);

/** Frees an info. NULL is fine. Since 1.0. */
void seglift_info_free(struct seglift_info *info);

/* ---- Verify ---- */

/**
 * Reads the whole object past the caches and checks every checksum of it. report may be NULL.
 * Errors: CORRUPT when anything is bad: the report says how much, the error what first; else as
 * seglift_read_range. Threads: any; blocks. Since 1.0.
 */
seglift_code seglift_verify(struct seglift_driver *driver,
                            const struct seglift_ref *segment,
                            const struct seglift_call *call,
                            struct seglift_verify_report *report,
                            struct seglift_error **err);

/* ---- Delete ---- */

/**
 * Deletes n objects. What is not there is deleted already: success. An error of one key does not keep the others.
 * The call returns OK when all succeeded, else the first failure's code. results may be NULL.
 * Ownership: *results is yours, until seglift_results_free; it is NULL only when nothing was tried.
 * Errors: PERMISSION_DENIED, UNAVAILABLE, TIMED_OUT, CANCELLED, CLOSED. Threads: any; blocks. Since 1.0.
 */
seglift_code seglift_delete(struct seglift_driver *driver,
                            const char *const *keys,
                            size_t n,
                            const struct seglift_call *call,
                            struct seglift_results **results,
                            struct seglift_error **err);

/** The number of keys of the batch; 0 for NULL. Threads: any. Since 1.0. */
size_t seglift_results_count(const struct seglift_results *results);

/** The code of the i-th key; OUT_OF_RANGE if there is none. Threads: any. Since 1.0. */
seglift_code seglift_results_code(const struct seglift_results *results, size_t i);

/**
 * The error of the i-th key, NULL if it succeeded. It belongs to the results: do not free it.
 * Threads: any. Since 1.0.
 */
const struct seglift_error *seglift_results_error(const struct seglift_results *results, size_t i);

/** Frees results. NULL is fine. Since 1.0. */
void seglift_results_free(struct seglift_results *results);

/* ---- What lies in the store ---- */

/**
 * Begins a walk over the keys that begin with prefix and are higher than after, in byte order; both may be NULL.
 * Nothing is read yet. Ownership: *lister is yours, until seglift_list_free.
 * Errors: INVALID_ARGUMENT, CLOSED. Threads: any. Since 1.0.
 */
seglift_code seglift_list_open(struct seglift_driver *driver,
                               const char *prefix,
                               const char *after,
                               struct seglift_lister **lister,
                               struct seglift_error **err);

/**
 * Loads the next page, of at most max entries (0 = 1,000); *n is how many it has.
 * END after the last page. After another error the same page is loaded again.
 * Errors: END, PERMISSION_DENIED, UNAVAILABLE, TIMED_OUT, CANCELLED, BUSY (a page is being loaded), CLOSED.
 * Threads: one for the lister; blocks. Since 1.0.
 */
seglift_code seglift_list_next(struct seglift_lister *lister,
                               size_t max,
                               const struct seglift_call *call,
                               size_t *n,
                               struct seglift_error **err);

/** The i-th entry of the page. Errors: OUT_OF_RANGE. Threads: one. Since 1.0. */
seglift_code seglift_list_entry(const struct seglift_lister *lister,
                                size_t i,
                                struct seglift_entry *entry,
                                struct seglift_error **err);

/** Frees a lister. NULL is fine. Since 1.0. */
void seglift_list_free(struct seglift_lister *lister);

/**
 * Reads bytes of an object as they lie in the store, header and all, unverified: to copy objects elsewhere. For the
 * segment's own bytes use seglift_read_range.
 * Ownership: *bytes is yours, until seglift_bytes_free. Errors: as seglift_read_range. Threads: any; blocks.
 * Since 1.0.
 */
seglift_code seglift_get_object_range(struct seglift_driver *driver,
                                      const char *key,
                                      uint64_t offset,
                                      uint64_t len,
                                      const struct seglift_call *call,
                                      struct seglift_bytes **bytes,
                                      struct seglift_error **err);

/* ---- Writing a segment in pieces ---- */

/**
 * Opens a writer and reserves its memory, whose size does not depend on the segment's.
 * Ownership: *writer is yours, until seglift_writer_free. call->deadline_ms is for the whole life of the writer.
 * Errors: BUSY when memory.budget is taken, INVALID_ARGUMENT, CLOSED.
 * Threads: any. Since 1.0.
 */
seglift_code seglift_writer_open(struct seglift_driver *driver,
                                 const struct seglift_writer_options *options,
                                 const struct seglift_call *call,
                                 struct seglift_writer **writer,
                                 struct seglift_error **err);

/**
 * Appends bytes to a segment in byte mode. Without a queue all len bytes are taken, or it fails and *written says how
 * many were; with one, *written may be less.
 * The bytes are yours again when it returns.
 * Errors: WOULD_BLOCK (nothing was taken), OUT_OF_RANGE (over max_bytes), INVALID_ARGUMENT (record mode), CLOSED
 * (committed or aborted), or the error that ended the upload: it stays. Threads: one; blocks without a queue.
 * Since 1.0.
 */
seglift_code seglift_writer_write(struct seglift_writer *writer,
                                  const void *data,
                                  size_t len,
                                  const struct seglift_call *call,
                                  size_t *written,
                                  struct seglift_error **err);

/**
 * Appends one record to a segment in record mode; its payload is yours again when it returns.
 * Errors: as seglift_writer_write; INVALID_ARGUMENT if the id is not higher than the last one. Threads: one; blocks
 * without a queue. Since 1.0.
 */
seglift_code seglift_writer_append(struct seglift_writer *writer,
                                   const struct seglift_record_in *record,
                                   const struct seglift_call *call,
                                   struct seglift_error **err);

/**
 * Appends n records, stride bytes apart. *appended is how many were taken, also when it fails: with WOULD_BLOCK or
 * an error, those after them were not. Errors: as seglift_writer_append; OK if n is 0. Threads: one; blocks without a
 * queue. Since 1.0.
 */
seglift_code seglift_writer_append_many(struct seglift_writer *writer,
                                        const struct seglift_record_in *records,
                                        size_t n,
                                        size_t stride,
                                        const struct seglift_call *call,
                                        size_t *appended,
                                        struct seglift_error **err);

/**
 * Commits what was written as one object; afterwards the writer is CLOSED, whatever the outcome. It ends as
 * seglift_offload_segment does. finish and receipt may be NULL.
 * Errors: as seglift_offload_segment. Threads: one; blocks. Since 1.0.
 */
seglift_code seglift_writer_commit(struct seglift_writer *writer,
                                   const struct seglift_writer_finish *finish,
                                   const struct seglift_call *call,
                                   struct seglift_receipt *receipt,
                                   struct seglift_error **err);

/**
 * Gives up what was written and removes it from the store; afterwards the writer is CLOSED.
 * Errors: CLOSED, TIMED_OUT (the removal goes on in the background). Threads: one; blocks. Since 1.0.
 */
seglift_code seglift_writer_abort(struct seglift_writer *writer,
                                  const struct seglift_call *call,
                                  struct seglift_error **err);

/**
 * Frees a writer. NULL is fine. What was not committed is aborted in the background; a commit that was submitted
 * goes on. Threads: none uses it any more. Since 1.0.
 */
void seglift_writer_free(struct seglift_writer *writer);

/* ---- Completion queues ---- */

/**
 * A queue for at most capacity operations that are in flight or not yet polled; a submit beyond is BUSY. engine may be
 * NULL; the operations may be of drivers of this engine only.
 * Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED. Threads: any. Since 1.0.
 */
seglift_code seglift_queue_new(struct seglift_engine *engine,
                               size_t capacity,
                               struct seglift_queue **queue,
                               struct seglift_error **err);

/**
 * A file descriptor that is readable while completions wait: level-triggered, for poll, epoll and kqueue. It belongs
 * to the queue: do not read, write or close it. -1 if there is none: the queue is NULL, inherited through a fork, or the
 * process has no descriptor left. Threads: any. Since 1.0.
 */
int32_t seglift_queue_fd(const struct seglift_queue *queue);

/**
 * Takes up to max completions out, in the order in which they came; waits timeout_ms for the first one (0 = not at
 * all, -1 = for ever). *n is how many; 0 after a time-out, which is OK. out is an array with stride bytes for each;
 * nothing in it needs to be set before.
 * Ownership: each completion is yours; give it to seglift_completion_clear. Errors: CLOSED when the queue is shut
 * down and empty. Threads: any number at once; each completion goes to one. Since 1.0.
 */
seglift_code seglift_queue_poll(struct seglift_queue *queue,
                                struct seglift_completion *out,
                                size_t max,
                                size_t stride,
                                int64_t timeout_ms,
                                size_t *n,
                                struct seglift_error **err);

/**
 * Shuts a queue down: submits are refused with CLOSED, operations in flight are cancelled, and each puts its completion
 * here within timeout_ms (-1 = as long as it takes). Poll until CLOSED.
 * Errors: TIMED_OUT if operations are still ending: call again. Threads: any. Since 1.0.
 */
seglift_code seglift_queue_shutdown(struct seglift_queue *queue, int64_t timeout_ms, struct seglift_error **err);

/**
 * Frees a queue and the completions that nobody polled. NULL is fine.
 * Errors: BUSY while operations are in flight (shut it down first) or a writer signals to it. Threads: none
 * uses it any more. Since 1.0.
 */
seglift_code seglift_queue_free(struct seglift_queue *queue, struct seglift_error **err);

/**
 * Frees what a completion still holds and sets its pointers to NULL. NULL is fine.
 * Threads: the poller. Since 1.0.
 */
void seglift_completion_clear(struct seglift_completion *completion);

/** Frees a receipt that came in a completion. NULL is fine. Since 1.0. */
void seglift_receipt_free(struct seglift_receipt *receipt);

/** Frees a report that came in a completion. NULL is fine. Since 1.0. */
void seglift_verify_report_free(struct seglift_verify_report *report);

/* ---- Asynchronous calls: the same arguments without the outputs, then queue, user_data, op ---- */

/**
 * Starts an offload; its completion has the receipt. Structs, strings, metadata and attachments are copied; memory of
 * a BYTES source is lent until the completion was polled. It never blocks: BUSY when the queue is full, and then, as
 * after every submit that fails, no completion comes. op may be NULL. This holds for every submit.
 * Threads: any. Since 1.0.
 */
seglift_code seglift_offload_segment_submit(struct seglift_driver *driver,
                                            const struct seglift_segment *segment,
                                            const struct seglift_call *call,
                                            struct seglift_queue *queue,
                                            void *user_data,
                                            seglift_op *op,
                                            struct seglift_error **err);

/**
 * Starts a read into buf, which is lent until the completion was polled; count is the number of bytes read.
 * Threads: any. Since 1.0.
 */
seglift_code seglift_read_range_submit(struct seglift_driver *driver,
                                       const struct seglift_ref *segment,
                                       uint64_t offset,
                                       void *buf,
                                       size_t len,
                                       const struct seglift_call *call,
                                       struct seglift_queue *queue,
                                       void *user_data,
                                       seglift_op *op,
                                       struct seglift_error **err);

/** Starts a read into memory of the library; the completion has the bytes. Threads: any. Since 1.0. */
seglift_code seglift_read_range_bytes_submit(struct seglift_driver *driver,
                                             const struct seglift_ref *segment,
                                             uint64_t offset,
                                             uint64_t len,
                                             const struct seglift_call *call,
                                             struct seglift_queue *queue,
                                             void *user_data,
                                             seglift_op *op,
                                             struct seglift_error **err);

/** Starts a read of records; the completion has them. Threads: any. Since 1.0. */
seglift_code seglift_read_records_submit(struct seglift_driver *driver,
                                         const struct seglift_ref *segment,
                                         uint64_t first,
                                         uint64_t max_records,
                                         uint64_t max_bytes,
                                         const struct seglift_call *call,
                                         struct seglift_queue *queue,
                                         void *user_data,
                                         seglift_op *op,
                                         struct seglift_error **err);

/** Starts a read of an attachment; the completion has its bytes. Threads: any. Since 1.0. */
seglift_code seglift_read_attachment_submit(struct seglift_driver *driver,
                                            const struct seglift_ref *segment,
                                            const char *name,
                                            const struct seglift_call *call,
                                            struct seglift_queue *queue,
                                            void *user_data,
                                            seglift_op *op,
                                            struct seglift_error **err);

/** Starts a stat; the completion has the info. Threads: any. Since 1.0. */
seglift_code seglift_stat_submit(struct seglift_driver *driver,
                                 const struct seglift_ref *segment,
                                 const struct seglift_call *call,
                                 struct seglift_queue *queue,
                                 void *user_data,
                                 seglift_op *op,
                                 struct seglift_error **err);

/** Starts a verify; the completion has the report, also when its code is CORRUPT. Threads: any. Since 1.0. */
seglift_code seglift_verify_submit(struct seglift_driver *driver,
                                   const struct seglift_ref *segment,
                                   const struct seglift_call *call,
                                   struct seglift_queue *queue,
                                   void *user_data,
                                   seglift_op *op,
                                   struct seglift_error **err);

/** Starts deletes; the completion has a result for each key. Threads: any. Since 1.0. */
seglift_code seglift_delete_submit(struct seglift_driver *driver,
                                   const char *const *keys,
                                   size_t n,
                                   const struct seglift_call *call,
                                   struct seglift_queue *queue,
                                   void *user_data,
                                   seglift_op *op,
                                   struct seglift_error **err);

/**
 * Starts loading a page; count is its number of entries, code is END after the last page. The page is in the lister once
 * the completion was polled; until then the lister is BUSY. Returns END, and no completion comes, if the end is known.
 * Threads: one for the lister. Since 1.0.
 */
seglift_code seglift_list_next_submit(struct seglift_lister *lister,
                                      size_t max,
                                      const struct seglift_call *call,
                                      struct seglift_queue *queue,
                                      void *user_data,
                                      seglift_op *op,
                                      struct seglift_error **err);

/** Starts a read of an object as it lies in the store; the completion has the bytes. Threads: any. Since 1.0. */
seglift_code seglift_get_object_range_submit(struct seglift_driver *driver,
                                             const char *key,
                                             uint64_t offset,
                                             uint64_t len,
                                             const struct seglift_call *call,
                                             struct seglift_queue *queue,
                                             void *user_data,
                                             seglift_op *op,
                                             struct seglift_error **err);

/**
 * Starts a commit; the completion has the receipt. The writer is CLOSED for writes from now on, and may be freed.
 * Threads: one for the writer. Since 1.0.
 */
seglift_code seglift_writer_commit_submit(struct seglift_writer *writer,
                                          const struct seglift_writer_finish *finish,
                                          const struct seglift_call *call,
                                          struct seglift_queue *queue,
                                          void *user_data,
                                          seglift_op *op,
                                          struct seglift_error **err);

/**
 * Starts an abort. The writer is CLOSED for writes from now on, and may be freed.
 * Threads: one for the writer. Since 1.0.
 */
seglift_code seglift_writer_abort_submit(struct seglift_writer *writer,
                                         const struct seglift_call *call,
                                         struct seglift_queue *queue,
                                         void *user_data,
                                         seglift_op *op,
                                         struct seglift_error **err);

/* ---- Operations in flight ---- */

/**
 * Asks an operation to stop; its completion comes all the same. OK also when it is over. engine may be NULL.
 * Threads: any. Since 1.0.
 */
seglift_code seglift_op_cancel(struct seglift_engine *engine, seglift_op op, struct seglift_error **err);

/**
 * How far an operation has come. OK also for an unknown one: its state says so. engine may be NULL.
 * Threads: any. Since 1.0.
 */
seglift_code seglift_progress(struct seglift_engine *engine,
                              seglift_op op,
                              struct seglift_progress_info *progress,
                              struct seglift_error **err);

/* ---- Status, metrics, logs ---- */

/**
 * What the engine does now: threads, memory, operations in flight and the last ones that failed, as JSON. engine may
 * be NULL. Ownership: *json is yours, until seglift_bytes_free. Threads: any. Since 1.0.
 */
seglift_code seglift_status(struct seglift_engine *engine, struct seglift_bytes **json, struct seglift_error **err);

/**
 * The engine's metrics as Prometheus text; docs/metrics.md explains each. engine may be NULL.
 * Ownership: *text is yours, until seglift_bytes_free. Threads: any. Since 1.0.
 */
seglift_code seglift_metrics(struct seglift_engine *engine, struct seglift_bytes **text, struct seglift_error **err);

/**
 * The oldest line of the log that nobody took yet; END when there is none. engine may be NULL.
 * Ownership: line->text is yours, until seglift_bytes_free. Threads: any; each line goes to one. Since 1.0.
 */
seglift_code seglift_log_poll(struct seglift_engine *engine, struct seglift_log_line *line, struct seglift_error **err);

/**
 * Hands all lines to a callback from now on, those that wait first; NULL = back to seglift_log_poll. The callback runs
 * on the library's threads, several at once; it must neither block nor call seglift_log_callback. When this returns,
 * no call of the earlier callback runs any more. engine may be NULL.
 * Ownership: ctx is yours and must outlive the callback's use. Threads: any. Since 1.0.
 */
seglift_code seglift_log_callback(struct seglift_engine *engine,
                                  void (*callback)(void *ctx, const struct seglift_log_line *line),
                                  void *ctx,
                                  struct seglift_error **err);

/* ---- Policy ---- */

/**
 * Decides for each of the n segments of one log what to do now: actions[i] becomes the SEGLIFT_ACTION_* bits of the
 * i-th, 0 = nothing. Offload in the order of the offsets. The open segment is never touched. Pure: it does nothing,
 * reads no clock and no store, and needs no driver; ask again as often as you like.
 *
 * RETENTION DELETES DATA. A segment whose retention is over gets DROP_LOCAL and DELETE_TIERED for the copies that it
 * has, and it gets DROP_LOCAL also if it was never offloaded: then that deletes its ONLY copy. With retention_size and
 * retention_age_ms off, the default, DROP_LOCAL comes only for segments with offloaded_us, so set that only when you have
 * the receipt. A host that has a retention of its own leaves both off.
 *
 * Errors: INVALID_ARGUMENT. Threads: any. Since 1.0.
 */
seglift_code seglift_plan(const struct seglift_policy *policy,
                          const struct seglift_segment_state *segments,
                          size_t n,
                          size_t stride,
                          int64_t now_us,
                          uint32_t *actions,
                          struct seglift_error **err);

/**
 * The policy that the policy.* settings of a configuration ask for; config may be NULL for the defaults.
 * Errors: INVALID_CONFIG. Threads: one for the configuration. Since 1.0.
 */
seglift_code seglift_plan_policy(const struct seglift_config *config,
                                 struct seglift_policy *policy,
                                 struct seglift_error **err);

/* ---- Clean-up: abandoned uploads ---- */

/**
 * Aborts uploads of this owner that were begun and never ended, because their process was killed. Never one of which
 * a part is younger than older_than_ms. options and cleanup may be NULL. OK also when some could not be aborted: count
 * SEGLIFT_VERDICT_FAILED. What was aborted before an error stays so.
 * Ownership: *cleanup is yours, until seglift_cleanup_free. Errors: PERMISSION_DENIED, UNAVAILABLE, TIMED_OUT,
 * CANCELLED, CLOSED. Threads: any; blocks. Since 1.0.
 */
seglift_code seglift_reap(struct seglift_driver *driver,
                          const struct seglift_reap_options *options,
                          const struct seglift_call *call,
                          struct seglift_cleanup **cleanup,
                          struct seglift_error **err);

/**
 * How many uploads or objects ended with this verdict (0 = all of them), and in *bytes, which may be NULL, how much that
 * is in the store as far as it is known. Those are counted, too, that have no entry. Threads: any. Since 1.0.
 */
uint64_t seglift_cleanup_count(const struct seglift_cleanup *cleanup,
                               uint32_t verdict,
                               uint64_t *bytes);

/** How many entries there are, 10,000 at most. Threads: any. Since 1.0. */
size_t seglift_cleanup_len(const struct seglift_cleanup *cleanup);

/** The i-th entry, in the order in which they were met. Errors: OUT_OF_RANGE. Threads: any. Since 1.0. */
seglift_code seglift_cleanup_get(const struct seglift_cleanup *cleanup,
                                 size_t i,
                                 struct seglift_cleanup_entry *entry,
                                 struct seglift_error **err);

/**
 * 1 if nothing is left to do: of a reap always, of a sweep once seglift_sweep_finish has come to the end of the store.
 * Threads: any. Since 1.0.
 */
uint32_t seglift_cleanup_done(const struct seglift_cleanup *cleanup);

/** Frees a cleanup and its errors. NULL is fine. Since 1.0. */
void seglift_cleanup_free(struct seglift_cleanup *cleanup);

/** Starts a reap; the completion has the cleanup. Threads: any. Since 1.0. */
seglift_code seglift_reap_submit(struct seglift_driver *driver,
                                 const struct seglift_reap_options *options,
                                 const struct seglift_call *call,
                                 struct seglift_queue *queue,
                                 void *user_data,
                                 seglift_op *op,
                                 struct seglift_error **err);

/* ---- Clean-up: objects that nobody refers to ---- */

/**
 * Begins a sweep. Nothing is read or deleted yet. options may be NULL: a dry run over the whole store with a day of
 * grace. Ownership: *sweep is yours, until seglift_sweep_free. Errors: INVALID_ARGUMENT, UNSUPPORTED_FIELD, CLOSED.
 * Threads: any. Since 1.0.
 */
seglift_code seglift_sweep_begin(struct seglift_driver *driver,
                                 const struct seglift_sweep_options *options,
                                 struct seglift_sweep **sweep,
                                 struct seglift_error **err);

/**
 * Feeds n keys that you refer to, in strictly increasing byte order over all feeds, and judges the objects between them.
 * A call does one page of the store; *taken is how many keys it took, perhaps none: feed the others again, until all are
 * taken. After an error none were taken; feed them again. cleanup may be NULL.
 * Ownership: *cleanup is yours, until seglift_cleanup_free. Errors: INVALID_ARGUMENT (a key is out of order, is no key,
 * or does not begin with the prefix: nothing was judged), BUSY, PERMISSION_DENIED, UNAVAILABLE, TIMED_OUT, CANCELLED,
 * CLOSED. Threads: one; blocks. Since 1.0.
 */
seglift_code seglift_sweep_feed(struct seglift_sweep *sweep,
                                const char *const *keys,
                                size_t n,
                                const struct seglift_call *call,
                                size_t *taken,
                                struct seglift_cleanup **cleanup,
                                struct seglift_error **err);

/**
 * Says that the list is complete, and judges a page of what lies behind its last key. Call it until *done is 1.
 * A list without a key is refused, because the sweep would delete everything. cleanup may be NULL.
 * Ownership: *cleanup is yours, until seglift_cleanup_free. Errors: INVALID_ARGUMENT (no key was fed), else as
 * seglift_sweep_feed. Threads: one; blocks. Since 1.0.
 */
seglift_code seglift_sweep_finish(struct seglift_sweep *sweep,
                                  const struct seglift_call *call,
                                  uint32_t *done,
                                  struct seglift_cleanup **cleanup,
                                  struct seglift_error **err);

/** Frees a sweep; a step that is under way ends by itself. NULL is fine. Since 1.0. */
void seglift_sweep_free(struct seglift_sweep *sweep);

/**
 * Starts a feed of a sweep; keys are copied, count is how many were taken, and the completion has the cleanup.
 * Threads: one for the sweep. Since 1.0.
 */
seglift_code seglift_sweep_feed_submit(struct seglift_sweep *sweep,
                                       const char *const *keys,
                                       size_t n,
                                       const struct seglift_call *call,
                                       struct seglift_queue *queue,
                                       void *user_data,
                                       seglift_op *op,
                                       struct seglift_error **err);

/**
 * Starts a finish of a sweep; the completion has the cleanup, which says whether it is done.
 * Threads: one for the sweep. Since 1.0.
 */
seglift_code seglift_sweep_finish_submit(struct seglift_sweep *sweep,
                                         const struct seglift_call *call,
                                         struct seglift_queue *queue,
                                         void *user_data,
                                         seglift_op *op,
                                         struct seglift_error **err);

/* ---- Verify: where the damage is ---- */

/**
 * seglift_verify that also says where the damage is. report may be NULL.
 * Ownership: *damage is yours, until seglift_damage_free; it is there with OK, and then empty, and with CORRUPT, but NULL
 * with any other error. Errors: those of seglift_verify. Threads: any; blocks. Since 1.1.
 */
seglift_code seglift_verify_damage(struct seglift_driver *driver,
                                   const struct seglift_ref *segment,
                                   const struct seglift_call *call,
                                   struct seglift_verify_report *report,
                                   struct seglift_damage **damage,
                                   struct seglift_error **err);

/** How many entries there are. Threads: any. Since 1.1. */
size_t seglift_damage_len(const struct seglift_damage *damage);

/** The i-th entry. Errors: OUT_OF_RANGE. Threads: any. Since 1.1. */
seglift_code seglift_damage_get(const struct seglift_damage *damage,
                                size_t i,
                                struct seglift_damage_entry *entry,
                                struct seglift_error **err);

/** Frees a damage and its errors. NULL is fine. Since 1.1. */
void seglift_damage_free(struct seglift_damage *damage);

/* ---- The table, for dlopen ---- */

/**
 * The table of this library if it has the major that you were compiled against, else NULL:
 * seglift_get_api(SEGLIFT_ABI_MAJOR). A loader needs no other symbol. Static; never freed.
 * Threads: any. Since 1.0.
 */
const struct seglift_api *seglift_get_api(uint32_t abi_major);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* ---- Structs with size set and all else zero. C and C++ alike. ---- */

#define SEGLIFT_INIT_(type)            \
  static inline type type##_init(void) \
  {                                    \
    type value;                        \
    memset(&value, 0, sizeof value);   \
    value.size = sizeof value;         \
    return value;                      \
  }
SEGLIFT_INIT_(seglift_call)
SEGLIFT_INIT_(seglift_pair)
SEGLIFT_INIT_(seglift_attachment)
SEGLIFT_INIT_(seglift_segment)
SEGLIFT_INIT_(seglift_ref)
SEGLIFT_INIT_(seglift_writer_options)
SEGLIFT_INIT_(seglift_writer_finish)
SEGLIFT_INIT_(seglift_record_in)
SEGLIFT_INIT_(seglift_receipt)
SEGLIFT_INIT_(seglift_record)
SEGLIFT_INIT_(seglift_summary)
SEGLIFT_INIT_(seglift_attachment_info)
SEGLIFT_INIT_(seglift_entry)
SEGLIFT_INIT_(seglift_verify_report)
SEGLIFT_INIT_(seglift_progress_info)
SEGLIFT_INIT_(seglift_log_line)
SEGLIFT_INIT_(seglift_completion)
SEGLIFT_INIT_(seglift_policy)
SEGLIFT_INIT_(seglift_segment_state)
SEGLIFT_INIT_(seglift_reap_options)
SEGLIFT_INIT_(seglift_cleanup_entry)
SEGLIFT_INIT_(seglift_damage_entry)
SEGLIFT_INIT_(seglift_sweep_options)
#undef SEGLIFT_INIT_

#endif /* SEGLIFT_H */
