"""A real store whose disk is full: what is said, how soon, and what stays."""

import os
import subprocess
import time

from held import Held
from tap import test
from test_commands import seglift

# A file system of 60 MiB, in a name space of its own, for all that the store keeps.
SMALL = ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs -o size=60m tmpfs "$0" && TMPDIR="$0" exec "$@"']

if subprocess.run([*SMALL, "/mnt", "true"], stderr=subprocess.DEVNULL).returncode == 0:

    @test("a store whose disk is full is no space at once, keeps no part, and works when there is room")
    def _(folder):
        place, segment = folder / "disk", folder / "segment"
        place.mkdir()
        with Held("versitygw", wrapper=[*SMALL, place]) as store:
            bucket, environment = store.bucket(), store.s3.environment()
            # The parts do not fit; the parts fit, and what is made of them does not; all of it fits.
            for megabytes, fits in [(80, False), (40, False), (20, True)]:
                segment.write_bytes(os.urandom(megabytes << 20))
                words = ["offload", segment, "--to", f"s3://{bucket}", "--key", f"k{megabytes}", "--codec", "none", "--json"]
                if fits:
                    seglift(*words, environment=environment)
                    assert seglift("cat", f"s3://{bucket}/k{megabytes}", environment=environment) == segment.read_bytes()
                    continue
                began = time.monotonic()
                said = seglift(*words, environment=environment, status=1)
                assert "NO_SPACE" in said or "No space left" in said and "free space" in said, said
                assert time.monotonic() - began < 60, "it went on trying"
                assert store.s3.keys(bucket) == [] and store.s3.uploads(bucket) == []

else:
    print("# no file system of our own can be mounted here: full stores are those of the scripted service")
