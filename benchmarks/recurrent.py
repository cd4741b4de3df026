"""Compares a GRU with PyTorch's own export of the same layer: `python -m benchmarks.recurrent`.

Both files have the same weights and run in onnxruntime on one thread, in turns.
"""

import argparse
import functools
import io
import os
import tempfile
import warnings
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import onnx
import torch

import export
from benchmarks.results import medians
from export.compare.run import session

_FEATURES = 32


class _LastOutput(torch.nn.Module):
    """PyTorch's layer with the weights of Keras' layer, whose gates have another order."""

    def __init__(self, layer):
        super().__init__()
        units = layer.units
        self.gru = torch.nn.GRU(_FEATURES, units, batch_first=True)
        weights = [np.array(keras.ops.convert_to_numpy(weight)) for weight in layer.weights]
        kernel, recurrent, bias = (
            np.concatenate(
                [array[..., units : 2 * units], array[..., :units], array[..., 2 * units :]], -1
            )
            for array in weights
        )
        arrays = (kernel.T, recurrent.T, *bias)
        for parameter, array in zip(self.gru.parameters(), arrays, strict=True):
            parameter.data = torch.tensor(np.ascontiguousarray(array))

    def forward(self, x):
        return self.gru(x)[0][:, -1]


def _export_by_torch(module, steps):
    buffer = io.BytesIO()
    example = torch.zeros(1, steps, _FEATURES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval().cpu(),
            (example,),
            buffer,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    return buffer.getvalue()


def main():
    """Exports both layers, checks that they agree, and prints milliseconds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--runs", type=int, default=300)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    layer = keras.layers.GRU(options.units, bias_initializer="normal")
    model = keras.Sequential([keras.Input((options.steps, _FEATURES), name="x"), layer])
    with tempfile.TemporaryDirectory() as folder:
        report = export.export_onnx(model, Path(folder) / "model.onnx")
        ours = (Path(folder) / "model.onnx").read_bytes()
    theirs = _export_by_torch(_LastOutput(layer), options.steps)
    runners = {"export": session(ours, threads=1), "torch": session(theirs, threads=1)}
    print(f"{report.file.nodes} nodes, PyTorch {len(onnx.load_from_string(theirs).graph.node)}")
    for batch in (1, 32):
        x = np.random.default_rng(0).normal(size=(batch, options.steps, _FEATURES))
        feeds = {"x": x.astype("float32")}
        outputs = [runner.run(None, feeds)[0] for runner in runners.values()]
        calls = {
            name: functools.partial(runner.run, None, feeds) for name, runner in runners.items()
        }
        times = medians(calls, options.runs)
        ratio = times["export"] / times["torch"]
        print(
            f"batch {batch}: {times['export']:.3f} ms, PyTorch {times['torch']:.3f} ms, ratio "
            f"{ratio:.2f}, apart {np.abs(np.subtract(*outputs)).max():.1e}"
        )


if __name__ == "__main__":
    main()
