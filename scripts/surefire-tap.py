#!/usr/bin/env python3
"""Tells in TAP what Surefire's XML reports say.

    surefire-tap.py STATUS LOG FOLDER...      Maven's exit status, its output, the folders of reports

Invariant: nothing passes in silence. Beside the tests themselves, three things are tests: that each
folder has reports, that Maven ended well when no test failed (a JVM that dies leaves no report of the
test that killed it), and that the JVMs said nothing of what -Xcheck:jni complains about.
"""

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

# How much of a failure is shown: the message, and where it was.
TRACE_LINES = 12
# How many of Maven's own errors are shown when it failed without a failed test.
LOG_LINES = 40
JNI_COMPLAINT = re.compile(r"(WARNING|FATAL ERROR|ASSERTION) in native method|WARNING: JNI local refs")
ERROR = re.compile(r"\[ERROR\](?!.*\tat )|\[WARNING\].*\.java:")

lines = []
failures = 0
failed_cases = 0


def report(passed, name, comments=(), skipped=None):
    """One TAP line, after what there is to say about it."""
    global failures
    failures += not passed
    lines.extend(f"# {comment}" for comment in comments)
    number = 1 + sum(1 for line in lines if line.startswith(("ok ", "not ok ")))
    suffix = f" # SKIP {skipped}" if skipped is not None else ""
    lines.append(f"{'ok' if passed else 'not ok'} {number} - {name}{suffix}")


def case(element):
    """A testcase: failed, ended by an error, skipped, or passed."""
    global failed_cases
    # What fails before a class's first test has no name of its own.
    name = f"{element.get('classname', '').rsplit('.', 1)[-1]}: {element.get('name') or 'before its tests'}"
    skipped = element.find("skipped")
    if skipped is not None:
        report(True, name, skipped=" ".join((skipped.get("message") or "").split()))
        return
    bad = [child for child in element if child.tag in ("failure", "error")]
    comments = []
    for child in bad:
        text = (child.text or child.get("message") or "").strip()
        comments += text.splitlines()[:TRACE_LINES]
    failed_cases += bool(bad)
    report(not bad, name, comments)


def complaints(paths):
    """The lines in which -Xcheck:jni complains, each with what follows."""
    found = []
    for path in paths:
        text = path.read_text(errors="replace").splitlines()
        for at, line in enumerate(text):
            if JNI_COMPLAINT.search(line):
                found += [f"{path.name}: {line}"] + text[at + 1:at + 6]
    return found


def errors(log):
    """What Maven says of its failure: for a compiler's error the place, for a dead JVM its last words."""
    said = log.read_text(errors="replace").splitlines()
    # The compiler's warnings are errors (-Werror), but Maven calls them by their old name.
    return [line for line in said if ERROR.match(line)][:LOG_LINES]


def main():
    status, log, folders = int(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]]
    printed = [log]
    for folder in folders:
        found = sorted(folder.glob("TEST-*.xml"))
        if not found:
            report(False, f"there are reports in {folder}", ["no test of this module ran"])
        for path in found:
            for element in ET.parse(path).getroot().iter("testcase"):
                case(element)
        printed += sorted(folder.glob("*-output.txt")) + sorted(folder.glob("*.dump*"))
    ended_well = status == 0 or failed_cases > 0
    report(ended_well, "Maven ends well when no test fails", () if ended_well else errors(log))
    found = complaints(printed)
    report(not found, "-Xcheck:jni finds nothing to complain about", found)
    print("\n".join([f"1..{sum(1 for line in lines if not line.startswith('#'))}"] + lines))
    return 1 if failures or status else 0


if __name__ == "__main__":
    sys.exit(main())
