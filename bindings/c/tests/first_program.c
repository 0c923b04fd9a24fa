/* Everything that a host does with segments, once, and what it gets. Also an example of each call. */
#include <fcntl.h>
#include <unistd.h>

#include "check.h"

#define LEN 700000

static seglift_engine *engine;
static seglift_driver *driver;
static unsigned char *data;

static void a_segment_comes_back_byte_for_byte(void) {
  seglift_segment segment = bytes_segment("topic/0/a", data, LEN);
  seglift_receipt receipt = seglift_receipt_init();
  seglift_ref ref = ref_to("topic/0/a");
  unsigned char *back = malloc(LEN);
  size_t n = 0;
  OK(seglift_offload_segment(driver, &segment, NULL, &receipt, &err));
  CHECK(receipt.size == sizeof receipt && receipt.segment_bytes == LEN && receipt.object_bytes > LEN);
  CHECK(receipt.token_len > 0 && receipt.token_len <= SEGLIFT_TOKEN_MAX && receipt.existed == 0);
  CHECK(receipt.codec == SEGLIFT_CODEC_ZSTD && receipt.mode == SEGLIFT_MODE_BYTES && receipt.atomic_create == 1);
  OK(seglift_read_range(driver, &ref, 0, back, LEN, NULL, &n, &err));
  CHECK(n == LEN && memcmp(back, data, LEN) == 0);
  ref.token = receipt.token;
  ref.token_len = receipt.token_len;
  memset(back, 0, LEN);
  OK(seglift_read_range(driver, &ref, 262100, back, 100000, NULL, &n, &err));
  CHECK(n == 100000 && memcmp(back, data + 262100, n) == 0);
  free(back);
}

static void a_read_is_short_only_at_the_end_of_the_segment(void) {
  seglift_ref ref = ref_to("topic/0/a");
  char buf[64];
  size_t n = 9;
  OK(seglift_read_range(driver, &ref, LEN - 10, buf, sizeof buf, NULL, &n, &err));
  CHECK(n == 10 && memcmp(buf, data + LEN - 10, 10) == 0);
  OK(seglift_read_range(driver, &ref, LEN, buf, sizeof buf, NULL, &n, &err));
  CHECK(n == 0);
  ENDS(SEGLIFT_OUT_OF_RANGE, seglift_read_range(driver, &ref, LEN + 1, buf, sizeof buf, NULL, &n, &err));
  CHECK(n == 0);
  OK(seglift_read_range(driver, &ref, 5, NULL, 0, NULL, &n, &err));
}

static void bytes_are_counted_and_outlive_their_driver(void) {
  seglift_driver *other = new_driver(engine, "memory:");
  seglift_ref ref = ref_to("k");
  seglift_bytes *bytes = NULL, *second;
  put(other, "k", "0123456789", 10);
  OK(seglift_read_range_bytes(other, &ref, 2, 5, NULL, &bytes, &err));
  second = seglift_bytes_ref(bytes);
  seglift_bytes_free(bytes);
  end_driver(other);
  CHECK(seglift_bytes_len(second) == 5 && memcmp(seglift_bytes_data(second), "23456", 5) == 0);
  seglift_bytes_free(second);
}

static void files_and_descriptors_are_sources_with_offset_and_length(void) {
  char path[] = "/tmp/seglift-test-XXXXXX";
  int fd = mkstemp(path);
  seglift_segment segment = seglift_segment_init();
  seglift_ref ref;
  char buf[32];
  size_t n;
  CHECK(fd >= 0 && write(fd, "0123456789", 10) == 10);
  segment.key = "path";
  segment.source = SEGLIFT_SOURCE_PATH;
  segment.path = path;
  segment.offset = 3;
  OK(seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  segment.key = "fd";
  segment.source = SEGLIFT_SOURCE_FD;
  segment.path = NULL;
  segment.fd = fd;
  segment.length = 4;
  OK(seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  ref = ref_to("path");
  OK(seglift_read_range(driver, &ref, 0, buf, sizeof buf, NULL, &n, &err));
  CHECK(n == 7 && memcmp(buf, "3456789", 7) == 0);
  ref = ref_to("fd");
  OK(seglift_read_range(driver, &ref, 0, buf, sizeof buf, NULL, &n, &err));
  CHECK(n == 4 && memcmp(buf, "3456", 4) == 0);
  close(fd);
  unlink(path);
  segment.source = SEGLIFT_SOURCE_PATH;
  segment.key = "gone";
  segment.path = path;
  ENDS(SEGLIFT_SOURCE_FAILED, seglift_offload_segment(driver, &segment, NULL, NULL, &err));
}

static void an_offload_that_failed_is_resumed_by_the_file_that_the_host_named(void) {
  char path[] = "/tmp/seglift-test-XXXXXX", resume[sizeof path + 8];
  int fd = mkstemp(path);
  seglift_driver *refusing = new_driver(engine, "fault+memory:?commit=1:PERMISSION_DENIED");
  seglift_segment segment = seglift_segment_init();
  seglift_receipt receipt = seglift_receipt_init();
  CHECK(fd >= 0 && ftruncate(fd, 20 << 20) == 0);
  close(fd);
  snprintf(resume, sizeof resume, "%s.resume", path);
  segment.key = "resumed";
  segment.source = SEGLIFT_SOURCE_PATH;
  segment.path = path;
  segment.codec = SEGLIFT_CODEC_NONE;
  segment.resume = resume;
  ENDS(SEGLIFT_PERMISSION_DENIED, seglift_offload_segment(refusing, &segment, NULL, NULL, &err));
  CHECK(access(resume, F_OK) == 0);
  OK(seglift_offload_segment(refusing, &segment, NULL, &receipt, &err));
  CHECK(receipt.resumed_bytes == receipt.object_bytes && receipt.existed == 0);
  CHECK(access(resume, F_OK) != 0);
  unlink(path);
  segment = bytes_segment("not-resumed", data, LEN);
  segment.resume = resume;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_offload_segment(refusing, &segment, NULL, NULL, &err));
  end_driver(refusing);
}

static void attachments_and_metadata_travel_with_a_segment(void) {
  seglift_attachment attachments[2] = {seglift_attachment_init(), seglift_attachment_init()};
  seglift_pair pair = seglift_pair_init();
  seglift_segment segment = bytes_segment("with", data, 1000);
  seglift_ref ref = ref_to("with");
  seglift_bytes *bytes = NULL;
  seglift_info *info = NULL;
  seglift_summary summary = seglift_summary_init();
  seglift_attachment_info about = seglift_attachment_info_init();
  attachments[0].name = "offset.index";
  attachments[0].data = "index";
  attachments[0].len = 5;
  attachments[1].name = "empty";
  pair.name = "content-type";
  pair.value = "text/plain";
  pair.value_len = 10;
  segment.attachments = attachments;
  segment.attachment_count = 2;
  segment.attachment_stride = sizeof attachments[0];
  segment.metadata = &pair;
  segment.metadata_count = 1;
  segment.metadata_stride = sizeof pair;
  segment.flags = SEGLIFT_SEGMENT_HAS_OFFSETS;
  segment.first_offset = 100;
  segment.last_offset = 199;
  OK(seglift_offload_segment(driver, &segment, NULL, NULL, &err));

  OK(seglift_read_attachment(driver, &ref, "offset.index", NULL, &bytes, &err));
  CHECK(seglift_bytes_len(bytes) == 5 && memcmp(seglift_bytes_data(bytes), "index", 5) == 0);
  seglift_bytes_free(bytes);
  OK(seglift_read_attachment(driver, &ref, "empty", NULL, &bytes, &err));
  CHECK(seglift_bytes_len(bytes) == 0);
  seglift_bytes_free(bytes);
  ENDS(SEGLIFT_OUT_OF_RANGE, seglift_read_attachment(driver, &ref, "none", NULL, &bytes, &err));
  CHECK(bytes == NULL);

  OK(seglift_stat(driver, &ref, NULL, &info, &err));
  OK(seglift_info_summary(info, &summary, &err));
  CHECK(strcmp(summary.key, "with") == 0 && strcmp(summary.owner, "default") == 0);
  CHECK(summary.segment_bytes == 1000 && summary.blocks == 1 && summary.format_version == 1);
  CHECK(summary.has_offsets == 1 && summary.first_offset == 100 && summary.last_offset == 199);
  CHECK(summary.metadata_count == 1 && summary.attachment_count == 2 && summary.token_len > 0);
  OK(seglift_info_metadata(info, 0, &pair, &err));
  CHECK(strcmp(pair.name, "content-type") == 0 && pair.value_len == 10);
  ENDS(SEGLIFT_OUT_OF_RANGE, seglift_info_metadata(info, 1, &pair, &err));
  OK(seglift_info_attachment(info, 0, &about, &err));
  CHECK(strcmp(about.name, "offset.index") == 0 && about.len == 5);
  ENDS(SEGLIFT_OUT_OF_RANGE, seglift_info_attachment(info, 2, &about, &err));
  seglift_info_free(info);
}

static void nothing_is_ever_overwritten(void) {
  seglift_segment segment = bytes_segment("once", "first", 5);
  seglift_receipt receipt = seglift_receipt_init();
  OK(seglift_offload_segment(driver, &segment, NULL, &receipt, &err));
  OK(seglift_offload_segment(driver, &segment, NULL, &receipt, &err));
  CHECK(receipt.existed == 1);
  segment.if_exists = SEGLIFT_IF_EXISTS_FAIL;
  ENDS(SEGLIFT_ALREADY_EXISTS, seglift_offload_segment(driver, &segment, NULL, &receipt, &err));
  segment.if_exists = SEGLIFT_IF_EXISTS_SUCCEED_IF_SAME;
  segment.data = "other";
  ENDS(SEGLIFT_ALREADY_EXISTS, seglift_offload_segment(driver, &segment, NULL, &receipt, &err));
  segment.key = "digest";
  segment.expected_kind = SEGLIFT_DIGEST_CRC32C;
  segment.expected_digest = 1;
  ENDS(SEGLIFT_SOURCE_FAILED, seglift_offload_segment(driver, &segment, NULL, &receipt, &err));
}

static void records_come_back_with_ids_and_times(void) {
  seglift_writer_options options = seglift_writer_options_init();
  seglift_record_in in[3] = {seglift_record_in_init(), seglift_record_in_init(), seglift_record_in_init()};
  seglift_writer *writer = NULL;
  seglift_receipt receipt = seglift_receipt_init();
  seglift_ref ref = ref_to("records");
  seglift_records *records = NULL;
  seglift_record record = seglift_record_init();
  size_t n = 0;
  options.key = "records";
  options.mode = SEGLIFT_MODE_RECORDS;
  OK(seglift_writer_open(driver, &options, NULL, &writer, &err));
  in[0].id = 10, in[0].time_us = 1000, in[0].data = "ten", in[0].len = 3;
  in[1].id = 12, in[1].time_us = 900, in[1].data = "twelve", in[1].len = 6;
  in[2].id = 20, in[2].time_us = 2000;
  OK(seglift_writer_append(writer, &in[0], NULL, &err));
  OK(seglift_writer_append_many(writer, &in[1], 2, sizeof in[0], NULL, &n, &err));
  CHECK(n == 2);
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_writer_append(writer, &in[0], NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_writer_write(writer, "x", 1, NULL, &n, &err));
  OK(seglift_writer_commit(writer, NULL, NULL, &receipt, &err));
  CHECK(receipt.records == 3 && receipt.mode == SEGLIFT_MODE_RECORDS);
  ENDS(SEGLIFT_CLOSED, seglift_writer_append(writer, &in[2], NULL, &err));
  seglift_writer_free(writer);

  OK(seglift_read_records(driver, &ref, 11, 100, 1 << 20, NULL, &records, &err));
  CHECK(seglift_records_count(records) == 2);
  OK(seglift_records_next(records, &record, &err));
  CHECK(record.id == 12 && record.time_us == 900 && record.len == 6 && memcmp(record.data, "twelve", 6) == 0);
  OK(seglift_records_next(records, &record, &err));
  CHECK(record.id == 20 && record.len == 0);
  ENDS(SEGLIFT_END, seglift_records_next(records, &record, &err));
  CHECK(seglift_records_next_id(records) == 21 && seglift_records_at_end(records) == 1);
  seglift_records_free(records);
  ref = ref_to("once");
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_read_records(driver, &ref, 0, 1, 1, NULL, &records, &err));
}

static void a_segment_is_written_in_pieces_or_aborted_without_a_trace(void) {
  seglift_writer_options options = seglift_writer_options_init();
  seglift_writer_finish finish = seglift_writer_finish_init();
  seglift_writer *writer = NULL;
  seglift_ref ref = ref_to("pieces");
  unsigned char *back = malloc(LEN);
  size_t n = 0, at;
  options.key = "pieces";
  OK(seglift_writer_open(driver, &options, NULL, &writer, &err));
  for (at = 0; at < LEN; at += n) {
    n = 0;
    OK(seglift_writer_write(writer, data + at, LEN - at < 33333 ? LEN - at : 33333, NULL, &n, &err));
    if (n == 0) break;
  }
  finish.flags = SEGLIFT_SEGMENT_HAS_OFFSETS;
  finish.last_offset = 7;
  OK(seglift_writer_commit(writer, &finish, NULL, NULL, &err));
  seglift_writer_free(writer);
  OK(seglift_read_range(driver, &ref, 0, back, LEN, NULL, &n, &err));
  CHECK(n == LEN && memcmp(back, data, LEN) == 0);
  free(back);

  options.key = "aborted";
  OK(seglift_writer_open(driver, &options, NULL, &writer, &err));
  OK(seglift_writer_write(writer, data, 1000, NULL, &n, &err));
  OK(seglift_writer_abort(writer, NULL, &err));
  ENDS(SEGLIFT_CLOSED, seglift_writer_write(writer, data, 1000, NULL, &n, &err));
  seglift_writer_free(writer);
  ref = ref_to("aborted");
  ENDS(SEGLIFT_NOT_FOUND, seglift_read_range(driver, &ref, 0, &n, 1, NULL, &n, &err));
}

static void a_listing_is_walked_page_by_page(void) {
  seglift_driver *other = new_driver(engine, "memory:");
  seglift_lister *lister = NULL;
  seglift_entry entry = seglift_entry_init();
  const char *keys[] = {"a/1", "a/2", "a/3", "b/1"};
  size_t i, n = 0;
  for (i = 0; i < 4; i++) put(other, keys[i], "x", 1);
  OK(seglift_list_open(other, "a/", NULL, &lister, &err));
  OK(seglift_list_next(lister, 2, NULL, &n, &err));
  CHECK(n == 2);
  for (i = 0; i < n; i++) {
    OK(seglift_list_entry(lister, i, &entry, &err));
    CHECK(strcmp(entry.key, keys[i]) == 0 && entry.object_bytes > 0 && entry.modified_us > 0);
  }
  ENDS(SEGLIFT_OUT_OF_RANGE, seglift_list_entry(lister, 2, &entry, &err));
  OK(seglift_list_next(lister, 2, NULL, &n, &err));
  OK(seglift_list_entry(lister, 0, &entry, &err));
  CHECK(n == 1 && strcmp(entry.key, "a/3") == 0);
  ENDS(SEGLIFT_END, seglift_list_next(lister, 2, NULL, &n, &err));
  ENDS(SEGLIFT_END, seglift_list_next(lister, 2, NULL, &n, &err));
  seglift_list_free(lister);
  end_driver(other);
}

static void deletes_answer_for_each_key(void) {
  const char *keys[] = {"topic/0/a", "../bad", "never-was"};
  seglift_results *results = NULL;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_delete(driver, keys, 3, NULL, &results, &err));
  CHECK(seglift_results_count(results) == 3);
  CHECK(seglift_results_code(results, 0) == SEGLIFT_OK && seglift_results_error(results, 0) == NULL);
  CHECK(seglift_results_code(results, 1) == SEGLIFT_INVALID_ARGUMENT);
  CHECK(seglift_error_code(seglift_results_error(results, 1)) == SEGLIFT_INVALID_ARGUMENT);
  CHECK(seglift_results_code(results, 2) == SEGLIFT_OK);
  CHECK(seglift_results_code(results, 3) == SEGLIFT_OUT_OF_RANGE && seglift_results_error(results, 3) == NULL);
  seglift_results_free(results);
  OK(seglift_delete(driver, &keys[2], 1, NULL, NULL, &err));
}

static void verify_counts_what_is_there(void) {
  seglift_verify_report report = seglift_verify_report_init();
  seglift_ref ref = ref_to("pieces");
  OK(seglift_verify(driver, &ref, NULL, &report, &err));
  CHECK(report.blocks == 3 && report.bad_blocks == 0 && report.segment_bytes == LEN);
}

static void an_object_is_read_as_it_lies_in_the_store(void) {
  seglift_bytes *bytes = NULL;
  OK(seglift_get_object_range(driver, "once", 0, 4, NULL, &bytes, &err));
  CHECK(seglift_bytes_len(bytes) == 4 && memcmp(seglift_bytes_data(bytes), "\x28\xb5\x2f\xfd", 4) == 0);
  seglift_bytes_free(bytes);
}

static void cached_only_answers_from_memory_or_would_block(void) {
  seglift_driver *other = new_driver(engine, "memory:");
  seglift_call call = seglift_call_init();
  seglift_ref ref = ref_to("k");
  seglift_receipt receipt = seglift_receipt_init();
  seglift_segment segment = bytes_segment("k", "0123456789", 10);
  char buf[10];
  size_t n = 0;
  OK(seglift_offload_segment(other, &segment, NULL, &receipt, &err));
  ref.token = receipt.token;
  ref.token_len = receipt.token_len;
  call.flags = SEGLIFT_CALL_CACHED_ONLY;
  ENDS(SEGLIFT_WOULD_BLOCK, seglift_read_range(other, &ref, 0, buf, 10, &call, &n, &err));
  OK(seglift_read_range(other, &ref, 0, buf, 5, NULL, &n, &err));
  OK(seglift_read_range(other, &ref, 0, buf, 10, &call, &n, &err));
  CHECK(n == 10 && memcmp(buf, "0123456789", 10) == 0);
  end_driver(other);
}

static void a_plan_offloads_drops_and_deletes(void) {
  seglift_policy policy = seglift_policy_init();
  seglift_segment_state s[3] = {seglift_segment_state_init(), seglift_segment_state_init(), seglift_segment_state_init()};
  uint32_t actions[3] = {9, 9, 9};
  int i;
  OK(seglift_plan_policy(NULL, &policy, &err));
  CHECK(policy.size_threshold == -1 && policy.deletion_lag_ms == 4 * 3600 * 1000 && policy.retention_size == -1);
  for (i = 0; i < 3; i++) {
    s[i].base_offset = i * 10, s[i].next_offset = i * 10 + 10, s[i].bytes = 100, s[i].flags = SEGLIFT_STATE_LOCAL;
    s[i].sealed_us = i < 2 ? 1000 : 0;
  }
  s[0].offloaded_us = 1000;
  OK(seglift_plan(&policy, s, 3, sizeof s[0], 2000, actions, &err));
  CHECK(actions[0] == 0 && actions[1] == 0 && actions[2] == 0);
  policy.size_threshold = 0;
  policy.deletion_lag_ms = 0;
  OK(seglift_plan(&policy, s, 3, sizeof s[0], 2000, actions, &err));
  CHECK(actions[0] == SEGLIFT_ACTION_DROP_LOCAL && actions[1] == SEGLIFT_ACTION_OFFLOAD && actions[2] == 0);
  policy.retention_size = 200;
  OK(seglift_plan(&policy, s, 3, sizeof s[0], 2000, actions, &err));
  CHECK(actions[0] == (SEGLIFT_ACTION_DROP_LOCAL | SEGLIFT_ACTION_DELETE_TIERED));
  policy.size_threshold = -1;
  s[0].offloaded_us = 0; /* a retention deletes the only copy, as seglift_plan says */
  OK(seglift_plan(&policy, s, 3, sizeof s[0], 2000, actions, &err));
  CHECK(actions[0] == SEGLIFT_ACTION_DROP_LOCAL && actions[1] == 0 && actions[2] == 0);
  policy.retention_size = 0;
  OK(seglift_plan(&policy, s, 3, sizeof s[0], 2000, actions, &err));
  CHECK(actions[0] == 0 && actions[1] == 0 && actions[2] == 0);
  s[1].base_offset = -1;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_plan(&policy, s, 3, sizeof s[0], 2000, actions, &err));
}

int main(void) {
  engine = new_engine();
  driver = new_driver(engine, "memory:");
  data = noise(LEN, 1);
  RUN(a_segment_comes_back_byte_for_byte);
  RUN(a_read_is_short_only_at_the_end_of_the_segment);
  RUN(bytes_are_counted_and_outlive_their_driver);
  RUN(files_and_descriptors_are_sources_with_offset_and_length);
  RUN(an_offload_that_failed_is_resumed_by_the_file_that_the_host_named);
  RUN(attachments_and_metadata_travel_with_a_segment);
  RUN(nothing_is_ever_overwritten);
  RUN(records_come_back_with_ids_and_times);
  RUN(a_segment_is_written_in_pieces_or_aborted_without_a_trace);
  RUN(a_listing_is_walked_page_by_page);
  RUN(deletes_answer_for_each_key);
  RUN(verify_counts_what_is_there);
  RUN(an_object_is_read_as_it_lies_in_the_store);
  RUN(cached_only_answers_from_memory_or_would_block);
  RUN(a_plan_offloads_drops_and_deletes);
  end_driver(driver);
  OK(seglift_engine_free(engine, &err));
  free(data);
  DONE();
}
