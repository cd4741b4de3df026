"""Measures how the cost of a capsule layer grows with children, parents, batch and iterations.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --backends tensorflow jax torch --figure docs/figures/scaling.png

Each size grows over two decades while the others stay: milliseconds of a training step (forward,
backward, SGD), medians; the sizes of one row of the figure take turns in one process. The slope is
that of a straight line through the logarithms: 1 is linear. Of all, and of the upper decade, where
less is due to what every step costs.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks import results

BASE = {"children": 512, "parents": 8, "batch": 8, "iterations": 3}
FACTORS = (1, 3, 10, 30, 100)
LEAST = {"children": 128, "parents": 2, "batch": 2, "iterations": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", default=["tensorflow"])
    parser.add_argument("--routing", default="dynamic", help="one with iterations")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--figure", type=Path, default=Path("build/scaling.png"))
    parser.add_argument("--measure", choices=list(BASE), help=argparse.SUPPRESS)
    results.add_options(parser, "scaling")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options.measure, options.routing, options.runs)))
        return
    rows = []
    for backend in options.backends:
        for size in BASE:
            arguments = ["--measure", size, "--routing", options.routing]
            arguments += ["--runs", str(options.runs)]
            times = results.in_process("benchmarks.scaling", arguments, backend)
            sizes = [LEAST[size] * factor for factor in FACTORS]
            rows.append(
                {"backend": backend, "grows": size, "from": sizes[0], "to": sizes[-1]}
                | {f"ms x {factor}": value for factor, value in zip(FACTORS, times, strict=True)}
                | {"slope": slope(sizes, times), "upper slope": slope(sizes[2:], times[2:])}
            )
    results.publish(rows, ["backend", "grows", "from", "to"], options)
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure(rows).savefig(options.figure, dpi=80)


def measured(size: str, routing: str, runs: int) -> list[float]:
    """Returns the milliseconds of a training step for each value of the size."""
    steps = {}
    for factor in FACTORS:
        steps[factor] = training_step(routing, **BASE | {size: LEAST[size] * factor})
    times = results.medians(steps, runs)
    return [times[factor] for factor in FACTORS]


def training_step(routing: str, children: int, parents: int, batch: int, iterations: int):
    """Returns a function that trains a capsule layer for one step."""
    import keras

    import keras_capsules

    routing = keras_capsules.routing.get(routing, iterations=iterations)
    layer = keras_capsules.CapsuleLayer(parents, 16, routing=routing)
    model = keras.Sequential([keras.Input((children, 8)), layer])
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    poses = np.random.default_rng(0).standard_normal((batch, children, 8), dtype="float32")
    targets = np.zeros((batch, parents, 16), "float32")
    return lambda: model.train_on_batch(poses, targets)


def slope(sizes: list[int], times: list[float]) -> float:
    """Returns the slope of a straight line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def figure(rows: list[dict]):
    """Returns a figure of the times, one axis for each size that grows, and a line for linear."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(12, 3.2), layout="constrained")
    for axis, size in zip(drawn.subplots(1, len(BASE), sharey=True), BASE, strict=True):
        sizes = [LEAST[size] * factor for factor in FACTORS]
        for row in (row for row in rows if row["grows"] == size):
            times = [row[f"ms x {factor}"] for factor in FACTORS]
            axis.loglog(sizes, times, "o-", label=f"{row['backend']}, slope {row['slope']:.2f}")
        axis.loglog(sizes, [times[-1] * x / sizes[-1] for x in sizes], "k:", label="linear")
        others = ", ".join(f"{name} {value}" for name, value in BASE.items() if name != size)
        axis.set(xlabel=size, title=others)
        axis.title.set_fontsize(8)
        axis.legend(fontsize=8, loc="lower right")
    drawn.axes[0].set_ylabel("ms for a training step")
    return drawn


if __name__ == "__main__":
    main()
