"""Records for a broker, and the settings that send them to the tier at once."""

import random

AT_ONCE = {"policy.size.threshold": "0", "policy.deletion.lag": "0"}


def payloads(count, seed=1):
    """Records of 0 to 8 KB that compress a little."""
    numbers = random.Random(seed)
    return [numbers.randbytes(numbers.randrange(4000)) * 2 for _ in range(count)]


def fill(broker, records):
    for at in range(0, len(records), 10):
        broker.append(*records[at : at + 10])
    broker.roll()


def only_tiered(broker):
    return set(broker.states()) == {"t", "o"}
