/* A small host that is meant to be killed.
 *
 *     host URI JOURNAL CODEC SEED PART STEP...       CODEC is none or zstd; PART is the size of a part
 *
 * It keeps a journal as a broker does: a line is written and synced before it counts.
 *
 *     begin KEY SEED LENGTH      an offload of this key is about to start
 *     commit KEY TOKEN           its receipt is here: from now on the host relies on the object
 *     drop KEY                   the host does not refer to the object any more, and will delete it
 *     gone KEY                   the store has confirmed that
 *
 * Steps: small, large (offload one segment, of one request and of several parts), small-async, large-async (the same
 * through a queue), fail (an offload that must fail after its parts were sent), delete (everything that is committed but
 * the first), reap, sweep (gives up what was begun first), recover (repeat what was begun and not committed, delete what
 * was dropped and is not gone), verify, write=PATH (begins an offload that another will do: its bytes are in this file). The content of a segment follows from its seed, so that a fresh process knows every byte.
 *
 * HOST_PAUSE=receipt:/path/of/marker stops it behind the first receipt, before it is in the journal.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "seglift.h"

enum { SMALL = 900000, LARGE = 12 << 20, CHUNK = 1 << 20, MOST = 64, DELETED = 8 };

typedef struct entry {
  char key[80];
  uint64_t seed, length;
  int committed, dropped, gone;
  size_t token_len;
  uint8_t token[SEGLIFT_TOKEN_MAX];
} entry;

static entry entries[MOST];
static size_t entry_count;
static int journal;
static seglift_driver *driver;
static uint32_t codec;
static uint64_t next_seed;

static void fail(const char *what, seglift_code code, seglift_error *err) {
  fprintf(stderr, "host: %s: %s: %s\n", what, seglift_code_name(code), seglift_error_message(err));
  exit(1);
}

static void wrong(const char *what, const char *key) {
  fprintf(stderr, "host: WRONG: %s: %s\n", key, what);
  exit(2);
}

static void must(const char *what, seglift_code code, seglift_error *err) {
  if (code != SEGLIFT_OK) fail(what, code, err);
}

/* ---- Content: eight bytes for each place, most of them noise, some pages of a repeated word ---- */

static uint64_t word_at(uint64_t seed, uint64_t place) {
  uint64_t z = seed * 0x9e3779b97f4a7c15u + (place % 4096 < 512 ? place / 4096 : place) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/* offset is a multiple of 8. */
static void fill(uint8_t *out, uint64_t seed, uint64_t offset, size_t length) {
  size_t i;
  for (i = 0; i < length; i += 8) {
    uint64_t word = word_at(seed, (offset + i) / 8);
    memcpy(out + i, &word, length - i < 8 ? length - i : 8);
  }
}

/* ---- The journal ---- */

static void note(const char *format, ...) {
  va_list arguments;
  int written;
  va_start(arguments, format);
  written = vdprintf(journal, format, arguments);
  va_end(arguments);
  if (written < 0 || fsync(journal) != 0) {
    perror("host: journal");
    exit(1);
  }
}

static entry *find(const char *key) {
  size_t i;
  for (i = 0; i < entry_count; i++)
    if (strcmp(entries[i].key, key) == 0) return &entries[i];
  return NULL;
}

static entry *begin(const char *key, uint64_t seed, uint64_t length) {
  entry *e = &entries[entry_count++];
  if (entry_count == MOST) abort();
  snprintf(e->key, sizeof e->key, "%s", key);
  e->seed = seed;
  e->length = length;
  return e;
}

static void note_commit(entry *e, const seglift_receipt *receipt) {
  char token[2 * SEGLIFT_TOKEN_MAX + 1] = "";
  uint32_t i;
  for (i = 0; i < receipt->token_len; i++) snprintf(token + 2 * i, 3, "%02x", receipt->token[i]);
  note("commit %s %s\n", e->key, token);
  e->committed = 1;
  e->token_len = receipt->token_len;
  memcpy(e->token, receipt->token, receipt->token_len);
}

/* What an earlier process has noted. A torn last line never counted; it is cut off. */
static void read_journal(const char *path) {
  char line[600], what[16], key[80], token[2 * SEGLIFT_TOKEN_MAX + 1];
  unsigned long long seed, length;
  long end = 0;
  FILE *file;
  journal = open(path, O_CREAT | O_RDWR | O_APPEND, 0600);
  if (journal < 0 || (file = fopen(path, "r")) == NULL) {
    perror(path);
    exit(1);
  }
  while (fgets(line, sizeof line, file) != NULL && strchr(line, '\n') != NULL) {
    entry *e;
    end = ftell(file);
    if (sscanf(line, "begin %79s %llu %llu", key, &seed, &length) == 3) {
      if (find(key) == NULL) begin(key, seed, length);
      continue;
    }
    token[0] = 0;
    if (sscanf(line, "%15s %79s %256s", what, key, token) < 2 || (e = find(key)) == NULL) wrong("the journal", line);
    if (strcmp(what, "commit") == 0) {
      size_t i;
      e->committed = 1;
      e->token_len = strlen(token) / 2;
      for (i = 0; i < e->token_len; i++) {
        unsigned byte;
        sscanf(token + 2 * i, "%2x", &byte);
        e->token[i] = (uint8_t)byte;
      }
    }
    if (strcmp(what, "drop") == 0) e->dropped = 1;
    if (strcmp(what, "gone") == 0) e->gone = 1;
  }
  fclose(file);
  if (ftruncate(journal, end) != 0) perror("host: journal");
}

/* ---- Pauses of the host's own ---- */

static void pause_here(const char *point) {
  const char *asked = getenv("HOST_PAUSE");
  size_t length = strlen(point);
  if (asked != NULL && strncmp(asked, point, length) == 0 && asked[length] == ':') {
    const char *name = asked + length + 1;
    char unfinished[400];
    FILE *marker;
    snprintf(unfinished, sizeof unfinished, "%.300s.unfinished", name);
    marker = fopen(unfinished, "w");
    if (marker == NULL || fprintf(marker, "%s\n", point) < 0 || fclose(marker) != 0 || rename(unfinished, name) != 0) {
      perror("host: marker");
      exit(1);
    }
    for (;;) pause();
  }
}

/* ---- Steps ---- */

static seglift_segment segment_of(const entry *e, uint8_t *content) {
  seglift_segment segment = seglift_segment_init();
  fill(content, e->seed, 0, e->length);
  segment.key = e->key;
  segment.source = SEGLIFT_SOURCE_BYTES;
  segment.data = content;
  segment.length = e->length;
  segment.codec = codec;
  return segment;
}

static void offload(entry *e, int async) {
  uint8_t *content = malloc(e->length);
  seglift_segment segment = segment_of(e, content);
  seglift_error *err = NULL;
  if (async) {
    seglift_queue *queue = NULL;
    seglift_completion done;
    size_t n = 0;
    memset(&done, 0, sizeof done);
    must("queue", seglift_queue_new(NULL, 4, &queue, &err), err);
    must("submit", seglift_offload_segment_submit(driver, &segment, NULL, queue, e, NULL, &err), err);
    while (n == 0) must("poll", seglift_queue_poll(queue, &done, 1, sizeof done, 1000, &n, &err), err);
    must(e->key, done.code, done.error);
    if (done.user_data != e) wrong("the completion of another offload", e->key);
    pause_here("receipt");
    note_commit(e, done.receipt);
    seglift_completion_clear(&done);
    must("queue", seglift_queue_free(queue, &err), err);
  } else {
    seglift_receipt receipt = seglift_receipt_init();
    must(e->key, seglift_offload_segment(driver, &segment, NULL, &receipt, &err), err);
    pause_here("receipt");
    note_commit(e, &receipt);
  }
  free(content);
}

static entry *begin_new(uint64_t length) {
  char key[80];
  entry *e;
  /* Each in a folder of its own, so that a folder is made and removed with it. */
  snprintf(key, sizeof key, "t/%llu/segment", (unsigned long long)next_seed);
  note("begin %s %llu %llu\n", key, (unsigned long long)next_seed, (unsigned long long)length);
  e = begin(key, next_seed++, length);
  return e;
}

static void write_content(const char *path) {
  entry *e = begin_new(LARGE);
  uint8_t *content = malloc(e->length);
  FILE *file = fopen(path, "wb");
  fill(content, e->seed, 0, e->length);
  if (file == NULL || fwrite(content, 1, e->length, file) != e->length || fclose(file) != 0) {
    perror(path);
    exit(1);
  }
  free(content);
}

/* The digest is wrong: everything is sent, and then aborted. */
static void offload_in_vain(void) {
  entry e;
  uint8_t *content = malloc(LARGE);
  seglift_segment segment;
  seglift_error *err = NULL;
  seglift_code code;
  memset(&e, 0, sizeof e);
  strcpy(e.key, "t/vain/segment");
  e.length = LARGE;
  segment = segment_of(&e, content);
  segment.expected_kind = SEGLIFT_DIGEST_CRC64NVME;
  segment.expected_digest = 1;
  code = seglift_offload_segment(driver, &segment, NULL, NULL, &err);
  if (code == SEGLIFT_OK) wrong("an offload with a wrong digest succeeded", e.key);
  seglift_error_free(err);
  free(content);
}

/* Deletes what was dropped and is not gone, in one call. */
static void delete_dropped(void) {
  const char *keys[DELETED];
  seglift_results *results = NULL;
  seglift_error *err = NULL;
  size_t i, n = 0;
  for (i = 0; i < entry_count && n < DELETED; i++)
    if (entries[i].dropped && !entries[i].gone) keys[n++] = entries[i].key;
  if (n == 0) return;
  must("delete", seglift_delete(driver, keys, n, NULL, &results, &err), err);
  for (i = 0; i < n; i++) {
    if (seglift_results_code(results, i) != SEGLIFT_OK) {
      fprintf(stderr, "host: delete: %s: %s\n", keys[i], seglift_error_message(seglift_results_error(results, i)));
      exit(1);
    }
    note("gone %s\n", keys[i]);
    find(keys[i])->gone = 1;
  }
  seglift_results_free(results);
}

static void drop_all_but_the_first(void) {
  size_t i;
  int first = 1;
  for (i = 0; i < entry_count; i++) {
    if (!entries[i].committed || entries[i].dropped) continue;
    if (!first) {
      note("drop %s\n", entries[i].key);
      entries[i].dropped = 1;
    }
    first = 0;
  }
}

static void reap(void) {
  seglift_reap_options options = seglift_reap_options_init();
  seglift_cleanup *cleanup = NULL;
  seglift_error *err = NULL;
  options.older_than_ms = 1;
  options.flags = SEGLIFT_REAP_ALL_OWNERS;
  must("reap", seglift_reap(driver, &options, NULL, &cleanup, &err), err);
  if (seglift_cleanup_count(cleanup, SEGLIFT_VERDICT_FAILED, NULL) > 0) wrong("reap failed", "some upload");
  seglift_cleanup_free(cleanup);
}

static int by_key(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* A key that the host may still repeat is not garbage: a sweep that is under way when it is repeated would delete what
 * the host then has a receipt for. So the host gives it up for good first. */
static void give_up_what_was_begun(void) {
  size_t i;
  for (i = 0; i < entry_count; i++) {
    if (entries[i].committed || entries[i].dropped) continue;
    note("drop %s\n", entries[i].key);
    entries[i].dropped = 1;
  }
}

static void sweep(void) {
  const char *live[MOST];
  seglift_sweep_options options = seglift_sweep_options_init();
  seglift_sweep *sweep = NULL;
  seglift_error *err = NULL;
  size_t i, n = 0, fed = 0, taken;
  uint32_t done = 0;
  for (i = 0; i < entry_count; i++)
    if (entries[i].committed && !entries[i].dropped) live[n++] = entries[i].key;
  qsort(live, n, sizeof *live, by_key);
  options.grace_ms = 1;
  options.flags = SEGLIFT_SWEEP_DELETE;
  must("sweep", seglift_sweep_begin(driver, &options, &sweep, &err), err);
  while (fed < n) {
    must("feed", seglift_sweep_feed(sweep, live + fed, n - fed, NULL, &taken, NULL, &err), err);
    fed += taken;
  }
  while (!done) must("finish", seglift_sweep_finish(sweep, NULL, &done, NULL, &err), err);
  seglift_sweep_free(sweep);
}

/* Whether the object is there; exits where a byte of it is wrong. */
static int reads_back(const entry *e) {
  static uint8_t got[CHUNK], want[CHUNK];
  seglift_ref ref = seglift_ref_init();
  uint64_t at = 0;
  ref.key = e->key;
  ref.token = e->token;
  ref.token_len = e->token_len;
  for (;;) {
    seglift_error *err = NULL;
    size_t n = 0, expected = e->length - at < CHUNK ? (size_t)(e->length - at) : CHUNK;
    seglift_code code = seglift_read_range(driver, &ref, at, got, sizeof got, NULL, &n, &err);
    if (code == SEGLIFT_NOT_FOUND && at == 0) {
      seglift_error_free(err);
      return 0;
    }
    must(e->key, code, err);
    fill(want, e->seed, at, expected);
    if (n != expected || memcmp(got, want, n) != 0) wrong("other bytes than were offloaded", e->key);
    at += n;
    if (n == 0) return 1;
  }
}

static void verify(void) {
  size_t i;
  for (i = 0; i < entry_count; i++) {
    const entry *e = &entries[i];
    int there = reads_back(e);
    if (e->committed && !e->dropped && !there) wrong("it had a receipt and is lost", e->key);
    if (e->gone && there) wrong("it was deleted and is back", e->key);
    if (e->committed && there) {
      entry without = *e;
      without.token_len = 0;
      if (!reads_back(&without)) wrong("it is found by its token only", e->key);
    }
  }
}

static void recover(void) {
  size_t i;
  for (i = 0; i < entry_count; i++)
    if (!entries[i].committed && !entries[i].dropped) offload(&entries[i], 0);
  delete_dropped();
}

static void step(const char *name) {
  int async = strstr(name, "-async") != NULL;
  if (strncmp(name, "small", 5) == 0) {
    offload(begin_new(SMALL), async);
  } else if (strncmp(name, "large", 5) == 0) {
    offload(begin_new(LARGE), async);
  } else if (strcmp(name, "fail") == 0) {
    offload_in_vain();
  } else if (strcmp(name, "delete") == 0) {
    drop_all_but_the_first();
    pause_here("dropped");
    delete_dropped();
  } else if (strcmp(name, "reap") == 0) {
    reap();
  } else if (strcmp(name, "sweep") == 0) {
    give_up_what_was_begun();
    sweep();
  } else if (strcmp(name, "recover") == 0) {
    recover();
  } else if (strncmp(name, "write=", 6) == 0) {
    write_content(name + 6);
  } else if (strcmp(name, "verify") == 0) {
    verify();
  } else {
    wrong("there is no such step", name);
  }
}

int main(int argc, char **argv) {
  seglift_config *config = NULL;
  seglift_error *err = NULL;
  int i;
  if (argc < 7) {
    fprintf(stderr, "host URI JOURNAL CODEC SEED PART STEP...\n");
    return 1;
  }
  codec = strcmp(argv[3], "zstd") == 0 ? SEGLIFT_CODEC_ZSTD : SEGLIFT_CODEC_NONE;
  next_seed = strtoull(argv[4], NULL, 10);
  read_journal(argv[2]);
  must("config", seglift_config_new(&config, &err), err);
  must("config", seglift_config_set(config, "owner", "crash", &err), err);
  must("config", seglift_config_set(config, "upload.part.size", argv[5], &err), err);
  must(argv[1], seglift_open(NULL, argv[1], config, &driver, &err), err);
  seglift_config_free(config);
  for (i = 6; i < argc; i++) step(argv[i]);
  must("close", seglift_driver_close(driver, 60000, &err), err);
  seglift_driver_free(driver);
  return 0;
}
