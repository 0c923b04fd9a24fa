#!/usr/bin/env python3
"""The crash matrix, in TAP: a C host is killed with SIGKILL at every point, on every kind of store.

    run.py [file | versitygw | minio]...     kinds of store; file, unless told

A host (host.c) offloads, deletes, reaps and sweeps, and keeps a journal as a broker does. It is killed where a pause of
the fault build holds it (src/pause.rs; a marker file shows that it is there), or while a proxy holds one of its requests
(wire.py). Then a fresh process must find:

- every segment whose receipt is in the journal, byte for byte, and no wrong byte under any other key;
- that the interrupted offload can be repeated with its key, and an interrupted delete, too;
- after `seglift reap` and `seglift sweep` with the journal's keys exactly those objects in the store, and nothing else:
  no file, no upload in parts, looked at without seglift.

SCALE=full does each case in all its variants, and kills at random moments, too. CRASH_ONLY=TEXT runs the cases whose
sentence contains it. What is random follows from a seed, which a failure prints: CRASH_SEED=NUMBER gives it.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "bindings/c/examples/tests"), str(ROOT / "tests/servers")]
import tap  # noqa: E402
from held import shared  # noqa: E402
from s3 import Refused, clean_environment  # noqa: E402
from wire import Wire  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
LIBRARY = Path(os.environ.get("SEGLIFT_LIB", TARGET / "release/libseglift.so")).resolve()
SEGLIFT = TARGET / "release/seglift"
FULL = os.environ.get("SCALE") == "full"
# A case mostly waits: for a store that tells the time in seconds, and for processes to start.
AT_ONCE = 8
PATIENCE = 60  # seconds; a case takes two or three on a quiet machine

# What a host does where it meets a point: steps that end before, and the step that never ends.
UPLOAD, SMALL, FAIL, DELETE = (["small"], "large"), (["small"], "small"), (["small"], "fail"), (["small", "large", "small"], "delete")
REAP, SWEEP = (["small", "killed@parts.last"], "reap"), (["small", "killed@put.after"], "sweep")
POINTS = {
    **dict.fromkeys(["begin.before", "begin.after", "part.inside", "parts.between", "parts.last"], UPLOAD),
    **dict.fromkeys(["commit.before", "commit.inside", "commit.after", "file.synced", "file.linked", "file.unlinked"], UPLOAD),
    **dict.fromkeys(["put.before", "put.inside", "put.after", "probe.inside"], SMALL),
    **dict.fromkeys(["abort.before", "abort.after"], FAIL),
    **dict.fromkeys(["delete.before", "delete.inside", "delete.after"], DELETE),
    **dict.fromkeys(["reap.clock", "reap.before.abort", "reap.after.abort"], REAP),
    **dict.fromkeys(["sweep.before.delete", "sweep.after.delete"], SWEEP),
    # The host's own.
    "host.receipt": UPLOAD,
    "host.dropped": DELETE,
}
# The second to come to a point, where that is another moment.
SECOND = ["part.inside", "parts.between"]
# Steps that may end without coming to the point, and are run again then.
MAY_END = ["reap", "sweep", "fail"]
# Where the command is killed that keeps what it has sent; and whether the store has parts by then that need not be sent
# again.
RESUMED = {"begin.after": False, "part.inside": False, "parts.between": True, "parts.last": True, "commit.before": True,
           "commit.inside": False, "commit.after": False}
REQUESTS = {
    "CreateMultipartUpload": UPLOAD,
    "UploadPart": UPLOAD,
    "CompleteMultipartUpload": UPLOAD,
    "PutObject": SMALL,
    "DeleteObjects": DELETE,
    "AbortMultipartUpload": REAP,
    "DeleteObject": SWEEP,
}


class Wrong(AssertionError):
    pass


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Wrong(f"after {PATIENCE} s: {what() if callable(what) else what}")
        time.sleep(0.02)
    return found


class Folder:
    """A store in a folder, looked at as files."""

    part = "1MiB"
    stays = float("inf")  # bytes from which a sweep leaves what is new, whatever the grace

    def __init__(self, folder):
        self.path = folder / "tier"
        self.path.mkdir()
        self.uri, self.environment = f"file://{self.path}", {}

    def everything(self):
        return sorted(str(p.relative_to(self.path)) for p in self.path.rglob("*") if not p.is_dir())

    def close(self):
        pass


class Bucket:
    """A store in a bucket of its own, looked at with a client that shares no line with seglift."""

    part = "5MiB"
    stays = 5 << 20

    def __init__(self, kind, through_wire):
        self.s3, self.name = shared(kind).s3, shared(kind).bucket()
        self.uri, self.environment = f"s3://{self.name}", self.s3.environment()
        self.wire = None
        if through_wire:
            # For all processes, because a receipt names the endpoint.
            self.wire = Wire(self.s3.url.hostname, self.s3.url.port)
            self.environment["AWS_ENDPOINT_URL"] = self.wire.endpoint

    def everything(self):
        page = ElementTree.fromstring(self.s3.request("GET", f"/{self.name}", {"uploads": ""})[2])
        uploads = [(u.findtext("{*}Key"), u.findtext("{*}UploadId")) for u in page.findall("{*}Upload")]
        there = [f"{key} (an upload in parts)" for key, upload in uploads if self.is_there(key, upload)]
        return sorted(self.s3.keys(self.name)) + sorted(there)

    def is_there(self, key, upload):
        """MinIO goes on listing an upload whose commit was broken off by the death of its sender: it has no such upload
        any more, nothing of it is stored, and no abort changes the list."""
        try:
            return bool(self.s3.request("GET", f"/{self.name}/{key}", {"uploadId": upload}))
        except Refused as refused:
            if refused.status == 404:
                return False
            raise

    def close(self):
        if self.wire:
            self.wire.close()


class Case:
    """One crash, and what a fresh process finds."""

    def __init__(self, kind, codec, through_wire):
        self.folder = Path(tempfile.mkdtemp(prefix="seglift-crash-"))
        self.kind, self.codec, self.journal, self.runs = kind, codec, self.folder / "journal", 0
        self.store = Folder(self.folder) if kind == "file" else Bucket(kind, through_wire)

    def host(self, *steps, environment=None):
        """Starts the host; each one counts its segments from another number."""
        self.runs += 1
        command = [HOST, self.store.uri, self.journal, self.codec, str(100 * self.runs), self.store.part, *steps]
        environment = {**clean_environment(), **self.store.environment, **(environment or {})}
        with open(self.folder / "stderr", "ab") as errors:
            return subprocess.Popen(command, env=environment, stderr=errors)

    def run(self, *steps):
        code = self.host(*steps).wait(timeout=2 * PATIENCE)
        if code != 0:
            raise Wrong(f"the host ends {steps} with {code}: {self.words()}")

    def words(self):
        return (self.folder / "stderr").read_text(errors="replace")

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait()

    def prepare(self, steps):
        """What comes before the crash; `killed@POINT` leaves what a host leaves that was killed there."""
        self.run(*[s for s in steps if "@" not in s])
        for point in [s.split("@")[1] for s in steps if "@" in s]:
            self.crash_at(point, "small" if point.startswith("put.") else "large")

    def crash_at(self, point, step):
        """Kills the host at the point. A step that may end without coming there is run again: what is as young as the
        store's clock can tell is not garbage, and an abort that takes long goes on behind its operation."""
        marker = self.folder / f"marker-{point}"
        name, own = point.split("#")[0], point.startswith("host.")
        asked = {"HOST_PAUSE": f"{point[5:]}:{marker}"} if own else {"SEGLIFT_PAUSE": f"{point}:{marker}"}

        def attempt():
            process = self.host(step, environment=asked)
            wait_for(lambda: marker.exists() or process.poll() is not None, f"{point} was not reached")
            if process.returncode is None:
                self.kill(process)
            elif process.returncode != 0:
                raise Wrong(f"the host ended with {process.returncode} before {point}: {self.words()}")
            return marker.exists()

        if step in MAY_END:
            wait_for(attempt, f"{point} was not reached")
        elif not attempt():
            raise Wrong(f"the host ended and did not come to {point}")
        said = marker.read_text()
        if said != (name[5:] if own else name) + "\n":
            raise Wrong(f"the marker of {point} says {said!r}")

    def crash_on_the_wire(self, request, when, step):
        wire = self.store.wire
        wire.hold(request, when)

        def attempt():
            process = self.host(step)
            wait_for(lambda: wire.held.is_set() or process.poll() is not None, f"no {request} was sent")
            if process.returncode is None:
                self.kill(process)
            elif process.returncode != 0:
                raise Wrong(f"the host ended with {process.returncode} before {request}: {self.words()}")
            return wire.held.is_set()

        if step in MAY_END:
            wait_for(attempt, f"no {request} was sent")
        elif not attempt():
            raise Wrong(f"the host ended without {request}")

    def live(self):
        """The keys that the host refers to, in byte order."""
        keys = set()
        for line in self.journal.read_text().splitlines(keepends=True):
            what, key, *_ = line.split()
            if line.endswith("\n") and what == "commit":
                keys.add(key)
            if line.endswith("\n") and what == "drop":
                keys.discard(key)
        return sorted(keys)

    def command(self, *words):
        done = subprocess.run([SEGLIFT, *words, "--set", "owner=crash"], capture_output=True, text=True,
                              env={**clean_environment(), **self.store.environment}, timeout=2 * PATIENCE)
        if done.returncode != 0:
            raise Wrong(f"seglift {' '.join(map(str, words))} ends with {done.returncode}: {done.stderr}")
        return done.stdout

    def clean(self):
        """Reaps and sweeps until the store holds exactly what the journal names."""
        live = self.folder / "live"
        said = []

        def is_clean():
            # Anew each time, since only what is older than the list is swept by it.
            live.write_text("".join(f"{key}\n" for key in self.live()))
            reaped = self.command("reap", self.store.uri, "--older-than", "0s", "--all-owners", "--json")
            swept = self.command("sweep", self.store.uri, "--live", live, "--grace", "0s", "--delete", "--json")
            # Two clocks may differ by a quarter of an hour, so what came to S3 in parts stays for so long (maintain/sweep.rs).
            found = [json.loads(line) for line in swept.splitlines()]
            for key in [item["name"] for item in found if item["verdict"] == "young" and item["bytes"] > self.store.stays]:
                self.command("rm", self.store.uri, key)
            if self.store.everything() == self.live():
                return True
            said[:] = [reaped, swept]
            time.sleep(0.3)  # until the store's clock, which tells seconds, has gone on
            return False

        wait_for(is_clean, lambda: f"reap and sweep leave {self.store.everything()}, the journal names {self.live()}; they say {said}")
        listed = self.command("ls", self.store.uri, "").split()
        if listed != self.live():
            raise Wrong(f"seglift ls shows {listed}, the journal names {self.live()}")

    def end(self):
        self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def recovered(case, repeats_first):
    """What must be true after any crash. An operator may clean up before the host comes back, or after."""
    case.run("verify")
    if not repeats_first:
        case.clean()
    case.run("recover")
    case.run("verify")
    case.clean()
    case.run("verify")


def at_point(case, point, step, repeats_first):
    case.prepare(POINTS[point.split("#")[0]][0])
    case.crash_at(point, step)
    recovered(case, repeats_first)


def resumed(case, point, has_parts, reaps_first):
    """`seglift offload --resume`, and the same command again: over what it left, or after a reap has removed that."""
    case.run("small")
    source, key = case.folder / "source", f"t/{100 * (case.runs + 1)}/segment"
    case.run(f"write={source}")
    words = ["offload", source, "--to", case.store.uri, "--key", key, "--codec", case.codec, "--resume", "--json"]
    words += ["--set", f"upload.part.size={case.store.part}", "--set", "owner=crash"]
    marker = case.folder / f"marker-{point}"
    environment = {**clean_environment(), **case.store.environment, "SEGLIFT_PAUSE": f"{point}:{marker}"}
    with open(case.folder / "stderr", "ab") as errors:
        process = subprocess.Popen([SEGLIFT, *words], env=environment, stdout=subprocess.DEVNULL, stderr=errors)
    wait_for(lambda: marker.exists() or process.poll() is not None, f"{point} was not reached")
    if process.returncode is not None:
        raise Wrong(f"the command ended with {process.returncode} before {point}: {case.words()}")
    case.kill(process)
    case.run("verify")
    if reaps_first:
        case.clean()
    again = json.loads(case.command(*words))
    if has_parts and not reaps_first and again["resumed_bytes"] == 0:
        raise Wrong(f"nothing was resumed: {again}")
    if list(case.folder.glob("*.seglift-resume")):
        raise Wrong("the resume file is still there")
    recovered(case, True)


def on_the_wire(case, request, when, repeats_first):
    """`when`: "answer" (it never comes), "request" (the store gets it as soon as the host is dead), "late" (after all has
    been repeated and cleaned up: nothing may change by it that cannot be cleaned up again)."""
    before, step = REQUESTS[request]
    case.prepare(before)
    case.crash_on_the_wire(request, "answer" if when == "answer" else "request", step)
    if when == "request":
        case.store.wire.release()
    recovered(case, repeats_first)
    if when == "late":
        case.store.wire.release()
        recovered(case, repeats_first)


def at_random(case, seed, kills):
    """Many hosts in one journal, each killed at some moment. The seed says what they do and when; how far they are by
    then, it does not."""
    try:
        killed_at_random(case, seed, kills)
    except Exception as wrong:
        scale = "SCALE=full " if FULL else ""
        again = f"{scale}CRASH_SEED={seed} CRASH_ONLY='random moments' tests/crash/run.py {case.kind}"
        raise Wrong(f"{wrong}\nagain: {again}") from None


def killed_at_random(case, seed, kills):
    numbers = random.Random(seed)
    names = ["small", "large", "small-async", "large-async", "fail", "delete", "reap", "sweep", "recover"]
    case.run("small")
    for _ in range(kills):
        steps = [numbers.choice(names) for _ in range(4)]
        process = case.host(*steps)
        try:
            process.wait(timeout=numbers.random() * 1.5)
        except subprocess.TimeoutExpired:
            case.kill(process)
        if process.returncode not in [0, -signal.SIGKILL]:
            raise Wrong(f"the host ends {steps} with {process.returncode}: {case.words()}")
        case.run("verify")
    recovered(case, numbers.random() < 0.5)


def crashes(kind, codec, wired, work, *arguments):
    """One case from its beginning to its end; what fails leaves its folder to be looked at."""
    case = Case(kind, codec, wired)
    try:
        work(case, *arguments)
    except Exception as wrong:
        raise Wrong(f"{wrong}\nits journal and what the host said are in {case.folder}") from None
    case.end()


def points_of(kind):
    """What the fault build says that it has, and the host's own."""
    case = Case("file", "none", False)
    listed = case.folder / "points"
    if case.host("small", environment={"SEGLIFT_PAUSE": f"list:{listed}"}).wait() != 0:
        raise Wrong(case.words())
    found = [line.split() for line in listed.read_text().splitlines()]
    case.end()
    mine = "file" if kind == "file" else "s3"
    return [name for name, stores in found if stores in ["every", mine]] + ["host.receipt", "host.dropped"]


def cases(kind):
    """All cases of a kind of store: their sentences, and the arguments of `crashes`."""
    found = points_of(kind)
    for point in found + [f"{name}#2" for name in SECOND]:
        if point.split("#")[0] not in POINTS:
            yield f"{kind}: the matrix knows the point {point}", (kind, "none", False, no_case, point)
            continue
        step = POINTS[point.split("#")[0]][1]
        ways = [step, f"{step}-async"] if step in ["small", "large"] else [step]
        chosen = list(product(["none", "zstd"], ways, [False, True]))
        if not FULL:
            # Both codecs; who repeats first, and synchronous or not, is drawn by the name, the same each time.
            drawn = zlib.crc32(f"{kind} {point}".encode())
            chosen = [("none", ways[drawn % len(ways)], bool(drawn & 2)), ("zstd", ways[-1 - drawn % len(ways)], not drawn & 2)]
        for codec, way, first in chosen:
            order = "repeated and cleaned up" if first else "cleaned up and repeated"
            yield f"{kind}, {codec}: killed at {point} of {way}, {order}", (kind, codec, False, at_point, point, way, first)
    for point, has_parts in RESUMED.items():
        if point not in found:
            continue
        drawn = zlib.crc32(f"{kind} {point} resumed".encode())
        chosen = [("none", bool(drawn & 1)), ("zstd", not drawn & 1)]
        for codec, reaps in list(product(["none", "zstd"], [False, True])) if FULL else chosen:
            how = "reaped and repeated" if reaps else "resumed"
            sentence = f"{kind}, {codec}: seglift offload --resume killed at {point}, {how}"
            # The first part goes to S3 again, and there may be no other yet.
            counts = has_parts and (kind == "file" or point != "parts.between")
            yield sentence, (kind, codec, False, resumed, point, counts, reaps)
    for request, when in product(REQUESTS if kind != "file" else [], ["answer", "request", "late"]):
        drawn = zlib.crc32(f"{kind} {request} {when}".encode())
        for codec in ["none", "zstd"] if FULL else [["none", "zstd"][drawn & 1]]:
            what = {"answer": "without its answer", "request": "and then it arrives", "late": "and it arrives after the repetition"}
            sentence = f"{kind}, {codec}: killed with {request} sent, {what[when]}"
            first = when == "late" or bool(drawn & 2)
            yield sentence, (kind, codec, True, on_the_wire, request, when, first)
    given = os.environ.get("CRASH_SEED")
    for seed in [int(given)] if given else random.sample(range(1 << 30), 20 if FULL else 1):
        kills = 30 if FULL else 4
        sentence = f"{kind}: killed {kills} times at random moments, seed {seed}"
        yield sentence, (kind, ["none", "zstd"][seed & 1], False, at_random, seed, kills)


def no_case(_case, point):
    raise Wrong(f"src/pause.rs has the point {point}, and POINTS here does not say how to come to it")


def build_host(folder):
    os.symlink(LIBRARY, folder / "libseglift.so.1")
    host = folder / "host"
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    command = [os.environ.get("CC", "cc"), *flags, f"-I{ROOT}/include", HERE / "host.c", "-o", host, LIBRARY]
    subprocess.run([*command, f"-Wl,-rpath,{folder}"], check=True)
    return host


def register(sentence, future):
    @tap.test(sentence)
    def _(_folder):
        future.result()


def main(kinds):
    global HOST
    with tempfile.TemporaryDirectory(prefix="seglift-crash-host-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        HOST = build_host(Path(folder))
        sys.argv[1:] = []
        for kind in kinds or ["file"]:
            for sentence, arguments in cases(kind):
                if os.environ.get("CRASH_ONLY", "") in sentence:
                    register(sentence, pool.submit(crashes, *arguments))
        return tap.main()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
