/* What a host gets wrong ends in a code and a message, never in a crash. */
#include <pthread.h>
#include <unistd.h>

#include "check.h"

static seglift_engine *engine;
static seglift_driver *driver;

static void null_is_refused_wherever_something_must_be(void) {
  seglift_segment segment = bytes_segment("k", NULL, 0);
  seglift_ref ref = ref_to("k");
  seglift_driver *d = driver;
  seglift_config *config = NULL;
  size_t n;
  char buf[1];
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_open(engine, NULL, NULL, &d, &err));
  CHECK(d == NULL);
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_open(engine, "memory:", NULL, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_config_new(NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_config_set(NULL, "a", "b", &err));
  OK(seglift_config_new(&config, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_config_set(config, NULL, "b", &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_config_set(config, "codec", NULL, &err));
  seglift_config_free(config);
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(NULL, &segment, NULL, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, NULL, NULL, NULL, &err));
  segment.length = 5;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.length = 0;
  segment.key = NULL;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.key = "k";
  segment.attachment_count = 1;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_range(driver, NULL, 0, buf, 1, NULL, &n, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_range(driver, &ref, 0, NULL, 1, NULL, &n, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_range(driver, &ref, 0, buf, 1, NULL, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_delete(driver, NULL, 1, NULL, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_queue_new(engine, 4, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_queue_poll(NULL, NULL, 1, sizeof(seglift_completion), 0, &n, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_plan(NULL, NULL, 0, 0, 0, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_log_poll(engine, NULL, &err));
  CHECK(seglift_open(engine, NULL, NULL, &d, NULL) == SEGLIFT_INVALID_ARGUMENT);
}

static void every_free_takes_null(void) {
  seglift_error_free(NULL);
  seglift_config_free(NULL);
  OK(seglift_engine_free(NULL, &err));
  seglift_driver_free(NULL);
  seglift_cancel_request(NULL);
  seglift_cancel_free(NULL);
  seglift_bytes_free(NULL);
  seglift_records_free(NULL);
  seglift_info_free(NULL);
  seglift_results_free(NULL);
  seglift_list_free(NULL);
  seglift_writer_free(NULL);
  OK(seglift_queue_free(NULL, &err));
  seglift_completion_clear(NULL);
  seglift_receipt_free(NULL);
  seglift_verify_report_free(NULL);
  CHECK(seglift_bytes_ref(NULL) == NULL && seglift_bytes_len(NULL) == 0 && seglift_bytes_data(NULL) == NULL);
  CHECK(seglift_error_code(NULL) == SEGLIFT_OK && strcmp(seglift_error_message(NULL), "") == 0);
  CHECK(seglift_records_count(NULL) == 0 && seglift_queue_fd(NULL) == -1 && seglift_results_count(NULL) == 0);
}

static void sizes_that_no_version_had_are_refused(void) {
  seglift_ref ref = ref_to("k");
  seglift_call call = seglift_call_init();
  seglift_receipt receipt = seglift_receipt_init();
  seglift_segment segment = bytes_segment("sizes", "x", 1);
  char buf[1];
  size_t n;
  ref.size = 0;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_range(driver, &ref, 0, buf, 1, NULL, &n, &err));
  ref.size = sizeof ref - 1;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_range(driver, &ref, 0, buf, 1, NULL, &n, &err));
  ref.size = (size_t)-1;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_range(driver, &ref, 0, buf, 1, NULL, &n, &err));
  ref.size = sizeof ref;
  call.size = 3;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_range(driver, &ref, 0, buf, 1, &call, &n, &err));
  receipt.size = 0;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, &receipt, &err));
  ref.key = "sizes";
  ENDS(SEGLIFT_NOT_FOUND, seglift_read_range(driver, &ref, 0, buf, 1, NULL, &n, &err));
}

/* A struct as a later header may have it. */
struct later_ref {
  seglift_ref ref;
  uint64_t appended;
};

static void a_newer_program_works_as_long_as_it_asks_for_nothing_new(void) {
  struct later_ref later;
  seglift_error *err = NULL;
  char buf[1];
  size_t n;
  memset(&later, 0, sizeof later);
  later.ref = ref_to("newer");
  later.ref.size = sizeof later;
  put(driver, "newer", "x", 1);
  OK(seglift_read_range(driver, &later.ref, 0, buf, 1, NULL, &n, &err));
  later.appended = (uint64_t)1 << 16;
  CHECK(seglift_read_range(driver, &later.ref, 0, buf, 1, NULL, &n, &err) == SEGLIFT_UNSUPPORTED_FIELD);
  CHECK(strstr(seglift_error_message(err), "seglift_ref") != NULL);
  CHECK(strstr(seglift_error_message(err), "byte 34") != NULL); /* 4 words, and the third byte after them */
  seglift_error_free(err);
}

static void an_older_program_gets_as_much_as_it_has_room_for(void) {
  union {
    seglift_receipt receipt;
    unsigned char bytes[sizeof(seglift_receipt)];
  } u;
  seglift_segment segment = bytes_segment("older", "xyz", 3);
  size_t room = offsetof(seglift_receipt, object_bytes), i;
  memset(&u, 0xee, sizeof u);
  u.receipt.size = room;
  OK(seglift_offload_segment(driver, &segment, NULL, &u.receipt, &err));
  CHECK(u.receipt.size == room && u.receipt.segment_bytes == 3);
  for (i = room; i < sizeof u; i++) CHECK(u.bytes[i] == 0xee);
}

static void flags_and_reserved_fields_without_a_meaning_are_refused(void) {
  seglift_segment segment = bytes_segment("flags", "x", 1);
  seglift_call call = seglift_call_init();
  call.flags = 1u << 31;
  ENDS(SEGLIFT_UNSUPPORTED_FIELD, seglift_offload_segment(driver, &segment, &call, NULL, &err));
  segment.flags = 1u << 31;
  ENDS(SEGLIFT_UNSUPPORTED_FIELD, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.flags = 0;
  segment.reserved0 = 1;
  ENDS(SEGLIFT_UNSUPPORTED_FIELD, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.reserved0 = 0;
  segment.codec = 77;
  ENDS(SEGLIFT_UNSUPPORTED_FIELD, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.codec = 0;
  segment.source = 0;
  ENDS(SEGLIFT_UNSUPPORTED_FIELD, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
}

static void values_out_of_their_range_are_refused(void) {
  seglift_segment segment = bytes_segment("range", "x", 1);
  seglift_call call = seglift_call_init();
  seglift_ref ref = ref_to("range");
  seglift_queue *queue = NULL;
  seglift_driver *other = NULL;
  char buf[1];
  size_t n;
  call.deadline_ms = -1;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, &call, NULL, &err));
  segment.key = "bad\xff";
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.key = "../up";
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.key = "range";
  segment.offset = UINT64_MAX;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.source = SEGLIFT_SOURCE_FD;
  segment.offset = 0;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err)); /* data too */
  segment.data = NULL;
  segment.path = "x";
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err)); /* path too */
  segment.path = NULL;
  segment.fd = -1;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.fd = 1 << 20;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_range(driver, &ref, 0, buf, (size_t)PTRDIFF_MAX + 1, NULL, &n, &err));
  ref.token = buf;
  ref.token_len = 129;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_range(driver, &ref, 0, buf, 1, NULL, &n, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_queue_new(engine, 0, &queue, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_driver_close(driver, -2, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_open(engine, "ftp://x", NULL, &other, &err));
}

static void strides_are_checked(void) {
  seglift_attachment attachment = seglift_attachment_init();
  seglift_segment segment = bytes_segment("stride", "x", 1);
  attachment.name = "a";
  segment.attachments = &attachment;
  segment.attachment_count = 1;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.attachment_stride = sizeof attachment + 1;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.attachment_stride = (size_t)1 << 62;
  segment.attachment_count = 4;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
}

static void a_pointer_to_something_else_is_told_from_a_handle(void) {
  uint64_t words[16];
  seglift_ref ref = ref_to("k");
  char buf[1];
  size_t n;
  memset(words, 0, sizeof words);
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_range((seglift_driver *)words, &ref, 0, buf, 1, NULL, &n, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_range((seglift_driver *)(void *)engine, &ref, 0, buf, 1, NULL, &n, &err));
  CHECK(seglift_error_code((seglift_error *)(void *)words) == SEGLIFT_INVALID_ARGUMENT);
  seglift_driver_free((seglift_driver *)(void *)engine); /* recognised, and left alone */
  OK(seglift_op_cancel(engine, 1, &err));
}

static void after_close_every_call_is_closed(void) {
  seglift_driver *other = new_driver(engine, "memory:");
  seglift_segment segment = bytes_segment("k", "x", 1);
  seglift_writer_options options = seglift_writer_options_init();
  seglift_ref ref = ref_to("k");
  seglift_writer *writer = NULL, *begun = NULL;
  seglift_queue *queue = NULL;
  seglift_lister *lister = NULL;
  seglift_info *info = NULL;
  seglift_bytes *bytes = NULL;
  seglift_records *records = NULL;
  const char *key = "k";
  char buf[1];
  size_t n;
  options.key = "w";
  OK(seglift_list_open(other, NULL, NULL, &lister, &err));
  OK(seglift_writer_open(other, &options, NULL, &begun, &err));
  OK(seglift_queue_new(engine, 1, &queue, &err));
  OK(seglift_driver_close(other, 1000, &err));
  OK(seglift_driver_close(other, 1000, &err));
  ENDS(SEGLIFT_CLOSED, seglift_offload_segment(other, &segment, NULL, NULL, &err));
  ENDS(SEGLIFT_CLOSED, seglift_read_range(other, &ref, 0, buf, 1, NULL, &n, &err));
  ENDS(SEGLIFT_CLOSED, seglift_read_range_bytes(other, &ref, 0, 1, NULL, &bytes, &err));
  ENDS(SEGLIFT_CLOSED, seglift_read_records(other, &ref, 0, 1, 1, NULL, &records, &err));
  ENDS(SEGLIFT_CLOSED, seglift_read_attachment(other, &ref, "a", NULL, &bytes, &err));
  ENDS(SEGLIFT_CLOSED, seglift_stat(other, &ref, NULL, &info, &err));
  ENDS(SEGLIFT_CLOSED, seglift_verify(other, &ref, NULL, NULL, &err));
  ENDS(SEGLIFT_CLOSED, seglift_delete(other, &key, 1, NULL, NULL, &err));
  ENDS(SEGLIFT_CLOSED, seglift_list_next(lister, 1, NULL, &n, &err));
  seglift_list_free(lister);
  ENDS(SEGLIFT_CLOSED, seglift_get_object_range(other, "k", 0, 1, NULL, &bytes, &err));
  ENDS(SEGLIFT_CLOSED, seglift_writer_open(other, &options, NULL, &writer, &err));
  ENDS(SEGLIFT_CLOSED, seglift_writer_write(begun, "x", 1, NULL, &n, &err));
  ENDS(SEGLIFT_CLOSED, seglift_writer_commit(begun, NULL, NULL, NULL, &err));
  ENDS(SEGLIFT_CLOSED, seglift_offload_segment_submit(other, &segment, NULL, queue, NULL, NULL, &err));
  ENDS(SEGLIFT_CLOSED, seglift_read_range_submit(other, &ref, 0, buf, 1, NULL, queue, NULL, NULL, &err));
  ENDS(SEGLIFT_CLOSED, seglift_list_open(other, NULL, NULL, &lister, &err));
  OK(seglift_queue_free(queue, &err)); /* no submit was accepted, so nothing is in flight */
  seglift_writer_free(begun);
  seglift_driver_free(other);
}

static void an_engine_is_busy_while_drivers_or_queues_of_it_are_open(void) {
  seglift_engine *own = new_engine();
  seglift_driver *other = new_driver(own, "memory:");
  seglift_queue *queue = NULL;
  ENDS(SEGLIFT_BUSY, seglift_engine_free(own, &err));
  OK(seglift_queue_new(own, 1, &queue, &err));
  end_driver(other);
  ENDS(SEGLIFT_BUSY, seglift_engine_free(own, &err));
  OK(seglift_queue_free(queue, &err));
  OK(seglift_engine_free(own, &err));
}

/* A write that waits, because the store does not take the parts of its segment. */
struct slow {
  seglift_writer *writer;
  seglift_cancel *cancel;
  seglift_code code;
};

static void *write_until_it_fails(void *arg) {
  struct slow *slow = arg;
  seglift_call call = seglift_call_init();
  unsigned char *data = noise(1 << 20, 2);
  size_t n;
  call.cancel = slow->cancel;
  do slow->code = seglift_writer_write(slow->writer, data, 1 << 20, &call, &n, NULL);
  while (slow->code == SEGLIFT_OK);
  free(data);
  return NULL;
}

static void a_second_thread_in_a_writer_is_busy(void) {
  seglift_driver *stuck = new_driver(engine, "fault+memory:?part=*:stall&begin=*:stall");
  seglift_writer_options options = seglift_writer_options_init();
  struct slow slow = {NULL, NULL, SEGLIFT_OK};
  seglift_code code = SEGLIFT_OK;
  pthread_t thread;
  size_t n;
  int i;
  options.key = "w";
  options.codec = SEGLIFT_CODEC_NONE;
  OK(seglift_cancel_new(&slow.cancel, &err));
  OK(seglift_writer_open(stuck, &options, NULL, &slow.writer, &err));
  CHECK(pthread_create(&thread, NULL, write_until_it_fails, &slow) == 0);
  for (i = 0; i < 2000 && code != SEGLIFT_BUSY; i++) {
    usleep(5000);
    code = seglift_writer_write(slow.writer, "x", 1, NULL, &n, NULL);
  }
  CHECK(code == SEGLIFT_BUSY);
  seglift_cancel_request(slow.cancel);
  pthread_join(thread, NULL);
  CHECK(slow.code == SEGLIFT_CANCELLED);
  seglift_writer_free(slow.writer);
  seglift_cancel_free(slow.cancel);
  end_driver(stuck);
}

static void a_panic_inside_becomes_internal_and_the_engine_goes_on(void) {
  seglift_driver *broken = new_driver(engine, "fault+memory:?put=1:panic&get=1:panic");
  seglift_segment segment = bytes_segment("k", "x", 1);
  seglift_ref ref = ref_to("k");
  char buf[1];
  size_t n;
  /* The commit was sent: what became of it is not known, and repeating it settles it. */
  ENDS(SEGLIFT_OUTCOME_UNKNOWN, seglift_offload_segment(broken, &segment, NULL, NULL, &err));
  OK(seglift_offload_segment(broken, &segment, NULL, NULL, &err));
  ENDS(SEGLIFT_INTERNAL, seglift_read_range(broken, &ref, 0, buf, 1, NULL, &n, &err));
  OK(seglift_read_range(broken, &ref, 0, buf, 1, NULL, &n, &err));
  CHECK(n == 1 && buf[0] == 'x');
  end_driver(broken);
}

static void damage_is_corrupt_and_verify_says_how_much(void) {
  seglift_driver *damaged = new_driver(engine, "fault+memory:?get=1+:flip-4000");
  seglift_segment segment;
  seglift_receipt receipt = seglift_receipt_init();
  seglift_verify_report report = seglift_verify_report_init();
  seglift_ref ref = ref_to("k");
  unsigned char *data = noise(200000, 3);
  size_t n = 7;
  segment = bytes_segment("k", data, 200000);
  segment.codec = SEGLIFT_CODEC_NONE;
  OK(seglift_offload_segment(damaged, &segment, NULL, &receipt, &err));
  ENDS(SEGLIFT_CORRUPT, seglift_read_range(damaged, &ref, 0, data, 1000, NULL, &n, &err));
  CHECK(n == 0);
  ENDS(SEGLIFT_CORRUPT, seglift_verify(damaged, &ref, NULL, &report, &err));
  CHECK(report.size == sizeof report);
  free(data);
  end_driver(damaged);
}

int main(void) {
  engine = new_engine();
  driver = new_driver(engine, "memory:");
  RUN(null_is_refused_wherever_something_must_be);
  RUN(every_free_takes_null);
  RUN(sizes_that_no_version_had_are_refused);
  RUN(a_newer_program_works_as_long_as_it_asks_for_nothing_new);
  RUN(an_older_program_gets_as_much_as_it_has_room_for);
  RUN(flags_and_reserved_fields_without_a_meaning_are_refused);
  RUN(values_out_of_their_range_are_refused);
  RUN(strides_are_checked);
  RUN(a_pointer_to_something_else_is_told_from_a_handle);
  RUN(after_close_every_call_is_closed);
  RUN(an_engine_is_busy_while_drivers_or_queues_of_it_are_open);
  RUN(a_second_thread_in_a_writer_is_busy);
  RUN(a_panic_inside_becomes_internal_and_the_engine_goes_on);
  RUN(damage_is_corrupt_and_verify_says_how_much);
  end_driver(driver);
  OK(seglift_engine_free(engine, &err));
  DONE();
}
