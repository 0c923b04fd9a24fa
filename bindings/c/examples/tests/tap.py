"""Tests as functions, reported in TAP: one line for each, the plan first."""

import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

_tests = []


def test(sentence):
    """Registers a function that takes an empty folder and raises when the sentence is not true."""

    def register(function):
        _tests.append((sentence, function))
        return function

    return register


def wait_until(condition, what, seconds=20):
    """Asks again and again; what becomes true later than that, or never, is a failure."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s: {what}")
        time.sleep(0.02)


def main():
    """Runs all tests, or those whose sentence contains the text of every argument; none is a failure."""
    chosen = [t for t in _tests if all(word in t[0] for word in sys.argv[1:])]
    if not chosen:
        # A typo must not look like success.
        words = " ".join(sys.argv[1:])
        print(f"1..1\nnot ok 1 - {f'no test has these words: {words}' if words else 'there is no test'}")
        return 1
    print(f"1..{len(chosen)}")
    failures = 0
    for number, (sentence, function) in enumerate(chosen, 1):
        folder = Path(tempfile.mkdtemp(prefix="seglift-test-"))
        try:
            function(folder)
            print(f"ok {number} - {sentence}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
        except Exception:
            failures += 1
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            print(f"# its files are in {folder}")
            print(f"not ok {number} - {sentence}", flush=True)
    return 1 if failures else 0
