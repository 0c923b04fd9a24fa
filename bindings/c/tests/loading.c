/* The table, two copies of the library in one process, and dlclose. Not linked with the library: it is loaded.
 * argv: the library, a copy of it under another name. */
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include "check.h"

static const char *path, *copy;

static const seglift_api *load(const char *file, void **library) {
  union {
    void *symbol;
    const seglift_api *(*get_api)(uint32_t abi_major);
  } u;
  *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (*library == NULL) {
    printf("# %s\n", dlerror());
    return NULL;
  }
  u.symbol = dlsym(*library, "seglift_get_api");
  return u.symbol == NULL ? NULL : u.get_api(SEGLIFT_ABI_MAJOR);
}

static void use(const seglift_api *api, const char *key) {
  seglift_driver *driver = NULL;
  seglift_segment segment = seglift_segment_init();
  seglift_ref ref = seglift_ref_init();
  char buf[3];
  size_t n = 0;
  CHECK(api->open(NULL, "memory:", NULL, &driver, NULL) == SEGLIFT_OK);
  segment.key = ref.key = key;
  segment.source = SEGLIFT_SOURCE_BYTES;
  segment.data = "abc";
  segment.length = 3;
  CHECK(api->offload_segment(driver, &segment, NULL, NULL, NULL) == SEGLIFT_OK);
  CHECK(api->read_range(driver, &ref, 0, buf, 3, NULL, &n, NULL) == SEGLIFT_OK && n == 3);
  CHECK(api->driver_close(driver, 30000, NULL) == SEGLIFT_OK);
  api->driver_free(driver);
}

static void one_dlopen_and_one_dlsym_give_every_function(void) {
  void *library;
  const seglift_api *api = load(path, &library);
  const void *const *entry;
  CHECK(api != NULL);
  if (api == NULL) return;
  CHECK(api->size == sizeof *api && api->abi_major == SEGLIFT_ABI_MAJOR);
  CHECK(api->abi_version() == (SEGLIFT_ABI_MAJOR << 16 | api->abi_minor) && strlen(api->version()) > 4);
  entry = (const void *const *)(const void *)((const char *)api + offsetof(seglift_api, version));
  for (; (const char *)entry < (const char *)api + api->size; entry++) CHECK(*entry != NULL);
  use(api, "one");
}

static void another_major_has_no_table(void) {
  union {
    void *symbol;
    const seglift_api *(*get_api)(uint32_t abi_major);
  } u;
  void *library = dlopen(path, RTLD_NOW);
  u.symbol = dlsym(library, "seglift_get_api");
  CHECK(u.get_api(SEGLIFT_ABI_MAJOR + 1) == NULL && u.get_api(0) == NULL);
}

static void two_copies_live_in_one_process(void) {
  void *first, *second;
  const seglift_api *a = load(path, &first), *b = load(copy, &second);
  seglift_driver *driver = NULL;
  CHECK(a != NULL && b != NULL && a != b);
  if (a == NULL || b == NULL) return;
  use(a, "a");
  use(b, "b");
  CHECK(a->open(NULL, "memory:", NULL, &driver, NULL) == SEGLIFT_OK);
  use(b, "c");
  CHECK(a->driver_close(driver, 30000, NULL) == SEGLIFT_OK);
  a->driver_free(driver);
}

struct copy_at_work {
  const seglift_api *api;
  const char *key;
};

static void *work_with_a_copy(void *arg) {
  const struct copy_at_work *copy_at_work = arg;
  int i, rounds = getenv("SEGLIFT_TEST_SLOW") != NULL ? 3 : 30;
  for (i = 0; i < rounds; i++) use(copy_at_work->api, copy_at_work->key);
  return NULL;
}

static void copies_that_are_used_at_once_know_nothing_of_each_other(void) {
  void *first, *second;
  struct copy_at_work a = {load(path, &first), "a"}, b = {load(copy, &second), "b"};
  seglift_driver *driver = NULL;
  seglift_engine *engine = NULL;
  seglift_bytes *text = NULL;
  pthread_t threads[4];
  int i;
  CHECK(a.api != NULL && b.api != NULL);
  if (a.api == NULL || b.api == NULL) return;
  for (i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, work_with_a_copy, i % 2 == 0 ? &a : &b) == 0);
  /* An engine of one comes and goes meanwhile, and its file is closed. */
  CHECK(a.api->engine_open(NULL, &engine, NULL) == SEGLIFT_OK);
  CHECK(a.api->open(engine, "memory:", NULL, &driver, NULL) == SEGLIFT_OK);
  CHECK(a.api->driver_close(driver, 30000, NULL) == SEGLIFT_OK);
  a.api->driver_free(driver);
  CHECK(a.api->engine_free(engine, NULL) == SEGLIFT_OK);
  for (i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  CHECK(dlclose(first) == 0);
  use(b.api, "later");
  CHECK(b.api->status(NULL, &text, NULL) == SEGLIFT_OK && b.api->bytes_len(text) > 0);
  b.api->bytes_free(text);
}

static void dlclose_with_operations_in_flight_is_harmless(void) {
  void *library;
  const seglift_api *api = load(path, &library);
  seglift_driver *driver = NULL;
  seglift_queue *queue = NULL;
  seglift_ref ref = seglift_ref_init();
  seglift_call call = seglift_call_init();
  int i;
  if (api == NULL) return;
  ref.key = "k";
  call.deadline_ms = 100;
  CHECK(api->open(NULL, "fault+memory:?get=*:stall", NULL, &driver, NULL) == SEGLIFT_OK);
  CHECK(api->queue_new(NULL, 100, &queue, NULL) == SEGLIFT_OK);
  for (i = 0; i < 100; i++) CHECK(api->stat_submit(driver, &ref, &call, queue, NULL, NULL, NULL) == SEGLIFT_OK);
  CHECK(dlclose(library) == 0);
  usleep(300000);
  CHECK(api->queue_shutdown(queue, 30000, NULL) == SEGLIFT_OK);
  CHECK(api->driver_close(driver, 30000, NULL) == SEGLIFT_OK);
  api->driver_free(driver);
  CHECK(api->queue_free(queue, NULL) == SEGLIFT_OK);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  path = argv[1];
  copy = argv[2];
  RUN(one_dlopen_and_one_dlsym_give_every_function);
  RUN(another_major_has_no_table);
  RUN(two_copies_live_in_one_process);
  RUN(copies_that_are_used_at_once_know_nothing_of_each_other);
  RUN(dlclose_with_operations_in_flight_is_harmless);
  DONE();
}
