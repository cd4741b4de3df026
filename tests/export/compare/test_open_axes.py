"""Open axes: their names, the sizes to compare at, and the files."""

import json

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import once

import export
from export.compare.open_axes import SIZES, choose_open_axes
from export.compare.suites import suite_set
from export.device import Predictor
from export.results import Kind
from export.verify import verify
from keras_capsules import CapsuleLayer, CapsuleLength, PrimaryCapsule1D

pytestmark = [once, pytest.mark.usefixtures("warm_conversions")]

layers, ops = keras.layers, keras.ops


def convolutional():
    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = x * layers.Conv2D(8, 1, activation="sigmoid")(gate)
    pooled = layers.GlobalAveragePooling2D()(x)
    same = layers.Conv2D(1, 3, padding="same", name="same")(image)
    return keras.Model(image, [layers.Dense(3, name="scores")(pooled), x, same])


def u_net():
    image = keras.Input((None, None, 1), name="image")
    half = layers.MaxPooling2D(2)(image)
    up = layers.UpSampling2D(4)(layers.MaxPooling2D(2)(half))
    return keras.Model(image, layers.Concatenate(name="joined")([image, up]))


def text():
    words = keras.Input((None,), dtype="int32", name="words")
    x = layers.Conv1D(8, 3, padding="same")(layers.Embedding(100, 8)(words))
    return keras.Model(words, layers.Dense(2, name="scores")(layers.GlobalMaxPooling1D()(x)))


def capsule_text():
    words = keras.Input((None,), dtype="int32", name="words")
    x = layers.Embedding(100, 8, mask_zero=True)(words)
    x = PrimaryCapsule1D(4, 4, 3)(x)
    poses = CapsuleLayer(3, 6, share_weights=True, routing="dynamic")(x)
    return keras.Model(words, CapsuleLength(name="scores")(poses))


def test_names_of_axes():
    for shape, expected in (
        ((None, None, 3), {1: "height", 2: "width"}),
        ((3, None, None), {2: "height", 3: "width"}),
        ((32, None, 3), {2: "width"}),
        ((None, 8), {1: "length"}),
        ((None,), {1: "length"}),
        ((None, None, None, 1), {1: "depth", 2: "height", 3: "width"}),
        ((5, None, 2, 2, 2), {2: "x_2"}),
    ):
        x = keras.Input(shape, name="x")
        assert choose_open_axes(keras.Model(x, ops.tanh(x))).names == [expected]


def test_axes_of_two_inputs_have_one_name_if_they_need_one_size():
    a, b = keras.Input((None, 4), name="a"), keras.Input((None, 4), name="b")
    added = choose_open_axes(keras.Model([a, b], a + b))
    assert added.names == [{1: "length"}, {1: "length"}]
    attended = choose_open_axes(keras.Model([a, b], layers.Attention()([a, b])))
    assert attended.names == [{1: "a_length"}, {1: "b_length"}]
    assert all(sizes["a_length"] != sizes["b_length"] for sizes in attended.sizes[1:])


def test_sizes_are_the_smallest_odd_even_and_larger_ones():
    image = keras.Input((None, None, 1), name="image")
    windowed = choose_open_axes(keras.Model(image, layers.Conv2D(2, 5)(image)))
    assert len(windowed.sizes) == SIZES
    assert windowed.sizes[0] == {"height": 5, "width": 5}
    assert {size % 2 for sizes in windowed.sizes for size in sizes.values()} == {0, 1}
    assert any(sizes["height"] != sizes["width"] for sizes in windowed.sizes)
    assert all(s % 4 == 0 for sizes in choose_open_axes(u_net()).sizes for s in sizes.values())
    fixed = keras.Input((3,), name="x")
    assert choose_open_axes(keras.Model(fixed, ops.tanh(fixed))).sizes == [{}]


def test_given_sizes_come_first_and_must_fit():
    axes = choose_open_axes(u_net(), {"height": [8, 12], "width": [16]})
    assert axes.sizes[:2] == [{"height": 8, "width": 16}, {"height": 12, "width": 16}]
    assert len(axes.sizes) == SIZES
    for given, words in (
        ({"height": [7], "width": [8]}, "does not run"),
        ({"length": [8]}, "height, width here.*length"),
    ):
        with pytest.raises(export.UsageError, match=words):
            choose_open_axes(u_net(), given)


def test_every_size_is_compared():
    suites = suite_set(convolutional())
    random = [suite for suite in suites.ordinary if suite.kind is Kind.RANDOM]
    assert len({suite.inputs[0].shape[1:] for suite in random}) == SIZES
    assert len({suite.inputs[0].shape[1:] for suite in suites.sealed}) == 1


@pytest.mark.parametrize(
    ("build", "shapes", "dims"),
    [
        (
            convolutional,
            [(32, 32, 3), (33, 48, 3), (512, 384, 3), (1, 1, 3)],
            [["batch", 3], None, ["batch", "height", "width", 1]],
        ),
        (u_net, [(4, 4, 1), (8, 36, 1)], [["batch", "height", "width", 2]]),
        (text, [(3,), (500,)], [["batch", 2]]),
        (capsule_text, [(3,), (500,)], [["batch", 3]]),
    ],
)
def test_one_file_for_all_sizes(tmp_path, build, shapes, dims, generator):
    keras.utils.set_random_seed(0)
    model, path = build(), tmp_path / "model.onnx"
    report = export.export_onnx(model, path)
    assert report.passed and verify(path).passed
    graph = onnx.load(path).graph
    for output, expected in zip(graph.output, dims, strict=True):
        found = [d.dim_param or d.dim_value for d in output.type.tensor_type.shape.dim]
        assert expected is None or found == expected
    session = onnxruntime.InferenceSession(path)
    for shape in shapes:
        inputs = generator.uniform(-1, 1, (2, *shape)).astype("float32")
        if len(shape) == 1:
            inputs = generator.integers(0, 100, (2, *shape)).astype("int32")
        expected = keras.tree.flatten(model(inputs))
        for found, own in zip(
            session.run(None, {graph.input[0].name: inputs}), expected, strict=True
        ):
            np.testing.assert_allclose(found, own, atol=1e-5)


def test_the_file_and_the_report_name_the_sizes(tmp_path):
    report = export.export_onnx(u_net(), tmp_path / "model.onnx", sizes={"height": [8, 44]})
    stored = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    sizes = json.loads(stored["sizes"])
    assert sizes[1] == {"height": 44, "width": 44} and len(sizes) == SIZES
    assert "44 x 44" in report.to_text()
    assert Predictor(tmp_path / "model.onnx").shapes == {"image": ("height", "width", 1)}


def test_another_route_needs_sizes(tmp_path):
    with pytest.raises(export.ConversionError, match="--via tf2onnx"):
        export.export_onnx(text(), tmp_path / "model.onnx", via="jax")
