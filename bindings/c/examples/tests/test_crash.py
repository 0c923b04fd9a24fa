"""kill -9 at any moment: what was acknowledged is there, and nothing in the tier is forgotten."""

import os
import random
import re
import threading
import time

from broker import Broker, Connection
from tap import test, wait_until

AT_ONCE = {"policy.size.threshold": "0", "policy.deletion.lag": "0"}
ROUNDS = 200 if os.environ.get("SCALE") == "full" else 15


def only_tiered(broker):
    return set(broker.states()) == {"t", "o"}


def keys_in_tier(folder):
    tier = folder / "tier"
    return sorted(str(p.relative_to(tier)) for p in tier.rglob("*") if p.is_file() and not p.name.startswith("."))


@test(f"kill -9 while it appends, offloads and drops, {ROUNDS} times: every acknowledged record is there")
def _(folder):
    seed = random.randrange(1 << 30)
    print(f"# seed {seed}", flush=True)
    numbers = random.Random(seed)
    acknowledged, unanswered = [], []

    def produce(port):
        """Appends until the broker is gone."""
        try:
            connection = Connection(port)
            while True:
                batch = [numbers.randbytes(numbers.randrange(2000)) for _ in range(numbers.randrange(1, 20))]
                unanswered.extend(batch)
                assert connection.append(*batch) == len(acknowledged)
                acknowledged.extend(batch)
                unanswered.clear()
        except OSError:
            pass

    for _ in range(ROUNDS):
        broker = Broker(folder, segment_bytes=30_000, settings=AT_ONCE)
        producer = threading.Thread(target=produce, args=(broker.port,))
        producer.start()
        time.sleep(numbers.random() * 0.4)
        broker.kill()
        producer.join()
        # Records whose answer was lost may be there or not; only the broker knows.
        with Broker(folder, segment_bytes=30_000, settings={"policy.size.threshold": "-1"}) as broker:
            end = broker.stat()["end"]
        assert len(acknowledged) <= end <= len(acknowledged) + len(unanswered), f"seed {seed}"
        acknowledged += unanswered[: end - len(acknowledged)]
        unanswered.clear()

    with Broker(folder, segment_bytes=30_000, settings=AT_ONCE) as broker:
        assert broker.read_all(patience=10) == acknowledged, f"seed {seed}"
        broker.roll()
        wait_until(lambda: only_tiered(broker), "everything is in the tier only", 60)
        assert broker.read_all(patience=10) == acknowledged, f"seed {seed}"
        keys = sorted(s["key"] for s in broker.stat()["segments"] if "key" in s)
        assert keys_in_tier(folder) == keys, "an object that no segment names, or the reverse"
    assert len(acknowledged) > ROUNDS


@test("an offload whose receipt was lost is repeated with its key and leaves one object")
def _(folder):
    records = [b"%d" % i * 100 for i in range(100)]
    with Broker(folder, settings={**AT_ONCE, "policy.deletion.lag": "-1"}) as broker:
        broker.append(*records)
        broker.roll()
        wait_until(lambda: broker.states() == "bo", "the segment is offloaded")
        (key,) = keys_in_tier(folder)
    journal = folder / "log/tier.log"
    lines = journal.read_text().splitlines(keepends=True)
    assert [re.match(r"[0-9a-f]{8} (\w+)", line)[1] for line in lines] == ["begin", "commit"]
    journal.write_text(lines[0])
    with Broker(folder, settings=AT_ONCE) as broker:
        wait_until(lambda: only_tiered(broker), "the segment is offloaded again")
        assert broker.stat()["segments"][0]["key"] == key
        assert keys_in_tier(folder) == [key]
        assert broker.read_all() == records


@test("a torn last line of the journal was never acted on; any other damage stops the start")
def _(folder):
    with Broker(folder, settings={**AT_ONCE, "policy.deletion.lag": "-1"}) as broker:
        broker.append(b"x" * 1000)
        broker.roll()
        wait_until(lambda: broker.states() == "bo", "the segment is offloaded")
    journal = folder / "log/tier.log"
    whole = journal.read_bytes()
    for cut in range(0, len(whole), 7):
        journal.write_bytes(whole[:cut])
        with Broker(folder, settings={"policy.size.threshold": "-1"}) as broker:
            assert broker.states() == "lo"
    journal.write_bytes(whole.replace(b"begin", b"bogin"))
    try:
        Broker(folder)
    except AssertionError as error:
        assert "damaged at line 1" in str(error), error
    else:
        raise AssertionError("the broker started")


@test("retention that a crash interrupts is finished after the restart")
def _(folder):
    with Broker(folder, segment_bytes=20_000, settings=AT_ONCE) as broker:
        for _ in range(50):
            broker.append(b"x" * 10_000)
        broker.roll()
        wait_until(lambda: only_tiered(broker), "everything is in the tier only")
    retention = {**AT_ONCE, "policy.retention.size": "100000"}
    for delay in (0, 0.01, 0.05, 0.1):
        broker = Broker(folder, segment_bytes=20_000, settings=retention)
        time.sleep(delay)
        broker.kill()
    with Broker(folder, segment_bytes=20_000, settings=retention) as broker:
        kept = lambda: sorted(s["key"] for s in broker.stat()["segments"] if "key" in s)
        wait_until(lambda: keys_in_tier(folder) == kept() and len(kept()) < 10, "only what is kept is in the tier")
        assert broker.read_all(broker.stat()["start"])


@test("a local copy that is damaged after its offload is replaced by the tier's")
def _(folder):
    records = [b"%d" % i * 100 for i in range(100)]
    with Broker(folder, settings={**AT_ONCE, "policy.deletion.lag": "-1"}) as broker:
        broker.append(*records)
        broker.roll()
        wait_until(lambda: broker.states() == "bo", "the segment is offloaded")
        path = broker.local_files()[0]
    data = bytearray(path.read_bytes())
    data[1000] ^= 0x10
    path.write_bytes(data)
    with Broker(folder, settings={**AT_ONCE, "policy.deletion.lag": "-1"}) as broker:
        assert broker.states() == "to"
        assert broker.read_all() == records
