"""Measures the cost of each attention in onnxruntime on one thread, one image at a time.

    python -m benchmarks.attention
    python -m benchmarks.attention --model se_resnet20 --runs 500 --attentions se eca

The models are exported untrained. They run alternately in one process, so that a disturbance meets
all of them. The figures are medians; the ratio is to the same network without attention.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="se_resnet20")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--attentions", nargs="+", help="short names; all of them by default")
    options = parser.parse_args()

    import onnxruntime

    from keras_capsules import attention

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    sessions, files = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ["none", *(options.attentions or attention.ATTENTIONS)]:
            path = Path(folder) / f"{name}.onnx"
            files[name] = exported(options.model, None if name == "none" else name, path)
            sessions[name] = onnxruntime.InferenceSession(
                path, settings, providers=["CPUExecutionProvider"]
            )
    medians = {name: statistics.median(times) for name, times in timed(sessions, options.runs)}
    print(f"{options.model}, onnxruntime {onnxruntime.__version__}, batch 1, 1 thread")
    print("attention  median ms   ratio   nodes      bytes")
    for name, median in medians.items():
        nodes, size = files[name]
        ratio = median / medians["none"]
        print(f"{name:10} {1000 * median:9.3f} {ratio:7.3f} {nodes:7d} {size:10,d}")


def exported(model: str, attention: str | None, path: Path) -> tuple[int, int]:
    """Writes the model to `path`, and returns its numbers of nodes and bytes."""
    import export
    from keras_capsules import create_model

    report = export.export_onnx(create_model(model, attention=attention), path)
    return sum(report.file.operations.values()), path.stat().st_size


def timed(sessions: dict, runs: int) -> list[tuple[str, list[float]]]:
    """Returns the seconds of `runs` runs of each session, after a tenth as many to warm up."""
    import numpy as np

    (tensor,) = next(iter(sessions.values())).get_inputs()
    image = np.random.default_rng(0).random((1, *tensor.shape[1:]), dtype="float32")
    times = {name: [] for name in sessions}
    for run in range(-(runs // 10), runs):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, {tensor.name: image})
            if run >= 0:
                times[name].append(time.perf_counter() - start)
    return list(times.items())


if __name__ == "__main__":
    main()
