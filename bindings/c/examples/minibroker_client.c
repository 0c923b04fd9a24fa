/* A client of minibroker: produces, consumes, and asks what is where. See usage below.
 *
 * Progress and talk go to stderr, data to stdout. Exit status: 0 done, 1 the broker refused or the
 * connection broke, 2 wrong use.
 */
#define _GNU_SOURCE
#include "minibroker/log.h"
#include "minibroker/protocol.h"
#include "minibroker/sha256.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: minibroker_client HOST:PORT COMMAND [OPTION...]\n"
    "\n"
    "  produce [--lines | --record-bytes N] [FILE...]\n"
    "                      appends the files (- or none: stdin), one record for each line or for each\n"
    "                      N bytes (4096); prints records, bytes and their SHA-256\n"
    "  consume [--from OFFSET] [--digest]\n"
    "                      writes the payloads up to the log's end to stdout; with --digest it prints\n"
    "                      records, bytes and their SHA-256 instead\n"
    "  settle [--seconds N]\n"
    "                      seals the open segment, then waits until the broker has dropped every local\n"
    "                      copy but the open segment's; prints what is where\n"
    "  stat                the broker's state as JSON\n"
    "  metrics             seglift's metrics\n"
    "  status              what seglift is doing, as JSON\n"
    "  roll | sync         seals the open segment | makes everything safe on the disk\n"
    "  offload-before OFFSET\n"
    "                      sends what lies before OFFSET to the tier, whatever the thresholds say\n";

/* The tier may be away for a moment; a consumer asks again for so long. */
enum { RETRY_FOR_S = 60, BATCH_BYTES = 1 << 20, DEFAULT_RECORD = 4096 };

static int broker;

static void connect_to(const char *address) {
    const char *colon = strrchr(address, ':');
    if (colon == NULL)
        die("%s: an address is written HOST:PORT", address);
    char *host = format_string("%.*s", (int)(colon - address), address);
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int problem = getaddrinfo(host, colon + 1, &hints, &found);
    if (problem != 0)
        die("%s: %s", address, gai_strerror(problem));
    broker = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (broker < 0 || connect(broker, found->ai_addr, found->ai_addrlen) != 0)
        die("cannot connect to %s: %s; is the broker running?", address, strerror(errno));
    /* A request is a header and a body in two sends: without this the second waits 40 ms for the first's
     * acknowledgement. */
    setsockopt(broker, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    freeaddrinfo(found);
    free(host);
}

static void send_all(const uint8_t *data, size_t len) {
    while (len > 0) {
        ssize_t n = send(broker, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("the connection broke: %s", strerror(errno));
        data += n;
        len -= (size_t)n;
    }
}

static void receive_all(uint8_t *data, size_t len) {
    while (len > 0) {
        ssize_t n = recv(broker, data, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            die("the broker closed the connection");
        data += n;
        len -= (size_t)n;
    }
}

/* One request; fills `answer` with the body and returns the status. */
static enum status_code ask(enum operation_code operation, const void *body, size_t len, struct buffer *answer) {
    uint8_t header[FRAME_HEADER];
    put_u32(header, (uint32_t)len + 1);
    header[4] = (uint8_t)operation;
    send_all(header, sizeof header);
    send_all(body, len);
    receive_all(header, sizeof header);
    answer->len = 0;
    size_t answer_len = get_u32(header) - 1;
    receive_all(buffer_reserve(answer, answer_len + 1), answer_len);
    answer->len = answer_len;
    answer->data[answer_len] = 0;
    return (enum status_code)header[4];
}

/* One request that must succeed. */
static void demand(enum operation_code operation, const void *body, size_t len, struct buffer *answer) {
    if (ask(operation, body, len, answer) != OK)
        die("the broker refused: %s", (const char *)answer->data);
}

/* What went in or came out. */
struct tally {
    uint64_t records, bytes;
    struct sha256 digest;
    time_t shown;
};

static void count(struct tally *t, const void *payload, size_t len) {
    t->records++;
    t->bytes += len;
    sha256_add(&t->digest, payload, len);
}

static void show_progress(struct tally *t, const char *what) {
    time_t now = time(NULL);
    if (now == t->shown)
        return;
    if (t->shown != 0)
        fprintf(stderr, "  %s %" PRIu64 " MiB\n", what, t->bytes >> 20);
    t->shown = now;
}

static void print_tally(struct tally *t) {
    char hex[65];
    sha256_end(&t->digest, hex);
    printf("%" PRIu64 " records %" PRIu64 " bytes sha256 %s\n", t->records, t->bytes, hex);
}

/* ---- produce ---- */

struct batch {
    struct buffer body;
    uint32_t records;
};

static void send_batch(struct batch *batch, struct buffer *answer) {
    if (batch->records == 0)
        return;
    put_u32(batch->body.data, batch->records);
    demand(APPEND, batch->body.data, batch->body.len, answer);
    batch->body.len = 4;
    batch->records = 0;
}

static void produce_stream(FILE *in, bool lines, size_t record_bytes, struct batch *batch, struct tally *tally,
                           struct buffer *answer) {
    char *line = NULL;
    size_t capacity = 0;
    if (!lines)
        line = allocate(record_bytes);
    for (;;) {
        ssize_t len = lines ? getline(&line, &capacity, in) : (ssize_t)fread(line, 1, record_bytes, in);
        if (len <= 0)
            break;
        if (len > MAX_PAYLOAD)
            die("a line has %zd bytes; a record holds at most %d", len, MAX_PAYLOAD);
        if (batch->body.len + 4 + (size_t)len > BATCH_BYTES)
            send_batch(batch, answer);
        uint8_t word[4];
        put_u32(word, (uint32_t)len);
        buffer_append(&batch->body, word, sizeof word);
        buffer_append(&batch->body, line, (size_t)len);
        batch->records++;
        count(tally, line, (size_t)len);
        show_progress(tally, "produced");
    }
    if (ferror(in))
        die("cannot read the input: %s", strerror(errno));
    free(line);
}

static void produce(int argc, char **argv) {
    static const struct option known[] = {{"lines", no_argument, NULL, 'l'},
                                          {"record-bytes", required_argument, NULL, 'b'},
                                          {NULL, 0, NULL, 0}};
    bool lines = false;
    size_t record_bytes = DEFAULT_RECORD;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'l')
            lines = true;
        else if (c == 'b')
            record_bytes = (size_t)strtoul(optarg, NULL, 10);
        else
            exit(2);
    }
    if (record_bytes < 1 || record_bytes > MAX_PAYLOAD)
        die("--record-bytes: 1 to %d", MAX_PAYLOAD);
    struct batch batch = {0};
    struct buffer answer = {0};
    struct tally tally = {0};
    sha256_begin(&tally.digest);
    buffer_append(&batch.body, "\0\0\0\0", 4);
    if (optind == argc)
        produce_stream(stdin, lines, record_bytes, &batch, &tally, &answer);
    for (int i = optind; i < argc; i++) {
        FILE *in = strcmp(argv[i], "-") == 0 ? stdin : fopen(argv[i], "rb");
        if (in == NULL)
            die("cannot open %s: %s", argv[i], strerror(errno));
        produce_stream(in, lines, record_bytes, &batch, &tally, &answer);
        if (in != stdin)
            fclose(in);
    }
    send_batch(&batch, &answer);
    print_tally(&tally);
    buffer_free(&batch.body);
    buffer_free(&answer);
}

/* ---- consume ---- */

/* Takes whole records in order and returns the offset that comes next. */
static int64_t take_records(const struct buffer *answer, int64_t offset, struct tally *tally, bool print) {
    for (size_t at = 8; at < answer->len;) {
        const uint8_t *record = answer->data + at;
        size_t left = answer->len - at, len = left >= RECORD_HEADER ? get_u32(record) : 0;
        if (left < RECORD_HEADER + len || get_u64(record + 8) != (uint64_t)offset ||
            get_u32(record + 4) != crc32c(0, record + 8, 8 + len))
            die("the record at offset %" PRId64 " is damaged", offset);
        count(tally, record + RECORD_HEADER, len);
        if (print && fwrite(record + RECORD_HEADER, 1, len, stdout) != len)
            die("cannot write: %s", strerror(errno));
        at += RECORD_HEADER + len;
        offset++;
    }
    return offset;
}

static int64_t first_offset(struct buffer *answer) {
    demand(STAT, NULL, 0, answer);
    return strtoll(strstr((char *)answer->data, "\"start\":") + strlen("\"start\":"), NULL, 10);
}

static void consume(int argc, char **argv) {
    static const struct option known[] = {
        {"from", required_argument, NULL, 'f'}, {"digest", no_argument, NULL, 'd'}, {NULL, 0, NULL, 0}};
    struct buffer answer = {0};
    int64_t offset = -1;
    bool digest = false;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'f')
            offset = strtoll(optarg, NULL, 10);
        else if (c == 'd')
            digest = true;
        else
            exit(2);
    }
    if (offset < 0)
        offset = first_offset(&answer);
    struct tally tally = {0};
    sha256_begin(&tally.digest);
    for (time_t give_up = 0;;) {
        uint8_t body[12];
        put_u64(body, (uint64_t)offset);
        put_u32(body + 8, BATCH_BYTES);
        enum status_code status = ask(READ, body, sizeof body, &answer);
        if (status == RETRY) {
            time_t now = time(NULL);
            give_up = give_up != 0 ? give_up : now + RETRY_FOR_S;
            if (now < give_up) {
                nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL);
                continue;
            }
        }
        if (status != OK)
            die("the broker refused: %s", (const char *)answer.data);
        give_up = 0;
        if (answer.len < 8)
            die("the broker's answer is too short");
        if (answer.len == 8)
            break;
        offset = take_records(&answer, offset, &tally, !digest);
        show_progress(&tally, "consumed");
    }
    if (digest)
        print_tally(&tally);
    else if (fflush(stdout) != 0)
        die("cannot write: %s", strerror(errno));
    buffer_free(&answer);
}

/* ---- settle ---- */

/* How often `what` occurs. */
static unsigned occurrences(const char *text, const char *what) {
    unsigned n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

static uint64_t sum(const char *text, const char *name) {
    uint64_t total = 0;
    for (; (text = strstr(text, name)) != NULL;)
        total += strtoull(text += strlen(name), NULL, 10);
    return total;
}

static void settle(int argc, char **argv) {
    static const struct option known[] = {{"seconds", required_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    long seconds = 60;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c != 's')
            exit(2);
        seconds = strtol(optarg, NULL, 10);
    }
    struct buffer answer = {0};
    demand(ROLL, NULL, 0, &answer);
    time_t begin = time(NULL), shown = begin;
    for (;;) {
        demand(STAT, NULL, 0, &answer);
        const char *state = (const char *)answer.data;
        unsigned segments = occurrences(state, "\"base\":"), tiered = occurrences(state, "\"state\":\"tiered\"");
        unsigned local = occurrences(state, "\"local\":true");
        if (local <= 1 && tiered + 1 == segments) {
            printf("%u segments in the tier, %" PRIu64 " bytes of log in %" PRIu64 " bytes of objects\n", tiered,
                   sum(state, "\"bytes\":"), sum(state, "\"object_bytes\":"));
            break;
        }
        time_t now = time(NULL);
        if (now != shown)
            fprintf(stderr, "  %u of %u segments in the tier, %u still here\n", tiered, segments - 1, local);
        shown = now;
        if (now - begin > seconds)
            die("after %ld s %u of %u segments are in the tier, %u still here", seconds, tiered, segments - 1, local);
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    }
    buffer_free(&answer);
}

/* ---- the rest ---- */

static void show(enum operation_code operation) {
    struct buffer answer = {0};
    demand(operation, NULL, 0, &answer);
    if (fwrite(answer.data, 1, answer.len, stdout) != answer.len)
        die("cannot write: %s", strerror(errno));
    buffer_free(&answer);
}

static void offload_before(const char *offset) {
    struct buffer answer = {0};
    uint8_t body[8];
    put_u64(body, (uint64_t)strtoll(offset, NULL, 10));
    demand(OFFLOAD_BEFORE, body, sizeof body, &answer);
    buffer_free(&answer);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fputs(usage, stderr);
        return 2;
    }
    const char *command = argv[2];
    connect_to(argv[1]);
    /* What follows the command, with the command in the place of a program's name. */
    argc -= 2, argv += 2;
    if (strcmp(command, "produce") == 0)
        produce(argc, argv);
    else if (strcmp(command, "consume") == 0)
        consume(argc, argv);
    else if (strcmp(command, "settle") == 0)
        settle(argc, argv);
    else if (strcmp(command, "stat") == 0)
        show(STAT);
    else if (strcmp(command, "metrics") == 0)
        show(METRICS);
    else if (strcmp(command, "status") == 0)
        show(STATUS);
    else if (strcmp(command, "roll") == 0)
        show(ROLL);
    else if (strcmp(command, "sync") == 0)
        show(SYNC);
    else if (strcmp(command, "offload-before") == 0 && argc == 2)
        offload_before(argv[1]);
    else {
        fputs(usage, stderr);
        return 2;
    }
    close(broker);
    return 0;
}
