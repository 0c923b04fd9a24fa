"""bindings/c/seglift_loader.h: what it says when it cannot load, and that every compiler takes it."""

import os
import subprocess

from broker import LIBRARY, ROOT
from tap import test

CC = os.environ.get("CC", "cc")
INCLUDES = [f"-I{ROOT}/include", f"-I{ROOT}/bindings/c"]
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]

PROGRAM = """
#include <seglift_loader.h>
int main(int argc, char **argv) {
    const seglift_api *seglift;
    char why[512];
    seglift_code code = seglift_load(argc > 1 ? argv[1] : NULL, &seglift, why, sizeof why);
    if (code != SEGLIFT_OK) {
        printf("%d %s\\n", (int)code, why);
        return seglift == NULL ? 1 : 2;
    }
    printf("0 %s\\n", seglift->version());
    return 0;
}
"""
NOT_FOUND, UNSUPPORTED_VERSION = 10, 3


def build(folder, source, name, *flags):
    (folder / f"{name}.c").write_text(source)
    subprocess.run([CC, *STRICT, "-std=c11", *INCLUDES, *flags, "-o", folder / name, folder / f"{name}.c", "-ldl"], check=True)
    return folder / name


def load(program, *library, **environment):
    """Returns code and text of an attempt to load."""
    found = subprocess.run([program, *library], capture_output=True, text=True, env={**os.environ, **environment})
    code, _, text = found.stdout.partition(" ")
    assert found.returncode == (0 if code == "0" else 1), found
    return int(code), text.strip()


def load_stand_in(folder, source):
    library = build(folder, source, "other.so", "-shared", "-fPIC")
    return load(build(folder, PROGRAM, "program"), library)


@test("loading by path gives the version")
def _(folder):
    code, text = load(build(folder, PROGRAM, "program"), LIBRARY)
    assert code == 0 and text[0].isdigit(), text


@test("loading by name finds the library where the linker looks")
def _(folder):
    program = build(folder, PROGRAM, "program")
    (folder / "libseglift.so.1").symlink_to(LIBRARY.resolve())
    assert load(program, LD_LIBRARY_PATH=str(folder))[0] == 0


@test("a library that is not there is NOT_FOUND, with its name and a remedy")
def _(folder):
    program = build(folder, PROGRAM, "program")
    code, text = load(program, folder / "nowhere.so")
    assert code == NOT_FOUND and "nowhere.so" in text, text
    code, text = load(program, LD_LIBRARY_PATH="")
    assert code == NOT_FOUND and "libseglift.so.1" in text and "LD_LIBRARY_PATH" in text, text


@test("a library that is not seglift is refused")
def _(folder):
    code, text = load_stand_in(folder, "int something_else;\n")
    assert code == UNSUPPORTED_VERSION and "is not seglift" in text, text


@test("another major version is refused")
def _(folder):
    source = '#include <seglift.h>\nconst seglift_api *seglift_get_api(uint32_t m) { (void)m; return NULL; }\n'
    code, text = load_stand_in(folder, source)
    assert code == UNSUPPORTED_VERSION and "version 1 of the ABI" in text, text


@test("a library older than the header is refused before a missing function is called")
def _(folder):
    source = """#include <seglift.h>
static const seglift_api table = {.size = sizeof table - sizeof(void *), .abi_major = 1, .abi_minor = 0};
const seglift_api *seglift_get_api(uint32_t m) { return m == 1 ? &table : NULL; }
"""
    code, text = load_stand_in(folder, source)
    assert code == UNSUPPORTED_VERSION and "too old" in text, text


@test("a message that is too long is cut, and no message at all is fine")
def _(folder):
    source = PROGRAM.replace("char why[512]", "char why[12]")
    code, text = load(build(folder, source, "program"), folder / "nowhere.so")
    assert (code, len(text)) == (NOT_FOUND, 11), text
    source = PROGRAM.replace("why, sizeof why)", "NULL, 0)").replace("why[512]", 'why[] = "-"')
    assert load(build(folder, source, "program"), folder / "nowhere.so") == (NOT_FOUND, "-")


for compiler, language, standards in (
    (CC, "c", ("c99", "c11", "c17")),
    (os.environ.get("CXX", "c++"), "c++", ("c++11", "c++14", "c++17", "c++20")),
):
    for standard in standards:

        def compiles(folder, compiler=compiler, language=language, standard=standard):
            (folder / "program").write_text("#include <seglift_loader.h>\nint main(void) { return SEGLIFT_OK; }\n")
            flags = [*STRICT, f"-std={standard}", "-D_POSIX_C_SOURCE=200809L", *INCLUDES]
            subprocess.run([compiler, *flags, "-fsyntax-only", "-x", language, folder / "program"], check=True)

        test(f"the loader compiles as {standard} without a warning")(compiles)
