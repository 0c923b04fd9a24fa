"""What only the tier has is served as if it were here; a tier that is away costs nothing but time."""

import os
import random
import struct
import subprocess
import threading

from broker import METRICS, READ, Broker, Connection, Refused
from fill import AT_ONCE, fill, only_tiered, payloads
from tap import test, wait_until


def objects(folder):
    return sorted(path for path in (folder / "tier").rglob("*") if path.is_file())


@test("consumers read the same bytes before and after the local files are gone")
def _(folder):
    records = payloads(2000)
    with Broker(folder, settings={"policy.size.threshold": "-1", "policy.deletion.lag": "0"}) as broker:
        fill(broker, records)
        before = broker.read_all()
        broker.offload_before(1 << 60)
        wait_until(lambda: only_tiered(broker), "everything is in the tier only")
        assert [path.stat().st_size for path in broker.local_files()] == [0]
        assert before == records
        assert broker.read_all() == records
        for _ in range(200):
            offset = random.randrange(len(records))
            found = broker.read(offset, random.randrange(1, 100_000))
            assert found == records[offset : offset + len(found)] and found
        assert broker.stat()["tier_reads"] > 0


@test("consumers that read while segments move to the tier notice nothing")
def _(folder):
    records = payloads(3000)
    with Broker(folder, segment_bytes=50_000, settings=AT_ONCE) as broker:
        problems = []

        def consume():
            connection = Connection(broker.port)
            offset = 0
            while offset < len(records):
                more = connection.read(offset, random.randrange(1, 200_000))
                if more != records[offset : offset + len(more)]:
                    problems.append(offset)
                offset += len(more)
            connection.close()

        consumers = [threading.Thread(target=consume) for _ in range(8)]
        for consumer in consumers:
            consumer.start()
        fill(broker, records)
        for consumer in consumers:
            consumer.join()
        assert not problems, problems
        wait_until(lambda: only_tiered(broker), "everything is in the tier only")
        assert broker.read_all() == records


@test("after a restart the tier is read with what the journal remembers")
def _(folder):
    records = payloads(500)
    with Broker(folder, settings=AT_ONCE) as broker:
        fill(broker, records)
        wait_until(lambda: only_tiered(broker), "everything is in the tier only")
        states = broker.states()
    for _ in range(2):
        with Broker(folder, settings=AT_ONCE) as broker:
            assert broker.states() == states
            assert broker.read(499) == records[499:]
            assert broker.read_all() == records


@test("a record of 8 MiB comes back from the tier")
def _(folder):
    records = [b"small", os.urandom(8 << 20), b"small again"]
    with Broker(folder, segment_bytes=1 << 30, settings=AT_ONCE) as broker:
        for record in records:
            broker.append(record)
        broker.roll()
        wait_until(lambda: only_tiered(broker), "everything is in the tier only")
        assert broker.read(1, 1) == records[1:2]
        assert broker.read_all() == records


@test("stock zstd gives a tiered segment back as the file that the broker dropped")
def _(folder):
    with Broker(folder, settings={"policy.size.threshold": "-1", "policy.deletion.lag": "0"}) as broker:
        fill(broker, payloads(100))
        files = [path.read_bytes() for path in broker.local_files()][:-1]
        broker.offload_before(1 << 60)
        wait_until(lambda: only_tiered(broker), "everything is in the tier only")
    restored = [subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout for path in objects(folder)]
    assert restored == files


@test("two brokers share one tier and each keeps its own")
def _(folder):
    tier = f"file://{folder}/tier"
    ours, theirs = payloads(400, 1), payloads(400, 2)
    with Broker(folder / "a", tier, name="one", settings=AT_ONCE) as a:
        with Broker(folder / "b", tier, name="one", settings=AT_ONCE) as b:
            for at in range(0, 400, 10):
                a.append(*ours[at : at + 10])
                b.append(*theirs[at : at + 10])
            a.roll()
            b.roll()
            wait_until(lambda: only_tiered(a) and only_tiered(b), "everything is in the tier only")
            assert a.read_all() == ours
            assert b.read_all() == theirs
            keys = {s["key"] for s in a.stat()["segments"] + b.stat()["segments"] if "key" in s}
            assert keys == {str(path.relative_to(folder / "tier")) for path in objects(folder)}


@test("a tier that is away at the start is waited for")
def _(folder):
    records = payloads(200)
    (folder / "tier").write_text("not a folder")
    with Broker(folder, settings=AT_ONCE) as broker:
        fill(broker, records)
        assert "t" not in broker.states() and "b" not in broker.states()
        assert not broker.stat()["tier_open"]
        assert broker.read_all() == records
        (folder / "tier").unlink()
        (folder / "tier").mkdir()
        wait_until(lambda: only_tiered(broker), "the broker catches up")
        assert broker.read_all() == records


@test("a tier that goes away is waited for, and the broker serves on and catches up")
def _(folder):
    records = payloads(600)
    with Broker(folder, settings=AT_ONCE) as broker:
        fill(broker, records[:200])
        wait_until(lambda: only_tiered(broker), "the first records are in the tier only")
        # A file in the place of the broker's folder: neither reads nor offloads can work.
        place, away = folder / "tier/minibroker", folder / "tier/away"
        place.rename(away)
        place.write_text("in the way")
        fill(broker, records[200:])
        wait_until(lambda: broker.stat()["offload_failures"] >= 3, "offloads fail and are repeated")
        assert broker.read_all(200) == records[200:], "what is here is served"
        assert "l" in broker.states()
        place.unlink()
        away.rename(place)
        wait_until(lambda: only_tiered(broker), "the broker catches up", 30)
        assert broker.read_all() == records


@test("a read that cannot be served by the tier is refused, and the connection lives on")
def _(folder):
    records = payloads(50)
    with Broker(folder, settings={**AT_ONCE, "cache.memory.size": "0"}) as broker:
        fill(broker, records)
        wait_until(lambda: only_tiered(broker), "everything is in the tier only")
        hidden = [(path, path.with_name("hidden-" + path.name)) for path in objects(folder)]
        for path, away in hidden:
            path.rename(away)
        try:
            broker.read(0)
        except Refused as refused:
            assert "NOT_FOUND" in str(refused), refused
        else:
            raise AssertionError("bytes came from nowhere")
        for path, away in hidden:
            away.rename(path)
        assert broker.read_all(patience=10) == records


@test("clients that leave in the middle of reads from the tier harm nobody")
def _(folder):
    records = payloads(400)
    with Broker(folder, settings={**AT_ONCE, "cache.memory.size": "0"}) as broker:
        fill(broker, records)
        wait_until(lambda: only_tiered(broker), "everything is in the tier only")
        for _ in range(100):
            leaver = Connection(broker.port)
            for _ in range(5):
                leaver.send(READ, struct.pack("<qI", random.randrange(400), 1 << 20))
            leaver.close()
        assert broker.read_all() == records


@test("seglift's metrics count the broker's offloads")
def _(folder):
    with Broker(folder, settings=AT_ONCE) as broker:
        fill(broker, payloads(50))
        wait_until(lambda: only_tiered(broker), "everything is in the tier only")
        text = broker.ask(METRICS).decode()
        assert "seglift_" in text and "offload" in text, text


@test("valgrind finds nothing in a broker that tiers, serves, fails and stops")
def _(folder):
    valgrind = ["valgrind", "--quiet", "--leak-check=full"]
    # "Possibly lost" are the stacks of threads that still end while the process does.
    valgrind += ["--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"]
    valgrind += ["--error-exitcode=9", f"--log-file={folder}/valgrind"]
    records = payloads(150)
    with Broker(folder, wrapper=valgrind, settings=AT_ONCE) as broker:
        fill(broker, records)
        wait_until(lambda: only_tiered(broker), "everything is in the tier only", 120)
        assert broker.read_all() == records
        hidden = objects(folder)[0]
        hidden.rename(hidden.with_name("hidden"))
        leaver = Connection(broker.port)
        leaver.send(READ, struct.pack("<qI", 0, 1 << 20))
        leaver.close()
    found = (folder / "valgrind").read_text()
    assert found == "", found
