"""What the README says about s3:// is what happens."""

import shlex
from pathlib import Path

from held import shared
from tap import test
from test_commands import seglift

ROOT = Path(__file__).resolve().parents[2]


def commands(chapter):
    """The commands of a chapter of the README, without their comments."""
    text = (ROOT / "README.md").read_text().split(f"\n## {chapter}\n")[1].split("```")[1]
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [line[1:] for line in lines if line and line[0] == "seglift"]


@test("the commands of the README's chapter on S3 work as printed")
def _(folder):
    store = shared("versitygw")
    bucket, environment = store.bucket(), store.s3.environment()
    segment = bytes(range(256)) * 40
    (folder / "segment.log").write_bytes(segment)
    names = {"segment.log": str(folder / "segment.log"), "keys.txt": str(folder / "keys.txt")}
    found = commands("On S3")
    assert {"doctor", "offload", "cat", "reap", "sweep"} == {command[0] for command in found}, found
    for command in found:
        command = [names.get(word, word).replace("s3://bucket/", f"s3://{bucket}/") for word in command]
        said = seglift(*command, environment=environment)
        if command[0] == "offload":
            names["KEY"] = said.decode().strip()
            (folder / "keys.txt").write_bytes(said)
        assert command[0] != "cat" or said == segment[1000:2000], said
    assert store.s3.keys(bucket) == [f"tier/{names['KEY']}"], "the sweep spares what is listed"
