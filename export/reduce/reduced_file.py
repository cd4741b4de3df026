"""Makes the file of reduced precision that the options choose."""

import keras
import onnx

from export import keras_model
from export.compare.suites import Suite, in_suite
from export.options import ExportOptions
from export.reduce.float16 import to_float16
from export.reduce.int8 import to_int8
from export.reduce.samples import Samples
from export.results import Kind

_RANGE_SAMPLES = 32


def reduced_file(
    model: keras.Model,
    file: onnx.ModelProto,
    options: ExportOptions,
    samples: Samples,
    suites: list[Suite],
    metadata: dict[str, str],
) -> onnx.ModelProto:
    """Converts a verified float32 file.

    Args:
        model: The Keras model.
        file: Its conversion.
        options: Options of the export. `precision` must be `"float16"` or `"int8"`.
        samples: Samples for the calibration of int8, and for the judgement of the file.
        suites: Ordinary inputs of the comparison. float16 must cope with the huge ones.
        metadata: Properties to store in the new file.
    """
    names = keras_model.input_names(model)

    def batches(suite, count, size):
        size = options.batch or size
        starts = range(0, min(count, suite.samples), size)
        parts = ([array[start : start + size] for array in suite.inputs] for start in starts)
        return [dict(zip(names, part, strict=True)) for part in parts]

    if options.precision == "int8":
        suite = in_suite(model, Kind.CALIBRATION, samples.calibration, options.batch)
        return to_int8(file, batches(suite, suite.samples, suite.batch), metadata)
    huge = [suite for suite in suites if suite.kind is Kind.HUGE]
    measured = [samples.suite(model, options.batch), *huge]
    # Two at a time, because every intermediate value is stored.
    ranges = [batch for suite in measured for batch in batches(suite, _RANGE_SAMPLES, size=2)]
    return to_float16(file, ranges, metadata)
