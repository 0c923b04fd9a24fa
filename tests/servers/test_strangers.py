"""What lies in a bucket is readable without seglift: stock tools, and a reader of the standard library."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from held import shared
from s3 import S3
from tap import test
from test_commands import seglift

ROOT = Path(__file__).resolve().parents[2]


def reader(*arguments):
    command = [sys.executable, ROOT / "tests/python/seglift_reader.py", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def text(size):
    """Lines that compress, the same each time."""
    numbers, lines = random.Random(1), bytearray()
    while len(lines) < size:
        lines += b"%08d user=%d took=%d ms\n" % (len(lines), numbers.randrange(1000), numbers.randrange(100))
    return bytes(lines[:size])


def offloaded(folder, kind, segment, *options):
    """Offloads a segment; gives the store as a stranger without keys sees it, the bucket, and what seglift said."""
    store = shared(kind)
    bucket = store.bucket()
    (folder / "segment").write_bytes(segment)
    command = ["offload", folder / "segment", "--to", f"s3://{bucket}/tier", "--key", "t/k", "--json", *options]
    receipt = json.loads(seglift(*command, environment=store.s3.environment()))
    store.s3.allow_anonymous_reads(bucket)
    return S3(store.s3.endpoint), bucket, receipt


def told(stranger, bucket, receipt):
    """The object's user metadata, which must tell what it is."""
    headers = stranger.head(bucket, "tier/t/k")
    told = {name[len("x-amz-meta-"):]: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
    # Some proxies change underscores of header names, so there are none.
    assert told["seglift-uuid"] == receipt["object_id"], told
    assert told["seglift-codec"] == receipt["codec"], told
    assert told["seglift-segment-bytes"] == str(receipt["segment_bytes"]), told
    return told


for kind in ["versitygw", "minio"]:

    @test(f"head -c of an object without a codec on {kind} is the segment, and its metadata say how long it is")
    def _(folder, kind=kind):
        segment = os.urandom(11_000_000)
        stranger, bucket, receipt = offloaded(folder, kind, segment, "--codec", "none")
        length = told(stranger, bucket, receipt)["seglift-segment-bytes"]
        (folder / "object").write_bytes(stranger.get(bucket, "tier/t/k"))
        head = subprocess.run(["head", "-c", length, folder / "object"], capture_output=True, check=True)
        assert head.stdout == segment
        assert stranger.get(bucket, "tier/t/k", f"0-{int(length) - 1}") == segment

    @test(f"zstd -d of a compressed object on {kind} is the segment")
    def _(folder, kind=kind):
        segment = text(20_000_000)
        stranger, bucket, receipt = offloaded(folder, kind, segment, "--codec", "zstd")
        assert told(stranger, bucket, receipt)["seglift-codec"] == "zstd"
        stored = stranger.get(bucket, "tier/t/k")
        assert len(stored) == receipt["object_bytes"]
        assert subprocess.run(["zstd", "-dc"], input=stored, capture_output=True, check=True).stdout == segment

    @test(f"the reader in Python reads objects of {kind} over plain HTTP")
    def _(folder, kind=kind):
        segment = text(1_000_000)
        (folder / "index").write_bytes(b"an attachment")
        for options in [["--codec", "none"], ["--codec", "zstd", "--attach", f"index={folder}/index"]]:
            stranger, bucket, receipt = offloaded(folder, kind, segment, *options)
            url = f"{stranger.endpoint}/{bucket}/tier/t/k"
            verified = f"{receipt['object_id']} bytes {len(segment)} {receipt['crc64nvme']}\n"
            assert reader(url, "verify").decode() == verified
            assert reader(url, "range", "300000", "700001") == segment[300_000:700_001]
        assert reader(url, "attachment", "index") == b"an attachment"
        lines = b"one\ntwo\nthree\n"
        stranger, bucket, _ = offloaded(folder, kind, lines, "--records", "--first-id", "7")
        records = reader(f"{stranger.endpoint}/{bucket}/tier/t/k", "records", "8", "2").decode()
        assert records == f"8 0 {b'two'.hex()}\n9 0 {b'three'.hex()}\n", records
