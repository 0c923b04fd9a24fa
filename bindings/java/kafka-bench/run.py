#!/usr/bin/env python3
"""Measures what tiering costs a broker's JVM: `make bench-kafka`.

    run.py FOLDER       the folder of the plugin's jars, as a broker gets it

It runs versitygw for as long as that takes, and the program of this module as a process of its own. ROUNDS (5) and
SEGMENTS of 128 MiB (4) say how much is moved; JAVA is the JVM (java). With four it takes 1.5 GiB of the temporary
folder for as long as it runs. The figures are left in target/java/bench-kafka.json as well.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/servers"))

from held import Held  # noqa: E402
from s3 import clean_environment  # noqa: E402

# Brokers have their heap bounded, and far larger; what the plugin needs of it is a figure.
JVM = ["-Xms256m", "-Xmx256m"]


def public_bucket(store):
    """A bucket that plain requests may use: the floor is to be the server's and the kernel's cost, not a signature's."""
    name = store.bucket()
    actions = ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"]
    statement = {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": actions, "Resource": f"arn:aws:s3:::{name}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    store.s3.request("PUT", f"/{name}", {"policy": ""}, body=policy.encode())
    return f"{store.s3.endpoint}/{name}"


def main():
    plugin, output = Path(sys.argv[1]), ROOT / "target/java"
    module = output / "seglift-kafka-bench"
    class_path = [str(module / "classes"), f"{plugin}/*", (module / "classpath").read_text().strip()]
    command = [os.environ.get("JAVA", "java"), *JVM, "-cp", ":".join(class_path), "io.seglift.kafka.bench.KafkaBench"]
    with Held("versitygw", options=["--cheap-etags"]) as store, tempfile.TemporaryDirectory(prefix="seglift-") as folder:
        settings = {
            "store": f"s3://{store.bucket()}",
            "owner": "bench",
            "s3.endpoint": store.s3.endpoint,
            "s3.access.key": store.s3.access_key,
            "s3.secret.key": store.s3.secret_key,
            "s3.proxy": "none",
            "plain.bucket": public_bucket(store),
        }
        amounts = [os.environ.get("ROUNDS", "5"), os.environ.get("SEGMENTS", "4")]
        run = subprocess.run(
            [*command, folder, str(output / "bench-kafka.json"), *amounts],
            input="".join(f"{name}={value}\n" for name, value in settings.items()),
            text=True,
            env=clean_environment(),
        )
    return run.returncode


sys.exit(main())
