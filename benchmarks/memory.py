"""Measures the peak memory of training a capsule layer with and without stored votes.

    python -m benchmarks.memory
    python -m benchmarks.memory --growth
    python -m benchmarks.memory --children 100000 --parents 16 --batch 8 --share-weights

Each figure is the highest resident memory of a separate process that trains for three steps. The
extra memory is the difference from the same process at batch 1, and thus the cost of the rest of
the batch. Freed blocks of 1 MiB and more return to the system (`MALLOC_MMAP_THRESHOLD_`) and do not
count. With `--growth` the parents, and then the parents and their dimension, are multiplied as
well. A second table then shows how many bytes of extra memory each further byte of votes costs.
This benchmark runs only on Linux.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np

from benchmarks import results

SIZES = {"children": 1152, "in_dim": 8, "parents": 10, "capsule_dim": 16, "batch": 128}
GROWTH = ({}, {"parents": 2}, {"parents": 4}, {"parents": 4, "capsule_dim": 2})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in SIZES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--routing", default="dynamic")
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--implementations", nargs="+", default=["stored", "lean"])
    parser.add_argument("--share-weights", action="store_true", help="one kernel for all children")
    parser.add_argument("--growth", action="store_true", help="with more parents, and larger ones")
    parser.add_argument("--measure", choices=["stored", "lean"], help=argparse.SUPPRESS)
    results.add_options(parser, "memory")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(train(options)))
        return
    rows = [
        row(backend, implementation, options, factors)
        for backend in options.backends
        for implementation in options.implementations
        for factors in GROWTH[: None if options.growth else 1]
    ]
    results.publish(rows, ["backend", "implementation", *SIZES], options)
    if options.growth:
        print("\n" + "\n".join(results.table(slopes(rows))))


def row(backend: str, implementation: str, options, factors: dict) -> dict:
    """Returns the figures of one layer, whose sizes are multiplied by the factors."""
    sizes = {name: getattr(options, name) * factors.get(name, 1) for name in SIZES}
    layer = (options.routing, options.share_weights)
    highest = peak(backend, implementation, sizes, *layer)
    rest = highest - peak(backend, implementation, sizes | {"batch": 1}, *layer)
    votes = (sizes["batch"] - 1) * sizes["children"] * sizes["parents"] * sizes["capsule_dim"]
    return {
        "backend": backend,
        "implementation": implementation,
        **sizes,
        "votes MiB": round(votes * 4 / 2**20),
        "peak MiB": round(highest),
        "extra MiB": round(rest),
    }


def peak(backend: str, implementation: str, sizes: dict, routing="dynamic", share_weights=False):
    """Returns the highest resident memory, in MiB, of a process that trains."""
    arguments = ["--measure", implementation, "--routing", routing]
    arguments += ["--share-weights"] * share_weights
    for name, size in sizes.items():
        arguments += [f"--{name.replace('_', '-')}", str(size)]
    # Otherwise the C library keeps freed blocks of up to 32 MiB each for later use.
    environment = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    return results.in_process("benchmarks.memory", arguments, backend, **environment) / 1024


def slopes(rows: list[dict]) -> list[dict]:
    """Returns how many bytes of extra memory each further byte of votes costs."""
    groups = {}
    for found in rows:
        points = groups.setdefault((found["backend"], found["implementation"]), [])
        points.append((found["votes MiB"], found["extra MiB"]))
    return [
        {
            "backend": backend,
            "implementation": implementation,
            "extra bytes for a byte of votes": float(np.polyfit(*np.transpose(points), 1)[0]),
        }
        for (backend, implementation), points in groups.items()
    ]


def train(options) -> int:
    """Returns the highest resident memory of this process, in KiB, after three steps."""
    import keras

    from keras_capsules import CapsuleLayer

    layer = CapsuleLayer(
        options.parents,
        options.capsule_dim,
        options.routing,
        share_weights=options.share_weights,
        implementation=options.measure,
    )
    inputs = keras.Input((options.children, options.in_dim))
    if layer.routing.explicit_activations:
        inputs = [inputs, keras.Input((options.children,))]
    model = keras.Model(inputs, keras.tree.flatten(layer(inputs))[0])
    model.compile("sgd", "mse")
    generator = np.random.default_rng(0)
    poses = generator.standard_normal(
        (options.batch, options.children, options.in_dim), dtype="float32"
    )
    ones = np.ones((options.batch, options.children), "float32")
    samples = [poses, ones] if layer.routing.explicit_activations else poses
    parents = np.zeros((options.batch, options.parents, options.capsule_dim), "float32")
    for _ in range(3):
        model.train_on_batch(samples, parents)
    # Not getrusage, because its maximum includes the memory of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


if __name__ == "__main__":
    main()
