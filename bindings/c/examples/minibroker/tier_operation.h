/* What tier.c and tier_read.c have in common: operations that are in flight. */
#ifndef MINIBROKER_TIER_OPERATION_H
#define MINIBROKER_TIER_OPERATION_H

#include "tier.h"

/* What an operation's user_data points to. */
struct operation {
    enum { OFFLOAD, DELETE, READ_INDEX, READ_RECORDS } kind;
    struct segment *segment;
};

/* A read's operation has completed. */
void read_done(struct tier *tier, struct operation *operation, seglift_completion *c);

#endif
