"""A walk over the values of the policy: each setting, seen from outside."""

import time

from broker import Broker, OUT_OF_RANGE, Refused
from tap import test, wait_until

RECORD = b"x" * 50_000
KEEP_LOCAL = {"policy.deletion.lag": "-1"}


def fill(broker, segments):
    """Appends so many sealed segments of about 1 MB, and one record into the open one."""
    for _ in range(segments * 20 + 1):
        broker.append(RECORD)
    assert len(broker.states()) == segments + 1


def stays(broker, states, seconds=1.0):
    """Nothing happens, over several plans."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert broker.states() == states, broker.states()
        time.sleep(0.05)


def open_broker(folder, settings):
    return Broker(folder, segment_bytes=1_000_000, settings=settings)


@test("size threshold 0: what is sealed is offloaded at once, the open segment never")
def _(folder):
    with open_broker(folder, {"policy.size.threshold": "0", **KEEP_LOCAL}) as broker:
        fill(broker, 3)
        wait_until(lambda: broker.states() == "bbbo", "all sealed segments are offloaded")
        stays(broker, "bbbo", 0.3)


@test("size threshold 10M: the newest 10 MB stay, older segments are offloaded, oldest first")
def _(folder):
    with open_broker(folder, {"policy.size.threshold": "10M", **KEEP_LOCAL}) as broker:
        fill(broker, 9)
        stays(broker, "l" * 9 + "o")
        for _ in range(80):
            broker.append(RECORD)
        wait_until(lambda: broker.states() == "bbb" + "l" * 10 + "o", "the three oldest are offloaded")
        stays(broker, "bbb" + "l" * 10 + "o")


@test("size threshold -1: nothing is offloaded")
def _(folder):
    with open_broker(folder, {"policy.size.threshold": "-1", **KEEP_LOCAL}) as broker:
        fill(broker, 5)
        stays(broker, "lllllo")


@test("manual: what lies before the offset is offloaded although the threshold is off")
def _(folder):
    with open_broker(folder, {"policy.size.threshold": "-1", **KEEP_LOCAL}) as broker:
        fill(broker, 4)
        third = broker.stat()["segments"][2]["base"]
        broker.offload_before(third + 1)
        wait_until(lambda: broker.states() == "bbllo", "two segments lie before the offset")
        stays(broker, "bbllo", 0.3)
        broker.offload_before(1 << 60)
        wait_until(lambda: broker.states() == "bbbbo", "every sealed segment lies before the offset")


@test("manual: what was asked for is remembered across a restart")
def _(folder):
    with open_broker(folder, {"policy.size.threshold": "-1", **KEEP_LOCAL}) as broker:
        broker.offload_before(60)
    with open_broker(folder, {"policy.size.threshold": "-1", **KEEP_LOCAL}) as broker:
        assert broker.stat()["offload_before"] == 60
        fill(broker, 4)
        wait_until(lambda: broker.states() == "bbblo", "three segments lie before offset 60")


@test("age threshold: a sealed segment is offloaded when it is old enough")
def _(folder):
    with open_broker(folder, {"policy.age.threshold": "2s", **KEEP_LOCAL}) as broker:
        fill(broker, 2)
        assert broker.states() == "llo"
        stays(broker, "llo", 1.0)
        wait_until(lambda: broker.states() == "bbo", "both are old enough")


@test("deletion lag: the local copy stays until the lag is over, then its file is gone")
def _(folder):
    with open_broker(folder, {"policy.size.threshold": "0", "policy.deletion.lag": "2s"}) as broker:
        fill(broker, 2)
        wait_until(lambda: broker.states() == "bbo", "both are offloaded and still here")
        stays(broker, "bbo", 1.0)
        assert len(broker.local_files()) == 3
        wait_until(lambda: broker.states() == "tto", "both local copies are dropped")
        assert len(broker.local_files()) == 1


@test("deletion lag 0: the local copy goes as soon as the tier has the segment")
def _(folder):
    with open_broker(folder, {"policy.size.threshold": "0", "policy.deletion.lag": "0"}) as broker:
        fill(broker, 3)
        wait_until(lambda: broker.states() == "ttto", "all local copies are dropped")
        assert len(broker.local_files()) == 1


@test("retention by size: the oldest segments go from the log, the disk and the tier")
def _(folder):
    settings = {"policy.size.threshold": "0", "policy.deletion.lag": "0", "policy.retention.size": "5M"}
    with open_broker(folder, settings) as broker:
        for _ in range(10 * 20):
            broker.append(RECORD)
        broker.roll()
        # What stays is the least that holds 5 MiB, which is six segments of a megabyte.
        wait_until(lambda: broker.states() == "t" * 6 + "o", "six sealed segments and the open one")
        start = broker.stat()["start"]
        assert start == 80, start
        assert len(broker.read_all(start)) == 120
        try:
            broker.read(start - 1)
        except Refused as refused:
            assert refused.status == OUT_OF_RANGE
        else:
            raise AssertionError("a deleted record was served")
        wait_until(lambda: objects(folder) == 6, "only six objects are left")
    with open_broker(folder, settings) as broker:
        assert broker.stat()["start"] == start


@test("retention by age removes segments that were never offloaded as well")
def _(folder):
    settings = {"policy.size.threshold": "-1", "policy.retention.age": "1s"}
    with open_broker(folder, settings) as broker:
        fill(broker, 2)
        wait_until(lambda: broker.states() == "o", "only the open segment is left")
        assert len(broker.local_files()) == 1
        assert len(broker.read_all(broker.stat()["start"])) == 1
    with open_broker(folder, settings) as broker:
        assert broker.append(b"on") == 41


def objects(folder):
    return sum(1 for path in (folder / "tier").rglob("*") if path.is_file())
