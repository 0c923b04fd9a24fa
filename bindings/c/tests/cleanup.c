/* Clean-up: what is asked for by default, reports, sweeps step by step, both doors of both. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static char folder[] = "/tmp/seglift-test-XXXXXX";

/* A driver of an empty folder. */
static seglift_driver *new_place(seglift_engine *engine) {
  char uri[64];
  strcpy(folder, "/tmp/seglift-test-XXXXXX");
  CHECK(mkdtemp(folder) != NULL);
  snprintf(uri, sizeof uri, "file://%s", folder);
  return new_driver(engine, uri);
}

static void make_old(const char *name) {
  char path[300];
  struct timespec days_ago[2] = {{1600000000, 0}, {1600000000, 0}};
  snprintf(path, sizeof path, "%s/%s", folder, name);
  CHECK(utimensat(AT_FDCWD, path, days_ago, 0) == 0);
}

static void end_place(seglift_driver *driver, seglift_engine *engine) {
  DIR *dir = opendir(folder);
  struct dirent *entry;
  end_driver(driver);
  while (dir != NULL && (entry = readdir(dir)) != NULL) {
    char path[300];
    snprintf(path, sizeof path, "%s/%.200s", folder, entry->d_name);
    unlink(path);
  }
  closedir(dir);
  rmdir(folder);
  OK(seglift_engine_free(engine, &err));
}

/* The i-th entry has this name and verdict. */
static void entry_is(const seglift_cleanup *cleanup, size_t i, const char *name, uint32_t verdict) {
  seglift_cleanup_entry entry = seglift_cleanup_entry_init();
  OK(seglift_cleanup_get(cleanup, i, &entry, &err));
  if (entry.name == NULL || strcmp(entry.name, name) != 0 || entry.verdict != verdict) {
    check_failed++;
    printf("# entry %u is %s with verdict %u, not %s with %u\n", (unsigned)i,
           entry.name == NULL ? "not there" : entry.name, entry.verdict, name, verdict);
  }
}

static seglift_completion await(seglift_queue *queue) {
  seglift_completion completion;
  size_t n = 0;
  OK(seglift_queue_poll(queue, &completion, 1, sizeof completion, 30000, &n, &err));
  CHECK(n == 1);
  return completion;
}

static void a_reap_leaves_what_is_younger_than_a_day_unless_it_is_told(void) {
  seglift_engine *engine = new_engine();
  seglift_driver *driver = new_place(engine);
  seglift_reap_options options = seglift_reap_options_init();
  seglift_cleanup *cleanup = NULL;
  uint64_t bytes = 0;
  char path[300], name[] = ".seglift-upload-00000000000000ff-left-by-another-owner";
  int fd;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  fd = open(path, O_CREAT | O_WRONLY, 0600);
  CHECK(write(fd, "12345", 5) == 5);
  close(fd);
  options.flags = SEGLIFT_REAP_ALL_OWNERS;
  OK(seglift_reap(driver, &options, NULL, &cleanup, &err));
  CHECK(seglift_cleanup_len(cleanup) == 1 && seglift_cleanup_done(cleanup) == 1);
  entry_is(cleanup, 0, name, SEGLIFT_VERDICT_YOUNG);
  seglift_cleanup_free(cleanup);
  make_old(name);
  OK(seglift_reap(driver, NULL, NULL, &cleanup, &err));
  entry_is(cleanup, 0, name, SEGLIFT_VERDICT_OTHER_OWNER);
  seglift_cleanup_free(cleanup);
  options.flags = SEGLIFT_REAP_ALL_OWNERS | SEGLIFT_REAP_DRY_RUN;
  OK(seglift_reap(driver, &options, NULL, &cleanup, &err));
  entry_is(cleanup, 0, name, SEGLIFT_VERDICT_WOULD_REMOVE);
  seglift_cleanup_free(cleanup);
  CHECK(access(path, F_OK) == 0);
  options.flags = SEGLIFT_REAP_ALL_OWNERS;
  OK(seglift_reap(driver, &options, NULL, &cleanup, &err));
  CHECK(seglift_cleanup_count(cleanup, SEGLIFT_VERDICT_REMOVED, &bytes) == 1 && bytes == 5);
  CHECK(seglift_cleanup_count(cleanup, 0, NULL) == 1 && seglift_cleanup_count(cleanup, 99, NULL) == 0);
  seglift_cleanup_free(cleanup);
  CHECK(access(path, F_OK) != 0);
  OK(seglift_reap(driver, NULL, NULL, NULL, &err));
  end_place(driver, engine);
}

static void a_sweep_is_a_dry_run_unless_it_is_told_to_delete(void) {
  seglift_engine *engine = new_engine();
  seglift_driver *driver = new_place(engine);
  seglift_sweep_options options = seglift_sweep_options_init();
  const char *live[] = {"b", "d"};
  int pass;
  for (pass = 0; pass < 3; pass++) {
    static const char *const keys[] = {"a", "b", "c"};
    put(driver, keys[pass], "segment", 7);
    make_old(keys[pass]);
  }
  put(driver, "new", "segment", 7);
  for (pass = 0; pass < 2; pass++) {
    seglift_sweep *sweep = NULL;
    seglift_cleanup *cleanup = NULL;
    uint32_t gone = pass == 0 ? SEGLIFT_VERDICT_WOULD_REMOVE : SEGLIFT_VERDICT_REMOVED, done = 0;
    size_t taken = 0;
    options.flags = pass == 0 ? 0 : SEGLIFT_SWEEP_DELETE;
    OK(seglift_sweep_begin(driver, pass == 0 ? NULL : &options, &sweep, &err));
    OK(seglift_sweep_feed(sweep, live, 2, NULL, &taken, &cleanup, &err));
    CHECK(taken == 2 && seglift_cleanup_len(cleanup) == 4 && seglift_cleanup_done(cleanup) == 0);
    entry_is(cleanup, 0, "a", gone);
    entry_is(cleanup, 1, "b", SEGLIFT_VERDICT_LIVE);
    entry_is(cleanup, 2, "c", gone);
    entry_is(cleanup, 3, "d", SEGLIFT_VERDICT_MISSING);
    seglift_cleanup_free(cleanup);
    OK(seglift_sweep_finish(sweep, NULL, &done, &cleanup, &err));
    CHECK(done == 1 && seglift_cleanup_done(cleanup) == 1);
    entry_is(cleanup, 0, "new", SEGLIFT_VERDICT_YOUNG);
    seglift_cleanup_free(cleanup);
    seglift_sweep_free(sweep);
  }
  end_place(driver, engine);
}

static void an_empty_list_and_one_out_of_order_are_refused(void) {
  seglift_engine *engine = new_engine();
  seglift_driver *driver = new_driver(engine, "memory:");
  seglift_sweep *sweep = NULL;
  seglift_cleanup *cleanup = NULL;
  const char *wrong[] = {"b", "a"}, *missing[] = {NULL};
  size_t taken = 7;
  uint32_t done = 7;
  OK(seglift_sweep_begin(driver, NULL, &sweep, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_sweep_feed(sweep, wrong, 2, NULL, &taken, &cleanup, &err));
  CHECK(taken == 0 && cleanup == NULL);
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_sweep_feed(sweep, missing, 1, NULL, &taken, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_sweep_feed(sweep, NULL, 1, NULL, &taken, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_sweep_feed(sweep, wrong, 1, NULL, NULL, NULL, &err));
  OK(seglift_sweep_feed(sweep, NULL, 0, NULL, &taken, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_sweep_finish(sweep, NULL, &done, &cleanup, &err));
  CHECK(done == 0 && cleanup == NULL);
  seglift_sweep_free(sweep);
  seglift_sweep_free(NULL);
  seglift_cleanup_free(NULL);
  end_driver(driver);
  OK(seglift_engine_free(engine, &err));
}

static void options_that_mean_nothing_are_refused(void) {
  seglift_engine *engine = new_engine();
  seglift_driver *driver = new_driver(engine, "memory:");
  seglift_reap_options reap = seglift_reap_options_init();
  seglift_sweep_options options = seglift_sweep_options_init();
  seglift_sweep *sweep = NULL;
  reap.older_than_ms = -1;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_reap(driver, &reap, NULL, NULL, &err));
  reap.older_than_ms = 0;
  reap.flags = 4;
  ENDS(SEGLIFT_UNSUPPORTED_FIELD, seglift_reap(driver, &reap, NULL, NULL, &err));
  options.grace_ms = -1;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_sweep_begin(driver, &options, &sweep, &err));
  options.grace_ms = 0;
  options.reserved0 = 1;
  ENDS(SEGLIFT_UNSUPPORTED_FIELD, seglift_sweep_begin(driver, &options, &sweep, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_sweep_begin(driver, NULL, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_reap(NULL, NULL, NULL, NULL, &err));
  end_driver(driver);
  OK(seglift_engine_free(engine, &err));
}

static void reap_and_sweep_end_in_a_queue_too(void) {
  seglift_engine *engine = new_engine();
  seglift_driver *driver = new_place(engine);
  seglift_queue *queue = NULL;
  seglift_sweep *sweep = NULL;
  seglift_completion completion;
  seglift_op op = 0;
  const char *live[] = {"live"};
  put(driver, "garbage", "segment", 7);
  put(driver, "live", "segment", 7);
  make_old("garbage");
  OK(seglift_queue_new(engine, 4, &queue, &err));
  OK(seglift_reap_submit(driver, NULL, NULL, queue, NULL, &op, &err));
  completion = await(queue);
  CHECK(completion.op == op && completion.code == SEGLIFT_OK && seglift_cleanup_len(completion.cleanup) == 0);
  seglift_completion_clear(&completion);
  OK(seglift_sweep_begin(driver, NULL, &sweep, &err));
  OK(seglift_sweep_feed_submit(sweep, live, 1, NULL, queue, sweep, NULL, &err));
  completion = await(queue);
  CHECK(completion.user_data == (void *)sweep && completion.code == SEGLIFT_OK && completion.count == 1);
  entry_is(completion.cleanup, 0, "garbage", SEGLIFT_VERDICT_WOULD_REMOVE);
  seglift_completion_clear(&completion);
  CHECK(completion.cleanup == NULL);
  OK(seglift_sweep_finish_submit(sweep, NULL, queue, NULL, NULL, &err));
  completion = await(queue);
  CHECK(seglift_cleanup_done(completion.cleanup) == 1);
  seglift_completion_clear(&completion);
  seglift_sweep_free(sweep);
  OK(seglift_queue_free(queue, &err));
  end_place(driver, engine);
}

int main(void) {
  RUN(a_reap_leaves_what_is_younger_than_a_day_unless_it_is_told);
  RUN(a_sweep_is_a_dry_run_unless_it_is_told_to_delete);
  RUN(an_empty_list_and_one_out_of_order_are_refused);
  RUN(options_that_mean_nothing_are_refused);
  RUN(reap_and_sweep_end_in_a_queue_too);
  DONE();
}
