"""The way to a store: TLS, proxies, credentials."""

import base64
import json
import os
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from held import Held, shared
from tap import test
from test_commands import seglift

USER, PASSWORD = "tier", "planted-password"


class Tunnels(BaseHTTPRequestHandler):
    """A proxy that opens tunnels for those who know the password, and notes where to."""

    protocol_version = "HTTP/1.1"

    def do_CONNECT(self):
        known = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers["proxy-authorization"] != f"Basic {known}":
            return self.refuse()
        self.server.tunnels.append(self.path)
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as store:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=pump, args=[store, self.connection])
            back.start()
            pump(self.connection, store)
            back.join()
        self.close_connection = True

    def refuse(self):
        self.send_response(407)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = refuse

    def log_message(self, *_):
        pass


def pump(source, sink):
    """Carries bytes until one side ends, and says so to the other."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # the other side went away first
        pass


@contextmanager
def proxy():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Tunnels)
    server.daemon_threads, server.tunnels = True, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def settings(**named):
    return [word for name, value in named.items() for word in ["--set", f"s3.{name.replace('_', '.')}={value}"]]


def findings(lines):
    found = [json.loads(line) for line in lines.splitlines()]
    return {finding["check"]: finding for finding in found}


@test("through TLS and a proxy with a password the doctor is content, and a segment goes out and comes back")
def _(folder):
    with Held("versitygw", tls=True) as store, proxy() as tunnels:
        to, environment = f"s3://{store.bucket()}/tier", store.s3.environment()
        source = folder / "segment"
        source.write_bytes(os.urandom(11_000_000))
        port = tunnels.server_port
        way = settings(ca_file=store.ca_file, proxy=f"http://{USER}:{PASSWORD}@127.0.0.1:{port}")
        seen = findings(seglift("doctor", to, "--json", *way, environment=environment))
        assert seen["tls"]["state"] == "ok", seen["tls"]
        assert not [check for check in seen.values() if check["state"] == "fail"], seen
        command = ["offload", source, "--to", to, "--key", "k", "--codec", "none", "--set", "upload.part.size=5MiB"]
        seglift(*command, *way, environment=environment)
        assert seglift("cat", to, "k", *way, environment=environment) == source.read_bytes()
        assert set(tunnels.tunnels) == {store.s3.url.netloc}, tunnels.tunnels

        # What the proxy's password opens, a wrong one does not, and trying again would not help.
        way = settings(ca_file=store.ca_file, proxy=f"http://{USER}:planted-wrong@127.0.0.1:{port}")
        said = seglift("cat", to, "k", *way, environment=environment, status=2)
        assert "s3.proxy" in said and "tried" not in said and "planted" not in said, said
        # Nor do the proxy's tunnels make a certificate known.
        way = settings(proxy=f"http://{USER}:{PASSWORD}@127.0.0.1:{port}")
        said = seglift("cat", to, "k", *way, environment=environment, status=7)
        assert "certificate" in said and "s3.ca.file" in said, said


@test("a proxy that wants a password is named for a store over plain HTTP, too")
def _(folder):
    store = shared("versitygw")
    to, environment = f"s3://{store.bucket()}", store.s3.environment()
    with proxy() as tunnels:
        way = settings(proxy=f"http://127.0.0.1:{tunnels.server_port}")
        said = seglift("cat", to, "k", *way, environment=environment, status=2)
        assert "407" in said and "s3.proxy" in said and "tried" not in said, said


@test("a machine that takes no connections is given up after the time for a connection")
def _(folder):
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        # What waits to be accepted fills the queue; the kernel answers nobody else.
        deaf.listen(0)
        for waiting in [first, second]:
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        environment = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": endpoint}
        way = [*settings(timeout_connect="300ms"), "--set", "retry.attempts=1"]
        begun = time.monotonic()
        said = seglift("ls", "s3://bucket", *way, environment=environment, status=7)
        took = time.monotonic() - begun
        assert 0.3 <= took < 5 and "s3.timeout.connect" in said, f"{took} s: {said}"


@test("without any credentials every command says at once who was asked, and what to set")
def _(folder):
    store = shared("versitygw")
    bucket = store.bucket()
    source = folder / "segment"
    source.write_bytes(b"x")
    nobody = {"AWS_ENDPOINT_URL": store.s3.endpoint, "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true"}
    to = f"s3://{bucket}/tier"
    for command in [["offload", source, "--to", to, "--key", "k"], ["cat", to, "k"], ["ls", to], ["rm", to, "k"]]:
        said = seglift(*command, environment=nobody, status=8)
        for name in ["s3.access.key", "AWS_ACCESS_KEY_ID", "profile", "container", "instance metadata"]:
            assert name in said, f"{command}: no {name} in {said}"
    assert store.s3.keys(bucket) == []


@test("a broker's own file with Pulsar's names, with and without s3 in front, is all that it takes")
def _(folder):
    store = shared("versitygw")
    source = folder / "segment"
    source.write_bytes(os.urandom(1000))
    for begin in ["managedLedgerOffload", "s3ManagedLedgerOffload"]:
        bucket = store.bucket()
        file = folder / "broker.conf"
        lines = [
            "zookeeperServers=localhost:2181",
            "managedLedgerOffloadDriver=S3",
            "offloadersDirectory=./offloaders",
            f"{begin}Bucket={bucket}",
            f"{begin}Region=",
            f"{begin}ServiceEndpoint={store.s3.endpoint}",
            f"{begin}MaxBlockSizeInBytes=67108864",
            f"{begin}ReadBufferSizeInBytes=1048576",
            f"s3ManagedLedgerOffloadCredentialId={store.s3.access_key}",
            f"s3ManagedLedgerOffloadCredentialSecret={store.s3.secret_key}",
        ]
        file.write_text("\n".join(lines) + "\n")
        settings = ["--config", file]
        seglift("offload", source, "--to", "s3:", "--key", "k", *settings)
        assert store.s3.keys(bucket) == ["k"]
        assert seglift("ls", "s3:", *settings) == b"k\n"
        assert seglift("cat", "s3:", "k", *settings) == source.read_bytes()
        assert b"ok" in seglift("doctor", "s3:", *settings)
        assert store.s3.secret_key.encode() not in seglift("config", *settings)
        # Without its endpoint Pulsar's driver S3 would go to Amazon with keys that are not Amazon's.
        file.write_text("\n".join(line for line in lines if "Endpoint" not in line) + "\n")
        said = seglift("ls", "s3:", *settings, status=2)
        assert "s3.endpoint" in said, said
