"""The backend switch: `KERAS_BACKEND` chooses, and what needs all three starts processes."""

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Compiling takes most of JAX's time here, and tests compile much that is the same.
# Processes that tests start run with all optimizations.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / "build/jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import keras
import numpy as np
import pytest
from warm_start import WarmProcess

import keras_capsules

# These assert for several files of tests; pytest then shows the values, as it does of a test.
pytest.register_assert_rewrite("tests.attention.cases")
pytest.register_assert_rewrite("tests.export.convert.comparison")
pytest.register_assert_rewrite("tests.surgery.residual")

BACKENDS = [
    backend for backend in ("tensorflow", "jax", "torch") if importlib.util.find_spec(backend)
]

# What `create_model` is given where a test needs any network of the zoo, small.
SMALL = {"size": "tiny", "input_shape": (12, 12, 1), "num_classes": 3}
SMALL_OF_TASK = {
    "images": SMALL,
    "segmentation": SMALL | {"input_shape": (16, 16, 1)},
    "signals": SMALL | {"input_shape": (20, 2)},
}

# The folder of the real datasets.
DATA = Path(os.environ.get("KERAS_CAPSULES_DATA") or ROOT.parent / "shared/data")

# For what is the same on each backend, or starts processes for all of them by itself.
once = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="runs once, with the TensorFlow tests"
)

# For what is the same on each backend and trains: PyTorch neither traces nor compiles.
once_under_torch = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="runs once, with the PyTorch tests"
)


def pytest_collection_modifyitems(items):
    """Marks as slow what exports or starts processes: `-m "not slow"` leaves it out."""
    for item in items:
        exports = {"exported_capsnet", "warm_conversions"} & set(item.fixturenames)
        if exports or ROOT / "tests/export" in item.path.parents:
            item.add_marker(pytest.mark.slow)


def pytest_report_header():
    return f"keras {keras.__version__} on {keras.backend.backend()}"


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.fixture
def data(monkeypatch):
    """The folder of the real datasets, where it is."""
    if not (DATA / "mnist.npz").is_file():
        pytest.skip(f"no mnist.npz in {DATA}")
    monkeypatch.setenv("KERAS_CAPSULES_DATA", str(DATA))
    return DATA


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def run_python(*arguments, backend=None, check=True, **options):
    """Runs Python in a fresh process, in the repository unless `cwd` says otherwise."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    del environment["JAX_DISABLE_MOST_OPTIMIZATIONS"]
    if backend is not None:
        environment["KERAS_BACKEND"] = backend
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment | options.pop("env", {}),
        capture_output=True,
        text=True,
        **{"cwd": ROOT, **options},
    )
    assert not check or result.returncode == 0, result.stderr
    return result


def command_line(*arguments, **options):
    """Runs the export's command line in a fresh process."""
    return run_python("-m", "export.to_onnx", *arguments, check=False, **options)


def conversion_of(process):
    """Waits until an export has started its conversion, and returns that process's number."""
    while process.poll() is None:
        for children in Path(f"/proc/{process.pid}/task").glob("*/children"):  # Of its threads.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # One has ended.
                for child in children.read_text().split():  # Some imports start processes too.
                    if "export.convert.worker" in Path(f"/proc/{child}/cmdline").read_text():
                        return child
        time.sleep(0.05)
    raise AssertionError(f"The export ended with code {process.returncode} before it converted.")


def small_capsnet(**options):
    """A CapsNet for 12 x 12 images, small enough for a test."""
    sizes = {
        "input_shape": (12, 12, 1),
        "num_classes": 4,
        "filters": 8,
        "kernel_size": 3,
        "primary_capsules": 4,
        "primary_dim": 4,
        "primary_kernel_size": 3,
        "capsule_dim": 6,
        "decoder_units": (16,),
    }
    return keras_capsules.create_model("capsnet", **{**sizes, **options})


@pytest.fixture(scope="session")
def saved_capsnet(tmp_path_factory):
    """Path of a small CapsNet's `.keras` file, with biases that are not zero."""
    keras.utils.set_random_seed(7)
    generator = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("capsnet") / "model.keras"
    model = small_capsnet()
    for weight in model.weights:
        weight.assign(weight + generator.normal(scale=0.05, size=weight.shape))
    model.save(path)
    return path


@pytest.fixture(scope="session")
def exported_capsnet(saved_capsnet, warm_start):
    """Path of its ONNX file, with class names, and the report of the export."""
    import export

    path = saved_capsnet.parent / "model.onnx"
    with warm_start():
        report = export.export_onnx(saved_capsnet, path, labels=["ant", "bee", "cat", "dog"])
    return path, report


@pytest.fixture(scope="module")
def warm_conversions(warm_start):
    """Lets the conversions of a module's tests start fast, not as a user's do.

    A user's conversion starts a fresh process, which imports TensorFlow and tf2onnx: most of its
    seconds. Here each starts as a fork of one process that has imported them. The rest is the
    same: arguments, environment, exit code and standard error. Command lines, in fresh processes,
    and modules that do not ask for this fixture start their conversions as a user does.
    """
    with warm_start():
        yield


@pytest.fixture(scope="session", name="warm_start")
def warm_start_of_session():
    """A context manager in which conversions under TensorFlow fork from a warm process."""
    with contextlib.closing(WarmProcess()) as process:
        yield process.used


def to_numpy(structure):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, structure)


def evaluate(function, inputs):
    """Returns `function(inputs)` as arrays; compiled as a whole by JAX, which is faster there."""
    if keras.backend.backend() == "jax":
        import jax

        function = jax.jit(function)
    return to_numpy(function(inputs))


def gradient(function, x):
    """Returns the gradient of `sum(function(x))` at the array `x`, on any backend."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        variable = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(variable)
            total = keras.ops.sum(function(variable))
        return tape.gradient(total, variable).numpy()
    if backend == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(lambda value: keras.ops.sum(function(value))))(x))
    import torch

    variable = torch.tensor(x, requires_grad=True)
    keras.ops.sum(function(variable)).backward()
    return variable.grad.numpy()


def second_gradient(function, arrays, along):
    """Returns the gradients by all arrays of the derivative of `function(*arrays)` along the first.

    The function returns a number, and the direction `along` has the shape of the first array.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tensors = [tf.constant(array) for array in arrays]
        with tf.GradientTape() as outer:
            outer.watch(tensors)
            with tf.GradientTape() as inner:
                inner.watch(tensors)
                total = function(*tensors)
            slope = tf.reduce_sum(inner.gradient(total, tensors[0]) * along)
        zero = tf.UnconnectedGradients.ZERO
        return to_numpy(outer.gradient(slope, tensors, unconnected_gradients=zero))
    if backend == "jax":
        import jax

        def slope(*tensors):
            return keras.ops.sum(jax.grad(function)(*tensors) * along)

        return to_numpy(jax.jit(jax.grad(slope, argnums=tuple(range(len(arrays)))))(*arrays))
    import torch

    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    (found,) = torch.autograd.grad(function(*tensors), tensors[:1], create_graph=True)
    slope = torch.sum(found * torch.tensor(along))
    return to_numpy(torch.autograd.grad(slope, tensors, materialize_grads=True))
