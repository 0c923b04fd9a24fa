/* A library of an older interface: its table ends before the last function. */
#include "seglift.h"

static const seglift_api table = {
    .size = sizeof(seglift_api) - sizeof(void *), .abi_major = SEGLIFT_ABI_MAJOR, .abi_minor = 0};

const seglift_api *seglift_get_api(uint32_t abi_major)
{
    return abi_major == SEGLIFT_ABI_MAJOR ? &table : NULL;
}
