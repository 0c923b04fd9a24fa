/* A few lines instead of a test framework: each test is a function with a sentence as its name, and the output is
 * TAP. A program lists its tests in main with RUN and ends with DONE. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seglift.h"

static int check_failed, check_tests, check_bad_tests;

/* Goes on after a failure: the rest of the test often says why. */
#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) {                                                           \
      check_failed++;                                                             \
      printf("# %s:%d: this does not hold: %s\n", __FILE__, __LINE__, #condition); \
    }                                                                             \
  } while (0)

/* The call ends with the code, and has an error object exactly if it should. */
#define ENDS(expected, call)                                                                           \
  do {                                                                                                 \
    seglift_error *err = NULL;                                                                         \
    seglift_code got = (call), want = (expected);                                                      \
    if (got != want) {                                                                                 \
      check_failed++;                                                                                  \
      printf("# %s:%d: %s is %s, not %s: %s\n", __FILE__, __LINE__, #call, seglift_code_name(got),     \
             seglift_code_name(want), seglift_error_message(err));                                     \
    }                                                                                                  \
    CHECK((err != NULL) == (got != SEGLIFT_OK && got != SEGLIFT_END));                                 \
    if (err != NULL) {                                                                                 \
      CHECK(seglift_error_code(err) == got);                                                           \
      CHECK(strlen(seglift_error_message(err)) > 0);                                                   \
    }                                                                                                  \
    seglift_error_free(err);                                                                           \
  } while (0)
#define OK(call) ENDS(SEGLIFT_OK, call)

#define RUN(test)                                                                                      \
  do {                                                                                                 \
    char sentence[] = #test;                                                                           \
    char *c;                                                                                           \
    for (c = sentence; *c != 0; c++)                                                                   \
      if (*c == '_') *c = ' ';                                                                         \
    check_failed = 0;                                                                                  \
    test();                                                                                            \
    check_tests++;                                                                                     \
    if (check_failed != 0) check_bad_tests++;                                                          \
    printf("%s %d - %s\n", check_failed == 0 ? "ok" : "not ok", check_tests, sentence);                \
    fflush(stdout);                                                                                    \
  } while (0)

#define DONE()                        \
  do {                                \
    printf("1..%d\n", check_tests);   \
    return check_bad_tests == 0 ? 0 : 1; \
  } while (0)

/* Engines of our own, so that valgrind sees everything freed at the end. */
static inline seglift_engine *new_engine(void) {
  seglift_engine *engine = NULL;
  seglift_config *config = NULL;
  OK(seglift_config_new(&config, &err));
  OK(seglift_config_set(config, "engine.threads", "2", &err));
  OK(seglift_engine_open(config, &engine, &err));
  seglift_config_free(config);
  return engine;
}

static inline seglift_driver *new_driver(seglift_engine *engine, const char *uri) {
  seglift_driver *driver = NULL;
  OK(seglift_open(engine, uri, NULL, &driver, &err));
  return driver;
}

static inline void end_driver(seglift_driver *driver) {
  OK(seglift_driver_close(driver, 30000, &err));
  seglift_driver_free(driver);
}

static inline seglift_segment bytes_segment(const char *key, const void *data, size_t len) {
  seglift_segment segment = seglift_segment_init();
  segment.key = key;
  segment.source = SEGLIFT_SOURCE_BYTES;
  segment.data = data;
  segment.length = len;
  return segment;
}

static inline void put(seglift_driver *driver, const char *key, const void *data, size_t len) {
  seglift_segment segment = bytes_segment(key, data, len);
  OK(seglift_offload_segment(driver, &segment, NULL, NULL, &err));
}

static inline seglift_ref ref_to(const char *key) {
  seglift_ref ref = seglift_ref_init();
  ref.key = key;
  return ref;
}

/* Bytes that do not compress and differ at every place. */
static inline unsigned char *noise(size_t len, uint32_t seed) {
  unsigned char *bytes = malloc(len > 0 ? len : 1);
  size_t i;
  if (bytes == NULL) abort();
  for (i = 0; i < len; i++) {
    seed = seed * 1664525u + 1013904223u;
    bytes[i] = (unsigned char)(seed >> 24);
  }
  return bytes;
}

#endif
