"""Runs a Keras model and its ONNX file on a suite of inputs."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import keras
import numpy as np
import onnx
import onnxruntime

from export import keras_model
from export.compare.suites import Suite
from export.errors import ConversionError, UnsupportedOperationError
from export.graph.content import serialize

Result = TypeVar("Result")


def run_keras(model: keras.Model, suite: Suite) -> list[np.ndarray]:
    """Runs the model for inference, and returns its outputs as a flat list of arrays."""

    def run(batch):
        tensors = [keras.ops.convert_to_tensor(array) for array in batch]
        return [keras.ops.convert_to_numpy(output) for output in keras_model.call(model, tensors)]

    return in_batches(run, suite)


def each_once(run: Callable[[Suite], Result], suites: list[Suite]) -> list[Result]:
    """Calls `run` on each suite, and takes the result from before for the same inputs."""
    outputs: list[Result] = []
    for number, suite in enumerate(suites):
        same = next((k for k in range(number) if suites[k].is_run_like(suite)), None)
        outputs.append(run(suite) if same is None else outputs[same])
    return outputs


def run_onnx(
    session: onnxruntime.InferenceSession, model: keras.Model, outputs: list[str], suite: Suite
) -> list[np.ndarray]:
    """Runs the file, and returns the named outputs."""
    names = keras_model.input_names(model)
    return in_batches(
        lambda batch: session.run(outputs, dict(zip(names, batch, strict=True))), suite
    )


def in_batches(run: Callable, suite: Suite) -> list[np.ndarray]:
    """Calls `run` on the inputs of one batch after the other, and joins the results.

    An output without a batch axis, such as a maximum over all samples, gets one for the batches.
    """
    starts = range(0, suite.samples, suite.batch)
    batches = [[array[start : start + suite.batch] for array in suite.inputs] for start in starts]
    parts = [run(batch) for batch in batches]
    sizes = [len(batch[0]) for batch in batches]
    return [_joined(output, sizes) for output in zip(*parts, strict=True)]


def _joined(parts, sizes):
    by_sample = all(
        part.ndim and len(part) == size for part, size in zip(parts, sizes, strict=True)
    )
    shapes = {part.shape for part in parts}
    if not by_sample and len(shapes) > 1:
        raise UnsupportedOperationError(
            "An output's size depends on the values of the inputs, so that batches cannot be "
            f"compared: {', '.join(map(str, sorted(shapes)))}. Fix the size in the model, for "
            "example by num_segments or by padding."
        )
    if by_sample and len(parts) == 1:
        return parts[0]  # Without a copy.
    return np.concatenate(parts) if by_sample else np.stack(parts)


def session(
    file: onnx.ModelProto | bytes,
    optimize: bool = True,
    threads: int = 0,
    disabled: Sequence[str] = (),
) -> onnxruntime.InferenceSession:
    """Loads a file for the CPU.

    Args:
        file: The file, or its bytes.
        optimize: Whether onnxruntime optimizes the graph.
        threads: Number of threads. 0 means all cores.
        disabled: Names of optimizers that stay off.

    Raises:
        ConversionError: If onnxruntime cannot load the file.
    """
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            file if isinstance(file, bytes) else serialize(file),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # It would print what the file says.
            disabled_optimizers=list(disabled),
        )
    except Exception as error:  # onnxruntime's errors have no other common class.
        raise ConversionError(f"onnxruntime cannot load the converted model: {error}") from error


def probe_session(file: onnx.ModelProto) -> tuple[onnxruntime.InferenceSession, list[str]]:
    """Loads a file with every value of its graph as an output, and returns their names as well."""
    probe = onnx.ModelProto()
    probe.CopyFrom(file)
    names = sorted({name for node in file.graph.node for name in node.output if name})
    del probe.graph.output[:]
    probe.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, names))
    return session(probe, optimize=False, threads=1), names
