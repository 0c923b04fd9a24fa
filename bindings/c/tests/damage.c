/* Where a damaged segment is damaged, and what of it can still be read. */
#include <unistd.h>

#include "check.h"

enum { BLOCK = 64 << 10, BLOCKS = 5, LEN = BLOCKS * BLOCK - 100 };

static char folder[] = "/tmp/seglift-test-XXXXXX";

static void object_path(char path[300], const char *key) { snprintf(path, 300, "%s/%s", folder, key); }

/* Flips a bit of the object. */
static void damage_at(const char *key, long at) {
  char path[300], fresh[310];
  unsigned char *bytes = malloc(1 << 20);
  size_t len;
  FILE *file;
  object_path(path, key);
  file = fopen(path, "rb");
  len = file == NULL || bytes == NULL ? 0 : fread(bytes, 1, 1 << 20, file);
  CHECK(len > 0 && at < (long)len);
  if (file != NULL) fclose(file);
  bytes[at < 0 ? (long)len + at : at] ^= 4;
  /* Objects are never changed in place. */
  snprintf(fresh, sizeof fresh, "%s.new", path);
  file = fopen(fresh, "wb");
  CHECK(file != NULL && fwrite(bytes, 1, len, file) == len && fclose(file) == 0 && rename(fresh, path) == 0);
  free(bytes);
}

static seglift_driver *new_place(seglift_engine *engine) {
  char uri[64];
  strcpy(folder, "/tmp/seglift-test-XXXXXX");
  CHECK(mkdtemp(folder) != NULL);
  snprintf(uri, sizeof uri, "file://%s", folder);
  return new_driver(engine, uri);
}

static void end_place(seglift_driver *driver, seglift_engine *engine, const char *key) {
  char path[300];
  end_driver(driver);
  OK(seglift_engine_free(engine, &err));
  object_path(path, key);
  unlink(path);
  rmdir(folder);
}

static void a_sound_segment_has_no_damage(void) {
  seglift_engine *engine = new_engine();
  seglift_driver *driver = new_place(engine);
  seglift_ref ref = ref_to("k");
  seglift_damage *damage = NULL;
  seglift_damage_entry entry = seglift_damage_entry_init();
  seglift_verify_report report = seglift_verify_report_init();
  put(driver, "k", "segment", 7);
  OK(seglift_verify_damage(driver, &ref, NULL, &report, &damage, &err));
  CHECK(damage != NULL && seglift_damage_len(damage) == 0 && report.blocks == 1);
  ENDS(SEGLIFT_OUT_OF_RANGE, seglift_damage_get(damage, 0, &entry, &err));
  seglift_damage_free(damage);
  seglift_damage_free(NULL);
  CHECK(seglift_damage_len(NULL) == 0);
  ref = ref_to("nosuch");
  ENDS(SEGLIFT_NOT_FOUND, seglift_verify_damage(driver, &ref, NULL, NULL, &damage, &err));
  CHECK(damage == NULL);
  ENDS(SEGLIFT_INVALID_ARGUMENT, seglift_verify_damage(driver, &ref, NULL, NULL, NULL, &err));
  end_place(driver, engine, "k");
}

static void damaged_blocks_are_named_and_everything_else_can_be_read(void) {
  seglift_engine *engine = new_engine();
  seglift_driver *driver = new_place(engine);
  seglift_ref ref = ref_to("k");
  seglift_damage *damage = NULL;
  seglift_damage_entry entry = seglift_damage_entry_init();
  seglift_verify_report report = seglift_verify_report_init();
  seglift_call past_caches = seglift_call_init();
  unsigned char *bytes = noise(LEN, 7), *back = malloc(LEN);
  seglift_segment segment = bytes_segment("k", bytes, LEN);
  size_t n = 0;
  /* So that block n stands at n times the block size. */
  segment.codec = SEGLIFT_CODEC_NONE;
  OK(seglift_offload_segment(driver, &segment, NULL, NULL, &err));
  damage_at("k", BLOCK + 5);
  damage_at("k", 2 * BLOCK);
  ENDS(SEGLIFT_CORRUPT, seglift_verify_damage(driver, &ref, NULL, &report, &damage, &err));
  CHECK(report.bad_blocks == 2 && seglift_damage_len(damage) == 1);
  OK(seglift_damage_get(damage, 0, &entry, &err));
  CHECK(entry.part == SEGLIFT_PART_BLOCK && entry.blocks == 2 && entry.has_records == 0);
  CHECK(entry.offset == BLOCK && entry.bytes == 2 * BLOCK);
  CHECK(entry.position == BLOCK && entry.stored_bytes == 2 * BLOCK);
  CHECK(strcmp(entry.attachment, "") == 0 && seglift_error_code(entry.error) == SEGLIFT_CORRUPT);
  past_caches.flags = SEGLIFT_CALL_NO_CACHE;
  OK(seglift_read_range(driver, &ref, 0, back, (size_t)entry.offset, &past_caches, &n, &err));
  CHECK(n == entry.offset && memcmp(back, bytes, n) == 0);
  OK(seglift_read_range(driver, &ref, entry.offset + entry.bytes, back, LEN, &past_caches, &n, &err));
  CHECK(n == LEN - 3 * BLOCK && memcmp(back, bytes + 3 * BLOCK, n) == 0);
  ENDS(SEGLIFT_CORRUPT, seglift_read_range(driver, &ref, entry.offset, back, 1, &past_caches, &n, &err));
  seglift_damage_free(damage);
  free(bytes);
  free(back);
  end_place(driver, engine, "k");
}

static void a_lost_tail_is_damage_of_which_nothing_more_is_known(void) {
  seglift_engine *engine = new_engine();
  seglift_driver *driver = new_place(engine);
  seglift_ref ref = ref_to("k");
  seglift_damage *damage = NULL;
  seglift_damage_entry entry = seglift_damage_entry_init();
  put(driver, "k", "segment", 7);
  damage_at("k", -1);
  ENDS(SEGLIFT_CORRUPT, seglift_verify_damage(driver, &ref, NULL, NULL, &damage, &err));
  CHECK(seglift_damage_len(damage) == 1);
  OK(seglift_damage_get(damage, 0, &entry, &err));
  CHECK(entry.part == SEGLIFT_PART_TAIL && entry.bytes == 0);
  seglift_damage_free(damage);
  end_place(driver, engine, "k");
}

int main(void) {
  RUN(a_sound_segment_has_no_damage);
  RUN(damaged_blocks_are_named_and_everything_else_can_be_read);
  RUN(a_lost_tail_is_damage_of_which_nothing_more_is_known);
  DONE();
}
