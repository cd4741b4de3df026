"""Labels a signal as it comes: a window slides over the lines of standard input.

`python -m examples.stream model.onnx < signal.csv`, or `cat /dev/ttyUSB0 | python -m ...`

Each line is a step, with a number for each channel. After each `--hop` steps the last window is
labelled, and a line says the step, the label, the score and how long the answer took. At the end
comes the budget: the time between two answers at the rate of the signal, and how much of it the
slowest answers took. It needs onnxruntime and numpy. With `--pace` the lines are read at the rate,
as from a sensor, to try a file.
"""

import argparse
import collections
import sys
import time

import numpy as np

from export.device import Predictor


def main() -> int:
    """Reads standard input to its end, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.stream", description=__doc__)
    parser.add_argument("model", help="an ONNX file of a network for signals")
    parser.add_argument("--window", type=int, help="steps (default: the model's, if it has one)")
    parser.add_argument("--hop", type=int, default=10, help="steps between answers (default: 10)")
    parser.add_argument("--rate", type=float, default=50.0, help="steps a second (default: 50)")
    parser.add_argument("--pace", action="store_true", help="wait for each step, as a sensor does")
    options = parser.parse_args()
    try:
        predictor = Predictor(options.model, threads=1)
        times = answer(predictor, sys.stdin, options)
    except ValueError as error:
        print(f"stream: {error}", file=sys.stderr)
        return 5
    budget = 1e3 * options.hop / options.rate
    if times:
        worst = float(np.percentile(times, 99))
        print(f"budget {budget:.0f} ms; p99 of {len(times)} answers {worst:.2f} ms", end=", ")
        print(f"{worst / budget:.1%} of it")
    return 0


def answer(predictor: Predictor, lines, options: argparse.Namespace) -> list[float]:
    """Prints a line for each window, and returns the milliseconds that each answer took.

    Raises:
        ValueError: If the model takes no signal, an option is wrong, or a line is not a step.
    """
    (shape,) = predictor.shapes.values()
    length, channels = shape if len(shape) == 2 else (None, None)
    size = options.window or length
    if not isinstance(size, int) or min(size, options.hop, options.rate) <= 0:
        raise ValueError(
            "Pass a model of signals (length, channels), for an open length a `--window`, and "
            f"positive numbers. Received: inputs of shape {shape}, window={options.window}, "
            f"hop={options.hop}, rate={options.rate}"
        )
    window, times = collections.deque(maxlen=size), []
    for step, line in enumerate(lines, start=1):
        values = np.array(line.split(","), "float32")
        if len(values) != channels or not np.isfinite(values).all():
            raise ValueError(f"Step {step} must be {channels} numbers. Received: {line.strip()!r}")
        window.append(values)
        if options.pace:
            time.sleep(1 / options.rate)
        if step < size or (step - size) % options.hop:
            continue
        start = time.perf_counter()
        (found,) = predictor.predict(np.stack(window))
        times.append(1e3 * (time.perf_counter() - start))
        print(f"{step}  {found.label}  {found.score:.3f}  {times[-1]:.2f} ms", flush=True)
    return times


if __name__ == "__main__":
    sys.exit(main())
