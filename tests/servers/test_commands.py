"""The command line does the same on every store."""

import difflib
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from held import Held, shared
from s3 import clean_environment
from tap import test

ROOT = Path(__file__).resolve().parents[2]
SEGLIFT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/seglift"


def seglift(*command, environment=None, status=0, stdin=b""):
    """Runs the command line; gives its standard output, or with another status its standard error."""
    environment = {**clean_environment(), **(environment or {})}
    run = subprocess.run([SEGLIFT, *command], input=stdin, capture_output=True, env=environment)
    assert run.returncode == status, f"{command}: status {run.returncode}: {run.stderr.decode()}"
    return run.stdout if status == 0 else run.stderr.decode()


def same_commands(store, environment):
    script = ROOT / "tests/servers/same-commands.sh"
    environment = {**clean_environment(), "SEGLIFT": str(SEGLIFT), **environment}
    run = subprocess.run([script, store], stdout=subprocess.PIPE, env=environment, check=True)
    return run.stdout.decode().splitlines()


def compare(folder, kind):
    store = shared(kind)
    (folder / "tier").mkdir()
    files = same_commands(f"file://{folder}/tier", {})
    assert len(files) > 200, files
    bucket = store.bucket()
    objects = same_commands(f"s3://{bucket}", store.s3.environment())
    difference = "\n".join(difflib.unified_diff(files, objects, "file", kind, lineterm=""))
    assert files == objects, difference
    assert store.s3.keys(bucket) == [], "the script removes what it makes"
    assert store.s3.uploads(bucket) == []


@test("every command does the same on versitygw as on files")
def _(folder):
    compare(folder, "versitygw")


@test("every command does the same on MinIO as on files")
def _(folder):
    compare(folder, "minio")


@test("an object is named s3://bucket/prefix/key, with what the URI says of the endpoint behind it")
def _(folder):
    store = shared("versitygw")
    bucket = store.bucket()
    keys = {k: v for k, v in store.s3.environment().items() if k != "AWS_ENDPOINT_URL"}
    query = f"?endpoint={store.s3.endpoint}&style=path"
    source = folder / "segment"
    source.write_bytes(b"a segment of a few bytes\n")
    seglift("offload", source, "--to", f"s3://{bucket}/tier{query}", "--key", "t/0/k", environment=keys)
    assert store.s3.keys(bucket) == ["tier/t/0/k"]
    for address in [[f"s3://{bucket}/tier/t/0/k{query}"], [f"s3://{bucket}/tier{query}", "t/0/k"], [f"s3://{bucket}{query}", "tier/t/0/k"]]:
        assert seglift("cat", *address, environment=keys) == source.read_bytes(), address
    everything = f"s3://{bucket}{query}"
    assert seglift("ls", everything, environment=keys) == b"tier/t/0/k\n"
    assert seglift("ls", f"s3://{bucket}/tier/t{query}", environment=keys) == b"tier/t/0/k\n"
    assert seglift("ls", f"s3://{bucket}/tier{query}", "t", environment=keys) == b"t/0/k\n"


@test("more than two thousand keys are listed, in byte order, whoever wrote them")
def _(folder):
    for kind in ["versitygw", "minio"]:
        store = shared(kind)
        bucket = store.bucket()
        keys = [f"tier/t/{number % 7}/{number:04}-\u00e4 +%41&<" for number in range(2300)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.s3.put(bucket, key, b"x"), keys + ["tierless/a", "tie"]))
        listed = seglift("ls", f"s3://{bucket}/tier", "", environment=store.s3.environment()).decode()
        assert listed.splitlines() == sorted(key[len("tier/") :] for key in keys), kind
        listed = seglift("ls", f"s3://{bucket}/tier/t/3/", environment=store.s3.environment()).decode()
        assert len(listed.splitlines()) == len([key for key in keys if key.startswith("tier/t/3/")]), kind


@test("segments go over TLS where the certificate is known, and nowhere else")
def _(folder):
    with Held("minio", tls=True) as store:
        bucket = store.bucket()
        source = folder / "segment"
        source.write_bytes(os.urandom(20_000_000))
        to = f"s3://{bucket}"
        known = ["--set", f"s3.ca.file={store.ca_file}"]
        command = ["offload", source, "--to", to, "--key", "k", "--codec", "none"]
        seglift(*command, *known, environment=store.s3.environment())
        assert seglift("cat", f"{to}/k", *known, environment=store.s3.environment()) == source.read_bytes()
        said = seglift("cat", f"{to}/k", environment=store.s3.environment(), status=7)
        assert "certificate" in said and "s3.ca.file" in said, said


@test("a bucket that is not there is named with its endpoint")
def _(folder):
    store = shared("minio")
    source = folder / "segment"
    source.write_bytes(b"x")
    for command in [["offload", source, "--to", "s3://no-such-bucket"], ["ls", "s3://no-such-bucket"], ["cat", "s3://no-such-bucket/k"]]:
        environment = {**clean_environment(), **store.s3.environment()}
        run = subprocess.run([SEGLIFT, *command], capture_output=True, env=environment, text=True)
        assert run.returncode not in [0, 3], f"{command}: {run.returncode}: a missing bucket is no missing object"
        assert "no-such-bucket" in run.stderr and store.s3.endpoint in run.stderr, run.stderr


@test("a wrong secret is status 8, and is not shown")
def _(folder):
    store = shared("minio")
    bucket = store.bucket()
    environment = {**store.s3.environment(), "AWS_SECRET_ACCESS_KEY": "planted-secret"}
    said = seglift("ls", f"s3://{bucket}", environment=environment, status=8)
    assert "SignatureDoesNotMatch" in said and "planted-secret" not in said, said
