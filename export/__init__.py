"""Keras models as ONNX files that were compared with the model before they were written.

Importing this package loads neither Keras nor a backend nor onnx: `export.device` lives here too.
"""

from export.errors import (
    ConversionError,
    ExportError,
    ParityError,
    RefusedInputError,
    UnsupportedOperationError,
    UsageError,
)
from export.options import ExportOptions
from export.report import ExportReport


def export_onnx(
    model,
    path,
    *,
    opset: "int | None" = None,
    via: str = "tf2onnx",
    outputs: "list[str] | None" = None,
    labels: "list[str] | None" = None,
    data: "dict | None" = None,
    input_range: "tuple[float, float]" = (0.0, 1.0),
    precision: str = "float32",
    max_drop: float = 0.5,
    force: bool = False,
    min_onnxruntime: "str | None" = None,
    batch: "int | None" = None,
    preprocess: bool = False,
    mean: "list[float] | None" = None,
    std: "list[float] | None" = None,
    layout: "str | None" = None,
    ort: bool = False,
    profile: "str | None" = None,
) -> ExportReport:
    """Converts a Keras model to ONNX, compares the two, and writes the file if they agree.

    The file is the same, byte for byte, whichever backend asks for it: the conversion runs under
    TensorFlow in a process of its own, the comparison on the backend that is active here. The
    batch axis stays open and is called `batch`; weights are inside the file.

    Args:
        model: `keras.Model`, functional or sequential and in float32, or the path of a `.keras`
            file.
        path: Path of the ONNX file to write. Its folder must exist.
        opset: Integer from 13 to 18. Defaults to 17, which every onnxruntime since 1.12 runs, or
            to the newest that `min_onnxruntime` runs where that is older.
        via: String, the converter: `"tf2onnx"`, `"torch"` or `"jax"`, which are Keras' own exports
            under these backends. The comparison is the same for each. Defaults to `"tf2onnx"`,
            whose file is the same whatever the backend.
        outputs: What the file returns, some of `"scores"`, `"poses"`, `"activations"`,
            `"coupling"`, `"map"`, `"reconstruction"` and `"gates"`, see
            `keras_capsules.explain.explained_model`. Defaults to `None`, what the model returns.
        labels: Names of the classes, one for each column of the output `scores`, or of the first
            where none has that name. They are stored in the file, for the device.
        data: Real inputs to compare on as well, arrays by input name, or `None`. An array `labels`
            among them holds the right labels, by which reduced precision is judged. Of more than
            256 samples, 256 are compared in every way, and the scores of all once.
        input_range: Pair of floats: the inputs that a black and a white pixel become. Stored in
            the file, for the device. Defaults to `(0.0, 1.0)`.
        precision: `"float32"`, `"float16"` or `"int8"`. The float32 file is made and compared
            first; routing, squash and softmax stay in float32, see `export.quantize`. `"int8"`
            needs `data`: it is calibrated on 256 samples, half of them at most, and judged on the
            others. Defaults to `"float32"`.
        max_drop: Float, percentage points. How much less often a file of reduced precision may
            name the right label than the model; where `data` has no `labels`, how often it may
            name another than the model. Its errors are reported, and do not decide. Defaults to
            `0.5`.
        force: Boolean. Whether to replace an existing file, and remove an old `.ort` file and its
            list of operators, which would not belong to the new one. Defaults to `False`.
        min_onnxruntime: The oldest onnxruntime that must run the file, such as `"1.10"`, or `None`.
        batch: Integer, for a file that takes batches of this size alone and has no open axis.
            Defaults to `None`, any size.
        preprocess: Boolean. Whether to bake into the file how pixels become inputs, so that it
            takes them raw, as uint8: 0 to 255 is brought to `input_range`, `mean` subtracted, and
            the result divided by `std`. Defaults to `False`.
        mean: Floats, one for all channels or one for each, in units of `input_range`; with
            `preprocess`. Defaults to `None`, nothing is subtracted.
        std: Floats, as `mean`. Defaults to `None`, nothing is divided by.
        layout: `"channels_last"` or `"channels_first"`, the layout of the pixels; with
            `preprocess`. Defaults to `None`, `"channels_last"`.
        ort: Boolean. Whether to write the file in onnxruntime's own format too, as `.ort` beside
            it, with the list of operators for a reduced build. Defaults to `False`.
        profile: `"cpu"`, `"web"` or `"mobile"`, to report which nodes the execution providers
            there leave to the CPU, or `None`.

    Returns:
        An `ExportReport`.

    Raises:
        ParityError: If the file computes something else than the model, or loses more accuracy
            than `max_drop`; it carries the `report`.
        ConversionError: If the model cannot be converted.
        UnsupportedOperationError: If it needs an operation that the file may not hold.
        RefusedInputError: If the model file is damaged or unsafe.
        UsageError: If a path or an option is wrong.

    Example:

    >>> model = keras_capsules.create_model("capsnet", filters=16, primary_capsules=2)
    >>> export.export_onnx(model, "digits.onnx", labels=list("0123456789")).passed
    True
    """
    try:
        from export.pipeline import run
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The export needs the package {error.name}. Install it with "
            "`pip install 'keras-capsules[export]'`, or set KERAS_BACKEND to a backend you have."
        ) from error
    options = ExportOptions(
        opset=opset,
        via=via,
        outputs=outputs,
        labels=labels,
        data=data,
        input_range=input_range,
        precision=precision,
        max_drop=max_drop,
        force=force,
        min_onnxruntime=min_onnxruntime,
        batch=batch,
        preprocess=preprocess,
        mean=mean,
        std=std,
        layout=layout,
        ort=ort,
        profile=profile,
    )
    return run(model, path, options)


__all__ = [
    "ConversionError",
    "ExportError",
    "ExportReport",
    "ParityError",
    "RefusedInputError",
    "UnsupportedOperationError",
    "UsageError",
    "export_onnx",
]
