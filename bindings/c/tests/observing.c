/* Settings and their errors, status, metrics, logs. */
#include <unistd.h>

#include "check.h"

/* The call fails with the code, and the message says the word. */
#define SAYS(expected, word, call)                                                       \
  do {                                                                                   \
    seglift_error *err = NULL;                                                           \
    CHECK((call) == (expected));                                                         \
    if (strstr(seglift_error_message(err), word) == NULL) {                              \
      check_failed++;                                                                    \
      printf("# the message does not say \"%s\": %s\n", word, seglift_error_message(err)); \
    }                                                                                    \
    seglift_error_free(err);                                                             \
  } while (0)

static void an_unknown_setting_names_the_nearest_known_one(void) {
  seglift_config *config = NULL;
  OK(seglift_config_new(&config, &err));
  SAYS(SEGLIFT_INVALID_CONFIG, "upload.part.size", seglift_config_set(config, "upload.part.sise", "8MiB", &err));
  SAYS(SEGLIFT_INVALID_CONFIG, "lots", seglift_config_set(config, "upload.part.size", "lots", &err));
  SAYS(SEGLIFT_INVALID_CONFIG, "/nowhere/at/all.toml", seglift_config_load(config, "/nowhere/at/all.toml", &err));
  seglift_config_free(config);
}

static void settings_come_from_calls_files_and_the_environment_and_say_so(void) {
  seglift_config *config = NULL;
  seglift_bytes *json = NULL;
  seglift_policy policy = seglift_policy_init();
  char path[] = "/tmp/seglift-test-XXXXXX.toml";
  int fd = mkstemps(path, 5);
  const char *text;
  CHECK(write(fd, "[policy.deletion]\nlag = \"1h\"\n", 29) == 29);
  close(fd);
  setenv("SEGLIFT_POLICY_SIZE_THRESHOLD", "10M", 1);
  OK(seglift_config_new(&config, &err));
  OK(seglift_config_load_env(config, &err));
  OK(seglift_config_load(config, path, &err));
  OK(seglift_config_set(config, "owner", "cluster-1", &err));
  OK(seglift_config_describe(config, &json, &err));
  text = seglift_bytes_data(json);
  CHECK(strlen(text) == seglift_bytes_len(json)); /* a NUL stands behind it */
  CHECK(strstr(text, "cluster-1") != NULL && strstr(text, "SEGLIFT_POLICY_SIZE_THRESHOLD") != NULL);
  CHECK(strstr(text, path) != NULL);
  OK(seglift_plan_policy(config, &policy, &err));
  CHECK(policy.deletion_lag_ms == 3600 * 1000 && policy.size_threshold >= 10000000);
  seglift_bytes_free(json);
  seglift_config_free(config);
  unlink(path);
}

static void status_and_metrics_are_texts(void) {
  seglift_engine *engine = new_engine();
  seglift_driver *driver = new_driver(engine, "memory:");
  seglift_bytes *json = NULL, *text = NULL;
  put(driver, "k", "x", 1);
  OK(seglift_status(engine, &json, &err));
  CHECK(((const char *)seglift_bytes_data(json))[0] == '{' && strstr(seglift_bytes_data(json), "budget") != NULL);
  OK(seglift_metrics(engine, &text, &err));
  CHECK(strstr(seglift_bytes_data(text), "# TYPE seglift_") != NULL);
  seglift_bytes_free(json);
  seglift_bytes_free(text);
  end_driver(driver);
  OK(seglift_engine_free(engine, &err));
}

/* Something that is logged: a driver that is opened and closed. */
static void make_a_line(seglift_engine *engine) {
  seglift_driver *driver = new_driver(engine, "memory:");
  end_driver(driver);
}

static void a_polled_log_gives_each_line_once_and_ends(void) {
  seglift_engine *engine = new_engine();
  seglift_log_line line = seglift_log_line_init();
  seglift_code code;
  int lines = 0;
  make_a_line(engine);
  while ((code = seglift_log_poll(engine, &line, NULL)) == SEGLIFT_OK) {
    CHECK(line.level >= 1 && line.level <= 4 && line.time_us > 0 && seglift_bytes_len(line.text) > 0);
    CHECK(strstr(seglift_bytes_data(line.text), "memory:") != NULL);
    seglift_bytes_free(line.text);
    lines++;
  }
  CHECK(code == SEGLIFT_END && lines == 2);
  line.size = 8; /* no room for the text: it would be lost */
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_log_poll(engine, &line, &err));
  OK(seglift_engine_free(engine, &err));
}

struct seen {
  int lines;
  seglift_bytes *kept;
};

static void take(void *ctx, const seglift_log_line *line) {
  struct seen *seen = ctx;
  if (seen->lines++ == 0) seen->kept = seglift_bytes_ref(line->text);
}

static void a_callback_takes_the_lines_until_it_is_taken_back(void) {
  seglift_engine *engine = new_engine();
  seglift_log_line line = seglift_log_line_init();
  struct seen seen = {0, NULL};
  int before;
  OK(seglift_log_callback(engine, take, &seen, &err));
  make_a_line(engine);
  ENDS(SEGLIFT_END, seglift_log_poll(engine, &line, &err));
  OK(seglift_log_callback(engine, NULL, NULL, &err));
  before = seen.lines;
  CHECK(before > 0 && seglift_bytes_len(seen.kept) > 0);
  make_a_line(engine);
  CHECK(seen.lines == before);
  seglift_bytes_free(seen.kept);
  OK(seglift_engine_free(engine, &err));
}

static void codes_have_names(void) {
  CHECK(strcmp(seglift_code_name(SEGLIFT_OK), "OK") == 0);
  CHECK(strcmp(seglift_code_name(SEGLIFT_OUTCOME_UNKNOWN), "OUTCOME_UNKNOWN") == 0);
  CHECK(strcmp(seglift_code_name(12345), "UNKNOWN") == 0);
}

int main(void) {
  RUN(an_unknown_setting_names_the_nearest_known_one);
  RUN(settings_come_from_calls_files_and_the_environment_and_say_so);
  RUN(status_and_metrics_are_texts);
  RUN(a_polled_log_gives_each_line_once_and_ends);
  RUN(a_callback_takes_the_lines_until_it_is_taken_back);
  RUN(codes_have_names);
  DONE();
}
