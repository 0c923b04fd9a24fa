/* minibroker: a small but real message broker that keeps its old segments in a tier, through seglift.
 *
 * It shows what a broker needs to do, and in which order, to load seglift at run time, to offload in the
 * background, to serve what only the tier has without blocking, and to survive a crash at any moment.
 *
 *   minibroker/log.c       the segmented log on the local disk
 *   minibroker/journal.c   what must be remembered about the tier
 *   minibroker/tier.c      all calls of seglift: begin here to see how it is used
 *   minibroker/server.c    connections and requests; minibroker/protocol.h says what they may ask
 *   minibroker.c           this file: options and the event loop
 *
 * One thread, one epoll: connections, signals and seglift's completion queue stand in it side by side.
 * Linux.
 */
#define _GNU_SOURCE
#include "minibroker/server.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* How often the plan is made anew. A plan costs microseconds, and lags of a second are the smallest
 * that anyone sets. */
enum { TICK_MS = 100, EVENTS_AT_ONCE = 64 };

struct options {
    const char *dir, *listen, *tier, *library, *name;
    uint64_t segment_bytes;
    unsigned offloads;
    const char **settings; /* of seglift, key=value */
    size_t setting_count;
};

static const char usage[] =
    "usage: minibroker --dir DIR --tier URI [OPTION...]\n"
    "\n"
    "  --dir DIR               folder of the log; created if need be\n"
    "  --tier URI              where old segments go, such as file:///var/tier\n"
    "  --name NAME             the broker's folder in the tier (minibroker)\n"
    "  --listen HOST:PORT      port 0 takes any; it is printed (127.0.0.1:0)\n"
    "  --segment-bytes BYTES   a segment of this size is sealed (16777216)\n"
    "  --offloads N            offloads at once, 1 to 64 (2)\n"
    "  --library PATH          libseglift, if the linker does not find it\n"
    "  --set KEY=VALUE         a setting of seglift, such as policy.size.threshold=0,\n"
    "                          policy.age.threshold, policy.deletion.lag=10s, policy.retention.size,\n"
    "                          policy.retention.age; may be given many times\n";

static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end != 0 || end == text || value < min || value > max)
        die("--%s %s: a number from %" PRIu64 " to %" PRIu64 " is needed", option, text, min, max);
    return value;
}

static struct options parse_options(int argc, char **argv) {
    static const struct option known[] = {
        {"dir", required_argument, NULL, 'd'},      {"tier", required_argument, NULL, 't'},
        {"name", required_argument, NULL, 'n'},     {"listen", required_argument, NULL, 'l'},
        {"offloads", required_argument, NULL, 'o'}, {"segment-bytes", required_argument, NULL, 'b'},
        {"library", required_argument, NULL, 'L'},  {"set", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    struct options o = {.listen = "127.0.0.1:0", .name = "minibroker", .segment_bytes = 16 << 20, .offloads = 2};
    o.settings = allocate((size_t)argc * sizeof *o.settings);
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'd': o.dir = optarg; break;
        case 't': o.tier = optarg; break;
        case 'n': o.name = optarg; break;
        case 'l': o.listen = optarg; break;
        case 'L': o.library = optarg; break;
        case 'b': o.segment_bytes = number("segment-bytes", optarg, 1, UINT64_C(1) << 40); break;
        case 'o': o.offloads = (unsigned)number("offloads", optarg, 1, 64); break;
        case 's': o.settings[o.setting_count++] = optarg; break;
        case 'h': fputs(usage, stdout); exit(0);
        default: fputs(usage, stderr); exit(2);
        }
    }
    if (o.dir == NULL || o.tier == NULL || optind != argc) {
        fputs(usage, stderr);
        exit(2);
    }
    /* It becomes a part of keys and of lines of the journal. */
    if (o.name[0] == 0 || strlen(o.name) > 100 || o.name[0] == '.' ||
        o.name[strspn(o.name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] != 0)
        die("--name %s: at most 100 letters, digits, -, _ and ., not beginning with a dot", o.name);
    return o;
}

static int watch(int epoll, int fd, void *who) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv) {
    struct options options = parse_options(argc, argv);
    struct log log;
    struct tier tier = {
        .log = &log, .uri = options.tier, .name = options.name, .max_offloads = options.offloads};
    struct server server = {.log = &log, .tier = &tier};

    char why[512];
    if (seglift_load(options.library, &tier.seglift, why, sizeof why) != SEGLIFT_OK)
        die("%s", why);

    /* Blocked before seglift starts its threads, which inherit the mask: the loop alone gets them. */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    int signals = signalfd(-1, &ends, SFD_CLOEXEC);
    server.epoll = epoll_create1(EPOLL_CLOEXEC);

    log_open(&log, options.dir, options.segment_bytes);
    journal_open(&tier.journal, &log);
    log_recover(&log);
    tier_open(&tier, options.settings, options.setting_count);
    free(options.settings);
    if (server.epoll < 0 || signals < 0 || watch(server.epoll, signals, &signals) != 0 ||
        watch(server.epoll, tier_fd(&tier), &tier) != 0)
        die("cannot set up the event loop: %s", strerror(errno));
    int port = server_open(&server, options.listen);
    say("seglift %s; the log holds offsets %" PRId64 " to before %" PRId64, tier.seglift->version(),
        log_start(&log), log_end(&log));
    printf("listening on port %d\n", port);
    fflush(stdout);

    bool running = true;
    for (int64_t next_tick = 0; running;) {
        struct epoll_event events[EVENTS_AT_ONCE];
        int n = epoll_wait(server.epoll, events, EVENTS_AT_ONCE, TICK_MS);
        bool completed = false;
        for (int i = 0; i < n; i++) {
            void *who = events[i].data.ptr;
            if (who == &signals)
                running = false;
            else if (who == &tier) {
                tier_completions(&tier);
                completed = true;
            } else
                server_event(&server, who, events[i].events);
        }
        server_sweep(&server);
        /* A finished operation may make room for the next, so the plan does not wait for its time. */
        int64_t now = now_us();
        if (completed || now >= next_tick || next_tick - now > TICK_MS * 1000) {
            tier_tick(&tier);
            next_tick = now + TICK_MS * 1000;
        }
    }

    say("stopping");
    server_close(&server);
    tier_close(&tier);
    journal_close(&tier.journal);
    log_close(&log);
    close(signals);
    close(server.epoll);
    return 0;
}
