"""The broker's own log, without a tier that matters."""

import hashlib
import os
import random
import struct
import subprocess

from broker import APPEND, BAD_REQUEST, OUT_OF_RANGE, PROGRAM, READ, Broker, Connection, Refused
from tap import test


def refused(status, call, *arguments):
    try:
        call(*arguments)
    except Refused as refusal:
        assert refusal.status == status, refusal
        return
    raise AssertionError("it was not refused")


@test("records come back from any offset, empty and 8 MiB ones included")
def _(folder):
    with Broker(folder) as broker:
        payloads = [b"", b"x", os.urandom(8 << 20), b"last"]
        assert broker.append(payloads[0]) == 0
        assert broker.append(*payloads[1:2]) == 1
        assert broker.append(payloads[2]) == 2
        assert broker.append(payloads[3]) == 3
        for offset in range(5):
            assert broker.read_all(offset) == payloads[offset:]
        assert broker.read(2, 10) == payloads[2:3], "at least one record, however large"


@test("a read returns no more than it was asked for, but for a single record")
def _(folder):
    with Broker(folder) as broker:
        broker.append(*[b"x" * 1000] * 50)
        assert len(broker.read(7, 3 * 1016)) == 3
        assert len(broker.read(7, 1)) == 1


@test("offsets outside the log are refused, the end is empty")
def _(folder):
    with Broker(folder) as broker:
        broker.append(b"a", b"b")
        assert broker.read(2) == []
        refused(OUT_OF_RANGE, broker.read, 3)
        refused(OUT_OF_RANGE, broker.read, -1)


@test("requests sent ahead are answered in their order")
def _(folder):
    with Broker(folder) as broker:
        broker.append(*[b"%d" % i for i in range(500)])
        for offset in range(500):
            broker.send(READ, struct.pack("<qI", offset, 1))
        for offset in range(500):
            assert broker.records(broker.receive(), offset) == [b"%d" % offset]


@test("malformed requests are refused, and the broker serves on")
def _(folder):
    with Broker(folder) as broker:
        refused(BAD_REQUEST, broker.ask, 99)
        refused(BAD_REQUEST, broker.ask, READ, b"short")
        refused(BAD_REQUEST, broker.ask, APPEND, struct.pack("<I", 0))
        refused(BAD_REQUEST, broker.ask, APPEND, struct.pack("<II", 2, 1) + b"a")
        refused(BAD_REQUEST, broker.ask, APPEND, struct.pack("<II", 1, 1 << 31) + b"a")
        for frame in (struct.pack("<I", 0), struct.pack("<I", 1 << 31), b"GET / HTTP/1.1\r\n\r\n"):
            stranger = Connection(broker.port)
            stranger.socket.sendall(frame + b"xxxx")
            assert stranger.socket.recv(100) == b"", "a stranger's connection is closed"
            stranger.close()
        assert broker.append(b"fine") == 0
        assert broker.read(0) == [b"fine"]


@test("a client that sends and goes away at any byte harms nobody")
def _(folder):
    with Broker(folder) as broker:
        body = struct.pack("<II", 1, 5) + b"hello"
        frame = struct.pack("<IB", len(body) + 1, APPEND) + body
        for cut in range(len(frame)):
            leaver = Connection(broker.port)
            leaver.socket.sendall(frame[:cut])
            leaver.close()
        assert broker.append(b"fine") == 0


@test("a stopped broker comes back with every record")
def _(folder):
    payloads = [os.urandom(random.randrange(3000)) for _ in range(300)]
    with Broker(folder, segment_bytes=20_000) as broker:
        for payload in payloads:
            broker.append(payload)
    with Broker(folder, segment_bytes=20_000) as broker:
        assert len(broker.local_files()) > 5
        assert broker.read_all() == payloads
        assert broker.append(b"next") == 300


@test("a torn record at the log's end is cut off at every byte")
def _(folder):
    with Broker(folder) as broker:
        broker.append(b"first")
        broker.append(b"second")
        (path,) = broker.local_files()
    whole = path.read_bytes()
    for cut in range(len(whole) - 21, len(whole)):
        path.write_bytes(whole[:cut])
        with Broker(folder) as broker:
            assert broker.read_all() == [b"first"]
    path.write_bytes(whole[:-1] + b"?")
    with Broker(folder) as broker:
        assert broker.read_all() == [b"first"]
        assert broker.append(b"again") == 1


@test("a damaged sealed segment that is nowhere else stops the start with its name")
def _(folder):
    with Broker(folder) as broker:
        broker.append(b"first", b"second")
        broker.roll()
        path = broker.local_files()[0]
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    try:
        Broker(folder)
    except AssertionError as error:
        assert f"{path.name} is damaged" in str(error), error
    else:
        raise AssertionError("the broker started")


@test("a missing segment stops the start")
def _(folder):
    with Broker(folder) as broker:
        for payload in (b"first", b"second", b"third"):
            broker.append(payload)
            broker.roll()
        broker.local_files()[1].unlink()
    try:
        Broker(folder)
    except AssertionError as error:
        assert "has a hole" in str(error), error
    else:
        raise AssertionError("the broker started")


@test("a second broker is refused the same folder")
def _(folder):
    with Broker(folder) as broker:
        try:
            Broker(folder)
        except AssertionError as error:
            assert "belongs to a broker that is running" in str(error), error
        else:
            raise AssertionError("the second broker started")
        broker.append(b"fine")


@test("a wrong setting or address ends the start with a word about it")
def _(folder):
    for settings, word in (({"policy.size.treshold": "0"}, "policy.size.threshold"), ({"codec": "lz4"}, "lz4")):
        try:
            Broker(folder / word, settings=settings)
        except AssertionError as error:
            assert word in str(error), error
        else:
            raise AssertionError("the broker started")


@test("the client's digest of what it consumes is that of what it produced")
def _(folder):
    data = os.urandom(3_000_000)
    (folder / "in").write_bytes(data)
    with Broker(folder / "broker") as broker:
        client = [PROGRAM.with_name("minibroker_client"), f"127.0.0.1:{broker.port}"]
        produced = subprocess.run([*client, "produce", folder / "in"], capture_output=True, check=True).stdout
        consumed = subprocess.run([*client, "consume", "--digest"], capture_output=True, check=True).stdout
        back = subprocess.run([*client, "consume"], capture_output=True, check=True).stdout
        assert back == data
        assert produced == consumed
        assert produced.split()[-1].decode() == hashlib.sha256(data).hexdigest()
