/* What every part of minibroker needs: growing buffers, little-endian numbers, time, talk. */
#ifndef MINIBROKER_UTIL_H
#define MINIBROKER_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that grow at their end. Zero-initialised is empty; buffer_free makes it empty again. */
struct buffer {
    uint8_t *data;
    size_t len, capacity;
};

/* Makes room for `more` bytes after the end and returns where they go; `len` stays. */
uint8_t *buffer_reserve(struct buffer *b, size_t more);
void buffer_append(struct buffer *b, const void *data, size_t len);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_free(struct buffer *b);

/* Memory or the end of the process: a broker without memory has nothing better to do. */
void *allocate(size_t size);
char *format_string(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint32_t get_u32(const uint8_t *p);
uint64_t get_u64(const uint8_t *p);
void put_u32(uint8_t *p, uint32_t v);
void put_u64(uint8_t *p, uint64_t v);

/* CRC-32C of `data`, continued from `crc` (0 at the start). */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* Microseconds since 1970. */
int64_t now_us(void);

/* One line on stderr, with the time. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, and the process ends with status 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
