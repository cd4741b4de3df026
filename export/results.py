"""The results of an export's steps, as frozen dataclasses. Reports are made of them."""

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
    HUGE = "huge"
    TINY = "tiny"
    LABELS = "labels"
    CALIBRATION = "calibration"


@dataclass(frozen=True)
class SuiteKey:
    """Identifies a suite of inputs.

    Attributes:
        kind: Kind of the inputs.
        batch: Number of samples that are run at once.
        samples: Number of samples in all.
        scale: Factor on random inputs.
        sealed: Whether the inputs are stored in the seal.
    """

    kind: Kind
    batch: int
    samples: int
    scale: float = 1.0
    sealed: bool = False

    @property
    def label(self) -> str:
        """The name for people. Nothing is decided by it."""
        return f"sealed, {self.plain_label}" if self.sealed else self.plain_label

    @property
    def plain_label(self) -> str:
        """The label without the word that it is sealed."""
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
    """One output of the model over one suite of inputs, the worst of all sessions.

    Attributes:
        output: Name of the output.
        suite: Key of the suite.
        max_abs: Largest absolute difference.
        rmse: Root of the mean squared difference.
        cosine: Smallest cosine between the two outputs of a sample.
        scale: `max(1, max(abs(output)))`.
        rounding: Largest absolute difference between the model and its float64 model, on these
            inputs or on the random ones, whichever is larger; on huge inputs also with the last
            bit of each changed. `None` where there is no float64 model.
        allowed: Largest absolute difference that passes, see `export.compare.tolerance`.
        nan_equal: Whether both are NaN, and infinite, at the same positions.
        label_flips: Samples whose largest score is at another class, although the model's two
            largest differ by more than twice what is allowed. Zero for outputs that are not scores.
        sample: Number of the sample with the largest difference, or `None` where none was run.
        passed: Whether the file may be written.
        error: The message of onnxruntime where it could not run the file, or empty.
    """

    output: str
    suite: SuiteKey
    max_abs: float = math.inf
    rmse: float = math.inf
    cosine: float = 0.0
    scale: float = 1.0
    rounding: float | None = None
    allowed: float = 0.0
    nan_equal: bool = False
    label_flips: int = 0
    sample: int | None = None
    passed: bool = False
    error: str = ""

    @property
    def relative(self) -> float:
        """The largest difference, relative to outputs above 1."""
        return self.max_abs / self.scale


@dataclass(frozen=True)
class LayerError:
    """The difference between a part of the file and the Keras layer that it comes from.

    Attributes:
        layer: Name of the layer.
        max_abs: Largest absolute difference between the layer's outputs in the file and in the
            model: its own errors and inherited ones together. `None` where the file does not hold
            the output, as of a layer that was folded into another.
        local: The same where the part of the file is given the inputs of the model's layer; close
            to zero if the error is inherited. Measured where the layer differs, and `None` where
            the file does not hold these inputs.
        allowed: Largest absolute difference that counts as rounding.
    """

    layer: str
    max_abs: float | None = None
    local: float | None = None
    allowed: float = 0.0

    @property
    def differs(self) -> bool:
        """Whether the file holds the layer's outputs, and they differ."""
        return self.max_abs is not None and not self.max_abs <= self.allowed


@dataclass(frozen=True)
class FileFacts:
    """Facts of an ONNX file; `inputs` and `outputs` are names with shapes."""

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
    """One file of a comparison of precisions.

    Attributes:
        precision: `"float32"`, `"float16"` or `"int8"`.
        bytes: Size of the file.
        nodes: Number of nodes.
        latency_ms: Median on one thread, for one sample or one batch of a fixed size.
        score: Percentage of labels that are right.
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
    """The cost and the gain of reduced precision, see `export.reduce.judge`.

    Attributes:
        precision: `"float16"` or `"int8"`.
        criterion: What is counted, on which samples.
        model: Score of the Keras model, in percent.
        drop: Percentage points that the reduced file loses.
        max_drop: Percentage points that it may lose.
        rows: The float32 file and the reduced one.
        comparisons: Those of the reduced file; errors do not decide.
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
    """One entry of the checklist for devices; `passed` is `None` for what is only counted."""

    check: str
    finding: str
    passed: bool | None = None


@dataclass(frozen=True)
class UnsupportedNode:
    """A node that an execution provider leaves to the CPU."""

    node: str
    layer: str | None
    operation: str
    reason: str


@dataclass(frozen=True)
class ProviderProfile:
    """What an execution provider runs of a file.

    Attributes:
        provider: Name of the provider.
        source: Where its operations are listed.
        nodes: Number of nodes of the file.
        unsupported: Nodes that it cannot run.
        conditions: Conditions that its list states on operations of the file.
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
    """What the execution providers of a target run of a file."""

    profile: str
    providers: list[ProviderProfile]


@dataclass(frozen=True)
class OrtFacts:
    """Facts of the `.ort` copy; `identical_on` lists the suites of the bit by bit comparison."""

    bytes: int
    sha256: str
    min_onnxruntime: str
    identical_on: list[str]


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one sample, or one batch of a fixed size."""

    p50: float
    p99: float
