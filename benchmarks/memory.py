"""Peak memory of training a capsule layer that stores its votes, and of one that does not.

    python -m benchmarks.memory
    python -m benchmarks.memory --children 100000 --parents 16 --batch 8 --lean-only

Each figure is the highest resident memory of a process of its own that trains for three steps,
less that of the same process at batch 1: what the batch costs. Linux only.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

SIZES = {"children": 1152, "in_dim": 8, "parents": 10, "capsule_dim": 16, "batch": 128}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in SIZES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--routing", default="dynamic")
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--lean-only", action="store_true", help="where stored votes do not fit")
    parser.add_argument("--measure", choices=["stored", "lean"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(train(options))
        return
    implementations = ["lean"] if options.lean_only else ["stored", "lean"]
    print("backend     implementation  peak MiB  extra MiB  of stored")
    for backend in options.backends:
        stored = None
        for implementation in implementations:
            arguments = (backend, implementation, sys.argv[1:])
            peak = measure(*arguments, options.batch)
            extra = peak - measure(*arguments, 1)
            stored = stored or extra
            print(
                f"{backend:11} {implementation:15} {peak / 1024:8.0f} {extra / 1024:10.0f} "
                f"{extra / stored:10.2f}"
            )


def measure(backend: str, implementation: str, arguments: list, batch: int) -> int:
    """Returns the highest resident memory, in KiB, of a process that trains."""
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *arguments]
        + ["--measure", implementation, "--batch", str(batch)],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(process.stdout.split()[-1])


def train(options) -> int:
    import keras

    from keras_capsules import CapsuleLayer

    layer = CapsuleLayer(
        options.parents, options.capsule_dim, options.routing, implementation=options.measure
    )
    model = keras.Sequential([keras.Input((options.children, options.in_dim)), layer])
    model.compile("sgd", "mse")
    generator = np.random.default_rng(0)
    poses = generator.standard_normal(
        (options.batch, options.children, options.in_dim), dtype="float32"
    )
    parents = np.zeros((options.batch, options.parents, options.capsule_dim), "float32")
    for _ in range(3):
        model.train_on_batch(poses, parents)
    # Not getrusage: its maximum includes the memory of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


if __name__ == "__main__":
    main()
