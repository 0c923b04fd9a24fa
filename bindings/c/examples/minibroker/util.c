#define _GNU_SOURCE
#include "util.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void *allocate(size_t size) {
    void *p = calloc(1, size);
    if (p == NULL)
        die("out of memory (%zu bytes)", size);
    return p;
}

char *format_string(const char *format, ...) {
    struct buffer b = {0};
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    va_start(args, format);
    vsnprintf((char *)buffer_reserve(&b, (size_t)len + 1), (size_t)len + 1, format, args);
    va_end(args);
    return (char *)b.data;
}

uint8_t *buffer_reserve(struct buffer *b, size_t more) {
    if (b->capacity - b->len < more) {
        size_t capacity = b->capacity < 64 ? 64 : b->capacity;
        while (capacity - b->len < more)
            capacity *= 2;
        uint8_t *data = realloc(b->data, capacity);
        if (data == NULL)
            die("out of memory (%zu bytes)", capacity);
        b->data = data;
        b->capacity = capacity;
    }
    return b->data + b->len;
}

void buffer_append(struct buffer *b, const void *data, size_t len) {
    if (len == 0)
        return;
    memcpy(buffer_reserve(b, len), data, len);
    b->len += len;
}

void buffer_printf(struct buffer *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    va_start(args, format);
    vsnprintf((char *)buffer_reserve(b, (size_t)len + 1), (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
}

void buffer_free(struct buffer *b) {
    free(b->data);
    *b = (struct buffer){0};
}

uint32_t get_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t get_u64(const uint8_t *p) { return get_u32(p) | (uint64_t)get_u32(p + 4) << 32; }

void put_u32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

void put_u64(uint8_t *p, uint64_t v) {
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}

/* Eight bytes a step: table k holds the remainder of a byte that has k bytes behind it. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len) {
    static uint32_t table[8][256];
    if (table[0][1] == 0) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t r = i;
            for (int bit = 0; bit < 8; bit++)
                r = r >> 1 ^ (r & 1 ? 0x82f63b78 : 0);
            table[0][i] = r;
        }
        for (int k = 1; k < 8; k++)
            for (int i = 0; i < 256; i++)
                table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
    }
    const uint8_t *p = data;
    crc = ~crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint32_t low = crc ^ get_u32(p), high = get_u32(p + 4);
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^
              table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^
              table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
    }
    for (; len > 0; len--, p++)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return ~crc;
}

int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void say_args(const char *format, va_list args) {
    struct timespec t;
    struct tm tm;
    char text[1024];
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "%02d:%02d:%02d.%03ld %s\n", tm.tm_hour, tm.tm_min, tm.tm_sec, t.tv_nsec / 1000000, text);
}

void say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say_args(format, args);
    va_end(args);
}

void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say_args(format, args);
    va_end(args);
    exit(1);
}
