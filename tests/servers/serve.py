#!/usr/bin/env python3
"""Runs one real object store for as long as somebody holds its standard input.

    serve.py versitygw|minio [--tls] [--cheap-etags]

It prints one line of JSON (kind, endpoint, access_key, secret_key, ca_file, log) once the store answers
signed requests. Then each line that it reads is an order, a JSON array of a name and its arguments, and
gets one line of JSON back:

    ["stop"]  kills the store as a power cut would     ["start"]  brings it back, same port, same data
    ["make_bucket", BUCKET]   ["keys", BUCKET]   ["uploads", BUCKET]   ["head", BUCKET, KEY]
    ["allow_anonymous_reads", BUCKET]   ["keep_versions", BUCKET]   ["versions", BUCKET]
    ["assume_role", POLICY]                      (what s3.py does: looks that the library has no part in)

An order that fails ends it with status 1. At the end of its input, which also comes when its parent is
killed, it removes the store and everything that the store held.

--cheap-etags: versitygw makes ETags of its checksums, not of an MD5 of every byte, which would take most of the
processors from whoever is measured beside it.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from s3 import S3  # noqa: E402

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
# What s3.py does for whoever holds the pipe.
ORDERS = ["make_bucket", "keys", "uploads", "head", "allow_anonymous_reads", "keep_versions", "versions", "assume_role"]
PATIENCE = 60  # seconds; MinIO takes one, on a busy machine ten


class Server:
    def __init__(self, kind, tls, cheap_etags):
        installed = subprocess.run([SCRIPTS / "test-servers.sh", kind], stdout=subprocess.PIPE, check=True, text=True)
        self.program, self.kind, self.tls = installed.stdout.strip(), kind, tls
        self.posix = ["posix", "--data-integrity-etag"] if cheap_etags else ["posix"]
        self.folder = Path(tempfile.mkdtemp(prefix=f"seglift-{kind}-"))
        for name in ["data", "certificates"]:
            (self.folder / name).mkdir()
        self.access_key, self.secret_key = "seglift-tests", secrets.token_hex(20)
        self.process = None
        if tls:
            self.certify()
        # A port that is free now may be taken a moment later: then the store ends at once, and another is tried.
        for attempt in range(5):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            self.s3 = S3(
                f"{'https' if tls else 'http'}://127.0.0.1:{self.port}",
                self.access_key,
                self.secret_key,
                self.folder / "certificates/public.crt" if tls else None,
            )
            if self.start():
                return
        raise SystemExit(f"serve.py: {kind} does not start:\n{(self.folder / 'log').read_text()}")

    def certify(self):
        """A certificate for 127.0.0.1 that signs itself, under the names that MinIO wants."""
        folder = self.folder / "certificates"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=seglift-tests"
        extra = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
        files = ["-keyout", folder / "private.key", "-out", folder / "public.crt"]
        subprocess.run([*command.split(), *extra, *files], check=True, capture_output=True)

    def command(self):
        address, certificates = f"127.0.0.1:{self.port}", self.folder / "certificates"
        if self.kind == "versitygw":
            pair = ["--cert", certificates / "public.crt", "--key", certificates / "private.key"] if self.tls else []
            # Kept connections are what every real endpoint offers.
            return [self.program, "-q", "--keep-alive", "--port", address, *pair, *self.posix, self.folder / "data"]
        return [
            *[self.program, "server", "--quiet", "--address", address],
            *["--certs-dir", certificates, self.folder / "data"],
        ]

    def environment(self):
        keep = {name: os.environ[name] for name in ["PATH", "TMPDIR"] if name in os.environ}
        return {
            **keep,
            "HOME": str(self.folder),
            "ROOT_ACCESS_KEY": self.access_key,
            "ROOT_SECRET_KEY": self.secret_key,
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            # A key of zeros makes SSE-S3 and SSE-KMS work; k1 is its id.
            "MINIO_KMS_SECRET_KEY": "k1:" + "A" * 43 + "=",
        }

    def start(self):
        """Whether the store came up; if not, its process is gone."""
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment()
            )
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                self.s3.request("GET", "/")
                return True
            except Exception:  # not yet, in whatever way a store that comes up says so
                time.sleep(0.02)
        self.stop()
        return False

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def order(self, name, arguments):
        if name == "stop":
            return self.stop()
        if name == "start":
            if not self.start():
                raise SystemExit(f"serve.py: {self.kind} does not come back:\n{(self.folder / 'log').read_text()}")
            return None
        if name not in ORDERS:
            raise SystemExit(f"serve.py: no order {name}")
        return getattr(self.s3, name)(*arguments)

    def end(self):
        if self.process:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def say(text):
    try:
        print(text, flush=True)
    except BrokenPipeError:  # nobody listens any more; the end of the input follows
        pass


def main():
    # Ctrl-C is for whoever runs the tests; this process ends when they do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)
    server = Server(sys.argv[1], "--tls" in sys.argv[2:], "--cheap-etags" in sys.argv[2:])
    try:
        facts = {name: getattr(server, name) for name in ["kind", "access_key", "secret_key"]}
        facts["endpoint"], facts["log"] = server.s3.endpoint, str(server.folder / "log")
        facts["ca_file"] = str(server.folder / "certificates/public.crt") if server.tls else None
        say(json.dumps(facts))
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            say(json.dumps(server.order(name, arguments)))
    finally:
        server.end()


if __name__ == "__main__":
    main()
