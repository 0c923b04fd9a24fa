"""Starts minibroker and speaks its protocol (bindings/c/examples/minibroker/protocol.h)."""

import json
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
# Where the programs are; a stand-in can be named for work on the broker alone.
PROGRAM = Path(os.environ.get("MINIBROKER", ROOT / "target/c/minibroker"))
LIBRARY = Path(os.environ.get("SEGLIFT_LIBRARY", TARGET / "release/libseglift.so"))

APPEND, READ, STAT, SYNC, ROLL, OFFLOAD_BEFORE, METRICS, STATUS = range(1, 9)
OK, BAD_REQUEST, OUT_OF_RANGE, RETRY, FAILED = range(5)


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(f"status {status}: {message}")
        self.status = status


class Broker:
    """A running minibroker. As a context it is stopped at the end, and must stop cleanly."""

    def __init__(self, folder, tier=None, wrapper=(), name=None, segment_bytes=100_000, settings=None):
        self.folder = Path(folder)
        self.dir = self.folder / "log"
        self.tier = tier or f"file://{self.folder}/tier"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.errors = open(self.folder / "stderr", "ab")
        command = [*wrapper, PROGRAM, "--dir", self.dir, "--tier", self.tier, "--library", LIBRARY]
        command += ["--segment-bytes", str(segment_bytes)]
        command += ["--name", name] if name else []
        for key, value in (settings or {}).items():
            command += ["--set", f"{key}={value}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors)
        line = self.process.stdout.readline().decode()
        if not line.startswith("listening on port "):
            self.process.wait()
            raise AssertionError(f"the broker did not start: {self.words()}")
        self.port = int(line.split()[-1])
        self.connection = Connection(self.port)

    def words(self):
        """What the broker has said on stderr."""
        return (self.folder / "stderr").read_text(errors="replace")

    def local_files(self):
        return sorted(self.dir.glob("[0-9]*.log"))

    def kill(self):
        """kill -9."""
        self.connection.close()
        self.process.send_signal(signal.SIGKILL)
        self._end()

    def stop(self):
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        code = self._end()
        assert code == 0, f"the broker ended with {code}: {self.words()}"

    def _end(self):
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.errors.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
            self._end()
        elif self.process.returncode is None:
            self.stop()

    def __getattr__(self, name):
        """append, read, stat, … on the broker's own connection."""
        return getattr(self.connection, name)


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)

    def close(self):
        self.socket.close()

    def send(self, operation, body=b""):
        self.socket.sendall(struct.pack("<IB", len(body) + 1, operation) + body)

    def receive(self):
        length, status = struct.unpack("<IB", self._exactly(5))
        body = self._exactly(length - 1)
        if status != OK:
            raise Refused(status, body.decode())
        return body

    def _exactly(self, length):
        data = bytearray()
        while len(data) < length:
            piece = self.socket.recv(min(length - len(data), 1 << 20))
            if not piece:
                raise ConnectionError("the broker closed the connection")
            data += piece
        return bytes(data)

    def ask(self, operation, body=b""):
        self.send(operation, body)
        return self.receive()

    def append(self, *payloads):
        """Returns the offset of the first one."""
        body = b"".join(struct.pack("<I", len(p)) + p for p in payloads)
        return struct.unpack("<q", self.ask(APPEND, struct.pack("<I", len(payloads)) + body))[0]

    def read(self, offset, size=1 << 20):
        """Returns the payloads from `offset` on; their offsets are checked."""
        return self.records(self.ask(READ, struct.pack("<qI", offset, size)), offset)

    @staticmethod
    def records(body, offset):
        payloads, at = [], 8
        while at < len(body):
            length, _crc, found = struct.unpack_from("<IIQ", body, at)
            assert found == offset + len(payloads), f"offset {found} instead of {offset + len(payloads)}"
            payloads.append(body[at + 16 : at + 16 + length])
            at += 16 + length
        return payloads

    def read_all(self, offset=0, size=1 << 20, patience=0):
        """Everything to the end; a tier that is away is asked again for `patience` seconds."""
        payloads = []
        deadline = time.monotonic() + patience
        while True:
            try:
                more = self.read(offset + len(payloads), size)
            except Refused as refused:
                if refused.status != RETRY or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
                continue
            if not more:
                return payloads
            payloads += more

    def stat(self):
        return json.loads(self.ask(STAT))

    def status(self):
        """What seglift is doing."""
        return json.loads(self.ask(STATUS))

    def states(self):
        """One letter a segment: t only in the tier, b in both, l only local, o open."""
        def letter(segment):
            if segment["state"] == "open":
                return "o"
            if segment["state"] == "tiered":
                return "b" if segment["local"] else "t"
            return "l"

        return "".join(letter(segment) for segment in self.stat()["segments"])

    def roll(self):
        self.ask(ROLL)

    def offload_before(self, offset):
        self.ask(OFFLOAD_BEFORE, struct.pack("<q", offset))
