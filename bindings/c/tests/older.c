/* A program of version 1.0 of the interface on the library as it is now. It is compiled with headers/1.0/seglift.h, which
 * never changes, and must go on to run: nothing that came later may be used here. Behind each struct that the library fills
 * lie bytes that it must leave alone, however much the struct has grown since. */
#include "check.h"

#if SEGLIFT_ABI_MAJOR != 1 || SEGLIFT_ABI_MINOR != 0
#error "this program is for the header of version 1.0"
#endif

static seglift_engine *engine;
static seglift_driver *driver;

/* A struct of then, and what is behind it. */
#define OLD(type)              \
  struct {                     \
    type it;                   \
    unsigned char behind[256]; \
  }

#define FILLS(type, old, call)                                                    \
  do {                                                                            \
    size_t i;                                                                     \
    memset(&(old), 0xee, sizeof(old));                                            \
    (old).it = type##_init();                                                     \
    OK(call);                                                                     \
    CHECK((old).it.size <= sizeof(type));                                         \
    for (i = 0; i < sizeof((old).behind); i++) CHECK((old).behind[i] == 0xee);    \
  } while (0)

static void what_it_offloads_it_reads_back(void) {
  OLD(seglift_receipt) receipt;
  OLD(seglift_summary) summary;
  OLD(seglift_pair) pair;
  OLD(seglift_attachment_info) attachment_info;
  OLD(seglift_verify_report) report;
  seglift_segment segment = seglift_segment_init();
  seglift_attachment attachment = seglift_attachment_init();
  seglift_pair metadata = seglift_pair_init();
  seglift_call call = seglift_call_init();
  seglift_ref ref = seglift_ref_init();
  seglift_info *info = NULL;
  seglift_bytes *bytes = NULL;
  unsigned char *data = noise(700000, 1), *back = malloc(700000);
  size_t n = 0;
  attachment.name = "index";
  attachment.data = "INDEX";
  attachment.len = 5;
  metadata.name = "topic";
  metadata.value = "orders";
  metadata.value_len = 6;
  call.deadline_ms = 30000;
  segment.key = ref.key = "old/k";
  segment.source = SEGLIFT_SOURCE_BYTES;
  segment.data = data;
  segment.length = 700000;
  segment.attachments = &attachment;
  segment.attachment_count = 1;
  segment.attachment_stride = sizeof attachment;
  segment.metadata = &metadata;
  segment.metadata_count = 1;
  segment.metadata_stride = sizeof metadata;
  FILLS(seglift_receipt, receipt, seglift_offload_segment(driver, &segment, &call, &receipt.it, &err));
  CHECK(receipt.it.segment_bytes == 700000 && receipt.it.token_len > 0 && !receipt.it.existed);
  ref.token = receipt.it.token;
  ref.token_len = receipt.it.token_len;
  OK(seglift_read_range(driver, &ref, 0, back, 700000, &call, &n, &err));
  CHECK(n == 700000 && memcmp(data, back, n) == 0);
  OK(seglift_read_attachment(driver, &ref, "index", &call, &bytes, &err));
  CHECK(seglift_bytes_len(bytes) == 5 && memcmp(seglift_bytes_data(bytes), "INDEX", 5) == 0);
  seglift_bytes_free(bytes);
  OK(seglift_stat(driver, &ref, &call, &info, &err));
  FILLS(seglift_summary, summary, seglift_info_summary(info, &summary.it, &err));
  FILLS(seglift_pair, pair, seglift_info_metadata(info, 0, &pair.it, &err));
  FILLS(seglift_attachment_info, attachment_info, seglift_info_attachment(info, 0, &attachment_info.it, &err));
  CHECK(summary.it.segment_bytes == 700000 && strcmp(summary.it.key, "old/k") == 0);
  CHECK(strcmp(pair.it.name, "topic") == 0 && pair.it.value_len == 6 && attachment_info.it.len == 5);
  seglift_info_free(info);
  FILLS(seglift_verify_report, report, seglift_verify(driver, &ref, &call, &report.it, &err));
  CHECK(report.it.bad_blocks == 0 && report.it.segment_bytes == 700000);
  free(data);
  free(back);
}

static void what_it_pushes_comes_back_record_by_record(void) {
  OLD(seglift_receipt) receipt;
  OLD(seglift_record) record;
  seglift_writer_options options = seglift_writer_options_init();
  seglift_writer_finish finish = seglift_writer_finish_init();
  seglift_record_in in[2];
  seglift_ref ref = seglift_ref_init();
  seglift_writer *writer = NULL;
  seglift_records *records = NULL;
  size_t n = 0;
  options.key = ref.key = "old/records";
  options.mode = SEGLIFT_MODE_RECORDS;
  in[0] = in[1] = seglift_record_in_init();
  in[0].id = 5;
  in[1].id = 9;
  in[0].data = in[1].data = "payload";
  in[0].len = in[1].len = 7;
  OK(seglift_writer_open(driver, &options, NULL, &writer, &err));
  OK(seglift_writer_append_many(writer, in, 2, sizeof *in, NULL, &n, &err));
  CHECK(n == 2);
  FILLS(seglift_receipt, receipt, seglift_writer_commit(writer, &finish, NULL, &receipt.it, &err));
  CHECK(receipt.it.records == 2);
  seglift_writer_free(writer);
  OK(seglift_read_records(driver, &ref, 6, 10, 1000, NULL, &records, &err));
  FILLS(seglift_record, record, seglift_records_next(records, &record.it, &err));
  CHECK(record.it.id == 9 && record.it.len == 7 && memcmp(record.it.data, "payload", 7) == 0);
  ENDS(SEGLIFT_END, seglift_records_next(records, &record.it, &err));
  seglift_records_free(records);
}

static void its_completions_keep_their_distance(void) {
  struct {
    seglift_completion it[3];
    unsigned char behind[256];
  } out;
  OLD(seglift_progress_info) progress;
  seglift_driver *stuck = new_driver(engine, "fault+memory:?get=*:stall");
  seglift_segment segment = bytes_segment("old/async", "x", 1);
  seglift_ref ref = ref_to("old/async");
  seglift_queue *queue = NULL;
  seglift_op op;
  size_t n = 0, polled = 0, i;
  OK(seglift_queue_new(engine, 3, &queue, &err));
  OK(seglift_stat_submit(stuck, &ref, NULL, queue, NULL, &op, &err));
  FILLS(seglift_progress_info, progress, seglift_progress(engine, op, &progress.it, &err));
  OK(seglift_op_cancel(engine, op, &err));
  OK(seglift_offload_segment_submit(driver, &segment, NULL, queue, NULL, NULL, &err));
  OK(seglift_stat_submit(driver, &ref, NULL, queue, NULL, NULL, &err));
  memset(&out, 0xee, sizeof out);
  while (polled < 3) {
    OK(seglift_queue_poll(queue, out.it + polled, 3 - polled, sizeof *out.it, 30000, &n, &err));
    if (n == 0) break;
    polled += n;
  }
  CHECK(polled == 3);
  for (i = 0; i < polled; i++) {
    CHECK(out.it[i].size <= sizeof *out.it && out.it[i].kind == SEGLIFT_COMPLETION_OPERATION);
    if (out.it[i].receipt != NULL) CHECK(out.it[i].receipt->segment_bytes == 1);
    seglift_completion_clear(&out.it[i]);
    seglift_completion_clear(&out.it[i]); /* twice is as good */
  }
  for (i = 0; i < sizeof out.behind; i++) CHECK(out.behind[i] == 0xee);
  OK(seglift_queue_shutdown(queue, 30000, &err));
  OK(seglift_queue_free(queue, &err));
  end_driver(stuck);
}

static void it_lists_plans_and_cleans_up(void) {
  OLD(seglift_entry) entry;
  OLD(seglift_policy) policy;
  OLD(seglift_cleanup_entry) cleaned;
  OLD(seglift_log_line) line;
  seglift_segment_state states[2];
  seglift_reap_options reap = seglift_reap_options_init();
  seglift_sweep_options sweep = seglift_sweep_options_init();
  seglift_segment broken = seglift_segment_init();
  seglift_lister *lister = NULL;
  seglift_cleanup *cleanup = NULL;
  seglift_sweep *sweeping = NULL;
  seglift_results *results = NULL;
  const char *live[] = {"old/k", "old/missing"}, *keys[] = {"old/k", "old/records", "old/async"};
  uint32_t actions[2], done = 0;
  size_t n = 0;
  OK(seglift_list_open(driver, "old/", NULL, &lister, &err));
  OK(seglift_list_next(lister, 10, NULL, &n, &err));
  CHECK(n == 3);
  FILLS(seglift_entry, entry, seglift_list_entry(lister, 0, &entry.it, &err));
  CHECK(strcmp(entry.it.key, "old/async") == 0);
  seglift_list_free(lister);
  FILLS(seglift_policy, policy, seglift_plan_policy(NULL, &policy.it, &err));
  states[0] = states[1] = seglift_segment_state_init();
  OK(seglift_plan(&policy.it, states, 2, sizeof *states, 0, actions, &err));
  reap.older_than_ms = 1000;
  OK(seglift_reap(driver, &reap, NULL, &cleanup, &err));
  seglift_cleanup_free(cleanup);
  sweep.prefix = "old/";
  OK(seglift_sweep_begin(driver, &sweep, &sweeping, &err));
  OK(seglift_sweep_feed(sweeping, live, 2, NULL, &n, &cleanup, &err));
  if (seglift_cleanup_len(cleanup) == 0) {
    seglift_cleanup_free(cleanup);
    OK(seglift_sweep_finish(sweeping, NULL, &done, &cleanup, &err));
  }
  CHECK(seglift_cleanup_len(cleanup) > 0);
  FILLS(seglift_cleanup_entry, cleaned, seglift_cleanup_get(cleanup, 0, &cleaned.it, &err));
  seglift_cleanup_free(cleanup);
  seglift_sweep_free(sweeping);
  OK(seglift_delete(driver, keys, 3, NULL, &results, &err));
  CHECK(seglift_results_count(results) == 3 && seglift_results_code(results, 2) == SEGLIFT_OK);
  seglift_results_free(results);
  broken.key = "old/broken";
  broken.source = SEGLIFT_SOURCE_PATH;
  broken.path = "/nonexistent";
  ENDS(SEGLIFT_SOURCE_FAILED, seglift_offload_segment(driver, &broken, NULL, NULL, &err));
  FILLS(seglift_log_line, line, seglift_log_poll(engine, &line.it, &err));
  seglift_bytes_free(line.it.text);
}

/* Every entry of the table of then is where it was. */
static void the_table_begins_as_it_did(void) {
  const seglift_api *api = seglift_get_api(SEGLIFT_ABI_MAJOR);
  CHECK(api != NULL);
  if (api == NULL) return;
  CHECK(api->size >= sizeof(seglift_api) && api->abi_major == 1);
  CHECK(api->open == seglift_open && api->offload_segment == seglift_offload_segment);
  CHECK(api->read_range == seglift_read_range && api->writer_commit == seglift_writer_commit);
  CHECK(api->queue_poll == seglift_queue_poll && api->plan_policy == seglift_plan_policy);
  CHECK(api->sweep_finish == seglift_sweep_finish && api->sweep_finish_submit == seglift_sweep_finish_submit);
}

int main(void) {
  engine = new_engine();
  driver = new_driver(engine, "memory:");
  RUN(what_it_offloads_it_reads_back);
  RUN(what_it_pushes_comes_back_record_by_record);
  RUN(its_completions_keep_their_distance);
  RUN(it_lists_plans_and_cleans_up);
  RUN(the_table_begins_as_it_did);
  end_driver(driver);
  OK(seglift_engine_free(engine, &err));
  DONE();
}
