/* Ends in the middle of work: a driver that is closed under load, a fork with operations in flight. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define THREADS 6
#define PLACES 64

static seglift_engine *engine;

/* What several threads do with one driver until it is closed. */
struct work {
  seglift_driver *driver;
  seglift_queue *queue;
  atomic_long begun, refused, submitted, wrong;
};

/* How a call may end while somebody closes its driver. */
static int is_expected(seglift_code code) {
  return code == SEGLIFT_OK || code == SEGLIFT_CLOSED || code == SEGLIFT_CANCELLED || code == SEGLIFT_OUTCOME_UNKNOWN;
}

static void *use_until_closed(void *arg) {
  struct work *work = arg;
  long n = atomic_fetch_add(&work->begun, 1);
  unsigned char *data = noise(100000, (uint32_t)n);
  char key[32], buf[1000];
  seglift_segment segment;
  seglift_ref ref = ref_to(key);
  int i, closed = 0;
  for (i = 0; !closed && i < 100000; i++) {
    seglift_code codes[4];
    size_t k, read;
    snprintf(key, sizeof key, "%ld/%d", n, i);
    segment = bytes_segment(key, data, 100000);
    codes[0] = seglift_offload_segment(work->driver, &segment, NULL, NULL, NULL);
    codes[1] = codes[0] != SEGLIFT_OK ? codes[0] : seglift_read_range(work->driver, &ref, 10, buf, sizeof buf, NULL, &read, NULL);
    codes[2] = seglift_stat_submit(work->driver, &ref, NULL, work->queue, NULL, NULL, NULL);
    if (codes[2] == SEGLIFT_OK) atomic_fetch_add(&work->submitted, 1);
    if (codes[2] == SEGLIFT_BUSY) codes[2] = SEGLIFT_OK; /* the queue has no place: polled too slowly */
    codes[3] = codes[1] != SEGLIFT_OK ? codes[1] : memcmp(buf, data + 10, sizeof buf) == 0 ? SEGLIFT_OK : SEGLIFT_CORRUPT;
    for (k = 0; k < 4; k++) {
      if (!is_expected(codes[k])) atomic_fetch_add(&work->wrong, 1);
      if (codes[k] == SEGLIFT_CLOSED) closed = 1;
    }
  }
  atomic_fetch_add(&work->refused, closed);
  free(data);
  return NULL;
}

/* Polls what is there, or until nothing more can come; counts. */
static long poll_all(seglift_queue *queue, int64_t timeout_ms) {
  seglift_completion out[16];
  long count = 0;
  size_t n, i;
  seglift_code code;
  do {
    n = 0;
    code = seglift_queue_poll(queue, out, 16, sizeof *out, timeout_ms, &n, NULL);
    for (i = 0; i < n; i++) {
      count++;
      /* The key that is asked for was committed, or the driver was closed before. */
      CHECK(is_expected(out[i].code) || out[i].code == SEGLIFT_NOT_FOUND);
      seglift_completion_clear(&out[i]);
    }
  } while (n > 0 && code == SEGLIFT_OK);
  return count;
}

static void a_driver_that_is_closed_under_load_ends_every_call_once(void) {
  int round, rounds = getenv("SEGLIFT_TEST_SLOW") != NULL ? 2 : 10;
  for (round = 0; round < rounds; round++) {
    struct work work = {new_driver(engine, "memory:"), NULL, 0, 0, 0, 0};
    pthread_t threads[THREADS];
    long polled = 0;
    int i;
    OK(seglift_queue_new(engine, PLACES, &work.queue, &err));
    for (i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, use_until_closed, &work) == 0);
    while (atomic_load(&work.submitted) < 20 * (round + 1)) polled += poll_all(work.queue, 1);
    OK(seglift_driver_close(work.driver, 30000, &err));
    for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    OK(seglift_queue_shutdown(work.queue, 30000, &err));
    polled += poll_all(work.queue, 0);
    CHECK(polled == atomic_load(&work.submitted));
    CHECK(atomic_load(&work.wrong) == 0 && atomic_load(&work.refused) == THREADS);
    OK(seglift_queue_free(work.queue, &err));
    seglift_driver_free(work.driver);
  }
}

static void a_fork_with_operations_in_flight_harms_neither_process(void) {
  seglift_driver *stuck = new_driver(engine, "fault+memory:?get=*:stall&put=*:stall");
  seglift_segment segment = bytes_segment("k", "x", 1);
  seglift_ref ref = ref_to("k");
  seglift_queue *queue = NULL;
  int i, status = 0;
  pid_t child;
  OK(seglift_queue_new(engine, 40, &queue, &err));
  for (i = 0; i < 20; i++) {
    OK(seglift_stat_submit(stuck, &ref, NULL, queue, NULL, NULL, &err));
    OK(seglift_offload_segment_submit(stuck, &segment, NULL, queue, NULL, NULL, &err));
  }
  fflush(stdout);
  child = fork();
  if (child == 0) {
    /* None of the operations is here, and nobody waits for them. */
    seglift_driver *fresh = NULL;
    seglift_completion c;
    size_t n;
    alarm(60);
    check_failed = 0;
    ENDS(SEGLIFT_FORKED, seglift_queue_poll(queue, &c, 1, sizeof c, -1, &n, &err));
    ENDS(SEGLIFT_FORKED, seglift_driver_close(stuck, -1, &err));
    OK(seglift_queue_free(queue, &err));
    seglift_driver_free(stuck);
    OK(seglift_open(NULL, "memory:", NULL, &fresh, &err));
    put(fresh, "k", "y", 1);
    end_driver(fresh);
    fflush(stdout);
    _exit(check_failed == 0 ? 0 : 1);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  OK(seglift_queue_shutdown(queue, 30000, &err));
  CHECK(poll_all(queue, 0) == 40);
  OK(seglift_queue_free(queue, &err));
  end_driver(stuck);
}

int main(void) {
  engine = new_engine();
  RUN(a_driver_that_is_closed_under_load_ends_every_call_once);
  /* The address sanitizer's allocator is not prepared for a fork: a lock that another thread holds stays held in the child. */
  if (getenv("SEGLIFT_SANITIZE") == NULL) RUN(a_fork_with_operations_in_flight_harms_neither_process);
  OK(seglift_engine_free(engine, &err));
  DONE();
}
