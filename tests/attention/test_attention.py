"""Every member of the squeeze-and-excitation family against NumPy, and what all of them promise."""

import ast
import inspect
import json
import pydoc

import keras
import numpy as np
import pytest
from conftest import ROOT, gradient, once, run_python, to_numpy
from reference import attention as reference

import keras_capsules
from keras_capsules import CapsuleSqueezeExcitation, SqueezeExcitation, attention
from keras_capsules.attention import _shared_docs
from keras_capsules.attention.gated_layer import GatedLayer

IMAGE, POINT, SEQUENCE, VOLUME = (3, 5, 4, 8), (1, 1, 1, 8), (1, 6, 8), (1, 2, 3, 2, 8)
ALL = (IMAGE, POINT, SEQUENCE, VOLUME)
CASES = [  # Name, arguments, shapes, and which arguments the reference takes.
    ("se", {"reduction_ratio": 4}, ALL, ()),
    ("se", {"reduction_ratio": 4, "use_bias": False}, (IMAGE,), ()),
    ("sse", {}, ALL, ()),
    ("scse", {}, ALL, ()),
    ("scse", {"mode": "add", "use_bias": False}, (IMAGE,), ("mode",)),
    ("scse", {"mode": "multiply"}, (IMAGE,), ("mode",)),
    ("ese", {}, ALL, ()),
    ("eca", {}, ALL, ()),
    ("eca", {"kernel_size": 5}, (IMAGE,), ()),
    ("cbam", {"reduction_ratio": 4}, ALL, ()),
    ("ge", {}, ALL, ()),
    ("ge", {"extent": 2}, ALL, ("extent",)),
    ("ge", {"extent": 4}, (IMAGE,), ("extent",)),
    ("ge", {"variant": "theta"}, ALL, ("variant",)),
    ("ge", {"variant": "theta", "extent": 4}, (IMAGE, SEQUENCE), ("variant", "extent")),
    ("ge", {"variant": "theta_plus", "reduction_ratio": 4}, (IMAGE,), ("variant",)),
    ("ge", {"variant": "theta_plus", "extent": 2}, (IMAGE, POINT), ("variant", "extent")),
    ("gc", {"reduction_ratio": 2}, ALL, ()),
    ("gc", {"reduction_ratio": 2, "fusion": "multiply"}, (IMAGE,), ("fusion",)),
    ("gc", {"reduction_ratio": 2, "fusion": "both"}, (IMAGE,), ("fusion",)),
    ("sk", {}, (IMAGE, POINT), ()),
    ("sk", {"branches": 3, "groups": 2}, (IMAGE,), ("branches", "groups")),
    ("ca", {}, (IMAGE, POINT), ()),
    ("srm", {}, ALL, ()),
    ("simam", {}, ALL, ()),
    ("simam", {"regularization": 0.1}, (IMAGE,), ("regularization",)),
    ("triplet", {}, (IMAGE, POINT), ()),
    ("triplet", {"spatial": False, "kernel_size": 3}, (IMAGE,), ("spatial",)),
]
NAMES = list(attention.ATTENTIONS)
SEQUENCES = ["se", "sse", "scse", "ese", "eca", "cbam", "ge", "gc", "srm", "simam"]
NORMALIZED = ["cbam", "ge", "sk", "ca", "srm", "triplet"]
WITH_WEIGHTS = {"ge": {"variant": "theta_plus"}}  # Others have weights by default, or never.
# JAX compiles again for each dtype.
POLICIES = ["mixed_float16", "mixed_bfloat16"][: 1 if keras.backend.backend() == "jax" else 2]
RESNET50 = ((256, 3, 56), (512, 4, 28), (1024, 6, 14), (2048, 3, 7))


@keras.saving.register_keras_serializable(package="tests")
def two(z):
    """Stands in for a sigmoid: its trace is easy to see."""
    return keras.ops.zeros_like(z) + 2


def randomize(layer, shape, generator):
    """Builds the layer, gives it random weights, and returns them by their path."""
    layer.build(shape)
    weights = {}
    for weight in layer.weights:
        positive = weight.path.endswith("variance")
        value = generator.normal(scale=0.5, size=weight.shape)
        weight.assign(np.exp(value) if positive else value)
        path = weight.path.removeprefix(f"{layer.name}/")
        weights[path] = keras.ops.convert_to_numpy(weight).astype("float64")
    return weights


def compiled(layer, **arguments):
    """The call as one function, which JAX compiles faster than one operation after the other."""

    def call(*inputs):
        return layer(*inputs, **arguments)

    if keras.backend.backend() != "jax":
        return call
    import jax

    return jax.jit(call)


def swap(x, data_format):
    return np.moveaxis(x, -1, 1) if data_format == "channels_first" else x


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("name", "arguments", "shapes", "taken"), CASES)
def test_equation(generator, name, arguments, shapes, taken, data_format):
    for shape in shapes:
        if shape is POINT and data_format == "channels_first":
            continue  # The same numbers in the same order.
        layer = attention.get(name, **arguments, data_format=data_format)
        x = generator.normal(size=shape)
        inputs = swap(x, data_format).astype("float32")
        weights = randomize(layer, inputs.shape, generator)
        found = to_numpy(compiled(layer, return_gates=True)(inputs))
        options = {argument: arguments[argument] for argument in taken}
        expected, gates = getattr(reference, name)(
            inputs_of(inputs, data_format), weights, **options
        )
        close(found[0], swap(expected, data_format))
        keras.tree.map_structure(close, found[1], gates)
        symbolic = layer(keras.KerasTensor((None, *inputs.shape[1:])), return_gates=True)
        keras.tree.map_structure(
            lambda tensor, array: same(tensor.shape, (None, *array.shape[1:])), symbolic, found
        )


def inputs_of(inputs, data_format):
    x = np.moveaxis(inputs, 1, -1) if data_format == "channels_first" else inputs
    return x.astype("float64")


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def same(found, expected):
    assert tuple(found) == tuple(expected)


@pytest.mark.parametrize("shape", [(3, 6, 5), (2, 3, 2, 5), (1, 2, 2, 3, 5)])
def test_capsule_equation(generator, shape):
    layer = CapsuleSqueezeExcitation(reduction_ratio=2)
    poses = generator.normal(size=shape).astype("float32")
    weights = randomize(layer, shape, generator)
    found, gates = to_numpy(compiled(layer, return_gates=True)(poses))
    expected, expected_gates = reference.capsule(poses.astype("float64"), weights)
    close(found, expected)
    close(gates, expected_gates)
    close(to_numpy(compiled(layer)(poses)), expected)
    symbolic = layer(keras.KerasTensor((None, *shape[1:])), return_gates=True)
    assert [tensor.shape for tensor in symbolic] == [(None, *shape[1:]), (None, gates.shape[1])]


def test_absent_capsules(generator):
    layer = CapsuleSqueezeExcitation()
    poses = generator.normal(size=(2, 6, 4)).astype("float32")
    mask = np.array([[True] * 4 + [False] * 2, [True] * 6])
    randomize(layer, poses.shape, generator)
    masked = compiled(layer, return_gates=True)
    found, gates = to_numpy(masked(poses, mask))
    silent = np.where(mask[:, :, None], poses, 0).astype("float32")
    np.testing.assert_allclose(found[:, :4], to_numpy(compiled(layer)(silent))[:, :4], atol=1e-6)
    assert (found[0, 4:] == 0).all() and (gates[0, 4:] == 0).all() and (gates[mask] > 0).all()
    garbage = np.where(mask[:, :, None], poses, np.nan)
    np.testing.assert_array_equal(to_numpy(masked(garbage, mask)[0]), found)
    assert np.isfinite(gradient(compiled(layer), np.zeros_like(poses))).all()


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_masked_sequence_equals_a_shorter_one(generator, name):
    narrow = "reduced_channels" in attention.get(name).get_config()
    layer = attention.get(name, **({"reduced_channels": 4} if narrow else {}))
    x = generator.normal(size=(2, 6, 8)).astype("float32")
    randomize(layer, x.shape, generator)
    mask = np.array([[True] * 4 + [False] * 2] * 2)
    call = compiled(layer)
    masked = to_numpy(call(x, mask))
    np.testing.assert_allclose(masked[:, :4], to_numpy(call(x[:, :4])), atol=1e-6)
    garbage = np.where(mask[:, :, None], x, np.nan)
    np.testing.assert_array_equal(to_numpy(call(garbage, mask))[:, :4], masked[:, :4])
    assert np.isfinite(to_numpy(call(x, np.zeros((2, 6), "bool")))).all()
    with pytest.raises(ValueError, match="sequences only"):
        attention.get(name)(np.ones((2, 3, 3, 4), "float32"), mask=np.ones((2, 3), "bool"))


def test_hard_sigmoid_gate(generator):
    """MobileNetV3's, clip(z / 6 + 1 / 2), and not that of Keras 2, clip(0.2 z + 1 / 2)."""
    layer = SqueezeExcitation(2, gate_activation="hard_sigmoid")
    x = generator.normal(size=(2, 3, 3, 4)).astype("float32")
    weights = randomize(layer, x.shape, generator)
    expected, _ = reference.se(x, weights, reference.hard_sigmoid)
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)


@once
@pytest.mark.parametrize(
    ("arguments", "width"),
    [
        ({}, 4),  # the paper: 64 / 16
        ({"divisor": 8}, 8),  # timm: at least 8
        ({"reduction_ratio": 5}, 12),  # rounds down
        ({"reduction_ratio": 5, "divisor": 8}, 16),  # 12 to the nearest multiple, halves up
        ({"reduced_channels": 3}, 3),
        ({"reduction_ratio": 1000}, 1),
    ],
)
def test_reduced_width(arguments, width):
    layer = SqueezeExcitation(**arguments)
    layer.build((None, 7, 7, 64))
    assert layer.reduce.kernel.shape == (1, 1, 64, width)
    assert layer.count_params() == 64 * width + width + width * 64 + 64


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NAMES)
def test_half_precision(name, policy):
    """A float16 sum over this map would be infinite, were it not done in float32."""
    layer = attention.get(name, dtype=policy)
    x = np.full((1, 16, 16, 4), 300.0, "float32")
    layer.build(x.shape)
    tensors = keras.tree.flatten(compiled(layer, return_gates=True)(x))
    for tensor in tensors:
        assert keras.backend.standardize_dtype(tensor.dtype) == policy.removeprefix("mixed_")
        assert np.isfinite(to_numpy(keras.ops.cast(tensor, "float32"))).all()
    symbolic = layer(keras.KerasTensor(x.shape), return_gates=True)
    assert {t.dtype for t in keras.tree.flatten(symbolic)} == {policy.removeprefix("mixed_")}


@pytest.mark.parametrize("shape", [(1, 5, 4, 8), (1, 1, 1, 8)])
@pytest.mark.parametrize("name", NAMES)
def test_finite_at_zero(name, shape):
    layer = attention.get(name)
    x = np.zeros(shape, "float32")
    layer.build(shape)
    # The gradient of x * gates at zero has the gates in it, so it is NaN where they are.
    assert np.isfinite(gradient(compiled(layer), x)).all()


@pytest.mark.parametrize("name", NORMALIZED)
def test_training_moves_the_normalization(generator, name):
    layer = attention.get(name, **WITH_WEIGHTS.get(name, {}))
    x = generator.normal(size=IMAGE).astype("float32")
    randomize(layer, IMAGE, generator)
    means = [weight for weight in layer.weights if weight.path.endswith("moving_mean")]
    before = [to_numpy(weight.value) for weight in means]
    layer(x, training=True)
    assert means and all((to_numpy(m.value) != b).any() for m, b in zip(means, before, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_what_no_layer_takes(name):
    make = attention.ATTENTIONS[name]
    with pytest.raises(ValueError, match="expects an input of rank"):
        make().build((2, 8))
    with pytest.raises(ValueError, match="needs the number of channels"):
        make().build((2, 4, 4, None))
    with pytest.raises(ValueError, match="data_format"):
        make(data_format="NHWC")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("se", {"reduction_ratio": 0}, "must be positive"),
        ("se", {"divisor": -1}, "must be positive"),
        ("se", {"reduced_channels": 0}, "must be positive"),
        ("scse", {"mode": "mean"}, "max, add, multiply"),
        ("eca", {"kernel_size": 4}, "must be odd"),
        ("ge", {"variant": "theta-"}, "theta_minus, theta, theta_plus"),
        ("ge", {"extent": 6}, "power of two"),
        ("gc", {"fusion": "max"}, "add, multiply, both"),
        ("sk", {"branches": 0}, "must be positive"),
        ("simam", {"regularization": 0}, "must be positive"),
    ],
)
def test_wrong_arguments(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        attention.get(name, **arguments)


def test_wrong_inputs():
    with pytest.raises(ValueError, match="number of positions"):
        attention.get("ge", variant="theta").build((None, None, 8, 4))
    with pytest.raises(ValueError, match="rank 3 and 4"):
        attention.get("ge", variant="theta", extent=2).build((None, 4, 4, 4, 8))
    with pytest.raises(ValueError, match="global mean only"):
        attention.get("ge", extent=2)(np.ones((1, 4, 4)), mask=np.ones((1, 4), "bool"))
    for shape, message in (((2, 4), "expects poses"), ((2, None, 4), "number of capsules")):
        with pytest.raises(ValueError, match=message):
            CapsuleSqueezeExcitation().build(shape)
    with pytest.raises(ValueError, match="must be positive"):
        CapsuleSqueezeExcitation(reduction_ratio=0)


def test_get():
    layer = attention.get("se", reduction_ratio=8)
    assert isinstance(layer, SqueezeExcitation) and layer.reduction_ratio == 8
    assert attention.get(layer) is layer
    again = attention.get(keras.saving.serialize_keras_object(layer))
    assert again is not layer and again.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="Known ones: se, sse, scse"):
        attention.get("squeeze")
    with pytest.raises(ValueError, match="attention's name"):
        attention.get(layer, reduction_ratio=4)
    for other in (None, 3, keras.saving.serialize_keras_object(keras.losses.Huber())):
        with pytest.raises(ValueError, match="must be one of the names"):
            attention.get(other)


@once
def test_eca_kernel_sizes():
    sizes = {64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7}
    for channels, size in sizes.items():
        layer = attention.get("eca")
        layer.build((None, 7, 7, channels))
        assert layer.count_params() == size


@once
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("se", {}, 28_088_024 - 25_557_032),
        ("se", {"use_bias": False}, 28_071_976 - 25_557_032),
        ("eca", {}, 86),
        ("cbam", {}, 28_089_624 - 25_557_032),
        ("srm", {}, 60_416),
        ("triplet", {}, 4_800),
        ("simam", {}, 0),
        ("ge", {}, 0),
        ("ge", {"variant": "theta"}, 5_519_360 + 2 * 15_104),
    ],
)
def test_parameters_in_resnet50(name, arguments, expected):
    total = 0
    for channels, blocks, size in RESNET50:
        layer = attention.get(name, **arguments)
        layer.build((None, size, size, channels))
        total += blocks * sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
    assert total == expected


@once
def test_parameters_of_others():
    published = 0
    for (_, blocks, _), size in zip(RESNET50, (3, 5, 5, 7), strict=True):
        layer = attention.get("eca", kernel_size=size)
        layer.build((None, 7, 7, 64))
        published += blocks * layer.count_params()
    assert published == 80
    for mode in ("max", "add"):
        layer = attention.get("scse", mode=mode)
        layer.build((None, 7, 7, 64))
        assert layer.count_params() == (2 * 64 * 32 + 32 + 64) + (64 + 1)
    layer = attention.get("ese")
    layer.build((None, 7, 7, 64))
    assert layer.count_params() == 64 * 64 + 64


def test_srm_begins_with_equal_gates_and_gc_with_the_identity(generator):
    x = generator.normal(size=IMAGE).astype("float32")
    np.testing.assert_allclose(to_numpy(attention.get("srm")(x)), x / 2, atol=1e-6)
    np.testing.assert_array_equal(to_numpy(attention.get("gc")(x)), x)


# Bugs that others have; each test has the name of the library and of what goes wrong there.


def make(short, **arguments):
    layer = CapsuleSqueezeExcitation if short == "capsule" else attention.ATTENTIONS[short]
    return layer(**{**WITH_WEIGHTS.get(short, {}), **arguments})


def shape_for(short):
    return (1, 6, 8) if short == "capsule" else (1, 5, 4, 8)


every_layer = pytest.mark.parametrize("short", [*NAMES, "capsule"])


@once
@every_layer
def test_keras_hub_config_that_the_constructor_refuses(short):
    for arguments in [{"name": None}, *(case[1] for case in CASES if case[0] == short)]:
        layer = make(short, **arguments)
        config = layer.get_config()
        assert {key: config[key] for key in arguments if key != "name"}.items() <= arguments.items()
        again = type(layer).from_config(config)
        assert again.get_config() == config
        again.build((1, 8, 8, 8) if short != "capsule" else (1, 6, 8))


@every_layer
def test_keras_cv_callables_in_the_config(short, generator):
    arguments = {"activation": keras.activations.gelu, "gate_activation": two}
    known = make(short).get_config()
    layer = make(short, **{key: value for key, value in arguments.items() if key in known})
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert again.get_config() == layer.get_config() != make(short, name=layer.name).get_config()
    x = generator.normal(size=shape_for(short)).astype("float32")
    randomize(layer, x.shape, generator)
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(to_numpy(compiled(again)(x)), to_numpy(compiled(layer)(x)))


@pytest.mark.parametrize("short", ["se", "scse", "cbam", "ge", "sk", "ca", "capsule"])
def test_kimm_gate_dropped_without_activation(short, generator):
    x = generator.normal(size=shape_for(short)).astype("float32")
    layer = make(short, activation=None)
    layer.build(x.shape)
    _, gates = compiled(layer, return_gates=True)(x)
    for gate in keras.tree.flatten(to_numpy(gates)):
        assert (gate > 0).all() and (gate < 1).all()


@every_layer
def test_timm_gather_excite_arguments_that_get_lost(short):
    layer = make(short, dtype="mixed_float16", trainable=False, name="mine")
    layer.build(shape_for(short))
    assert layer.dtype_policy.name == "mixed_float16" and layer.name == "mine"
    assert not layer.trainable_weights and not layer.trainable


@pytest.mark.parametrize("short", [name for name in [*NAMES, "capsule"] if name != "sk"])
def test_timm_light_cbam_ignores_the_gate(short, generator):
    multiply = {"fusion": "multiply"} if short == "gc" else {}
    layer = make(short, gate_activation=two, **multiply)
    x = generator.normal(size=shape_for(short)).astype("float32")
    layer.build(x.shape)
    outputs, gates = to_numpy(compiled(layer, return_gates=True)(x))
    assert short == "gc" or all((gate == 2).all() for gate in keras.tree.flatten(gates))
    factor = {"cbam": 4, "ca": 4}.get(short, 2)  # These two multiply twice.
    np.testing.assert_allclose(outputs, factor * x, rtol=1e-6)


@once
@every_layer
def test_medicai_unregistered_and_sublayers_of_another_dtype(short):
    layer = make(short, dtype="mixed_bfloat16")
    layer.build(shape_for(short))
    registered = keras.saving.get_registered_name(type(layer))
    assert registered == f"keras_capsules>{type(layer).__name__}"
    assert getattr(keras_capsules, type(layer).__name__) is type(layer)
    for child in layer._flatten_layers():
        assert child.dtype_policy.name == "mixed_bfloat16"


@every_layer
def test_keras_hub_layers_made_in_call(short):
    layer = make(short)
    layer.build(shape_for(short))
    children = [id(child) for child in layer._flatten_layers()]
    weights = [id(weight) for weight in layer.weights]
    assert all(child.built for child in layer._flatten_layers())
    assert weights or short == "simam"
    compiled(layer)(np.ones(shape_for(short), "float32"))
    assert [id(child) for child in layer._flatten_layers()] == children
    assert [id(weight) for weight in layer.weights] == weights


FAMILY = [*attention.ATTENTIONS.values(), CapsuleSqueezeExcitation]


@pytest.mark.parametrize("layer_class", FAMILY)
def test_one_base(layer_class):
    """Whoever asks for gates asks one class, and hears of their shapes in one form."""
    layer = layer_class()
    shape = (2, 4, 4, 8, 16) if layer_class is CapsuleSqueezeExcitation else (2, 4, 4, 16)
    shapes = layer.gates_shapes(shape)
    assert isinstance(layer, GatedLayer)
    assert isinstance(shapes, tuple) and all(isinstance(one, tuple) for one in shapes)
    outputs, gates = layer(np.ones(shape, "float32"), return_gates=True)
    several = gates if isinstance(gates, tuple) else (gates,)
    assert tuple(outputs.shape) == shape
    assert tuple(tuple(one.shape) for one in several) == shapes


@once
@pytest.mark.parametrize("layer_class", FAMILY)
def test_help_describes_every_argument(layer_class):
    text = pydoc.plain(pydoc.render_doc(layer_class))
    assert "{" not in layer_class.__doc__
    for name, argument in inspect.signature(layer_class.__init__).parameters.items():
        if name not in ("self", "kwargs"):
            (description,) = [
                part for part in text.split(f" {name}: ")[1:] if part.lstrip()[0] in "BFIOS`"
            ][:1]
            if argument.default is not None and name != "regularization":  # Shown as 1e-4.
                default = argument.default
                shown = f'"{default}"' if isinstance(default, str) else str(default)
                assert f"`{shown}`" in " ".join(description.split()), name
    if issubclass(layer_class, SqueezeExcitation):
        assert "Width of the hidden layer. Overrides" in text


@pytest.mark.slow
@once
def test_docstrings_may_be_removed():
    if run_python("-OO", "-c", "import tensorflow", check=False).returncode:
        pytest.skip("this TensorFlow reads docstrings as it starts, as 2.19 does")
    code = "import keras_capsules as k; print(k.SqueezeExcitation.__doc__)"
    assert run_python("-OO", "-c", code).stdout.strip() == "None"


@once
def test_an_unknown_description_is_an_error():
    with pytest.raises(KeyError, match="colour"):
        _shared_docs.documented(type("Wrong", (), {"__doc__": "Args:\n    {colour}\n"}))


@once
def test_constructors_pass_keywords():
    """An argument added to a base class then shifts no other."""
    for path in (ROOT / "keras_capsules/attention").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__":
                assert not node.args, f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_nothing(name, data_format):
    for shape in [(0, 5, 4, 8), (0, 6, 8)][: 2 if name in SEQUENCES else 1]:
        layer = attention.get(name, data_format=data_format)
        x = swap(np.zeros(shape, "float32"), data_format)
        outputs, gates = layer(x, return_gates=True)
        full = layer(np.ones((1, *x.shape[1:]), "float32"), return_gates=True)[1]
        same(outputs.shape, x.shape)
        keras.tree.map_structure(lambda g, one: same(g.shape, (0, *one.shape[1:])), gates, full)
        same(gradient(lambda v, layer=layer: layer(v, training=True), x).shape, x.shape)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e6, 1e18])
def test_simam_of_any_size(generator, scale):
    """Beyond one, the gates do not depend on the scale, and so neither does the gradient."""
    layer = attention.get("simam")
    x = generator.normal(size=(2, 32, 32, 3)).astype("float32")
    slopes = gradient(layer, scale * x)
    assert np.isfinite(slopes).all() and np.isfinite(to_numpy(layer(scale * x))).all()
    if scale > 1:
        np.testing.assert_allclose(slopes, gradient(layer, 100 * x), atol=1e-4)
