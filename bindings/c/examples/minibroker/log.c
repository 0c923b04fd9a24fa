#define _GNU_SOURCE
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INDEX_ENTRY = 16, SCAN_PIECE = 1 << 20 };

char *log_path(const struct log *log, const struct segment *segment) {
    return format_string("%s/%020" PRId64 ".log", log->dir, segment->base);
}

/* ---- the list ---- */

struct segment *log_insert(struct log *log, int64_t base) {
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? log->capacity * 2 : 64;
        log->segments = realloc(log->segments, log->capacity * sizeof *log->segments);
        if (log->segments == NULL)
            die("out of memory (%zu segments)", log->capacity);
    }
    struct segment *segment = allocate(sizeof *segment);
    segment->base = segment->next = base;
    segment->fd = -1;
    size_t at = log->count++;
    for (; at > 0 && log->segments[at - 1]->base > base; at--)
        log->segments[at] = log->segments[at - 1];
    log->segments[at] = segment;
    return segment;
}

void log_remove(struct log *log, struct segment *segment) {
    size_t at = 0;
    while (log->segments[at] != segment)
        at++;
    memmove(log->segments + at, log->segments + at + 1, (log->count - at - 1) * sizeof *log->segments);
    log->count--;
    if (segment->fd >= 0)
        close(segment->fd);
    buffer_free(&segment->index);
    free(segment->tier.key);
    free(segment);
}

static struct segment *open_segment(const struct log *log) { return log->segments[log->count - 1]; }

int64_t log_start(const struct log *log) {
    size_t i = 0;
    while (log->segments[i]->expiring)
        i++;
    return log->segments[i]->base;
}

int64_t log_end(const struct log *log) { return open_segment(log)->next; }

struct segment *log_find(const struct log *log, int64_t offset) {
    size_t low = 0, high = log->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->segments[middle]->next <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == log->count || log->segments[low]->base > offset || log->segments[low]->expiring)
        return NULL;
    return log->segments[low];
}

/* ---- index and records ---- */

static void index_add(struct segment *segment, int64_t offset, uint64_t position) {
    struct buffer *index = &segment->index;
    if (index->len > 0 && position - get_u64(index->data + index->len - 8) < INDEX_STEP)
        return;
    uint8_t *entry = buffer_reserve(index, INDEX_ENTRY);
    put_u64(entry, (uint64_t)offset);
    put_u64(entry + 8, position);
    index->len += INDEX_ENTRY;
}

uint64_t index_floor(const struct buffer *index, int64_t offset) {
    size_t low = 0, high = index->len / INDEX_ENTRY;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((int64_t)get_u64(index->data + middle * INDEX_ENTRY) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? 0 : get_u64(index->data + (low - 1) * INDEX_ENTRY + 8);
}

uint64_t records_cut(const uint8_t *data, size_t len, int64_t offset, size_t max, size_t *from, size_t *to) {
    size_t at = 0;
    bool found = false;
    *from = *to = 0;
    while (len - at >= RECORD_HEADER) {
        uint32_t payload = get_u32(data + at);
        if (payload > MAX_PAYLOAD)
            return UINT64_MAX;
        size_t end = at + RECORD_HEADER + payload;
        bool wanted = (int64_t)get_u64(data + at + 8) >= offset;
        if (end > len)
            return found ? 0 : end;
        if (found && end - *from > max)
            return 0;
        if (wanted) {
            if (!found)
                *from = at;
            *to = end;
            found = true;
        }
        at = end;
    }
    return found ? 0 : at + RECORD_HEADER;
}

int log_read(struct segment *segment, int64_t offset, size_t max, struct buffer *out) {
    uint64_t position = index_floor(&segment->index, offset);
    uint64_t left = segment->bytes - position, want = max + INDEX_STEP;
    struct buffer piece = {0};
    for (;;) {
        size_t from, to, len = (size_t)(want < left ? want : left);
        piece.len = 0;
        ssize_t n = pread(segment->fd, buffer_reserve(&piece, len), len, (off_t)position);
        uint64_t need = n < 0 ? UINT64_MAX : records_cut(piece.data, (size_t)n, offset, max, &from, &to);
        if (need == 0) {
            buffer_append(out, piece.data + from, to - from);
            buffer_free(&piece);
            return 0;
        }
        if (need > left) {
            buffer_free(&piece);
            return n < 0 ? -1 : (errno = EIO, -1);
        }
        want = need;
    }
}

/* ---- recovery ---- */

void log_open(struct log *log, const char *dir, uint64_t segment_bytes) {
    *log = (struct log){.segment_bytes = segment_bytes, .dir_fd = -1};
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        die("cannot create %s: %s", dir, strerror(errno));
    log->dir = realpath(dir, NULL);
    log->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log->dir == NULL || log->dir_fd < 0)
        die("cannot open %s: %s", dir, strerror(errno));
    if (flock(log->dir_fd, LOCK_EX | LOCK_NB) != 0)
        die("%s belongs to a broker that is running; stop it or choose another --dir", dir);
}

/* Reads a local copy record by record. Sets next, bytes, crc and index to what is whole. */
static int scan(struct segment *segment) {
    struct buffer piece = {0};
    uint64_t position = 0; /* of the piece's first byte */
    segment->next = segment->base;
    segment->bytes = 0;
    segment->crc = 0;
    segment->index.len = 0;
    for (size_t want = SCAN_PIECE;;) {
        ssize_t n = pread(segment->fd, buffer_reserve(&piece, want), want, (off_t)(position + piece.len));
        if (n < 0) {
            buffer_free(&piece);
            return -1;
        }
        piece.len += (size_t)n;
        size_t at = 0;
        while (piece.len - at >= RECORD_HEADER) {
            const uint8_t *record = piece.data + at;
            uint32_t payload = get_u32(record);
            if (payload > MAX_PAYLOAD || piece.len - at < RECORD_HEADER + (size_t)payload)
                break;
            if (get_u32(record + 4) != crc32c(0, record + 8, 8 + (size_t)payload) ||
                get_u64(record + 8) != (uint64_t)segment->next)
                break;
            index_add(segment, segment->next, position + at);
            segment->crc = crc32c(segment->crc, record, RECORD_HEADER + (size_t)payload);
            at += RECORD_HEADER + (size_t)payload;
            segment->next++;
        }
        position += at;
        memmove(piece.data, piece.data + at, piece.len - at);
        piece.len -= at;
        /* No record ended in a piece as large as the largest record, or the file did: that is all. */
        if (n == 0 || (at == 0 && piece.len >= RECORD_HEADER + MAX_PAYLOAD))
            break;
    }
    segment->bytes = position;
    buffer_free(&piece);
    return 0;
}

static int create_open_segment(struct log *log, int64_t base) {
    char *path = format_string("%s/%020" PRId64 ".log", log->dir, base);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    free(path);
    if (fd < 0)
        return -1;
    if (fsync(log->dir_fd) != 0) {
        close(fd);
        return -1;
    }
    log_insert(log, base)->fd = fd;
    return 0;
}

/* Takes over one file. The list holds what the journal knows about older and newer segments. */
static void recover_file(struct log *log, int64_t base, bool last) {
    struct segment *segment = log_find(log, base);
    if (segment != NULL && segment->base != base)
        die("%s/%020" PRId64 ".log overlaps the segment that begins at %" PRId64, log->dir, base, segment->base);
    for (size_t i = 0; segment == NULL && i < log->count; i++)
        if (log->segments[i]->base == base)
            segment = log->segments[i];
    if (segment == NULL)
        segment = log_insert(log, base);

    struct tier_copy *tier = &segment->tier;
    struct segment told = *segment; /* what the journal says */
    char *path = log_path(log, segment);
    segment->fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat file;
    if (segment->fd < 0 || fstat(segment->fd, &file) != 0 || scan(segment) != 0)
        die("cannot read %s: %s", path, strerror(errno));
    uint64_t size = (uint64_t)file.st_size;
    if (tier->committed || segment->expiring) {
        if (segment->bytes != told.bytes || size != told.bytes) {
            say("%s is damaged and not needed: the tier has the segment, or it has expired", path);
            buffer_free(&segment->index);
            segment->next = told.next;
            segment->bytes = told.bytes;
            if (log_drop_local(log, segment) != 0)
                die("cannot remove %s: %s", path, strerror(errno));
        }
    } else if (segment->bytes < size) {
        if (!last)
            die("%s is damaged after byte %" PRIu64 " and nowhere else; restore it from a backup", path,
                segment->bytes);
        say("%s: %" PRIu64 " bytes of a record that was never acknowledged are cut off", path,
            size - segment->bytes);
        if (ftruncate(segment->fd, (off_t)segment->bytes) != 0)
            die("cannot shorten %s: %s", path, strerror(errno));
    }
    if (!last && !tier->committed)
        segment->sealed_us = (int64_t)file.st_mtim.tv_sec * 1000000 + file.st_mtim.tv_nsec / 1000;
    free(path);
}

static int compare_bases(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void log_recover(struct log *log) {
    DIR *dir = opendir(log->dir);
    if (dir == NULL)
        die("cannot list %s: %s", log->dir, strerror(errno));
    struct buffer bases = {0};
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int64_t base;
        int end = 0;
        if (sscanf(entry->d_name, "%20" SCNd64 ".log%n", &base, &end) == 1 && end == 24 &&
            entry->d_name[end] == 0)
            buffer_append(&bases, &base, sizeof base);
    }
    closedir(dir);
    size_t files = bases.len / sizeof(int64_t);
    if (files > 0)
        qsort(bases.data, files, sizeof(int64_t), compare_bases);
    for (size_t i = 0; i < files; i++) {
        int64_t base;
        memcpy(&base, bases.data + i * sizeof base, sizeof base);
        recover_file(log, base, i + 1 == files);
    }
    buffer_free(&bases);

    for (size_t i = 0; i < log->count; i++) {
        struct segment *segment = log->segments[i];
        if (segment->fd < 0 && !segment->tier.committed && !segment->expiring)
            die("the segment at %" PRId64 " is neither in %s nor in the tier; restore its file", segment->base,
                log->dir);
        /* Retention takes several at a time, and an older one may be the last to go. */
        if (i > 0 && !log->segments[i - 1]->expiring && log->segments[i - 1]->next != segment->base)
            die("%s has a hole: one segment ends before %" PRId64 ", the next begins at %" PRId64, log->dir,
                log->segments[i - 1]->next, segment->base);
    }
    struct segment *last = log->count > 0 ? open_segment(log) : NULL;
    if (last == NULL || last->sealed_us != 0 || last->expiring)
        if (create_open_segment(log, last == NULL ? 0 : last->next) != 0)
            die("cannot create a segment in %s: %s", log->dir, strerror(errno));
}

void log_close(struct log *log) {
    while (log->count > 0)
        log_remove(log, log->segments[log->count - 1]);
    free(log->segments);
    free(log->dir);
    buffer_free(&log->scratch);
    close(log->dir_fd);
}

/* ---- appending ---- */

static int write_fully(int fd, const uint8_t *data, size_t len, uint64_t position) {
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)position);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
        position += (uint64_t)n;
    }
    return 0;
}

int64_t log_append(struct log *log, const uint8_t *batch, size_t len, uint32_t count) {
    struct segment *segment = open_segment(log);
    if (segment->bytes >= log->segment_bytes) {
        if (log_roll(log) != 0)
            return -1;
        segment = open_segment(log);
    }
    struct buffer *out = &log->scratch;
    out->len = 0;
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t payload = len - at >= 4 ? get_u32(batch + at) : UINT32_MAX;
        if (payload > MAX_PAYLOAD || len - at - 4 < payload)
            return errno = EINVAL, -1;
        uint8_t *record = buffer_reserve(out, RECORD_HEADER + (size_t)payload);
        put_u32(record, payload);
        put_u64(record + 8, (uint64_t)segment->next + i);
        memcpy(record + RECORD_HEADER, batch + at + 4, payload);
        put_u32(record + 4, crc32c(0, record + 8, 8 + (size_t)payload));
        out->len += RECORD_HEADER + (size_t)payload;
        at += 4 + (size_t)payload;
    }
    if (at != len)
        return errno = EINVAL, -1;

    if (write_fully(segment->fd, out->data, out->len, segment->bytes) != 0) {
        int why = errno;
        /* If even this fails the rest is torn: the next write covers it, or recovery cuts it off. */
        if (ftruncate(segment->fd, (off_t)segment->bytes) != 0)
            say("cannot shorten the open segment: %s", strerror(errno));
        return errno = why, -1;
    }
    int64_t first = segment->next;
    for (at = 0; at < out->len; at += RECORD_HEADER + (size_t)get_u32(out->data + at))
        index_add(segment, segment->next++, segment->bytes + at);
    segment->crc = crc32c(segment->crc, out->data, out->len);
    segment->bytes += out->len;
    return first;
}

int log_roll(struct log *log) {
    struct segment *segment = open_segment(log);
    if (segment->bytes == 0)
        return 0;
    /* Nothing torn may stay behind the last record of a file that is sealed. */
    if (ftruncate(segment->fd, (off_t)segment->bytes) != 0 || log_sync(log) != 0 ||
        create_open_segment(log, segment->next) != 0)
        return -1;
    segment->sealed_us = now_us();
    return 0;
}

int log_sync(struct log *log) { return fdatasync(open_segment(log)->fd); }

int log_drop_local(struct log *log, struct segment *segment) {
    char *path = log_path(log, segment);
    int result = unlink(path) != 0 && errno != ENOENT ? -1 : 0;
    free(path);
    if (result == 0 && segment->fd >= 0) {
        close(segment->fd);
        segment->fd = -1;
    }
    return result;
}
