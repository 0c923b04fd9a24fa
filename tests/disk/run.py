"""Tests with disks that fail or are full, in TAP.

    python3 run.py [WORD...]    only the tests whose sentence contains every word

`shim.c`, a library for LD_PRELOAD, fails the n-th system call below a folder; each test goes on with n until the program does
not come so far any more. Wants the library and the command built with `cargo build --release --features testing`, and
minibroker (`make minibroker`). SCALE=full tries every program with every fault.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# The broker's own tests lend the means to start one, and to report.
sys.path.insert(0, str(ROOT / "bindings/c/examples/tests"))

from broker import LIBRARY, TARGET, Broker  # noqa: E402
from fill import AT_ONCE, fill, only_tiered, payloads  # noqa: E402
from tap import main, test, wait_until  # noqa: E402

FULL = os.environ.get("SCALE") == "full"
COMMAND = TARGET / "release/seglift"
BUILT = Path(tempfile.mkdtemp(prefix="seglift-disk-"))
# As many tries as by default with shorter pauses; parts that a small segment has several of.
QUICK = ["retry.pause.first=1ms", "retry.pause.max=2ms", "deadline.offload=2s", "upload.part.size=1MiB"]
SETTINGS = [word for setting in QUICK for word in ("--set", setting)]

# What happens on disks, by call. `short`, EINTR and ENOLCK are no failures: whoever meets them goes on.
FAULTS = {
    "open": ["EIO", "ENOSPC", "ESTALE", "EMFILE"],
    "mkdir": ["ENOSPC", "EDQUOT", "EIO"],
    "allocate": ["ENOSPC", "EOPNOTSUPP"],
    "write": ["ENOSPC", "EIO", "EDQUOT", "short", "EINTR"],
    "truncate": ["EIO"],
    "times": ["EIO"],
    "sync": ["EIO", "ENOSPC"],
    "link": ["ENOSPC", "EIO", "lateEIO", "EROFS"],
    "unlink": ["EIO"],
    "stat": ["EIO"],
    "lock": ["EINTR", "ENOLCK"],
}
CODES = {
    "ENOSPC": "NO_SPACE",
    "EDQUOT": "NO_SPACE",
    "EIO": "UNAVAILABLE",
    "lateEIO": "UNAVAILABLE",
    "ESTALE": "UNAVAILABLE",
    "EMFILE": "RESOURCE_EXHAUSTED",
    "EROFS": "PERMISSION_DENIED",
}
HARMLESS = {"short", "EINTR", "ENOLCK", "EOPNOTSUPP"}


def build():
    cc = [os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    for name in ["libseglift.so", "libseglift.so.1"]:
        os.symlink(LIBRARY.resolve(), BUILT / name)
    shim = [*cc, "-std=gnu11", "-fPIC", "-shared", "-o", BUILT / "shim.so", HERE / "shim.c"]
    host = [*cc, "-std=c11", f"-I{ROOT}/include", "-o", BUILT / "host", HERE / "host.c"]
    for command in [shim, [*host, f"-L{BUILT}", "-lseglift", f"-Wl,-rpath,{BUILT}"]]:
        subprocess.run(command, check=True)


class Ran:
    """How a program ended. `code` is OK or the name of the error."""

    def __init__(self, command, rules=(), trace=None):
        environment = dict(os.environ)
        if rules:
            environment.update(LD_PRELOAD=str(BUILT / "shim.so"), SHIM=";".join(rules), SHIM_TRACE=str(trace))
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.status, self.out, self.said = done.returncode, done.stdout, done.stderr.decode(errors="replace")
        assert self.status >= 0, f"it died of signal {-self.status}: {command} {rules}\n{self.said}"
        lines = trace.read_text().splitlines() if trace and trace.exists() else []
        self.calls = [re.fullmatch(r"(\w+)#(\d+) (\w+) (\S+)(?: \(deleted\))?(?: (\S+))?", line) for line in lines]
        assert None not in self.calls, lines
        self.faults = [call for call in self.calls if call[3] != "ok"]

    def judged(self):
        """Of the command (with --json) and of the host."""
        if self.status == 0:
            self.code, self.message = "OK", ""
        elif self.out.startswith(b"{") or not self.out:
            error = json.loads(self.out.decode().splitlines()[-1])["error"] if self.out else {}
            self.code, self.message = error.get("code", "no answer"), error.get("message", self.said)
        else:
            self.code, _, self.message = self.out.decode().strip().partition(" ")
        return self


class Tier:
    """A store's folder with an object in it that nothing may harm."""

    def __init__(self, folder, size):
        self.folder, self.tier = folder, folder / "tier"
        self.uri = f"file://{self.tier}"
        (self.tier / "t").mkdir(parents=True)
        self.segment = folder / "segment"
        # Half of it compresses.
        self.segment.write_bytes((os.urandom(size // 4) + bytes(size // 4)) * 2)
        assert self.offload("cli", "t/earlier", "none").code == "OK"
        self.earlier = (self.tier / "t/earlier").read_bytes()
        self.number = 0

    def offload(self, program, key, codec, rules=(), trace=None):
        if program == "cli":
            command = [COMMAND, "offload", self.segment, "--to", self.uri, "--key", key, "--codec", codec, "--json", *SETTINGS]
        else:
            command = [BUILT / "host", self.uri, program, key, self.segment, codec]
        return Ran(command, rules, trace).judged()

    def cli(self, *words, rules=(), trace=None):
        return Ran([COMMAND, *words, "--json", *SETTINGS], rules, trace)

    def content(self, key):
        return Ran([COMMAND, "cat", f"{self.uri}/{key}"]).out

    def rubbish(self):
        return [path.name for path in self.tier.glob(".seglift-*")]

    def clean(self):
        """What reap removes, and that nothing is left then."""
        if self.rubbish():
            self.cli("reap", self.uri, "--older-than", "0s")
            assert not self.rubbish(), f"reap leaves {self.rubbish()}"

    def untouched(self):
        assert (self.tier / "t/earlier").read_bytes() == self.earlier, "an earlier object was changed"


def rules_of(call, when, fault, folder):
    """The fault, and that syncs and names are noted in any case."""
    rules = [f"{call}#{when}:{fault}@{folder}"]
    return rules + [f"{other}#0:EIO@{folder}" for other in ["sync", "link", "rename"] if other != call]


def check_durable(ran):
    """A file whose fsync failed is never named; a receipt comes only when file and folders are durable."""
    lost, synced = set(), set()
    for call in ran.calls:
        kind, result, path = call[1], call[3], call[4]
        if kind == "sync":
            (synced.add if result == "ok" else lost.add)(path)
            assert not (path in lost and result == "ok" and ".seglift-upload-" in path), f"{path} was synced again: {ran.calls}"
        elif kind in ("link", "rename") and result == "ok":
            old = call[5]
            assert old in synced and old not in lost, f"{old} got its name and is not durable"
            synced = set()
            if ran.code == "OK":
                folders = {str(Path(path).parent), str(Path(path).parent.parent)}
                after = {c[4] for c in ran.calls[ran.calls.index(call) :] if c[1] == "sync" and c[3] == "ok"}
                assert folders <= after, f"a receipt before {folders - after} were durable"


def offload_once(tier, program, codec, call, when, fault):
    """Whether the fault was met. All that must hold then, holds."""
    tier.number += 1
    key = f"new-{tier.number}/k"
    trace = tier.folder / f"trace-{tier.number}"
    what = f"{program} {codec} {call}#{when} {fault}"
    ran = tier.offload(program, key, codec, rules_of(call, when, fault, tier.tier), trace)
    met = [c for c in ran.faults if c[1] == call]
    if not met:
        assert ran.code == "OK", f"{what}: {ran.code} {ran.message}"
    try:
        check_durable(ran)
        named = any(c[1] == "link" and (c[3] == "ok" or fault == "lateEIO") for c in ran.calls)
        if ran.code == "OK":
            assert tier.content(key) == tier.segment.read_bytes(), "other bytes"
        elif ran.code == "OUTCOME_UNKNOWN":
            assert named or call == "link", ran.message
            assert "same key" in ran.message and str(tier.tier) in ran.message, ran.message
        else:
            assert fault not in HARMLESS and ran.code == CODES[fault], f"{ran.code} {ran.message}"
            assert str(tier.tier) in ran.message and "os error" in ran.message, ran.message
            assert fault not in ("ENOSPC", "EDQUOT") or "free space" in ran.message, ran.message
            assert not (tier.tier / key).exists(), "it failed and the object is there"
        if tier.rubbish():
            # Of what is not known the file is removed behind the answer, unless the process ends before.
            assert call == "unlink" or ran.code == "OUTCOME_UNKNOWN", f"{tier.rubbish()} stayed"
        tier.clean()
        # The disk is well again, and the same call settles or does it.
        again = tier.offload(program, key, codec)
        assert again.code == "OK" and tier.content(key) == tier.segment.read_bytes(), again.message
        tier.untouched()
    except AssertionError as e:
        raise AssertionError(f"{what}: {e}\n{ran.code} {ran.message}\n{trace.read_text()}") from None
    trace.unlink(missing_ok=True)
    return bool(met)


def offloads_survive(folder, size, programs, call):
    """Fails the first call, the second, and so on until there are no more; then all of them."""
    jobs = []
    for program, codec in programs:
        for fault in FAULTS[call]:
            place = folder / f"{program}-{codec}-{fault}"
            place.mkdir(parents=True)
            jobs.append((Tier(place, size), program, codec, call, fault))

    def sweep(job):
        tier, program, codec, call, fault = job
        n = 1
        while offload_once(tier, program, codec, call, n, fault):
            n += 1
            assert n < 200, "there is no end"
        if fault not in ("short", "EINTR"):
            offload_once(tier, program, codec, call, "1+", fault)
        return n - 1

    with ThreadPoolExecutor(3) as pool:
        met = sum(pool.map(sweep, jobs))
    assert met > 0, f"no {call} was ever met"
    print(f"# {call}: {met} faults")


SMALL, LARGE = 100_000, 2_500_000
ALL = [(program, codec) for program in ["cli", "offload", "push"] for codec in ["none", "zstd"]]
for call in FAULTS:

    # Room is taken beforehand only for what is large.
    if call != "allocate":

        @test(f"an offload of one request survives every {call} that fails")
        def _(folder, call=call):
            offloads_survive(folder, SMALL, ALL if FULL else [("cli", "zstd")], call)

    @test(f"an offload in parts survives every {call} that fails")
    def _(folder, call=call):
        offloads_survive(folder, LARGE, ALL if FULL else [("offload", "none"), ("push", "zstd")], call)


@test("no repetition gets a receipt while the folders of an object cannot be made durable")
def _(folder):
    tier = Tier(folder, SMALL)
    rules = [f"sync#1+:EIO@{tier.tier}/f"]
    first = tier.offload("cli", "f/k", "none", rules, folder / "trace-1")
    again = tier.offload("cli", "f/k", "zstd", rules, folder / "trace-2")
    command = [COMMAND, "offload", tier.segment, "--to", tier.uri, "--key", "f/k", "--json", "--set", "upload.verify.exists=true"]
    looked = Ran([*command, *SETTINGS], rules, folder / "trace-3").judged()
    assert [ran.code for ran in (first, again, looked)] == ["OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"], (
        first.message,
        again.message,
        looked.message,
    )
    for ran in (first, again, looked):
        assert len(ran.faults) == 1, "a folder whose fsync failed is not asked again as if that helped"
    assert tier.content("f/k") == tier.segment.read_bytes()
    well = Ran([*command, *SETTINGS]).judged()
    assert well.code == "OK" and json.loads(well.out)["existed"], well.message
    tier.untouched()


@test("where files cannot be linked every rename that fails is survived")
def _(folder):
    tier = Tier(folder, SMALL)
    for fault in ["ENOSPC", "EIO", "lateEIO"]:
        trace = folder / f"trace-{fault}"
        key = f"r-{fault}/k"
        ran = tier.offload("cli", key, "none", [f"link#1+:EPERM@{tier.tier}", f"rename#1:{fault}@{tier.tier}"], trace)
        assert len([c for c in ran.faults if c[1] == "rename"]) == 1, ran.calls
        assert ran.code in ("OK", CODES[fault], "OUTCOME_UNKNOWN"), (ran.code, ran.message)
        assert ran.code in ("NO_SPACE", "OUTCOME_UNKNOWN") or tier.content(key) == tier.segment.read_bytes(), ran.message
        tier.clean()
        assert tier.offload("cli", key, "none").code == "OK" and tier.content(key) == tier.segment.read_bytes()
        tier.untouched()


@test("a source that cannot be read is a failed source, and nothing of it is there")
def _(folder):
    tier = Tier(folder, LARGE)
    for program, codec in [("cli", "none"), ("cli", "zstd"), ("offload", "zstd")]:
        for n in ["1", "3", "2+"]:
            trace = folder / f"trace-{program}-{codec}-{n}"
            ran = tier.offload(program, "s/k", codec, [f"read#{n}:EIO@{tier.segment}"], trace)
            assert ran.faults and ran.code == "SOURCE_FAILED", (n, ran.code, ran.message)
            assert str(tier.segment) in ran.message or "descriptor" in ran.message, ran.message
            assert not (tier.tier / "s").exists() and not tier.rubbish()
    tier.untouched()


@test("a read from a disk that fails gives the right bytes or an error")
def _(folder):
    tier = Tier(folder, LARGE)
    segment = tier.segment.read_bytes()
    assert tier.offload("cli", "t/z", "zstd").code == "OK"
    met = 0
    for key in ["t/earlier", "t/z"]:
        for call, faults in {"read": ["EIO", "short", "EINTR"], "open": ["EIO", "ESTALE", "EMFILE"], "stat": ["EIO"]}.items():
            for fault in faults:
                for when in ["1", "2", "3", "5", "8"] + ([] if fault in HARMLESS else ["2+"]):
                    trace = folder / f"trace-{met}-{when}"
                    rules = [f"{call}#{when}:{fault}@{tier.tier}"]
                    ran = Ran([COMMAND, "cat", f"{tier.uri}/{key}", *SETTINGS], rules, trace)
                    out = folder / "out"
                    host = Ran([BUILT / "host", tier.uri, "read", key, out], rules, trace).judged()
                    met += bool(ran.faults) + bool(host.faults)
                    assert segment.startswith(ran.out) and segment.startswith(out.read_bytes()), (key, rules)
                    if ran.status == 0:
                        assert ran.out == segment, (key, rules)
                    else:
                        assert fault not in HARMLESS and (str(tier.tier) in ran.said), (rules, ran.said)
                    if host.code == "OK":
                        assert out.read_bytes() == segment, (key, rules)
                    else:
                        assert host.code == CODES[fault] and str(tier.tier) in host.message, (rules, host.message)
    assert met > 50, met
    tier.untouched()


@test("a delete on a disk that fails is an error or a delete, and repeating it helps")
def _(folder):
    tier = Tier(folder, SMALL)
    met = 0
    for call, fault in [("unlink", "EIO"), ("unlink", "EROFS"), ("sync", "EIO"), ("open", "EIO"), ("stat", "EIO")]:
        for when in ["1", "2", "3", "4", "1+"]:
            for program in ["cli", "host"]:
                assert tier.offload("cli", "d/k", "none").code == "OK"
                trace, rules = folder / f"trace-{met}-{when}", [f"{call}#{when}:{fault}@{tier.tier}"]
                if program == "cli":
                    ran = tier.cli("rm", f"{tier.uri}/d/k", rules=rules, trace=trace).judged()
                else:
                    ran = Ran([BUILT / "host", tier.uri, "delete", "d/k"], rules, trace).judged()
                met += bool(ran.faults)
                there = (tier.tier / "d/k").exists()
                assert not (ran.code == "OK" and there), (rules, "it says that it is gone")
                assert ran.code in ("OK", CODES[fault]), (rules, ran.code, ran.message)
                if ran.code != "OK" and call == "sync":
                    assert "perhaps not for good" in ran.message, ran.message
                if there:
                    assert tier.content("d/k") == tier.segment.read_bytes()
                assert tier.cli("rm", f"{tier.uri}/d/k").status == 0 and not (tier.tier / "d/k").exists()
    assert met > 20, met
    tier.untouched()


def leftover(tier):
    """An upload whose process is gone and could not remove it."""
    rules = [f"write#1+:ENOSPC@{tier.tier}", f"unlink#1+:EIO@{tier.tier}"]
    tier.offload("cli", "left/k", "none", rules, tier.folder / f"trace-left-{tier.number}")
    tier.number += 1
    assert len(tier.rubbish()) == 1, tier.rubbish()


@test("reap and sweep on a disk that fails say so, harm nothing, and end their work when it is well")
def _(folder):
    tier = Tier(folder, SMALL)
    live = folder / "live"
    met = 0
    for call, fault in [("unlink", "EIO"), ("open", "EIO"), ("stat", "EIO"), ("list", "EIO"), ("read", "EIO"), ("lock", "ENOLCK")]:
        for when in ["1", "2", "3", "6", "1+"]:
            rules = [f"{call}#{when}:{fault}@{tier.tier}"]
            tier.clean()
            leftover(tier)
            ran = tier.cli("reap", tier.uri, "--older-than", "0s", rules=rules, trace=folder / f"reap-{met}-{call}-{when}")
            met += bool(ran.faults)
            assert ran.status == 0 or str(tier.tier) in ran.said + ran.out.decode(), (rules, ran.said, ran.out)
            assert ran.status != 0 or not tier.rubbish() or b"alive" in ran.out or b"young" in ran.out, (rules, ran.out, ran.said)
            tier.clean()
            assert tier.offload("cli", "dead/k", "none").code == "OK"
            # Only what is older than the list is swept by it, and files are dated by a clock of some milliseconds.
            time.sleep(0.02)
            live.write_text("t/earlier\n")
            words = ["sweep", tier.uri, "--live", live, "--grace", "0s", "--delete"]
            ran = tier.cli(*words, rules=rules, trace=folder / f"sweep-{met}-{call}-{when}")
            met += bool(ran.faults)
            tier.untouched()
            assert ran.status == 0 or str(tier.tier) in ran.said + ran.out.decode(), (rules, ran.said, ran.out)
            if (tier.tier / "dead/k").exists():
                wait_until(lambda: tier.cli(*words).status == 0 and not (tier.tier / "dead/k").exists(), "sweep ends its work")
    assert met > 40, met


@test("a broker whose tier's disk fails for a while serves on and catches up")
def _(folder):
    for call, fault in [("write", "EIO"), ("sync", "EIO"), ("link", "ENOSPC"), ("open", "EIO")] if FULL else [("sync", "EIO")]:
        place = folder / call
        place.mkdir()
        os.environ.update(LD_PRELOAD=str(BUILT / "shim.so"), SHIM=f"{call}#12-60:{fault}@{place}/tier", SHIM_TRACE=f"{place}/trace")
        records = payloads(400)
        try:
            quick = {**AT_ONCE, "retry.pause.first": "1ms", "retry.pause.max": "5ms"}
            with Broker(place, segment_bytes=50_000, settings=quick) as broker:
                for name in ["LD_PRELOAD", "SHIM", "SHIM_TRACE"]:
                    del os.environ[name]
                fill(broker, records)
                # What cannot be opened cannot be read either, for as long as that lasts.
                assert broker.read_all(patience=60) == records, "what is here is served"
                wait_until(lambda: only_tiered(broker), "the broker catches up", 60)
                assert broker.read_all() == records
        finally:
            for name in ["LD_PRELOAD", "SHIM", "SHIM_TRACE"]:
                os.environ.pop(name, None)
        met = [line for line in (place / "trace").read_text().splitlines() if fault in line]
        assert len(met) == 49, f"{len(met)} faults were met"


def fills_up(tier, wrapper=(), before=None):
    """Offloads a segment that does not fit, and then one that does."""
    command = [*wrapper, COMMAND, "offload", tier.segment, "--to", tier.uri, "--key", "f/k", "--json", *SETTINGS]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, preexec_fn=before)
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert error["code"] == "NO_SPACE" and str(tier.tier) in error["message"], error
    return error["message"]


@test("a limit of the kernel on the length of files is no space, and leaves nothing")
def _(folder):
    tier = Tier(folder, LARGE)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    fills_up(tier, before=limit)
    assert not tier.rubbish() and not (tier.tier / "f").exists()
    assert tier.offload("cli", "f/k", "none").code == "OK"
    tier.untouched()


# Needs a name space of its own, which some machines refuse; what it shows the other tests show, too.
if subprocess.run(["unshare", "-Urm", "true"], stderr=subprocess.DEVNULL).returncode == 0:

    @test("a file system that is really full is no space, keeps what is there, and works when there is room")
    def _(folder):
        tier = folder / "tier"
        tier.mkdir()
        segment, small = folder / "segment", folder / "small"
        segment.write_bytes(os.urandom(LARGE))
        small.write_bytes(os.urandom(SMALL))
        script = folder / "script.sh"
        offload = f'"{COMMAND}" offload --to file://{tier} --json {" ".join(SETTINGS)}'
        script.write_text(
            f"set -e\nmount -t tmpfs -o size=2m tmpfs {tier}\n{offload} {small} --key a/small\n"
            f"if {offload} {segment} --key a/large; then exit 9; fi\nfind {tier} -type f >&2\n"
            f"{COMMAND} cat file://{tier}/a/small | cmp - {small}\n"
            # Room: another file system would have been grown or cleaned.
            f"mount -o remount,size=8m {tier}\n{offload} {segment} --key a/large\n{COMMAND} cat file://{tier}/a/large | cmp - {segment}\n"
        )
        done = subprocess.run(["unshare", "-Urm", "sh", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == 0 and len(answers) == 3, (done.stdout, done.stderr)
        assert answers[1]["error"]["code"] == "NO_SPACE" and "free space" in answers[1]["error"]["message"], answers[1]
        files = [line for line in done.stderr.splitlines() if line.startswith(f"{tier}/")]
        assert files == [f"{tier}/a/small"], files

else:
    print("# no file system of our own can be mounted here: full disks are the kernel's limits and the shim's")


if __name__ == "__main__":
    try:
        build()
        status = main()
    finally:
        shutil.rmtree(BUILT, ignore_errors=True)
    sys.exit(status)
