"""A real object store for tests in Python, held by a pipe (see serve.py)."""

import atexit
import json
import subprocess
import sys
from pathlib import Path

from s3 import S3

_shared = {}


class Held:
    """A store that runs until `end`, or until this process ends, however it ends.

    `wrapper` is a command that runs it; `options` are more of serve.py's."""

    def __init__(self, kind, tls=False, wrapper=(), options=()):
        command = [*wrapper, sys.executable, Path(__file__).with_name("serve.py"), kind, *options]
        command += ["--tls"] if tls else []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line, f"{kind} did not start; serve.py says why"
        facts = json.loads(line)
        self.ca_file, self.buckets = facts["ca_file"], 0
        self.s3 = S3(facts["endpoint"], facts["access_key"], facts["secret_key"], self.ca_file)

    def bucket(self):
        """Makes a bucket that no other test has."""
        self.buckets += 1
        name = f"bucket-{self.buckets}"
        self.s3.make_bucket(name)
        return name

    def stop(self):
        """Kills the store as a power cut would; its data stay."""
        self._order("stop")

    def start(self):
        """Brings it back at the same port with the same data."""
        self._order("start")

    def _order(self, name):
        print(json.dumps([name]), file=self.process.stdin, flush=True)
        assert self.process.stdout.readline(), f"{name} failed; serve.py says why"

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def shared(kind):
    """The one store of this kind that the tests of this process share."""
    if kind not in _shared:
        _shared[kind] = Held(kind)
        atexit.register(_shared[kind].end)
    return _shared[kind]
