"""What `make install` installs is what a program needs to build and to run."""

import os
import subprocess

from broker import LIBRARY, ROOT
from tap import test

LINKED = """
#include <seglift.h>
#include <stdio.h>
int main(void) { return puts(seglift_version()) < 0; }
"""
LOADED = """
#include <seglift_loader.h>
int main(void) {
    const seglift_api *seglift;
    char why[256];
    if (seglift_load(NULL, &seglift, why, sizeof why) != SEGLIFT_OK)
        return puts(why) < 0 ? 2 : 1;
    return puts(seglift->version()) < 0;
}
"""


def run(*command, **environment):
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert found.returncode == 0, f"{command}: {found.stdout}{found.stderr}"
    return found.stdout.strip()


def install(folder):
    run(ROOT / "scripts/install.sh", LIBRARY.parent, "", folder / "usr")
    return folder / "usr"


def version():
    return next(line.split('"')[1] for line in open(ROOT / "Cargo.toml") if line.startswith("version"))


@test("a program finds the installed library with pkg-config")
def _(folder):
    prefix = install(folder)
    (folder / "linked.c").write_text(LINKED)
    where = {"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    assert run("pkg-config", "--modversion", "seglift", **where) == version()
    flags = run("pkg-config", "--cflags", "--libs", "seglift", **where).split()
    run(os.environ.get("CC", "cc"), "-o", folder / "linked", folder / "linked.c", *flags)
    assert run(folder / "linked", LD_LIBRARY_PATH=str(prefix / "lib")) == version()


@test("a program finds the installed library and the loader with CMake")
def _(folder):
    prefix = install(folder)
    (folder / "linked.c").write_text(LINKED)
    (folder / "loaded.c").write_text(LOADED)
    (folder / "CMakeLists.txt").write_text(
        f"""cmake_minimum_required(VERSION 3.16)
project(consumer C)
find_package(seglift {version()} REQUIRED)
add_executable(linked linked.c)
target_link_libraries(linked PRIVATE seglift::seglift)
add_executable(loaded loaded.c)
target_link_libraries(loaded PRIVATE seglift::loader)
"""
    )
    run("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", folder / "build")
    assert run(folder / "build/linked") == version(), "CMake sets the path to the library"
    assert run(folder / "build/loaded", LD_LIBRARY_PATH=str(prefix / "lib")) == version()


@test("another major version is not what CMake was asked for")
def _(folder):
    prefix = install(folder)
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(consumer NONE)\nfind_package(seglift 99 REQUIRED)\n"
    )
    command = ["cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={prefix}"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode != 0 and "99" in found.stderr, found.stderr


@test("nothing is installed outside of DESTDIR and PREFIX")
def _(folder):
    run(ROOT / "scripts/install.sh", LIBRARY.parent, folder / "stage", "/opt/seglift")
    everything = [p.relative_to(folder / "stage") for p in (folder / "stage").rglob("*") if not p.is_dir()]
    files = sorted(str(p) for p in everything if p.parent.name != "man1")
    assert "seglift.1" in [p.name for p in everything], everything
    assert files == [
        "opt/seglift/bin/seglift",
        "opt/seglift/include/seglift.h",
        "opt/seglift/include/seglift_loader.h",
        "opt/seglift/lib/cmake/seglift/seglift-config-version.cmake",
        "opt/seglift/lib/cmake/seglift/seglift-config.cmake",
        "opt/seglift/lib/libseglift.so",
        "opt/seglift/lib/libseglift.so.1",
        "opt/seglift/lib/pkgconfig/seglift.pc",
        "opt/seglift/share/bash-completion/completions/seglift",
        "opt/seglift/share/fish/vendor_completions.d/seglift.fish",
        "opt/seglift/share/zsh/site-functions/_seglift",
    ], files
    assert "prefix=/opt/seglift" in (folder / "stage/opt/seglift/lib/pkgconfig/seglift.pc").read_text()
