/* A panic at every export: SEGLIFT_TEST_PANIC makes the next call of any of them panic inside (only a library with the
 * feature `testing` knows it). argv: the file with the names of all exports. */
#include <dlfcn.h>

#include "check.h"

static const char *names_file;

static void provoke(int on) {
  if (on) setenv("SEGLIFT_TEST_PANIC", "1", 1);
  else unsetenv("SEGLIFT_TEST_PANIC");
}

/* What cannot report an error: they answer nothing, zero or a word. */
static int is_quiet(const char *name) {
  static const char *const quiet[] = {
      "_free", "_clear", "cancel_request", "_data", "_len", "_ref", "_count", "_code", "_error", "_next_id",
      "_at_end", "_done", "queue_fd", "error_", "_version", "_code_name", "get_api",
  };
  size_t i;
  for (i = 0; i < sizeof quiet / sizeof *quiet; i++)
    if (strstr(name, quiet[i]) != NULL) {
      /* These two end in `_free` and report. */
      return strcmp(name, "seglift_engine_free") != 0 && strcmp(name, "seglift_queue_free") != 0;
    }
  return 0;
}

/* The panic comes before any argument is looked at, so that zeros do for all of them: no export takes more than twelve, and
 * C's calling conventions let a function ignore those that it does not have. */
static void a_panic_at_any_export_does_not_leave_the_library(void) {
  union {
    void *symbol;
    seglift_code (*call)(void *, void *, void *, void *, void *, void *, void *, void *, void *, void *, void *, void *);
  } u;
  char name[128];
  int called = 0;
  FILE *names = fopen(names_file, "r");
  CHECK(names != NULL);
  while (names != NULL && fscanf(names, "%127s", name) == 1) {
    seglift_code code;
    u.symbol = dlsym(RTLD_DEFAULT, name);
    CHECK(u.symbol != NULL);
    if (u.symbol == NULL) continue;
    provoke(1);
    code = u.call(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    provoke(0);
    called++;
    if (is_quiet(name) || code == SEGLIFT_INTERNAL) continue;
    printf("# %s: %s\n", name, seglift_code_name(code));
    CHECK(code == SEGLIFT_INTERNAL);
  }
  if (names != NULL) fclose(names);
  CHECK(called > 100);
}

#define PANICS(call)                                                          \
  do {                                                                        \
    provoke(1);                                                               \
    code = (call);                                                            \
    provoke(0);                                                               \
    CHECK(code == SEGLIFT_INTERNAL);                                          \
    CHECK(strstr(seglift_error_message(err), "SEGLIFT_TEST_PANIC") != NULL);  \
    seglift_error_free(err);                                                  \
    err = NULL;                                                               \
  } while (0)

static void handles_are_as_usable_after_a_panic_as_before(void) {
  seglift_error *err = NULL;
  seglift_engine *engine = new_engine();
  seglift_driver *driver = new_driver(engine, "memory:"), *other = NULL;
  seglift_segment segment = bytes_segment("k", "abc", 3);
  seglift_writer_options options = seglift_writer_options_init();
  seglift_ref ref = ref_to("k");
  seglift_queue *queue = NULL;
  seglift_writer *writer = NULL;
  seglift_lister *lister = NULL;
  seglift_bytes *bytes = NULL;
  seglift_completion completion;
  seglift_code code;
  char buf[3];
  size_t n = 0;
  options.key = "w";
  PANICS(seglift_open(engine, "memory:", NULL, &other, &err));
  CHECK(other == NULL);
  PANICS(seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  OK(seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  PANICS(seglift_read_range(driver, &ref, 0, buf, 3, NULL, &n, &err));
  OK(seglift_read_range(driver, &ref, 0, buf, 3, NULL, &n, &err));
  CHECK(n == 3 && memcmp(buf, "abc", 3) == 0);
  PANICS(seglift_read_range_bytes(driver, &ref, 0, 3, NULL, &bytes, &err));
  OK(seglift_read_range_bytes(driver, &ref, 0, 3, NULL, &bytes, &err));
  provoke(1);
  CHECK(seglift_bytes_len(bytes) == 0 && seglift_bytes_data(bytes) == NULL && seglift_bytes_ref(bytes) == NULL);
  provoke(0);
  CHECK(seglift_bytes_len(bytes) == 3);
  seglift_bytes_free(bytes);
  PANICS(seglift_writer_open(driver, &options, NULL, &writer, &err));
  OK(seglift_writer_open(driver, &options, NULL, &writer, &err));
  PANICS(seglift_writer_write(writer, "abc", 3, NULL, &n, &err));
  OK(seglift_writer_write(writer, "abc", 3, NULL, &n, &err));
  PANICS(seglift_writer_commit(writer, NULL, NULL, NULL, &err));
  OK(seglift_writer_commit(writer, NULL, NULL, NULL, &err));
  seglift_writer_free(writer);
  OK(seglift_list_open(driver, NULL, NULL, &lister, &err));
  PANICS(seglift_list_next(lister, 10, NULL, &n, &err));
  OK(seglift_list_next(lister, 10, NULL, &n, &err));
  CHECK(n == 2);
  seglift_list_free(lister);
  OK(seglift_queue_new(engine, 1, &queue, &err));
  /* A submit that panics has taken no place: there is one for the next. */
  PANICS(seglift_stat_submit(driver, &ref, NULL, queue, NULL, NULL, &err));
  OK(seglift_stat_submit(driver, &ref, NULL, queue, NULL, NULL, &err));
  PANICS(seglift_queue_poll(queue, &completion, 1, sizeof completion, 30000, &n, &err));
  OK(seglift_queue_poll(queue, &completion, 1, sizeof completion, 30000, &n, &err));
  CHECK(n == 1 && completion.code == SEGLIFT_OK);
  provoke(1);
  seglift_completion_clear(&completion); /* does nothing now */
  provoke(0);
  seglift_completion_clear(&completion);
  PANICS(seglift_queue_shutdown(queue, 30000, &err));
  OK(seglift_queue_shutdown(queue, 30000, &err));
  PANICS(seglift_queue_free(queue, &err));
  OK(seglift_queue_free(queue, &err));
  PANICS(seglift_driver_close(driver, 30000, &err));
  end_driver(driver);
  PANICS(seglift_engine_free(engine, &err));
  OK(seglift_engine_free(engine, &err));
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  names_file = argv[1];
  RUN(a_panic_at_any_export_does_not_leave_the_library);
  RUN(handles_are_as_usable_after_a_panic_as_before);
  DONE();
}
