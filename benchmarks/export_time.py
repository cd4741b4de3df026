"""Measures time and memory of an export: `python -m benchmarks.export_time [MODEL]`, or CapsNet.

The model has its paper's size, and its decoder where it has one; the file holds the explanations.
Memory is the peak of this process and that of the conversion's added up, as if they came together.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import export
import keras_capsules


def main():
    """Exports, and prints seconds, GiB and the facts of the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="capsnet", help="of list_models()")
    name = parser.parse_args().model
    capsules = "caps" in name
    model = keras_capsules.create_model(name, **({"with_decoder": True} if capsules else {}))
    outputs = ["scores", "poses", "coupling", "reconstruction"] if capsules else None
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        report = export.export_onnx(model, Path(folder) / "model.onnx", outputs=outputs)
        seconds = time.perf_counter() - start
    peaks = (resource.getrusage(who).ru_maxrss for who in (0, resource.RUSAGE_CHILDREN))
    print(
        f"{name}: {seconds:.1f} s, {sum(peaks) / 2**20:.2f} GiB, {report.parameters:,} parameters, "
        f"{report.file.nodes} nodes, {report.file.bytes:,} bytes, off by {report.max_abs:.1e}"
    )


if __name__ == "__main__":
    main()
