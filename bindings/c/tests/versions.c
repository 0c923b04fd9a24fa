/* Programs and libraries of different ages: every struct with fields that the library does not know, and with more room
 * than it fills. (A program of an older header is older.c.) */
#include "check.h"

static seglift_engine *engine;
static seglift_driver *driver;
static seglift_error *err;

/* A struct as a later header may have it. */
#define LATER(type)    \
  struct {             \
    type it;           \
    uint64_t appended; \
  }

/* The call works as long as the appended field is zero, and names the struct as soon as it is not. `expected` is how it
 * ends when nothing is refused. */
#define REFUSES_WHAT_IT_DOES_NOT_KNOW(type, later, expected, call)                                              \
  do {                                                                                                          \
    seglift_code first, second;                                                                                 \
    (later).it.size = sizeof(later);                                                                            \
    (later).appended = 0;                                                                                       \
    first = (call);                                                                                             \
    if (first != (expected)) printf("# " #type ": %s\n", seglift_error_message(err));                           \
    CHECK(first == (expected));                                                                                 \
    seglift_error_free(err);                                                                                    \
    (later).appended = 1;                                                                                       \
    second = (call);                                                                                            \
    if (second != SEGLIFT_UNSUPPORTED_FIELD) printf("# " #type " is not refused: %s\n", seglift_code_name(second)); \
    CHECK(second == SEGLIFT_UNSUPPORTED_FIELD && strstr(seglift_error_message(err), #type) != NULL);            \
    seglift_error_free(err);                                                                                    \
    err = NULL;                                                                                                 \
  } while (0)

static void unknown_fields_of_what_an_offload_takes_are_refused(void) {
  LATER(seglift_segment) segment;
  LATER(seglift_attachment) attachment;
  LATER(seglift_pair) pair;
  LATER(seglift_call) call;
  seglift_segment plain = bytes_segment("array", "x", 1);
  memset(&segment, 0, sizeof segment);
  memset(&call, 0, sizeof call);
  segment.it = bytes_segment("segment", "x", 1);
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_segment, segment, SEGLIFT_OK,
                                seglift_offload_segment(driver, &segment.it, NULL, NULL, &err));
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_call, call, SEGLIFT_OK,
                                seglift_offload_segment(driver, &plain, &call.it, NULL, &err));
  memset(&attachment, 0, sizeof attachment);
  attachment.it.name = "a";
  plain.key = "attachment";
  plain.attachments = &attachment.it;
  plain.attachment_count = 1;
  plain.attachment_stride = sizeof attachment;
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_attachment, attachment, SEGLIFT_OK,
                                seglift_offload_segment(driver, &plain, NULL, NULL, &err));
  memset(&pair, 0, sizeof pair);
  pair.it.name = "p";
  plain.key = "pair";
  plain.attachment_count = 0;
  plain.metadata = &pair.it;
  plain.metadata_count = 1;
  plain.metadata_stride = sizeof pair;
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_pair, pair, SEGLIFT_OK,
                                seglift_offload_segment(driver, &plain, NULL, NULL, &err));
}

/* A writer for records that ends at once, and how its opening ended. */
static seglift_code open_and_free(const seglift_writer_options *options) {
  seglift_writer *writer = NULL;
  seglift_code code = seglift_writer_open(driver, options, NULL, &writer, &err);
  seglift_writer_free(writer);
  return code;
}

static void unknown_fields_of_what_a_writer_takes_are_refused(void) {
  LATER(seglift_writer_options) options;
  LATER(seglift_record_in) record;
  LATER(seglift_writer_finish) finish;
  seglift_writer_options plain = seglift_writer_options_init();
  seglift_writer *writer = NULL;
  size_t n = 0;
  memset(&options, 0, sizeof options);
  options.it.key = plain.key = "writer";
  plain.mode = SEGLIFT_MODE_RECORDS;
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_writer_options, options, SEGLIFT_OK, open_and_free(&options.it));
  OK(seglift_writer_open(driver, &plain, NULL, &writer, &err));
  memset(&record, 0, sizeof record);
  record.it.id = 1;
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_record_in, record, SEGLIFT_OK,
                                seglift_writer_append(writer, &record.it, NULL, &err));
  record.it.id = 2;
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_record_in, record, SEGLIFT_OK,
                                seglift_writer_append_many(writer, &record.it, 1, sizeof record, NULL, &n, &err));
  CHECK(n == 0);
  memset(&finish, 0, sizeof finish);
  finish.it.expected_kind = SEGLIFT_DIGEST_CRC64NVME;
  finish.it.expected_digest = 1;
  /* The digest is wrong on purpose: nothing is committed, and the writer is over, which must not hide the field. */
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_writer_finish, finish, SEGLIFT_SOURCE_FAILED,
                                seglift_writer_commit(writer, &finish.it, NULL, NULL, &err));
  seglift_writer_free(writer);
}

static seglift_code sweep_and_free(const seglift_sweep_options *options) {
  seglift_sweep *sweep = NULL;
  seglift_code code = seglift_sweep_begin(driver, options, &sweep, &err);
  seglift_sweep_free(sweep);
  return code;
}

static seglift_code reap_and_free(const seglift_reap_options *options) {
  seglift_cleanup *cleanup = NULL;
  seglift_code code = seglift_reap(driver, options, NULL, &cleanup, &err);
  seglift_cleanup_free(cleanup);
  return code;
}

static void unknown_fields_of_what_reads_plans_and_clean_up_take_are_refused(void) {
  LATER(seglift_ref) ref;
  LATER(seglift_policy) policy;
  LATER(seglift_segment_state) state;
  LATER(seglift_reap_options) reap;
  LATER(seglift_sweep_options) sweep;
  seglift_policy plain = seglift_policy_init();
  uint32_t action;
  char byte;
  size_t n;
  put(driver, "read", "x", 1);
  memset(&ref, 0, sizeof ref);
  ref.it.key = "read";
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_ref, ref, SEGLIFT_OK,
                                seglift_read_range(driver, &ref.it, 0, &byte, 1, NULL, &n, &err));
  memset(&policy, 0, sizeof policy);
  memset(&state, 0, sizeof state);
  state.it.size = sizeof state;
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_policy, policy, SEGLIFT_OK,
                                seglift_plan(&policy.it, &state.it, 1, sizeof state, 0, &action, &err));
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_segment_state, state, SEGLIFT_OK,
                                seglift_plan(&plain, &state.it, 1, sizeof state, 0, &action, &err));
  memset(&reap, 0, sizeof reap);
  reap.it.older_than_ms = 1000;
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_reap_options, reap, SEGLIFT_OK, reap_and_free(&reap.it));
  memset(&sweep, 0, sizeof sweep);
  REFUSES_WHAT_IT_DOES_NOT_KNOW(seglift_sweep_options, sweep, SEGLIFT_OK, sweep_and_free(&sweep.it));
}

static void reserved_fields_and_flags_without_a_meaning_are_refused_everywhere(void) {
  seglift_writer_options options = seglift_writer_options_init();
  seglift_writer_finish finish = seglift_writer_finish_init();
  seglift_segment segment = bytes_segment("reserved", "x", 1);
  seglift_policy policy = seglift_policy_init();
  seglift_segment_state state = seglift_segment_state_init();
  seglift_reap_options reap = seglift_reap_options_init();
  seglift_sweep_options sweep = seglift_sweep_options_init();
  seglift_writer *writer = NULL;
  uint32_t action, *words[] = {&policy.flags, &policy.reserved0, &state.flags, &state.reserved0};
  uint32_t *of_finish[] = {&finish.flags, &finish.reserved0, &finish.reserved1};
  size_t i;
  for (i = 0; i < 4; i++) {
    *words[i] = 1u << 31;
    CHECK(seglift_plan(&policy, &state, 1, sizeof state, 0, &action, NULL) == SEGLIFT_UNSUPPORTED_FIELD);
    *words[i] = 0;
  }
  segment.reserved1 = 1;
  CHECK(seglift_offload_segment(driver, &segment, NULL, NULL, NULL) == SEGLIFT_UNSUPPORTED_FIELD);
  options.key = "reserved";
  options.flags = 1;
  CHECK(open_and_free(&options) == SEGLIFT_UNSUPPORTED_FIELD);
  seglift_error_free(err);
  options.flags = 0;
  OK(seglift_writer_open(driver, &options, NULL, &writer, &err));
  for (i = 0; i < 3; i++) {
    *of_finish[i] = 1u << 31;
    CHECK(seglift_writer_commit(writer, &finish, NULL, NULL, NULL) == SEGLIFT_UNSUPPORTED_FIELD);
    *of_finish[i] = 0;
  }
  OK(seglift_writer_commit(writer, &finish, NULL, NULL, &err)); /* a refusal has ended nothing */
  seglift_writer_free(writer);
  reap.older_than_ms = 1000;
  reap.reserved0 = 1;
  CHECK(reap_and_free(&reap) == SEGLIFT_UNSUPPORTED_FIELD);
  seglift_error_free(err);
  sweep.flags = 1u << 31;
  CHECK(sweep_and_free(&sweep) == SEGLIFT_UNSUPPORTED_FIELD);
  seglift_error_free(err);
  err = NULL;
}

/* Room for a struct that has grown by more than the library knows. */
#define ROOMY(type)          \
  union {                    \
    type it;                 \
    unsigned char bytes[2048]; \
  }
#define FILLS(type, roomy, call)                                                             \
  do {                                                                                       \
    size_t i;                                                                                \
    memset(&(roomy), 0xee, sizeof(roomy));                                                   \
    (roomy).it.size = sizeof(roomy);                                                         \
    OK(call);                                                                                \
    CHECK((roomy).it.size >= sizeof(type) && (roomy).it.size < sizeof(roomy));               \
    for (i = (roomy).it.size; i < sizeof(roomy); i++) CHECK((roomy).bytes[i] == 0xee);       \
  } while (0)

static void where_there_is_more_room_the_library_says_how_far_it_wrote(void) {
  ROOMY(seglift_receipt) receipt;
  ROOMY(seglift_summary) summary;
  ROOMY(seglift_pair) pair;
  ROOMY(seglift_attachment_info) attachment_info;
  ROOMY(seglift_verify_report) report;
  ROOMY(seglift_entry) entry;
  ROOMY(seglift_record) record;
  ROOMY(seglift_completion) completion;
  ROOMY(seglift_log_line) line;
  ROOMY(seglift_policy) policy;
  ROOMY(seglift_progress_info) progress;
  ROOMY(seglift_cleanup_entry) cleaned;
  seglift_segment segment = bytes_segment("roomy/k", "xyz", 3);
  seglift_attachment attachment = seglift_attachment_init();
  seglift_pair given = seglift_pair_init();
  seglift_ref ref = ref_to("roomy/k");
  seglift_writer_options options = seglift_writer_options_init();
  seglift_record_in in = seglift_record_in_init();
  seglift_sweep_options sweeping = seglift_sweep_options_init();
  seglift_info *info = NULL;
  seglift_lister *lister = NULL;
  seglift_records *records = NULL;
  seglift_writer *writer = NULL;
  seglift_queue *queue = NULL;
  seglift_config *config = NULL;
  seglift_sweep *sweep = NULL;
  seglift_cleanup *cleanup = NULL;
  seglift_driver *stuck = new_driver(engine, "fault+memory:?head=*:stall&get=*:stall");
  const char *live[] = {"roomy/k", "roomy/none"};
  seglift_op op;
  size_t n;
  uint32_t done;

  attachment.name = "a";
  attachment.data = "A";
  attachment.len = 1;
  given.name = "p";
  given.value = "P";
  given.value_len = 1;
  segment.attachments = &attachment;
  segment.attachment_count = 1;
  segment.attachment_stride = sizeof attachment;
  segment.metadata = &given;
  segment.metadata_count = 1;
  segment.metadata_stride = sizeof given;
  FILLS(seglift_receipt, receipt, seglift_offload_segment(driver, &segment, NULL, &receipt.it, &err));
  OK(seglift_stat(driver, &ref, NULL, &info, &err));
  FILLS(seglift_summary, summary, seglift_info_summary(info, &summary.it, &err));
  FILLS(seglift_pair, pair, seglift_info_metadata(info, 0, &pair.it, &err));
  FILLS(seglift_attachment_info, attachment_info, seglift_info_attachment(info, 0, &attachment_info.it, &err));
  CHECK(strcmp(pair.it.name, "p") == 0 && attachment_info.it.len == 1 && summary.it.segment_bytes == 3);
  seglift_info_free(info);
  FILLS(seglift_verify_report, report, seglift_verify(driver, &ref, NULL, &report.it, &err));
  OK(seglift_list_open(driver, "roomy/", NULL, &lister, &err));
  OK(seglift_list_next(lister, 10, NULL, &n, &err));
  FILLS(seglift_entry, entry, seglift_list_entry(lister, 0, &entry.it, &err));
  seglift_list_free(lister);

  options.key = "records";
  options.mode = SEGLIFT_MODE_RECORDS;
  in.id = 7;
  in.data = "r";
  in.len = 1;
  OK(seglift_writer_open(driver, &options, NULL, &writer, &err));
  OK(seglift_writer_append(writer, &in, NULL, &err));
  OK(seglift_writer_commit(writer, NULL, NULL, NULL, &err));
  seglift_writer_free(writer);
  ref.key = "records";
  OK(seglift_read_records(driver, &ref, 0, 10, 100, NULL, &records, &err));
  FILLS(seglift_record, record, seglift_records_next(records, &record.it, &err));
  CHECK(record.it.id == 7);
  seglift_records_free(records);

  OK(seglift_queue_new(engine, 2, &queue, &err));
  OK(seglift_stat_submit(stuck, &ref, NULL, queue, NULL, &op, &err));
  FILLS(seglift_progress_info, progress, seglift_progress(engine, op, &progress.it, &err));
  OK(seglift_op_cancel(engine, op, &err));
  FILLS(seglift_completion, completion,
        seglift_queue_poll(queue, &completion.it, 1, sizeof completion, 30000, &n, &err));
  CHECK(n == 1 && completion.it.op == op && completion.it.code == SEGLIFT_CANCELLED);
  seglift_completion_clear(&completion.it);
  OK(seglift_queue_shutdown(queue, 30000, &err));
  OK(seglift_queue_free(queue, &err));
  end_driver(stuck);

  OK(seglift_config_new(&config, &err));
  FILLS(seglift_policy, policy, seglift_plan_policy(config, &policy.it, &err));
  seglift_config_free(config);

  sweeping.prefix = "roomy/";
  OK(seglift_sweep_begin(driver, &sweeping, &sweep, &err));
  OK(seglift_sweep_feed(sweep, live, 2, NULL, &n, &cleanup, &err));
  CHECK(n == 2);
  if (seglift_cleanup_len(cleanup) == 0) {
    seglift_cleanup_free(cleanup);
    OK(seglift_sweep_finish(sweep, NULL, &done, &cleanup, &err));
  }
  CHECK(seglift_cleanup_len(cleanup) > 0); /* the live key that is missing */
  FILLS(seglift_cleanup_entry, cleaned, seglift_cleanup_get(cleanup, 0, &cleaned.it, &err));
  CHECK(strncmp(cleaned.it.name, "roomy/", 6) == 0);
  seglift_cleanup_free(cleanup);
  seglift_sweep_free(sweep);

  /* A failure is logged, so there is a line to poll. */
  ref.key = "missing";
  segment.source = SEGLIFT_SOURCE_PATH;
  segment.data = NULL;
  segment.length = 0;
  segment.path = "/nonexistent";
  ENDS(SEGLIFT_SOURCE_FAILED, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  FILLS(seglift_log_line, line, seglift_log_poll(engine, &line.it, &err));
  CHECK(seglift_bytes_len(line.it.text) > 0);
  seglift_bytes_free(line.it.text);
}

int main(void) {
  engine = new_engine();
  driver = new_driver(engine, "memory:");
  RUN(unknown_fields_of_what_an_offload_takes_are_refused);
  RUN(unknown_fields_of_what_a_writer_takes_are_refused);
  RUN(unknown_fields_of_what_reads_plans_and_clean_up_take_are_refused);
  RUN(reserved_fields_and_flags_without_a_meaning_are_refused_everywhere);
  RUN(where_there_is_more_room_the_library_says_how_far_it_wrote);
  end_driver(driver);
  OK(seglift_engine_free(engine, &err));
  DONE();
}
