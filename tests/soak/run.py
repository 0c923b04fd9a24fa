"""A broker under load on a store that fails all the time and dies now and then. Reports in TAP.

    MINUTES=30 python3 run.py

minibroker tiers to a real store behind the fault proxy (tests/proxy), which breaks 2 % of all requests; every minute or
so the store is killed and comes back some seconds later. Producers and readers work all the time, and every record
that is read is compared. Each ten seconds a line says what goes on; the end is a verdict and a picture, both in
target/soak.

    MINUTES=N         how long there is load (2)
    SOAK_STORE=S      versitygw or minio (versitygw)
    SOAK_SEED=N       the faults and the kills (today's date)
    SOAK_FAULTS=N     requests of 1,000 that fail (20)
    SOAK_RATE=N       MiB each second that are appended (4), and twice as many that are read
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for folder in ["bindings/c/examples/tests", "tests/servers"]:
    sys.path.insert(0, str(ROOT / folder))

from broker import METRICS, TARGET, Broker  # noqa: E402
from held import Held  # noqa: E402
from load import Ledger, Producer, Reader  # noqa: E402
from plot import svg  # noqa: E402

MINUTES = float(os.environ.get("MINUTES", 2))
STORE = os.environ.get("SOAK_STORE", "versitygw")
SEED = int(os.environ.get("SOAK_SEED", time.strftime("%Y%m%d")))
FAULTS = int(os.environ.get("SOAK_FAULTS", 20))
RATE = float(os.environ.get("SOAK_RATE", 4)) * (1 << 20)
EVERY = 10  # seconds between two lines
MIB = 1 << 20
BUDGET = 64 * MIB
DEADLINES = {"read": 30, "offload": 120, "other": 30}
# What docs/semantics.md allows beyond a deadline, and what a busy machine takes to say so.
BEYOND = 2 + 3
SETTINGS = {
    "policy.size.threshold": "0",
    "policy.deletion.lag": "5s",
    "policy.retention.size": "192MiB",
    "memory.budget": str(BUDGET),
    "cache.memory.size": "16MiB",
    "upload.part.size": "5MiB",
    "s3.timeout.attempt": "3s",
    **{f"deadline.{kind}": f"{seconds}s" for kind, seconds in DEADLINES.items()},
}


class Proxy:
    """The fault proxy, as a program."""

    def __init__(self, target, secret, script):
        program = Path(os.environ.get("FAULT_PROXY", TARGET / "release/examples/fault_proxy"))
        environment = {**os.environ, "FAULT_PROXY_SECRET": secret}
        self.process = subprocess.Popen(
            [program, target, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.endpoint = self.process.stdout.readline().split()[-1]
        self.lock = threading.Lock()

    def order(self, text):
        with self.lock:
            print(text, file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Killer(threading.Thread):
    """Kills the store now and then, and brings it back."""

    def __init__(self, store, stop, started):
        super().__init__(daemon=True)
        self.store, self.stop, self.started = store, stop, started
        self.dice, self.outages, self.broken = random.Random(SEED), [], None
        # Also in a short run twice.
        self.pause = min(60, MINUTES * 60 / 3)

    def run(self):
        try:
            while not self.stop.wait(self.pause * self.dice.uniform(0.7, 1.3)):
                begun = time.monotonic() - self.started
                self.store.stop()
                self.stop.wait(self.dice.uniform(2, 12))
                self.store.start()
                self.outages.append((begun, time.monotonic() - self.started))
        except Exception as error:  # whatever it is, the verdict tells it
            self.broken = f"the store does not come back: {error!r}"


class Soak:
    def __init__(self, folder):
        self.folder, self.stop, self.ledger = folder, threading.Event(), Ledger()
        self.samples, self.late, self.faults = [], [], {}
        self.requests = 0
        self.results = {}
        self.last = {"in": 0, "out": 0, "at": 0.0}

    def run(self):
        with Held(STORE) as store:
            s3, bucket = store.s3, store.bucket()
            proxy = Proxy(s3.endpoint, s3.secret_key, f"seed={SEED}&rate={FAULTS}")
            reach = {"s3.endpoint": proxy.endpoint, "s3.access.key": s3.access_key, "s3.secret.key": s3.secret_key}
            settings = {**SETTINGS, **reach}
            with Broker(self.folder, f"s3://{bucket}/soak", segment_bytes=16 * MIB, settings=settings) as broker:
                self.broker = broker
                self.load(store, proxy)
                self.calm(broker, store, bucket, reach)
            proxy.end()

    def load(self, store, proxy):
        self.started = time.monotonic()
        port, ledger, stop = self.broker.port, self.ledger, self.stop
        self.producers = [Producer(port, stop, ledger, n, RATE / 2) for n in range(2)]
        self.readers = [
            Reader(port, stop, ledger, RATE * 1.5),
            Reader(port, stop, ledger, RATE / 2, random.Random(SEED)),
        ]
        self.killer = Killer(store, stop, self.started)
        for thread in [*self.producers, *self.readers, self.killer]:
            thread.start()
        deadline = self.started + MINUTES * 60
        while time.monotonic() < deadline and not self.broken():
            time.sleep(min(EVERY, max(0.1, deadline - time.monotonic())))
            self.sample(proxy)
        stop.set()
        # Whoever is in the middle of a request may take as long as that may take.
        for thread in [*self.producers, *self.readers, self.killer]:
            thread.join(180)
            if thread.is_alive():
                self.late.append(f"a {type(thread).__name__} still waits three minutes after the end")
        proxy.order("play ")

    def broken(self):
        workers = [*self.producers, *self.readers, self.killer]
        return [worker.broken for worker in workers if worker.broken]

    def sample(self, proxy):
        """Notes what goes on, and says it."""
        if len(self.samples) % 2:
            # So that there are small segments, which go in one request, beside those that go in parts.
            self.broker.roll()
        now = time.monotonic() - self.started
        status = self.broker.status()
        metrics = self.broker.ask(METRICS).decode()
        told = proxy.order("faults")
        self.requests += sum(told["requests"].values())
        for name, count in told["faults"].items():
            self.faults[name] = self.faults.get(name, 0) + count
        for op in status["running"]:
            left = op["deadline_left_s"]
            if left is not None and left < -BEYOND:
                self.late.append(f"{op['kind']} of {op['what']} runs {-left:.0f} s past its deadline in {op['stage']}")
        moved_in = sum(worker.moved for worker in self.producers)
        moved_out = sum(worker.moved for worker in self.readers)
        span = max(now - self.last["at"], 0.001)
        rss = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.broker.process.pid}/status").read_text())
        results = {}
        for op, result, count in re.findall(r'seglift_operations_total\{op="(\w+)",result="(\w+)"\} (\d+)', metrics):
            if int(count) and result != "OK":
                results[f"{op} {result}"] = int(count)
        self.results = results
        sample = {
            "second": round(now, 1),
            "in": (moved_in - self.last["in"]) / span / MIB,
            "out": (moved_out - self.last["out"]) / span / MIB,
            "rss": int(rss[1]) / 1024,
            "budget": status["budget"]["used"] / MIB,
            "running": len(status["running"]),
            "idle": max([op["idle_s"] for op in status["running"]], default=0.0),
            "faults": sum(told["faults"].values()),
            "failed": sum(results.values()),
        }
        # Where whoever waits long stands; up to its deadline that may be right.
        waits = [f"{op['kind']} {op['stage']}" for op in status["running"] if op["idle_s"] > EVERY]
        self.last = {"in": moved_in, "out": moved_out, "at": now}
        self.samples.append(sample)
        print(
            f"# {now:6.0f} s  in {sample['in']:5.1f} MiB/s  out {sample['out']:5.1f} MiB/s  rss {sample['rss']:5.0f} MiB"
            f"  budget {sample['budget']:4.0f} MiB  running {sample['running']:3}  oldest idle {sample['idle']:4.1f} s"
            f"  faults {sample['faults']:4}  errors {json.dumps(results)}"
            f"{'  waits: ' + ', '.join(waits[:3]) if waits else ''}",
            flush=True,
        )

    def calm(self, broker, store, bucket, reach):
        """Nothing fails any more: what does the broker come to, and what is in the store?"""
        broker.roll()
        self.tiered = self.within(180, lambda: set(broker.states()) == {"t", "o"})
        start = broker.stat()["start"]
        at = start
        while more := broker.read(at):
            self.ledger.compare(at, more)
            at += len(more)
        self.kept = at - start
        self.missing = self.ledger.end() - at
        command = [TARGET / "release/seglift", "reap", "--older-than", "0s", "--all-owners", f"s3://{bucket}/soak"]
        for key, value in reach.items():
            command += ["--set", f"{key}={value}"]

        def clean():
            # Again each time: the store's clock has whole seconds, and only what is older is old.
            self.reaped = self.reap(command, store, bucket)
            return self.settled(broker, store, bucket) and self.reaped

        self.within(60, clean)

    @staticmethod
    def reap(command, store, bucket):
        subprocess.run(command, check=True, capture_output=True)
        return store.s3.uploads(bucket) == []

    def settled(self, broker, store, bucket):
        live = {f"soak/{segment['key']}" for segment in broker.stat()["segments"] if "key" in segment}
        there = set(store.s3.keys(bucket))
        self.left, self.lost = sorted(there - live), sorted(live - there)
        return not self.left and not self.lost

    @staticmethod
    def within(seconds, condition):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.5)
        return condition()

    # ---- the verdict

    def growth(self):
        """MiB by which the last quarter of the time lies above the second, and how much is too much."""
        rss = [sample["rss"] for sample in self.samples]
        quarter = max(1, len(rss) // 4)
        mean = lambda part: sum(part) / len(part)  # noqa: E731
        early, late = mean(rss[quarter : 2 * quarter] or rss), mean(rss[-quarter:])
        # A tenth, since it breathes with the load; and the least that a short run can tell from its beginning.
        return late - early, max(early * 0.1, 12)

    def verdicts(self):
        growth, bound = self.growth()
        used = max(sample["budget"] for sample in self.samples)
        slowest = max(worker.slowest for worker in self.readers)
        enough = self.ledger.compared > 1000 and sum(self.faults.values()) > 0 and self.killer.outages
        yield "every record that was read is the one that was appended", self.ledger.wrong[:5]
        yield "nothing that was appended is missing", [f"{self.missing} records"] if self.missing else []
        yield "producers, readers and the store went on to the end", self.broken()
        yield "no operation outlived its deadline", self.late[:5] + (
            [f"a read took {slowest:.0f} s"] if slowest > 2 * DEADLINES["read"] + BEYOND else []
        )
        yield "memory does not grow", [f"{growth:.0f} MiB in the second half"] if growth > bound else []
        yield "the budget holds", [f"{used:.0f} MiB of it are in use"] if used > BUDGET / MIB else []
        yield "everything is in the tier in the end", [] if self.tiered else ["segments stay behind"]
        yield "nothing is in the store but what the broker refers to", (
            [f"left: {self.left[:3]}", f"lost: {self.lost[:3]}"] if self.left or self.lost else []
        ) + ([] if self.reaped else ["uploads that reap does not take"])
        yield "there was load, and there were faults", [] if enough else ["this run shows nothing"]

    def picture(self):
        at = [sample["second"] for sample in self.samples]

        def line(name, field):
            return name, [sample[field] for sample in self.samples]

        title = f"minibroker on {STORE}, {FAULTS / 10:g} % of all requests fail, seed {SEED}"
        panels = [
            ("Throughput", "MiB/s", [line("appended", "in"), line("read", "out")]),
            ("Memory", "MiB", [line("resident", "rss"), line("budget in use", "budget")]),
            ("Operations that run", "", [line("running", "running"), line("oldest idle, s", "idle")]),
            ("Each ten seconds, and in all", "", [line("faults", "faults"), line("failed operations", "failed")]),
        ]
        return svg(title, at, panels, self.killer.outages)


def main():
    folder = Path(tempfile.mkdtemp(prefix="seglift-soak-"))
    out = TARGET / "soak"
    out.mkdir(parents=True, exist_ok=True)
    print(f"# MINUTES={MINUTES:g} SOAK_STORE={STORE} SOAK_SEED={SEED} SOAK_FAULTS={FAULTS}", flush=True)
    soak = Soak(folder)
    soak.run()
    (out / "soak.svg").write_text(soak.picture())
    (out / "soak.json").write_text(json.dumps(soak.samples, indent=1))
    moved = {"in": sum(w.moved for w in soak.producers) / MIB, "out": sum(w.moved for w in soak.readers) / MIB}
    retries = sum(reader.retries for reader in soak.readers)
    print(f"# appended {moved['in']:.0f} MiB, read {moved['out']:.0f} MiB, compared {soak.ledger.compared} records")
    print(f"# {soak.requests} requests, {sum(soak.faults.values())} faults: {json.dumps(dict(sorted(soak.faults.items())))}")
    print(f"# the store was killed {len(soak.killer.outages)} times; {retries} reads were told to come again")
    print(f"# failed operations: {json.dumps(soak.results)}")
    verdicts = list(soak.verdicts())
    print(f"1..{len(verdicts)}")
    failures = 0
    for number, (sentence, problems) in enumerate(verdicts, 1):
        for problem in problems:
            print(f"# {problem}")
        failures += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {number} - {sentence}", flush=True)
    if failures:
        print(f"# the broker's words are in {folder}/stderr")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
