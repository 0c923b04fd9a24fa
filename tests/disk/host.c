/* A host that does one thing with a store through the C ABI, and says how it ended: the code's name and the message.
 *
 *   host URI offload|push|read|delete KEY [FILE [none|zstd]]
 *
 * `offload` takes FILE by descriptor, `push` streams its bytes; `read` writes the segment to FILE. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../bindings/c/tests/check.h"

#define STEP (300 << 10)

static seglift_error *error;

static int codec_of(const char *name) {
  return name == NULL ? 0 : strcmp(name, "none") == 0 ? SEGLIFT_CODEC_NONE : SEGLIFT_CODEC_ZSTD;
}

static seglift_code offload(seglift_driver *driver, const char *key, const char *file, const char *codec) {
  seglift_segment segment = seglift_segment_init();
  seglift_code code;
  segment.key = key;
  segment.source = SEGLIFT_SOURCE_FD;
  segment.fd = open(file, O_RDONLY);
  segment.codec = codec_of(codec);
  segment.length = lseek(segment.fd, 0, SEEK_END);
  code = seglift_offload_segment(driver, &segment, NULL, NULL, &error);
  close(segment.fd);
  return code;
}

static seglift_code push(seglift_driver *driver, const char *key, const char *file, const char *codec) {
  seglift_writer_options options = seglift_writer_options_init();
  seglift_writer *writer = NULL;
  static char bytes[STEP];
  seglift_code code;
  size_t taken;
  ssize_t n;
  int fd = open(file, O_RDONLY);
  options.key = key;
  options.codec = codec_of(codec);
  options.max_bytes = 64 << 20;
  code = seglift_writer_open(driver, &options, NULL, &writer, &error);
  while (code == SEGLIFT_OK && (n = read(fd, bytes, sizeof bytes)) > 0)
    code = seglift_writer_write(writer, bytes, (size_t)n, NULL, &taken, &error);
  if (code == SEGLIFT_OK) code = seglift_writer_commit(writer, NULL, NULL, NULL, &error);
  seglift_writer_free(writer);
  close(fd);
  return code;
}

static seglift_code read_all(seglift_driver *driver, const char *key, const char *file) {
  seglift_ref ref = ref_to(key);
  static char bytes[STEP];
  seglift_code code;
  uint64_t at = 0;
  size_t n = 0;
  int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  do {
    code = seglift_read_range(driver, &ref, at, bytes, sizeof bytes, NULL, &n, &error);
    if (code != SEGLIFT_OK || write(fd, bytes, n) != (ssize_t)n) break;
    at += n;
  } while (n > 0);
  close(fd);
  return code;
}

int main(int argc, char **argv) {
  seglift_driver *driver = NULL;
  seglift_config *config = NULL;
  const char *file = argc > 4 ? argv[4] : NULL, *codec = argc > 5 ? argv[5] : NULL;
  seglift_code code;
  if (argc < 4) return 2;
  check_tests = check_bad_tests = 0; /* This is no test program: it is run by one. */
  OK(seglift_config_new(&config, &err));
  /* The same tries as by default, and shorter pauses; parts that a small segment has several of. */
  OK(seglift_config_set(config, "retry.pause.max", "2ms", &err));
  OK(seglift_config_set(config, "retry.pause.first", "1ms", &err));
  OK(seglift_config_set(config, "upload.part.size", "1MiB", &err));
  OK(seglift_config_set(config, "deadline.offload", "2s", &err));
  code = seglift_open(NULL, argv[1], config, &driver, &error);
  if (code == SEGLIFT_OK) {
    if (strcmp(argv[2], "offload") == 0) code = offload(driver, argv[3], file, codec);
    else if (strcmp(argv[2], "push") == 0) code = push(driver, argv[3], file, codec);
    else if (strcmp(argv[2], "read") == 0) code = read_all(driver, argv[3], file);
    else code = seglift_delete(driver, (const char *const *)&argv[3], 1, NULL, NULL, &error);
    OK(seglift_driver_close(driver, 30000, &err));
  }
  printf("%s %s\n", seglift_code_name(code), seglift_error_message(error));
  seglift_driver_free(driver);
  seglift_config_free(config);
  seglift_error_free(error);
  return check_failed != 0 ? 2 : code == SEGLIFT_OK ? 0 : 1;
}
