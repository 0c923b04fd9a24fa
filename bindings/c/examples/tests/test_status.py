"""The status socket, with minibroker as the host."""

import json
import os
import socket
import subprocess

from broker import Broker, TARGET
from tap import test, wait_until

RECORD = b"x" * 50_000


def line(path):
    """The first line that the host tells."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        return json.loads(client.makefile().readline())


def host(folder, path):
    settings = {"policy.size.threshold": "0", "policy.deletion.lag": "-1", "status.socket": path}
    return Broker(folder, segment_bytes=1_000_000, settings=settings)


@test("another process sees what the broker offloads, until it ends; what a killed broker left is replaced")
def _(folder):
    path = folder / "status"
    broker = host(folder, path)
    for _ in range(41):
        broker.append(RECORD)
    wait_until(lambda: len(line(path)["succeeded"]) == 2, "both sealed segments are told as offloaded")
    told = line(path)
    assert told["pid"] == broker.process.pid and told["running"] == [] and told["failed"] == []
    assert {op["kind"] for op in told["succeeded"]} == {"offload"}
    assert told["stores"][0]["breaker"]["state"] == "closed"
    assert os.stat(path).st_mode & 0o7777 == 0o600
    shown = subprocess.run([TARGET / "release/seglift", "status", path, "--wait"], capture_output=True, text=True)
    assert shown.returncode == 0 and shown.stdout.count("\nsuccess") == 2, shown
    broker.kill()
    assert path.exists()
    with host(folder, path) as broker:
        assert line(path)["pid"] == broker.process.pid
    assert not path.exists()
