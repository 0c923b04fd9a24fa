/* After fork: what was inherited says so and can be freed, what is opened anew works. */
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static seglift_engine *engine;
static seglift_driver *driver;

/* Runs a test in a child; a child that hangs is ended by the alarm and fails. */
static void in_a_child(void (*test)(void)) {
  int status = 0;
  pid_t child;
  fflush(stdout);
  child = fork();
  if (child == 0) {
    alarm(60);
    check_failed = 0;
    test();
    fflush(stdout);
    _exit(check_failed == 0 ? 0 : 1);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static seglift_queue *queue;
static seglift_writer *writer;
static seglift_lister *lister;
static seglift_cancel *cancel;
static seglift_config *config;
static seglift_bytes *bytes;
static seglift_error *old_error;

static void child_uses_inherited_handles(void) {
  seglift_segment segment = bytes_segment("k", "x", 1);
  seglift_ref ref = ref_to("k");
  seglift_call call = seglift_call_init();
  seglift_driver *opened = NULL;
  seglift_bytes *text = NULL;
  seglift_completion c;
  char buf[1];
  size_t n;
  ENDS(SEGLIFT_FORKED, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  ENDS(SEGLIFT_FORKED, seglift_read_range(driver, &ref, 0, buf, 1, NULL, &n, &err));
  ENDS(SEGLIFT_FORKED, seglift_driver_close(driver, 1000, &err));
  ENDS(SEGLIFT_FORKED, seglift_stat_submit(driver, &ref, NULL, queue, NULL, NULL, &err));
  ENDS(SEGLIFT_FORKED, seglift_queue_poll(queue, &c, 1, sizeof c, -1, &n, &err));
  ENDS(SEGLIFT_FORKED, seglift_queue_shutdown(queue, -1, &err));
  CHECK(seglift_queue_fd(queue) == -1);
  ENDS(SEGLIFT_FORKED, seglift_writer_write(writer, "x", 1, NULL, &n, &err));
  ENDS(SEGLIFT_FORKED, seglift_writer_abort(writer, NULL, &err));
  ENDS(SEGLIFT_FORKED, seglift_list_next(lister, 1, NULL, &n, &err));
  ENDS(SEGLIFT_FORKED, seglift_open(engine, "memory:", NULL, &opened, &err));
  ENDS(SEGLIFT_FORKED, seglift_status(engine, &text, &err));
  call.cancel = cancel;
  opened = new_driver(NULL, "memory:");
  ENDS(SEGLIFT_FORKED, seglift_read_range(opened, &ref, 0, buf, 1, &call, &n, &err));
  end_driver(opened);
  /* Plain memory can still be read. */
  CHECK(seglift_bytes_len(bytes) == 1 && memcmp(seglift_bytes_data(bytes), "x", 1) == 0);
  CHECK(seglift_error_code(old_error) == SEGLIFT_NOT_FOUND && strlen(seglift_error_message(old_error)) > 0);
}

static void child_frees_inherited_handles(void) {
  seglift_cancel_request(cancel);
  seglift_cancel_free(cancel);
  seglift_list_free(lister);
  seglift_writer_free(writer);
  OK(seglift_queue_free(queue, &err));
  seglift_driver_free(driver);
  seglift_bytes_free(bytes);
  seglift_error_free(old_error);
  seglift_config_free(config);
  OK(seglift_engine_free(engine, &err));
}

static void child_opens_anew(void) {
  seglift_driver *fresh = NULL;
  seglift_queue *own = NULL;
  seglift_ref ref = ref_to("k");
  seglift_completion c;
  char buf[1];
  size_t n;
  OK(seglift_config_set(config, "owner", "child", &err));
  OK(seglift_open(NULL, "memory:", config, &fresh, &err));
  put(fresh, "k", "y", 1);
  OK(seglift_read_range(fresh, &ref, 0, buf, 1, NULL, &n, &err));
  CHECK(n == 1 && buf[0] == 'y');
  OK(seglift_queue_new(NULL, 1, &own, &err));
  OK(seglift_stat_submit(fresh, &ref, NULL, own, NULL, NULL, &err));
  OK(seglift_queue_poll(own, &c, 1, sizeof c, 30000, &n, &err));
  CHECK(n == 1 && c.code == SEGLIFT_OK);
  seglift_completion_clear(&c);
  OK(seglift_queue_shutdown(own, 30000, &err));
  OK(seglift_queue_free(own, &err));
  end_driver(fresh);
}

static void inherited_handles_are_forked(void) { in_a_child(child_uses_inherited_handles); }

static void frees_of_inherited_handles_only_forget(void) { in_a_child(child_frees_inherited_handles); }

static void a_fresh_open_works_in_the_child(void) { in_a_child(child_opens_anew); }

static void the_parent_goes_on_as_if_nothing_had_been(void) {
  seglift_ref ref = ref_to("k");
  char buf[1];
  size_t n;
  OK(seglift_read_range(driver, &ref, 0, buf, 1, NULL, &n, &err));
  CHECK(n == 1 && buf[0] == 'x');
  OK(seglift_writer_write(writer, "x", 1, NULL, &n, &err));
}

int main(void) {
  seglift_writer_options options = seglift_writer_options_init();
  seglift_driver *process_wide;
  seglift_ref ref = ref_to("k"), none = ref_to("none");
  size_t n;
  options.key = "w";
  engine = new_engine();
  driver = new_driver(engine, "memory:");
  process_wide = new_driver(NULL, "memory:"); /* so that the child inherits a default engine, too */
  put(process_wide, "k", "x", 1);
  put(driver, "k", "x", 1);
  OK(seglift_queue_new(engine, 4, &queue, &err));
  OK(seglift_writer_open(driver, &options, NULL, &writer, &err));
  OK(seglift_list_open(driver, NULL, NULL, &lister, &err));
  OK(seglift_cancel_new(&cancel, &err));
  OK(seglift_config_new(&config, &err));
  OK(seglift_read_range_bytes(driver, &ref, 0, 1, NULL, &bytes, &err));
  CHECK(seglift_read_range(driver, &none, 0, &n, 1, NULL, &n, &old_error) == SEGLIFT_NOT_FOUND);
  RUN(inherited_handles_are_forked);
  RUN(frees_of_inherited_handles_only_forget);
  RUN(a_fresh_open_works_in_the_child);
  RUN(the_parent_goes_on_as_if_nothing_had_been);
  seglift_error_free(old_error);
  seglift_bytes_free(bytes);
  seglift_config_free(config);
  seglift_cancel_free(cancel);
  seglift_list_free(lister);
  seglift_writer_free(writer);
  OK(seglift_queue_shutdown(queue, 30000, &err));
  OK(seglift_queue_free(queue, &err));
  end_driver(process_wide);
  end_driver(driver);
  OK(seglift_engine_free(engine, &err));
  DONE();
}
