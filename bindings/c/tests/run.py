#!/usr/bin/env python3
"""Runs the tests of the C ABI and reports in TAP, one line for each individual test.

    bindings/c/tests/run.py [NAME...]     all, or the programs of these names

Wants the library built with `cargo build --release --features testing`, or its path in SEGLIFT_LIB. Each program is
compiled without a warning, run, and run again under valgrind. With SEGLIFT_SANITIZE=address, and SEGLIFT_LIB built so,
programs are compiled with that sanitizer instead and run once (scripts/sanitize.sh does that). SEGLIFT_BLESS=1 writes layout.golden and symbols.golden.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
LIB = pathlib.Path(os.environ.get("SEGLIFT_LIB", ROOT / "target/release/libseglift.so")).resolve()
SANITIZE = os.environ.get("SEGLIFT_SANITIZE")
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
PROGRAMS = ["first_program", "misuse", "queues", "forks", "observing", "cleanup", "damage", "loading", "versions", "older",
            "load", "panics"]
# The header that a program is compiled with, where it is not the one of today. None of these ever changes.
HEADERS = {"older": f"{HERE}/headers/1.0"}
# Two shared things are alive at the end on purpose, the default engine and what `fork` made unusable, and Rust's
# containers hold them by pointers into the middle, which valgrind calls "possibly lost". What nobody can reach is an error.
VALGRIND = ["valgrind", "-q", "--leak-check=full", "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect", "--error-exitcode=9", "--fair-sched=yes",
            f"--suppressions={HERE}/valgrind.supp"]

count = failures = 0


def report(good, name, details=""):
    global count, failures
    count += 1
    failures += not good
    for line in details.strip().splitlines() if not good else []:
        print(f"# {line}")
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)


def run(command, **more):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=600, **more)
        return done.returncode, done.stdout
    except FileNotFoundError as missing:
        return 127, f"{missing.filename} is not installed"
    except subprocess.TimeoutExpired as late:
        return 124, f"no end after {late.timeout} s\n{late.stdout or ''}"


def compile_program(name, build):
    command = [os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-g", "-O1", *STRICT,
               f"-I{HEADERS.get(name, f'{ROOT}/include')}", f"{HERE}/{name}.c", "-o", f"{build}/{name}", "-lpthread", "-ldl"]
    if SANITIZE:
        command += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer"]
    # `loading` finds the library itself; the others find it by its SONAME.
    if name != "loading":
        command += [f"-L{build}", "-lseglift", f"-Wl,-rpath,{build}"]
    status, output = run(command)
    report(status == 0, f"{name} compiles without a warning", output)
    return status == 0


def run_program(name, build):
    command = [f"{build}/{name}"]
    if name == "loading":
        command += [f"{build}/libseglift.so.1", f"{build}/copy.so"]
    if name == "panics":
        command += [f"{HERE}/symbols.golden"]
    more = {}
    if SANITIZE and name == "forks":
        # As for valgrind below.
        more["env"] = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    status, output = run(command, **more)
    tests = [line for line in output.splitlines() if line.startswith(("ok ", "not ok "))]
    details = []
    for line in output.splitlines():
        if line in tests:
            report(line.startswith("ok "), f"{name}: {line.split(' - ', 1)[1]}", "\n".join(details))
            details = []
        elif not line.startswith("1.."):
            details.append(line.lstrip("# "))
    planned = f"1..{len(tests)}" in output.splitlines()
    report(planned and tests and status in (0, 1), f"{name} runs to its end", f"exit status {status}\n" + "\n".join(details))

    if SANITIZE:
        return
    # Panics on purpose print where they are; a backtrace under valgrind takes minutes.
    slow = dict(os.environ, SEGLIFT_TEST_SLOW="1", RUST_BACKTRACE="0")
    # A child leaks on purpose: frees of what it inherited only forget.
    # So does one whose free panics on purpose.
    leaks = ["--leak-check=no"] if name in ("forks", "load", "panics") else []
    status, output = run([*VALGRIND, *leaks, *command], env=slow)
    report(status == 0, f"{name}: valgrind finds nothing", f"exit status {status}\n{output}")


def check_header(build):
    for compiler, language, standards in [
        (os.environ.get("CC", "cc"), "c", ["c99", "c11", "c17"]),
        (os.environ.get("CXX", "c++"), "c++", ["c++11", "c++14", "c++17", "c++20"]),
    ]:
        for standard in standards:
            source = pathlib.Path(build) / f"header.{language}"
            source.write_text('#include "seglift.h"\n#include "seglift.h"\n'
                              "int main(void) { seglift_ref r = seglift_ref_init(); return r.size == sizeof r ? 0 : 1; }\n")
            status, output = run([compiler, f"-std={standard}", "-x", language, *STRICT, f"-I{ROOT}/include",
                                  str(source), "-o", f"{build}/header"])
            if status == 0:
                status, output = run([f"{build}/header"])
            report(status == 0, f"the header is {standard} without a warning", output)


def check_golden(name, what, text):
    path = HERE / name
    if os.environ.get("SEGLIFT_BLESS"):
        path.write_text(text)
    golden = path.read_text() if path.exists() else ""
    changed = sorted(set(golden.splitlines()) ^ set(text.splitlines()))
    report(golden == text and text != "", what, f"differs from {name}:\n" + "\n".join(changed))


def check_layout(build):
    status, output = run([os.environ.get("CC", "cc"), "-std=c11", *STRICT, f"-I{ROOT}/include", f"{HERE}/layout.c",
                          "-o", f"{build}/layout"])
    report(status == 0, "layout compiles without a warning", output)
    if status == 0:
        check_golden("layout.golden", "every struct has the layout that it had (64 bits)", run([f"{build}/layout"])[1])


def check_symbols():
    status, output = run(["nm", "-D", "--defined-only", str(LIB)])
    names = "".join(sorted(f"{line.split()[-1]}\n" for line in output.splitlines() if line.split()))
    check_golden("symbols.golden", "the library exports what it did, and nothing of its dependencies",
                 names if status == 0 else "")
    status, output = run(["readelf", "-d", str(LIB)])
    soname = any("SONAME" in line and "[libseglift.so.1]" in line for line in output.splitlines())
    report(status == 0 and soname and "NODELETE" in output, "the library is libseglift.so.1 and is never unloaded", output)


def check_readme(build):
    """The README's first program compiles as it is printed, and does what it says."""
    readme = (ROOT / "README.md").read_text()
    source = readme.split("```c\n", 1)[1].split("```", 1)[0]
    tier, segment = "/var/tier", "/var/lib/broker/orders-0/00000000000000000000.log"
    report(source.count(tier) == source.count(segment) == 1, "the README's program names one store and one segment")
    content = bytes(i * 31 >> 8 & 255 for i in range(3 << 19))
    pathlib.Path(build, "tier").mkdir()
    pathlib.Path(build, "segment.log").write_bytes(content)
    pathlib.Path(build, "readme.c").write_text(source)
    cc = [os.environ.get("CC", "cc"), "-std=c11", *STRICT, f"-I{ROOT}/include", f"-I{ROOT}/bindings/c"]
    status, output = run([*cc, "-o", f"{build}/readme", f"{build}/readme.c", "-ldl"])
    report(status == 0, "the README's program compiles as it is printed", output)
    source = source.replace(tier, f"{build}/tier").replace(segment, f"{build}/segment.log")
    pathlib.Path(build, "readme.c").write_text(source)
    status, output = run([*cc, "-o", f"{build}/readme", f"{build}/readme.c", "-ldl"])
    wrong = output
    if status == 0:
        done = subprocess.run([f"{build}/readme"], env=dict(os.environ, LD_LIBRARY_PATH=build), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)
        status, wrong = done.returncode, done.stderr.decode(errors="replace")
        if done.stdout != content[1 << 20:][:4096]:
            status, wrong = 1, f"{wrong}\nit printed {len(done.stdout)} bytes, not those of the segment"
    report(status == 0, "the README's program offloads a segment and reads a range of it", wrong)


def main(wanted):
    unknown = sorted(set(wanted) - set(PROGRAMS))
    if unknown:
        report(False, f"no test has these words: {' '.join(unknown)}", f"there are {' '.join(PROGRAMS)}")
    elif not LIB.exists():
        report(False, "the library is there", f"{LIB} is missing: cargo build --release --features testing")
    else:
        with tempfile.TemporaryDirectory(prefix="seglift-c-") as build:
            for name in ["libseglift.so", "copy.so"]:
                shutil.copy(LIB, f"{build}/{name}")
            os.symlink("libseglift.so", f"{build}/libseglift.so.1")
            if not wanted and not SANITIZE:
                check_header(build)
                check_layout(build)
                check_symbols()
                check_readme(build)
            for name in wanted or PROGRAMS:
                if compile_program(name, build):
                    run_program(name, build)
    print(f"1..{count}")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
