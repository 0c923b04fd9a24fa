"""What an object in a bucket carries beside its bytes: encryption, storage class, tags."""

import base64
import os

from held import Held, shared
from tap import test
from test_commands import seglift

# Of two sizes, since one request and an upload in parts carry their attributes in different places.
SMALL, LARGE = 100_000, 11_000_000


def keeps(folder, store, settings):
    """Offloads a small and a large segment; gives the bucket. Both come back with the same settings."""
    bucket, environment = store.bucket(), store.s3.environment()
    told = [word for setting in settings for word in ["--set", setting]]
    for key, size in [("small", SMALL), ("large", LARGE)]:
        source = folder / key
        source.write_bytes(os.urandom(size))
        parts = ["--codec", "none", "--set", "upload.part.size=5MiB"]
        seglift("offload", source, "--to", f"s3://{bucket}", "--key", key, *parts, *told, environment=environment)
        assert seglift("cat", f"s3://{bucket}", key, *told, environment=environment) == source.read_bytes()
    return bucket


@test("a KMS key and its context encrypt small and large objects, and another context was never asked for")
def _(folder):
    store = shared("minio")
    bucket = keeps(folder, store, ["s3.sse=kms", "s3.sse.kms.key=k1", 's3.sse.kms.context={"tenant":"a"}'])
    for key in ["small", "large"]:
        head = store.s3.head(bucket, key)
        assert head["x-amz-server-side-encryption"] == "aws:kms", head
        assert head["x-amz-server-side-encryption-aws-kms-key-id"].endswith("k1"), head
        context = head.get("x-amz-server-side-encryption-context")
        assert context is None or base64.b64decode(context) == b'{"tenant":"a"}', head


@test("a KMS key that is not there is an error, and nothing is stored")
def _(folder):
    store = shared("minio")
    bucket = store.bucket()
    source = folder / "segment"
    source.write_bytes(b"x")
    way = ["--set", "s3.sse=kms", "--set", "s3.sse.kms.key=no-such-key"]
    said = seglift("offload", source, "--to", f"s3://{bucket}", "--key", "k", *way, environment=store.s3.environment(), status=2)
    assert "s3.sse.kms.key" in said, said
    assert store.s3.keys(bucket) == [] and store.s3.uploads(bucket) == []


@test("a customer's key opens what it closed, and nothing else does")
def _(folder):
    # Such keys travel over TLS only.
    with Held("minio", tls=True) as store:
        ca = f"s3.ca.file={store.ca_file}"
        key = base64.b64encode(os.urandom(32)).decode()
        bucket = keeps(folder, store, [ca, "s3.sse=customer", f"s3.sse.customer.key={key}"])
        to, environment = f"s3://{bucket}", store.s3.environment()
        for name in ["small", "large"]:
            said = seglift("cat", to, name, "--set", ca, environment=environment, status=8)
            assert "s3.sse.customer.key" in said, said
            other = base64.b64encode(bytes(32)).decode()
            way = ["--set", ca, "--set", "s3.sse=customer", "--set", f"s3.sse.customer.key={other}"]
            said = seglift("cat", to, name, *way, environment=environment, status=8)
            assert key not in said and other not in said, said


@test("storage class, tags and ACL are those of the settings, on small and on large objects")
def _(folder):
    store = shared("minio")
    settings = ["s3.storage.class=REDUCED_REDUNDANCY", "s3.tags=team=logs;cost centre=a b", "s3.acl=private"]
    bucket = keeps(folder, store, settings)
    for key in ["small", "large"]:
        assert store.s3.head(bucket, key)["x-amz-storage-class"] == "REDUCED_REDUNDANCY"
        tags = store.s3.request("GET", f"/{bucket}/{key}", {"tagging": ""})[2].decode()
        for tag in ["<Key>team</Key><Value>logs</Value>", "<Key>cost centre</Key><Value>a b</Value>"]:
            assert tag in tags, tags


@test("a storage class that a store does not know is an error that names the setting")
def _(folder):
    store = shared("minio")
    source = folder / "segment"
    source.write_bytes(b"x")
    command = ["offload", source, "--to", f"s3://{store.bucket()}", "--key", "k", "--set", "s3.storage.class=NO_SUCH"]
    said = seglift(*command, environment=store.s3.environment(), status=2)
    assert "s3.storage.class" in said, said
