#define _GNU_SOURCE
#include "server.h"

#include "protocol.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Each connection has at most one operation in seglift's queue, which is larger than this. */
enum { MAX_CONNECTIONS = 512, RECEIVE_PIECE = 256 << 10 };

struct connection {
    struct server *server;
    int fd;
    uint32_t events;        /* what epoll watches for */
    struct buffer in, out;
    size_t sent;            /* of out */
    struct tier_read *read; /* the request in work waits for it */
    bool waiting;           /* a request is in work */
    bool dead;
    struct connection *previous, *next;
};

/* ---- answers ---- */

static size_t begin_answer(struct connection *c, enum status_code status) {
    size_t at = c->out.len;
    uint8_t *header = buffer_reserve(&c->out, FRAME_HEADER);
    header[4] = (uint8_t)status;
    c->out.len += FRAME_HEADER;
    return at;
}

static void end_answer(struct connection *c, size_t at) {
    put_u32(c->out.data + at, (uint32_t)(c->out.len - at - 4));
}

static void answer(struct connection *c, enum status_code status, const void *body, size_t len) {
    size_t at = begin_answer(c, status);
    buffer_append(&c->out, body, len);
    end_answer(c, at);
}

static void refuse(struct connection *c, enum status_code status, const char *message) {
    answer(c, status, message, strlen(message));
}

static void answer_or_errno(struct connection *c, int result) {
    if (result == 0)
        answer(c, OK, NULL, 0);
    else
        refuse(c, FAILED, strerror(errno));
}

/* ---- requests ---- */

static void serve_append(struct connection *c, const uint8_t *body, size_t len) {
    uint32_t count = len >= 4 ? get_u32(body) : 0;
    if (count == 0) {
        refuse(c, BAD_REQUEST, "APPEND needs at least one record");
        return;
    }
    struct log *log = c->server->log;
    int64_t end = log_end(log), first = log_append(log, body + 4, len - 4, count);
    if (first < 0) {
        if (errno == EINVAL)
            refuse(c, BAD_REQUEST, "APPEND: the records do not fit the frame, or one is larger than 8 MiB");
        else
            refuse(c, FAILED, strerror(errno));
        return;
    }
    uint8_t offset[8];
    put_u64(offset, (uint64_t)end);
    answer(c, OK, offset, sizeof offset);
}

static void answer_records(struct connection *c, const uint8_t *data, size_t len) {
    size_t at = begin_answer(c, OK);
    put_u64(buffer_reserve(&c->out, 8), (uint64_t)log_end(c->server->log));
    c->out.len += 8;
    buffer_append(&c->out, data, len);
    end_answer(c, at);
}

static void progress(struct connection *c);

/* The tier has answered a READ, now or in a completion. */
static void tier_answered(void *owner, enum read_status status, const uint8_t *data, size_t len,
                          const char *message) {
    struct connection *c = owner;
    bool later = c->read != NULL;
    c->read = NULL;
    c->waiting = false;
    if (status == READ_OK)
        answer_records(c, data, len);
    else
        refuse(c, status == READ_RETRY ? RETRY : FAILED, message);
    if (later)
        progress(c);
}

static void serve_read(struct connection *c, const uint8_t *body, size_t len) {
    if (len != 12) {
        refuse(c, BAD_REQUEST, "READ has an offset and a number of bytes");
        return;
    }
    struct log *log = c->server->log;
    int64_t offset = (int64_t)get_u64(body);
    size_t max = get_u32(body + 8) < MAX_READ ? get_u32(body + 8) : MAX_READ;
    if (offset < log_start(log) || offset > log_end(log)) {
        char *message = format_string("offset %" PRId64 " is outside the log, which holds %" PRId64
                                      " to before %" PRId64, offset, log_start(log), log_end(log));
        refuse(c, OUT_OF_RANGE, message);
        free(message);
        return;
    }
    struct segment *segment = log_find(log, offset);
    if (segment == NULL) { /* the end */
        answer_records(c, NULL, 0);
    } else if (segment->fd >= 0) {
        struct buffer records = {0};
        if (log_read(segment, offset, max, &records) == 0)
            answer_records(c, records.data, records.len);
        else
            refuse(c, FAILED, strerror(errno));
        buffer_free(&records);
    } else {
        c->waiting = true;
        c->read = tier_read_begin(c->server->tier, segment, offset, max, tier_answered, c);
    }
}

static const char *state_of(const struct segment *segment) {
    if (segment->sealed_us == 0)
        return "open";
    if (segment->tier.committed)
        return "tiered";
    return segment->offloading ? "offloading" : "sealed";
}

static void serve_stat(struct connection *c) {
    const struct log *log = c->server->log;
    const struct tier *tier = c->server->tier;
    size_t at = begin_answer(c, OK);
    struct buffer *out = &c->out;
    buffer_printf(out, "{\"start\":%" PRId64 ",\"end\":%" PRId64 ",\"offload_before\":%" PRId64, log_start(log),
                  log_end(log), tier->journal.offload_before);
    buffer_printf(out, ",\"tier_open\":%s", tier->driver != NULL ? "true" : "false");
    buffer_printf(out,
                  ",\"offloads\":%" PRIu64 ",\"offload_failures\":%" PRIu64 ",\"drops\":%" PRIu64
                  ",\"deletions\":%" PRIu64,
                  tier->count.offloads, tier->count.offload_failures, tier->count.drops, tier->count.deletions);
    buffer_printf(out,
                  ",\"tier_reads\":%" PRIu64 ",\"tier_reads_cached\":%" PRIu64 ",\"tier_read_failures\":%" PRIu64
                  ",\"segments\":[",
                  tier->count.reads, tier->count.cached_reads, tier->count.read_failures);
    for (size_t i = 0; i < log->count; i++) {
        const struct segment *segment = log->segments[i];
        if (segment->expiring)
            continue;
        buffer_printf(out,
                      "%s\n{\"base\":%" PRId64 ",\"next\":%" PRId64 ",\"bytes\":%" PRIu64
                      ",\"state\":\"%s\",\"local\":%s",
                      segment->base == log_start(log) ? "" : ",", segment->base, segment->next, segment->bytes,
                      state_of(segment), segment->fd >= 0 ? "true" : "false");
        if (segment->tier.committed)
            buffer_printf(out, ",\"object_bytes\":%" PRIu64 ",\"key\":\"%s\"", segment->tier.object_bytes,
                          segment->tier.key);
        buffer_printf(out, "}");
    }
    buffer_printf(out, "]}\n");
    end_answer(c, at);
}

static void serve_offload_before(struct connection *c, const uint8_t *body, size_t len) {
    struct journal *journal = &c->server->tier->journal;
    int64_t offset = len == 8 ? (int64_t)get_u64(body) : -1;
    if (offset < 0) {
        refuse(c, BAD_REQUEST, "OFFLOAD_BEFORE has an offset");
        return;
    }
    /* It only grows: what has been asked for is not taken back. */
    answer_or_errno(c, offset > journal->offload_before ? journal_before(journal, offset) : 0);
}

/* What seglift tells of itself: its metrics or its status. */
static void serve_text(struct connection *c, seglift_code (*tell)(seglift_engine *, seglift_bytes **, seglift_error **)) {
    struct tier *tier = c->server->tier;
    seglift_bytes *text = NULL;
    seglift_error *error = NULL;
    if (tell(tier->engine, &text, &error) == SEGLIFT_OK)
        answer(c, OK, tier->seglift->bytes_data(text), tier->seglift->bytes_len(text));
    else
        refuse(c, FAILED, error != NULL ? tier->seglift->error_message(error) : "nothing is told");
    tier->seglift->bytes_free(text);
    tier->seglift->error_free(error);
}

static void serve(struct connection *c, int operation, const uint8_t *body, size_t len) {
    switch (operation) {
    case APPEND: serve_append(c, body, len); break;
    case READ: serve_read(c, body, len); break;
    case STAT: serve_stat(c); break;
    case SYNC: answer_or_errno(c, log_sync(c->server->log)); break;
    case ROLL: answer_or_errno(c, log_roll(c->server->log)); break;
    case OFFLOAD_BEFORE: serve_offload_before(c, body, len); break;
    case METRICS: serve_text(c, c->server->tier->seglift->metrics); break;
    case STATUS: serve_text(c, c->server->tier->seglift->status); break;
    default: refuse(c, BAD_REQUEST, "unknown operation"); break;
    }
}

/* ---- connections ---- */

static void end_connection(struct connection *c) {
    if (c->dead)
        return;
    c->dead = true;
    struct server *server = c->server;
    if (c->read != NULL)
        tier_read_abandon(server->tier, c->read);
    close(c->fd);
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        server->first = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    c->next = server->dead;
    server->dead = c;
    server->connections--;
}

/* False when the connection broke. */
static bool flush_output(struct connection *c) {
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        c->sent += (size_t)n;
    }
    c->out.len = c->sent = 0;
    return true;
}

/* Serves the frames that have arrived, until one has to wait; then watches for what comes next. */
static void progress(struct connection *c) {
    size_t at = 0;
    bool ok = flush_output(c);
    while (ok && !c->waiting && c->out.len == 0 && c->in.len - at >= FRAME_HEADER) {
        const uint8_t *frame = c->in.data + at;
        uint32_t len = get_u32(frame);
        if (len < 1 || len > MAX_FRAME) {
            say("a client sent a frame of %" PRIu32 " bytes; it is not ours", len);
            ok = false;
            break;
        }
        if (c->in.len - at - 4 < len)
            break;
        serve(c, frame[4], frame + FRAME_HEADER, len - 1);
        at += 4 + (size_t)len;
        ok = flush_output(c);
    }
    if (!ok) {
        end_connection(c);
        return;
    }
    if (at > 0) {
        memmove(c->in.data, c->in.data + at, c->in.len - at);
        c->in.len -= at;
    }
    uint32_t events = c->out.len > 0 ? EPOLLOUT : c->waiting ? 0 : EPOLLIN;
    if (events != c->events) {
        struct epoll_event event = {.events = events, .data.ptr = c};
        epoll_ctl(c->server->epoll, EPOLL_CTL_MOD, c->fd, &event);
        c->events = events;
    }
}

static void receive(struct connection *c) {
    ssize_t n = recv(c->fd, buffer_reserve(&c->in, RECEIVE_PIECE), RECEIVE_PIECE, 0);
    if (n > 0) {
        c->in.len += (size_t)n;
        progress(c);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        end_connection(c);
}

static void accept_connections(struct server *server) {
    for (;;) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (server->connections >= MAX_CONNECTIONS) {
            close(fd);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *c = allocate(sizeof *c);
        *c = (struct connection){.server = server, .fd = fd, .events = EPOLLIN, .next = server->first};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
            close(fd);
            free(c);
            continue;
        }
        if (server->first != NULL)
            server->first->previous = c;
        server->first = c;
        server->connections++;
    }
}

void server_event(struct server *server, void *which, uint32_t events) {
    struct connection *c = which;
    if (which == server)
        accept_connections(server);
    else if (c->dead)
        return;
    else if (events & EPOLLIN)
        receive(c);
    else if (events & EPOLLOUT)
        progress(c);
    else /* EPOLLERR, EPOLLHUP: the client is gone, whatever it waits for */
        end_connection(c);
}

void server_sweep(struct server *server) {
    while (server->dead != NULL) {
        struct connection *c = server->dead;
        server->dead = c->next;
        buffer_free(&c->in);
        buffer_free(&c->out);
        free(c);
    }
}

int server_open(struct server *server, const char *address) {
    const char *colon = strrchr(address, ':');
    if (colon == NULL)
        die("--listen %s: an address is written HOST:PORT", address);
    char *host = format_string("%.*s", (int)(colon - address), address);
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int problem = getaddrinfo(host, colon + 1, &hints, &found);
    if (problem != 0)
        die("--listen %s: %s", address, gai_strerror(problem));
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in bound;
    socklen_t len = sizeof bound;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = server};
    if (bind(server->listener, found->ai_addr, found->ai_addrlen) != 0 || listen(server->listener, 128) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&bound, &len) != 0 ||
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &event) != 0)
        die("cannot listen at %s: %s", address, strerror(errno));
    freeaddrinfo(found);
    free(host);
    return ntohs(bound.sin_port);
}

void server_close(struct server *server) {
    while (server->first != NULL)
        end_connection(server->first);
    server_sweep(server);
    close(server->listener);
}
