/* Asynchronous calls: each that was accepted completes exactly once, whatever happens to it. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define LEN 300000
/* Valgrind runs one thread at a time, 30 times slower. */
#define MANY (getenv("SEGLIFT_TEST_SLOW") != NULL ? 500 : 10000)

static seglift_engine *engine;
static seglift_driver *driver;
static unsigned char *data;

static seglift_queue *new_queue(size_t capacity) {
  seglift_queue *queue = NULL;
  OK(seglift_queue_new(engine, capacity, &queue, &err));
  return queue;
}

static void end_queue(seglift_queue *queue) {
  seglift_completion c;
  size_t n = 0;
  OK(seglift_queue_shutdown(queue, 30000, &err));
  while (seglift_queue_poll(queue, &c, 1, sizeof c, -1, &n, NULL) == SEGLIFT_OK) seglift_completion_clear(&c);
  OK(seglift_queue_free(queue, &err));
}

static seglift_completion next(seglift_queue *queue) {
  seglift_completion c = seglift_completion_init();
  size_t n = 0;
  OK(seglift_queue_poll(queue, &c, 1, sizeof c, 60000, &n, &err));
  CHECK(n == 1);
  return c;
}

static void every_call_has_an_asynchronous_twin(void) {
  seglift_queue *queue = new_queue(8);
  seglift_segment segment = bytes_segment("a/1", data, LEN);
  seglift_attachment attachment = seglift_attachment_init();
  seglift_ref ref = ref_to("a/1");
  seglift_lister *lister = NULL;
  seglift_entry entry = seglift_entry_init();
  seglift_completion c;
  seglift_op op = 0;
  const char *keys[] = {"a/1", "/bad"};
  unsigned char *buf = calloc(1, LEN);
  int mark;
  size_t n;
  attachment.name = "i";
  attachment.data = "idx";
  attachment.len = 3;
  segment.attachments = &attachment;
  segment.attachment_count = 1;
  segment.attachment_stride = sizeof attachment;

  OK(seglift_offload_segment_submit(driver, &segment, NULL, queue, &mark, &op, &err));
  c = next(queue);
  CHECK(c.op == op && op != 0 && c.user_data == &mark && c.code == SEGLIFT_OK && c.kind == SEGLIFT_COMPLETION_OPERATION);
  CHECK(c.receipt != NULL && c.receipt->segment_bytes == LEN && c.error == NULL);
  seglift_completion_clear(&c);
  CHECK(c.receipt == NULL);

  OK(seglift_read_range_submit(driver, &ref, 10, buf, LEN, NULL, queue, NULL, NULL, &err));
  c = next(queue);
  CHECK(c.code == SEGLIFT_OK && c.count == LEN - 10 && memcmp(buf, data + 10, LEN - 10) == 0);
  seglift_completion_clear(&c);

  OK(seglift_read_range_bytes_submit(driver, &ref, 5, 100, NULL, queue, NULL, &op, &err));
  c = next(queue);
  CHECK(c.count == 100 && memcmp(seglift_bytes_data(c.bytes), data + 5, 100) == 0);
  seglift_completion_clear(&c);

  OK(seglift_read_attachment_submit(driver, &ref, "i", NULL, queue, NULL, &op, &err));
  c = next(queue);
  CHECK(seglift_bytes_len(c.bytes) == 3);
  seglift_completion_clear(&c);

  OK(seglift_stat_submit(driver, &ref, NULL, queue, NULL, &op, &err));
  c = next(queue);
  CHECK(c.info != NULL);
  seglift_completion_clear(&c);

  OK(seglift_verify_submit(driver, &ref, NULL, queue, NULL, &op, &err));
  c = next(queue);
  CHECK(c.code == SEGLIFT_OK && c.report != NULL && c.report->bad_blocks == 0);
  seglift_completion_clear(&c);

  OK(seglift_read_records_submit(driver, &ref, 0, 1, 1, NULL, queue, NULL, &op, &err));
  c = next(queue);
  CHECK(c.code == SEGLIFT_INVALID_ARGUMENT && c.records == NULL);
  CHECK(seglift_error_code(c.error) == SEGLIFT_INVALID_ARGUMENT);
  seglift_completion_clear(&c);

  OK(seglift_get_object_range_submit(driver, "a/1", 0, 4, NULL, queue, NULL, &op, &err));
  c = next(queue);
  CHECK(c.count == 4);
  seglift_completion_clear(&c);

  OK(seglift_list_open(driver, "a/", NULL, &lister, &err));
  OK(seglift_list_next_submit(lister, 0, NULL, queue, NULL, &op, &err));
  ENDS(SEGLIFT_BUSY, seglift_list_next(lister, 0, NULL, &n, &err));
  c = next(queue);
  CHECK(c.code == SEGLIFT_OK && c.count == 1);
  OK(seglift_list_entry(lister, 0, &entry, &err));
  CHECK(strcmp(entry.key, "a/1") == 0);
  ENDS(SEGLIFT_END, seglift_list_next_submit(lister, 0, NULL, queue, NULL, &op, &err));
  seglift_completion_clear(&c);
  seglift_list_free(lister);

  OK(seglift_delete_submit(driver, keys, 2, NULL, queue, NULL, &op, &err));
  c = next(queue);
  CHECK(c.code == SEGLIFT_INVALID_ARGUMENT && c.count == 1 && seglift_results_count(c.results) == 2);
  seglift_completion_clear(&c);
  end_queue(queue);
  free(buf);
}

static void results_may_be_taken_out_of_a_completion(void) {
  seglift_queue *queue = new_queue(1);
  seglift_segment segment = bytes_segment("take", "x", 1);
  seglift_completion c;
  seglift_receipt *receipt;
  OK(seglift_offload_segment_submit(driver, &segment, NULL, queue, NULL, NULL, &err));
  c = next(queue);
  receipt = c.receipt;
  c.receipt = NULL;
  seglift_completion_clear(&c);
  CHECK(receipt->segment_bytes == 1);
  seglift_receipt_free(receipt);
  end_queue(queue);
}

static void a_writer_with_a_queue_never_blocks(void) {
  seglift_queue *queue = new_queue(4);
  seglift_writer_options options = seglift_writer_options_init();
  seglift_writer *writer = NULL;
  seglift_completion c;
  seglift_ref ref = ref_to("async");
  unsigned char *big = noise(40 << 20, 5), *back = malloc(1000);
  size_t at = 0, n = 0, total = getenv("SEGLIFT_TEST_SLOW") != NULL ? 12 << 20 : 40 << 20;
  int waits = 0;
  options.key = "async";
  options.codec = SEGLIFT_CODEC_NONE;
  options.queue = queue;
  options.user_data = &waits;
  OK(seglift_writer_open(driver, &options, NULL, &writer, &err));
  ENDS(SEGLIFT_BUSY, seglift_queue_free(queue, &err));
  while (at < total) {
    seglift_code code = seglift_writer_write(writer, big + at, total - at, NULL, &n, NULL);
    if (code == SEGLIFT_WOULD_BLOCK) {
      c = next(queue);
      CHECK(c.kind == SEGLIFT_COMPLETION_WRITABLE && c.user_data == &waits && c.op == 0);
      seglift_completion_clear(&c);
      waits++;
      continue;
    }
    CHECK(code == SEGLIFT_OK);
    if (code != SEGLIFT_OK) break;
    at += n;
  }
  OK(seglift_writer_commit_submit(writer, NULL, NULL, queue, NULL, NULL, &err));
  do c = next(queue);
  while (c.kind == SEGLIFT_COMPLETION_WRITABLE);
  CHECK(c.code == SEGLIFT_OK && c.receipt != NULL && c.receipt->segment_bytes == total);
  seglift_completion_clear(&c);
  seglift_writer_free(writer);
  OK(seglift_read_range(driver, &ref, total - 1000, back, 1000, NULL, &n, &err));
  CHECK(n == 1000 && memcmp(back, big + total - 1000, 1000) == 0);
  free(big);
  free(back);
  end_queue(queue);
}

static void an_aborted_writer_completes(void) {
  seglift_queue *queue = new_queue(4);
  seglift_writer_options options = seglift_writer_options_init();
  seglift_writer *writer = NULL;
  seglift_completion c;
  size_t n;
  options.key = "abort";
  OK(seglift_writer_open(driver, &options, NULL, &writer, &err));
  OK(seglift_writer_write(writer, "x", 1, NULL, &n, &err));
  OK(seglift_writer_abort_submit(writer, NULL, queue, NULL, NULL, &err));
  seglift_writer_free(writer);
  c = next(queue);
  CHECK(c.code == SEGLIFT_OK);
  seglift_completion_clear(&c);
  end_queue(queue);
}

static void a_full_queue_is_busy_and_makes_no_completion(void) {
  seglift_queue *queue = new_queue(2);
  seglift_ref ref = ref_to("none");
  seglift_completion c[4];
  seglift_op op = 77;
  size_t n = 0, total = 0;
  OK(seglift_stat_submit(driver, &ref, NULL, queue, NULL, NULL, &err));
  OK(seglift_stat_submit(driver, &ref, NULL, queue, NULL, NULL, &err));
  ENDS(SEGLIFT_BUSY, seglift_stat_submit(driver, &ref, NULL, queue, NULL, &op, &err));
  CHECK(op == 0);
  while (total < 2) {
    OK(seglift_queue_poll(queue, c, 4, sizeof c[0], 60000, &n, &err));
    total += n;
    while (n > 0) {
      CHECK(c[--n].code == SEGLIFT_NOT_FOUND);
      seglift_completion_clear(&c[n]);
    }
  }
  OK(seglift_queue_poll(queue, c, 4, sizeof c[0], 20, &n, &err));
  CHECK(n == 0 && total == 2);
  end_queue(queue);
}

static void a_submit_that_fails_leaves_its_place_free(void) {
  seglift_queue *queue = new_queue(1);
  seglift_ref ref = ref_to(NULL);
  seglift_completion c;
  size_t n = 9;
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_stat_submit(driver, &ref, NULL, queue, NULL, NULL, &err));
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_stat_submit(NULL, &ref, NULL, queue, NULL, NULL, &err));
  ref.key = "none";
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_stat_submit(driver, &ref, NULL, NULL, NULL, NULL, &err));
  OK(seglift_queue_poll(queue, &c, 1, sizeof c, 0, &n, &err));
  CHECK(n == 0);
  OK(seglift_stat_submit(driver, &ref, NULL, queue, NULL, NULL, &err));
  c = next(queue);
  CHECK(c.code == SEGLIFT_NOT_FOUND);
  seglift_completion_clear(&c);
  end_queue(queue);
}

static void the_descriptor_is_readable_exactly_while_completions_wait(void) {
  seglift_queue *queue = new_queue(4);
  seglift_ref ref = ref_to("none");
  struct epoll_event event = {EPOLLIN, {0}}, got;
  int epoll = epoll_create1(0), fd = seglift_queue_fd(queue);
  seglift_completion c;
  size_t n;
  CHECK(fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
  CHECK(epoll_wait(epoll, &got, 1, 0) == 0);
  OK(seglift_stat_submit(driver, &ref, NULL, queue, NULL, NULL, &err));
  OK(seglift_stat_submit(driver, &ref, NULL, queue, NULL, NULL, &err));
  CHECK(epoll_wait(epoll, &got, 1, 60000) == 1);
  c = next(queue);
  seglift_completion_clear(&c);
  CHECK(epoll_wait(epoll, &got, 1, 60000) == 1);
  CHECK(epoll_wait(epoll, &got, 1, 0) == 1);
  c = next(queue);
  seglift_completion_clear(&c);
  CHECK(epoll_wait(epoll, &got, 1, 0) == 0);
  OK(seglift_queue_poll(queue, &c, 1, sizeof c, 0, &n, &err));
  CHECK(n == 0);
  close(epoll);
  end_queue(queue);
}

static atomic_int polled;

static void *poll_until_closed(void *arg) {
  seglift_completion c[3];
  size_t n;
  while (seglift_queue_poll(arg, c, 3, sizeof c[0], -1, &n, NULL) == SEGLIFT_OK) {
    atomic_fetch_add(&polled, (int)n);
    while (n > 0) seglift_completion_clear(&c[--n]);
  }
  return NULL;
}

static void several_threads_poll_one_queue(void) {
  seglift_queue *queue = new_queue(1000);
  seglift_ref ref = ref_to("none");
  pthread_t threads[4];
  int i;
  atomic_store(&polled, 0);
  for (i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, poll_until_closed, queue) == 0);
  for (i = 0; i < 500; i++) OK(seglift_stat_submit(driver, &ref, NULL, queue, NULL, NULL, &err));
  for (i = 0; i < 6000 && atomic_load(&polled) < 500; i++) usleep(10000);
  OK(seglift_queue_shutdown(queue, 30000, &err));
  for (i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  CHECK(atomic_load(&polled) == 500);
  OK(seglift_queue_free(queue, &err));
}

static void *cancel_soon(void *arg) {
  usleep(50000);
  seglift_cancel_request(arg);
  return NULL;
}

static void a_token_cancels_from_another_thread(void) {
  seglift_driver *stuck = new_driver(engine, "fault+memory:?get=*:stall");
  seglift_queue *queue = new_queue(2);
  seglift_call call = seglift_call_init();
  seglift_cancel *cancel = NULL;
  seglift_ref ref = ref_to("k");
  seglift_completion c;
  pthread_t thread;
  char buf[1];
  size_t n;
  OK(seglift_cancel_new(&cancel, &err));
  call.cancel = cancel;
  put(stuck, "k", "x", 1);
  CHECK(pthread_create(&thread, NULL, cancel_soon, cancel) == 0);
  OK(seglift_stat_submit(stuck, &ref, &call, queue, NULL, NULL, &err));
  ENDS(SEGLIFT_CANCELLED, seglift_read_range(stuck, &ref, 0, buf, 1, &call, &n, &err));
  c = next(queue);
  CHECK(c.code == SEGLIFT_CANCELLED);
  seglift_completion_clear(&c);
  pthread_join(thread, NULL);
  seglift_cancel_free(cancel);
  end_queue(queue);
  end_driver(stuck);
}

static void an_operation_ends_by_its_deadline_and_shows_its_progress(void) {
  seglift_driver *stuck = new_driver(engine, "fault+memory:?get=*:stall");
  seglift_queue *queue = new_queue(2);
  seglift_call call = seglift_call_init();
  seglift_progress_info progress = seglift_progress_info_init();
  seglift_ref ref = ref_to("k");
  seglift_completion c;
  seglift_op op = 0;
  char buf[1];
  size_t n;
  call.deadline_ms = 100;
  put(stuck, "k", "x", 1);
  ENDS(SEGLIFT_TIMED_OUT, seglift_read_range(stuck, &ref, 0, buf, 1, &call, &n, &err));
  OK(seglift_read_range_submit(stuck, &ref, 0, buf, 1, NULL, queue, NULL, &op, &err));
  OK(seglift_progress(engine, op, &progress, &err));
  CHECK(progress.state == SEGLIFT_PROGRESS_QUEUED || progress.state == SEGLIFT_PROGRESS_RUNNING);
  OK(seglift_op_cancel(engine, op, &err));
  c = next(queue);
  CHECK(c.code == SEGLIFT_CANCELLED && c.op == op);
  seglift_completion_clear(&c);
  OK(seglift_op_cancel(engine, op, &err));
  OK(seglift_progress(engine, op, &progress, &err));
  CHECK(progress.state == SEGLIFT_PROGRESS_DONE);
  OK(seglift_progress(engine, UINT64_MAX, &progress, &err));
  CHECK(progress.state == SEGLIFT_PROGRESS_UNKNOWN);
  end_queue(queue);
  end_driver(stuck);
}

static void operations_cancelled_at_random_complete_once_each(void) {
  seglift_queue *queue = new_queue(256);
  seglift_ref ref = ref_to("many");
  seglift_completion c[64];
  int many = MANY, submitted = 0, completed = 0, bad = 0, i;
  unsigned char *seen = calloc((size_t)many, 1);
  char *bufs = malloc(256 * 64);
  unsigned seed = 1;
  seglift_op op;
  size_t n;
  put(driver, "many", data, LEN);
  while (completed < many) {
    while (submitted < many) {
      uintptr_t mark = (uintptr_t)submitted;
      seglift_code code = seglift_read_range_submit(driver, &ref, (uint64_t)(submitted % 4000) * 64,
                                                    bufs + submitted % 256 * 64, 64, NULL, queue, (void *)mark, &op, NULL);
      if (code == SEGLIFT_BUSY) break;
      CHECK(code == SEGLIFT_OK);
      seed = seed * 1103515245u + 12345u;
      if (seed >> 30 == 0) OK(seglift_op_cancel(engine, op, &err));
      submitted++;
    }
    OK(seglift_queue_poll(queue, c, 64, sizeof c[0], 60000, &n, &err));
    if (n == 0) break;
    for (i = 0; i < (int)n; i++, completed++) {
      if (seen[(uintptr_t)c[i].user_data]++ != 0) bad++;
      if (c[i].code != SEGLIFT_OK && c[i].code != SEGLIFT_CANCELLED) bad++;
      seglift_completion_clear(&c[i]);
    }
  }
  CHECK(completed == many && bad == 0);
  for (i = 0; i < many; i++) bad += seen[i] != 1;
  CHECK(bad == 0);
  free(seen);
  end_queue(queue);
  free(bufs);
}

struct load {
  seglift_driver *driver;
  seglift_queue *queue;
  int accepted;
};

static void *submit_until_closed(void *arg) {
  struct load *load = arg;
  seglift_ref ref = ref_to("k");
  seglift_code code;
  do {
    code = seglift_stat_submit(load->driver, &ref, NULL, load->queue, NULL, NULL, NULL);
    if (code == SEGLIFT_OK) load->accepted++;
    else usleep(100);
  } while (code == SEGLIFT_OK || code == SEGLIFT_BUSY);
  CHECK(code == SEGLIFT_CLOSED);
  return NULL;
}

static void closing_a_driver_under_load_completes_what_was_accepted(void) {
  struct load loads[3];
  seglift_queue *queue = new_queue(64);
  seglift_driver *busy = new_driver(engine, "memory:");
  pthread_t threads[3], poller;
  int i, accepted = 0;
  put(busy, "k", "x", 1);
  atomic_store(&polled, 0);
  CHECK(pthread_create(&poller, NULL, poll_until_closed, queue) == 0);
  for (i = 0; i < 3; i++) {
    loads[i].driver = busy, loads[i].queue = queue, loads[i].accepted = 0;
    CHECK(pthread_create(&threads[i], NULL, submit_until_closed, &loads[i]) == 0);
  }
  usleep(100000);
  OK(seglift_driver_close(busy, 30000, &err));
  for (i = 0; i < 3; i++) {
    pthread_join(threads[i], NULL);
    accepted += loads[i].accepted;
  }
  OK(seglift_queue_shutdown(queue, 30000, &err));
  pthread_join(poller, NULL);
  CHECK(accepted > 0 && atomic_load(&polled) == accepted);
  seglift_driver_free(busy);
  OK(seglift_queue_free(queue, &err));
}

static void a_queue_that_is_shut_down_refuses_drains_and_is_closed(void) {
  seglift_driver *stuck = new_driver(engine, "fault+memory:?get=*:stall");
  seglift_queue *queue = new_queue(4);
  seglift_ref ref = ref_to("k");
  seglift_completion c;
  size_t n;
  put(stuck, "k", "x", 1);
  OK(seglift_stat_submit(stuck, &ref, NULL, queue, NULL, NULL, &err));
  ENDS(SEGLIFT_BUSY, seglift_queue_free(queue, &err));
  OK(seglift_queue_shutdown(queue, 30000, &err));
  ENDS(SEGLIFT_CLOSED, seglift_stat_submit(stuck, &ref, NULL, queue, NULL, NULL, &err));
  c = next(queue);
  CHECK(c.code == SEGLIFT_CANCELLED);
  seglift_completion_clear(&c);
  ENDS(SEGLIFT_CLOSED, seglift_queue_poll(queue, &c, 1, sizeof c, 0, &n, &err));
  OK(seglift_queue_free(queue, &err));
  end_driver(stuck);
}

static void completions_that_nobody_polled_are_freed_with_their_queue(void) {
  seglift_queue *queue = new_queue(4);
  seglift_segment segment = bytes_segment("unpolled", "x", 1);
  seglift_call call = seglift_call_init();
  struct timespec wait = {0, 10000000};
  seglift_progress_info progress = seglift_progress_info_init();
  seglift_op op;
  int i;
  call.deadline_ms = 20000;
  OK(seglift_offload_segment_submit(driver, &segment, &call, queue, NULL, &op, &err));
  for (i = 0; i < 3000 && progress.state != SEGLIFT_PROGRESS_DONE; i++) {
    nanosleep(&wait, NULL);
    OK(seglift_progress(engine, op, &progress, &err));
  }
  for (i = 0; i < 3000 && seglift_queue_free(queue, NULL) == SEGLIFT_BUSY; i++) nanosleep(&wait, NULL);
  CHECK(i < 3000);
}

int main(void) {
  engine = new_engine();
  driver = new_driver(engine, "memory:");
  data = noise(LEN, 1);
  RUN(every_call_has_an_asynchronous_twin);
  RUN(results_may_be_taken_out_of_a_completion);
  RUN(a_writer_with_a_queue_never_blocks);
  RUN(an_aborted_writer_completes);
  RUN(a_full_queue_is_busy_and_makes_no_completion);
  RUN(a_submit_that_fails_leaves_its_place_free);
  RUN(the_descriptor_is_readable_exactly_while_completions_wait);
  RUN(several_threads_poll_one_queue);
  RUN(a_token_cancels_from_another_thread);
  RUN(an_operation_ends_by_its_deadline_and_shows_its_progress);
  RUN(operations_cancelled_at_random_complete_once_each);
  RUN(closing_a_driver_under_load_completes_what_was_accepted);
  RUN(a_queue_that_is_shut_down_refuses_drains_and_is_closed);
  RUN(completions_that_nobody_polled_are_freed_with_their_queue);
  end_driver(driver);
  OK(seglift_engine_free(engine, &err));
  free(data);
  DONE();
}
