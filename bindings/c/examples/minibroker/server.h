/* Connections: reads requests, has them answered by the log and the tier, writes the answers.
 *
 * A connection has one request in work at a time. While it waits for the tier, or for its client to take
 * an answer, nothing more is read from it, so a slow client costs at most one frame in each direction. */
#ifndef MINIBROKER_SERVER_H
#define MINIBROKER_SERVER_H

#include "tier.h"

struct connection;
struct server {
    struct log *log;
    struct tier *tier;
    int epoll, listener;
    unsigned connections;
    struct connection *first; /* all of them */
    struct connection *dead;  /* freed after the current batch of events, which may still name them */
};

/* Listens at "HOST:PORT" (IPv4 or a name; port 0: any) and registers with `epoll`. Returns the port. */
int server_open(struct server *server, const char *address);
void server_close(struct server *server);
/* Handles an event whose data.ptr is `which`: the server itself (someone connects) or a connection. */
void server_event(struct server *server, void *which, uint32_t events);
/* To be called after each batch of events. */
void server_sweep(struct server *server);

#endif
