"""Defines the results of an export's steps as frozen dataclasses, which make up the report."""

import math
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Kinds of inputs on which a model and its file are compared."""

    RANDOM = "random"
    REAL = "real"
    ALL_REAL = "all real"
    ZEROS = "zeros"
    CONSTANT = "constant"
    SIGNED = "both signs"
    EVERY_ROW = "every row of a table"
    HUGE = "huge"
    TINY = "tiny"
    LABELS = "labels"
    CALIBRATION = "calibration"
    PART = "part"


@dataclass(frozen=True)
class SuiteKey:
    """Identifies a suite of inputs.

    Attributes:
        kind: Kind of the inputs.
        batch: Number of samples in each run.
        samples: Number of samples in all.
        scale: Factor on random inputs.
        sealed: Whether the inputs are stored in the seal.
        sizes: Sizes of the open axes, such as `"32 x 48"`, or empty.
    """

    kind: Kind
    batch: int
    samples: int
    scale: float = 1.0
    sealed: bool = False
    sizes: str = ""

    @property
    def label(self) -> str:
        """The name for people. No code makes decisions by it."""
        return f"sealed, {self.plain_label}" if self.sealed else self.plain_label

    @property
    def plain_label(self) -> str:
        """The label without the word sealed."""
        return f"{self._inputs}, {self.sizes}" if self.sizes else self._inputs

    @property
    def _inputs(self):
        match self.kind:
            case Kind.RANDOM if self.batch == self.samples:
                return f"random, batch {self.batch}"
            case Kind.RANDOM if self.batch == 1:
                return "random, one by one"
            case Kind.RANDOM:
                return f"random, {self.samples // self.batch} batches"
            case Kind.HUGE | Kind.TINY:
                return f"{self.kind}, x 1e{round(math.log10(self.scale))}"
            case Kind.ALL_REAL:
                return "real, all"
        return str(self.kind)


@dataclass(frozen=True)
class Comparison:
    """Comparison of one output over one suite, the worst of all sessions.

    Attributes:
        output: Name of the output.
        suite: Key of the suite.
        max_abs: Largest absolute difference.
        rmse: Root of the mean squared difference.
        cosine: Smallest cosine between the two outputs of a sample.
        scale: Largest absolute output, on these inputs or on random ones.
        rounding: Largest absolute difference between the model and the float64 model, on these
            inputs or on random ones, whichever is larger. For huge inputs, or without a float64
            model, it also includes these inputs with the last bit of each changed.
        allowed: Largest absolute difference that passes, see `export.compare.tolerance`.
        nan_equal: Whether both outputs are NaN, and infinite, at the same positions.
        label_flips: Number of samples with another label, although the model's two largest scores
            differ by more than twice the allowed difference. Zero for outputs that are not scores.
        sample: Index of the sample with the largest difference, or `None` if none was run.
        passed: Whether the file may be written.
        error: Message of onnxruntime if it could not run the file, or empty.
    """

    output: str
    suite: SuiteKey
    max_abs: float = math.inf
    rmse: float = math.inf
    cosine: float = 0.0
    scale: float = 1.0
    rounding: float = 0.0
    allowed: float = 0.0
    nan_equal: bool = False
    label_flips: int = 0
    sample: int | None = None
    passed: bool = False
    error: str = ""

    @property
    def relative(self) -> float:
        """The largest difference, relative to the largest output."""
        return self.max_abs / self.scale


@dataclass(frozen=True)
class LayerError:
    """Difference between a Keras layer and the part of the file that computes it.

    Attributes:
        layer: Name of the layer.
        max_abs: Largest absolute difference between the layer's outputs in the file and in the
            model. It includes inherited errors. `None` if the file does not have the output, for
            example because the layer was merged with another.
        local: The same difference if this part of the file gets the inputs of the model's layer. It
            is close to zero if the error is inherited. It is measured only if the layer differs,
            and is `None` if the file does not have these inputs.
        allowed: Largest absolute difference that counts as rounding.
    """

    layer: str
    max_abs: float | None = None
    local: float | None = None
    allowed: float = 0.0

    @property
    def differs(self) -> bool:
        """Whether the file has the layer's outputs and they differ."""
        return self.max_abs is not None and not self.max_abs <= self.allowed


@dataclass(frozen=True)
class Part:
    """Comparison of one layer with its part of the file, on inputs that excite the layer.

    Attributes:
        layer: Name of the layer. The part may include layers before it.
        error: Largest difference as a share of the allowed one, or `None` if the file does not have
            the layer's output, or not the inputs that it needs. The layer's rounding, which may
            allow more, is measured only where it decides.
        unmoved: Number of the layer's units that no input moves.
    """

    layer: str
    error: float | None = None
    unmoved: int = 0

    @property
    def passed(self) -> bool:
        """Whether the part computes what the layer does, as far as it can be compared."""
        return self.error is None or self.error <= 1


@dataclass(frozen=True)
class MixedPrecision:
    """Distance of a model that computes in another precision from its float32 file.

    Attributes:
        policies: Names of the precisions in which the model was made to compute.
        max_abs: Largest absolute difference on random inputs, over all outputs.
        scale: Largest absolute output of the model in float32 on them.
    """

    policies: tuple[str, ...]
    max_abs: float
    scale: float


@dataclass(frozen=True)
class FileFacts:
    """Facts of an ONNX file, where `inputs` and `outputs` are names with shapes."""

    bytes: int
    sha256: str
    opset: int
    ir_version: int
    nodes: int
    operations: dict[str, int]
    inputs: list[str]
    outputs: list[str]


@dataclass(frozen=True)
class Row:
    """File in a comparison of precisions.

    Attributes:
        precision: `"float32"`, `"float16"` or `"int8"`.
        bytes: Size of the file.
        nodes: Number of nodes.
        latency_ms: Median on one thread, for one sample or one batch of a fixed size.
        score: Percentage of answers that are right, see `export.task`.
        max_abs: Largest error, relative to outputs above 1.
    """

    precision: str
    bytes: int
    nodes: int
    latency_ms: float
    score: float
    max_abs: float


@dataclass(frozen=True)
class Judgement:
    """Cost and gain of reduced precision, see `export.reduce.judge`.

    Attributes:
        precision: `"float16"`, `"int8"` or, if neither of them is good enough, `"float32"`.
        criterion: The counted property and the samples, in words.
        model: Score of the Keras model, in percent.
        drop: Percentage points that the reduced file loses.
        max_drop: Percentage points that it may lose.
        rows: The float32 file and the reduced one, or those that were tried.
        comparisons: Comparisons of the reduced file. Their errors do not decide.
        passed: Whether the file may be written.
    """

    precision: str
    criterion: str
    model: float
    drop: float
    max_drop: float
    rows: list[Row]
    comparisons: list[Comparison]
    passed: bool


@dataclass(frozen=True)
class Check:
    """Entry of the checklist for devices, where `passed` is `None` if it is only counted."""

    check: str
    finding: str
    passed: bool | None = None


@dataclass(frozen=True)
class UnsupportedNode:
    """Node that an execution provider leaves to the CPU."""

    node: str
    layer: str | None
    operation: str
    reason: str


@dataclass(frozen=True)
class ProviderProfile:
    """Part of a file that an execution provider runs.

    Attributes:
        provider: Name of the provider.
        source: The list of its operations.
        nodes: Number of nodes of the file.
        unsupported: Nodes that the provider cannot run.
        conditions: Conditions in its list for operations of the file.
        remark: Advice, or `None`.
    """

    provider: str
    source: str
    nodes: int
    unsupported: list[UnsupportedNode]
    conditions: dict[str, str]
    remark: str | None


@dataclass(frozen=True)
class Profile:
    """Parts of a file that the execution providers of a target run."""

    profile: str
    providers: list[ProviderProfile]


@dataclass(frozen=True)
class OrtFacts:
    """Facts of the `.ort` copy, where `identical_on` lists the suites of the exact comparison."""

    bytes: int
    sha256: str
    min_onnxruntime: str
    identical_on: list[str]


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one sample, or one batch of a fixed size."""

    p50: float
    p99: float
