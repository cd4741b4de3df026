"""Builds sdist and wheel, installs them in empty environments, and measures each.

`python -m benchmarks.installs`, or `make test-package`

The wheel is built from the sdist. Each environment has the wheel with one choice of extras and
nothing else, and runs in a folder without this repository. A backend alone trains, saves and
explains the network of the README, an environment for the export runs all of its lines, and a
device answers with the file that they wrote. At last a part of the tests runs from the sdist.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
DEVICE = """
import sys
import numpy as np
from export.device import Predictor
assert not {"keras", "tensorflow", "jax", "torch"} & set(sys.modules)
print(Predictor("digits.onnx").predict(np.load("images.npy"))[0].label)
"""
# Requirements after the wheel's path, the module whose import is timed, and what runs there.
ENVIRONMENTS = {
    "export": (("[export,datasets]",), "keras_capsules"),
    "tensorflow": (("[tensorflow]",), "keras_capsules"),
    "jax": (("[jax]",), "keras_capsules"),
    "torch": (("[torch]",), "keras_capsules"),
    "device": (("[device]",), "export.device"),
    "device, pillow": (("[device]", "pillow"), "export.device"),
}
TESTS = (
    "tests/layers/test_primary_capsule.py",
    "tests/models/test_foreign.py",
    "tests/test_package.py",
)


def main() -> None:
    """Prints a row of the table for each environment, and ends with 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.installs", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=ENVIRONMENTS, default=list(ENVIRONMENTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        wheel, sdist = build(work)
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes", flush=True)
        print(f"{sdist.name}: {sdist.stat().st_size:,} bytes\n", flush=True)
        print("| environment | installed | MB on disk | CPU seconds to import | what ran |")
        print("|---|---|---|---|---|", flush=True)
        for name in options.only:
            print(row(work, wheel, name), flush=True)
        if "export" in options.only:
            print(f"\nfrom the sdist: {tests_of(work, sdist)}")


def build(work: Path) -> tuple[Path, Path]:
    """Builds the sdist of a copy of this tree, and the wheel of the sdist."""
    python = environment(work / "build")
    install(python, "build")
    tree = work / "tree"
    unwanted = shutil.ignore_patterns(
        ".*", "build", "dist", "node_modules", "__pycache__", "*.egg-info"
    )
    shutil.copytree(ROOT, tree, ignore=unwanted)
    checked(python, "-m", "build", str(tree), "--outdir", str(work / "dist"), cwd=work)
    (wheel,) = (work / "dist").glob("*.whl")
    (sdist,) = (work / "dist").glob("*.tar.gz")
    return wheel, sdist


def row(work: Path, wheel: Path, name: str) -> str:
    """Makes an environment, measures it, runs what applies, and removes it, but for `export`."""
    requirements, module = ENVIRONMENTS[name]
    place = work / name.replace(", ", "_")
    python = environment(place)
    empty = size(place)
    extras, *others = requirements
    install(python, f"{wheel}{extras}", *others)
    megabytes = (size(place) - empty) / 1e6
    environment_of = {"KERAS_BACKEND": name if name in ("jax", "torch") else "tensorflow"}
    seconds = statistics.median(imported(python, module, work, environment_of) for _ in range(3))
    ran = trial(work, python, name, environment_of)
    if name != "export":
        shutil.rmtree(place)
    installed = " ".join([f"`{extras}`", *others])
    return f"| {name} | {installed} | {megabytes:,.0f} | {seconds:.1f} | {ran} |"


def trial(work: Path, python: Path, name: str, variables: dict[str, str]) -> str:
    """Runs the README's lines, or what of them the environment is for."""
    if name.startswith("device"):
        checked(python, "-c", DEVICE, cwd=work)
        if "pillow" not in name:
            return "`Predictor` answered"
        checked(python, "-m", "export.device", "digits.onnx", "digit.png", cwd=work)
        return "`python -m export.device digits.onnx digit.png` answered"
    if name == "export":
        code = readme()
        code += "np = __import__('numpy'); np.save('images.npy', images[:1])\n"
        code += "from PIL import Image\n"
        code += "Image.fromarray((images[0, ..., 0] * 255).astype('uint8')).save('digit.png')\n"
        checked(python, "-c", code, cwd=work, variables=variables)
        return "the README's lines"
    code = readme().partition("names = ")[0]
    lines = [line for line in code.splitlines() if not re.search("export|load_digits", line)]
    lines[1:1] = [
        "import numpy as np",
        "images, labels = np.load('digits.npy'), np.arange(64) % 10",
    ]
    np.save(work / "digits.npy", np.random.default_rng(0).random((64, 64)) * 16)
    checked(python, "-c", "\n".join(lines), cwd=work, variables=variables)
    return "the README's lines up to the export, on random digits"


def readme() -> str:
    """Returns the first block of Python in the README."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    return blocks[0]


def tests_of(work: Path, sdist: Path) -> str:
    """Runs a part of the tests from the unpacked sdist, and returns pytest's last line."""
    with tarfile.open(sdist) as archive:
        archive.extractall(work, filter="data")
    python = work / "export/bin/python"
    install(python, "pytest", "setuptools>=77")
    tree = work / sdist.name.removesuffix(".tar.gz")
    variables = {"KERAS_BACKEND": "tensorflow"}
    output = checked(python, "-m", "pytest", "-q", *TESTS, cwd=tree, variables=variables)
    return output.strip().splitlines()[-1]


def environment(place: Path) -> Path:
    """Makes an empty virtual environment, and returns its Python."""
    checked(Path(sys.executable), "-m", "venv", str(place), cwd=place.parent)
    return place / "bin/python"


def install(python: Path, *requirements: str) -> None:
    constraint = str(ROOT / "constraints.txt")
    command = ["-m", "pip", "install", "--quiet", "--constraint", constraint, *requirements]
    checked(python, *command, cwd=python.parent)


def imported(python: Path, module: str, work: Path, variables: dict[str, str]) -> float:
    """Returns the processor seconds that an import takes, which other processes hardly change."""
    code = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"
    return float(checked(python, "-c", code.format(module), cwd=work, variables=variables))


def size(place: Path) -> int:
    return sum(path.lstat().st_size for path in place.rglob("*") if not path.is_dir())


def checked(python: Path, *arguments: str, cwd: Path, variables: dict | None = None) -> str:
    """Runs Python without this repository on its path, or ends with what it said."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), *arguments],
        cwd=cwd,
        env=clean | {"TF_CPP_MIN_LOG_LEVEL": "3"} | (variables or {}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = done.stdout[-2000:] + done.stderr[-2000:]
        sys.exit(f"{python} {' '.join(arguments)[:200]}\n{said}")
    return done.stdout


if __name__ == "__main__":
    main()
