/* SHA-256 (FIPS 180-4), so that the client can show that what came back is what went in. */
#ifndef MINIBROKER_SHA256_H
#define MINIBROKER_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint64_t len;
    uint8_t block[64];
};

void sha256_begin(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t len);
/* Writes 64 hex digits and a terminator. */
void sha256_end(struct sha256 *s, char hex[65]);

#endif
