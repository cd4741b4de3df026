"""Programs of C, and what runs them."""

import shutil
import subprocess

import pytest

pytest.importorskip("emx_onnx_cgen", reason="emx-onnx-cgen is missing: pip install '.[c]'")

STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-pedantic", "-Werror")


@pytest.fixture(scope="session")
def compiled():
    """Returns a function that compiles all sources of a folder, and returns the program."""
    compiler = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        pytest.skip("no C compiler: apt-get install gcc")

    def compile_all(folder):
        sources = sorted(path.name for path in folder.glob("*.c"))
        command = [compiler, *STRICT, *sources, "-lm", "-o", "program"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:2000]
        return folder / "program"

    return compile_all


@pytest.fixture(scope="session")
def run_program(compiled):
    """Returns a function that compiles a folder, runs the program, and returns what it did."""

    def run(folder, given=b""):
        return subprocess.run([compiled(folder)], input=given, capture_output=True, cwd=folder)

    return run
