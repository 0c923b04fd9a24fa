"""minibroker with a real object store as its tier, which goes away and comes back."""

import random

from broker import RETRY, Broker, Refused
from fill import AT_ONCE, fill, only_tiered, payloads
from held import Held
from tap import test, wait_until

PATIENCE = 60  # seconds; the broker waits up to 5 s between tries


def reach(store, **settings):
    """The settings that lead a broker to a store and offload whatever is sealed."""
    s3 = store.s3
    keys = {"s3.endpoint": s3.endpoint, "s3.access.key": s3.access_key, "s3.secret.key": s3.secret_key}
    return {**AT_ONCE, **keys, "cache.memory.size": "0", **settings}


def settled(store, bucket, broker):
    """That the bucket holds what the broker refers to, and nothing else."""
    keys = sorted(segment["key"] for segment in broker.stat()["segments"] if "key" in segment)
    assert keys and sorted(store.s3.keys(bucket)) == [f"tier/{key}" for key in keys], (keys, store.s3.keys(bucket))
    assert store.s3.uploads(bucket) == []


for kind in ["versitygw", "minio"]:

    @test(f"a broker whose tier is {kind} reads back every byte, also after a restart")
    def _(folder, kind=kind):
        with Held(kind) as store:
            bucket, records = store.bucket(), payloads(1000)
            with Broker(folder, f"s3://{bucket}/tier", settings=reach(store)) as broker:
                fill(broker, records)
                wait_until(lambda: only_tiered(broker), "everything is in the tier only", PATIENCE)
                assert broker.read_all() == records
            with Broker(folder, f"s3://{bucket}/tier", settings=reach(store)) as broker:
                for _ in range(50):
                    offset = random.randrange(len(records))
                    found = broker.read(offset, random.randrange(1, 100_000))
                    assert found and found == records[offset : offset + len(found)]
                settled(store, bucket, broker)

    @test(f"{kind} goes away and comes back: the broker serves what is here, catches up and loses nothing")
    def _(folder, kind=kind):
        with Held(kind) as store:
            bucket, records = store.bucket(), payloads(900)
            with Broker(folder, f"s3://{bucket}/tier", settings=reach(store)) as broker:
                fill(broker, records[:300])
                wait_until(lambda: only_tiered(broker), "the first records are in the tier only", PATIENCE)
                store.stop()
                fill(broker, records[300:600])
                wait_until(lambda: broker.stat()["offload_failures"] >= 3, "offloads fail and are repeated", PATIENCE)
                assert broker.read_all(300) == records[300:600], "what is here is served"
                assert "l" in broker.states()
                try:
                    broker.read(0)
                except Refused as refused:
                    assert refused.status == RETRY, refused
                else:
                    raise AssertionError("bytes came from a store that is away")
                fill(broker, records[600:])
                store.start()
                wait_until(lambda: only_tiered(broker), "the broker catches up", PATIENCE)
                assert broker.read_all(patience=PATIENCE) == records
                settled(store, bucket, broker)


@test("a broker that is killed and started while its store is away loses nothing")
def _(folder):
    with Held("versitygw") as store:
        bucket, records = store.bucket(), payloads(400)
        with Broker(folder, f"s3://{bucket}/tier", settings=reach(store)) as broker:
            fill(broker, records[:200])
            wait_until(lambda: only_tiered(broker), "the first records are in the tier only", PATIENCE)
            store.stop()
            fill(broker, records[200:])
            broker.kill()
        with Broker(folder, f"s3://{bucket}/tier", settings=reach(store)) as broker:
            assert broker.read_all(200) == records[200:], "what is here is served"
            store.start()
            wait_until(lambda: only_tiered(broker), "the broker catches up", PATIENCE)
            assert broker.read_all(patience=PATIENCE) == records


@test("a store that goes away again and again while a broker offloads loses nothing")
def _(folder):
    with Held("versitygw") as store:
        bucket, records = store.bucket(), payloads(1500)
        with Broker(folder, f"s3://{bucket}/tier", segment_bytes=300_000, settings=reach(store)) as broker:
            for at in range(0, len(records), 100):
                fill(broker, records[at : at + 100])
                store.stop()
                store.start()
            wait_until(lambda: only_tiered(broker), "the broker catches up", PATIENCE)
            assert broker.read_all(patience=PATIENCE) == records
