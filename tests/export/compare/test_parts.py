"""Parts of a file, on inputs that excite the layers that they compute."""

import keras
import numpy as np
import onnx
import pytest
from conftest import once
from converted import converted

import export
from export import pipeline
from export.compare import parts
from export.compare.locate import placed_layers
from export.compare.parts import compare_parts
from export.compare.suites import last_bits_changed, suite_set
from keras_capsules import CapsuleLayer, CapsuleLength

pytestmark = once

layers = keras.layers


def network():
    """Only half of the units of `hidden` ever fire on pixels, and its gate is never below 0."""
    keras.utils.set_random_seed(0)
    x = keras.Input((4,), name="x")
    y = layers.Dense(8, activation="relu", name="hidden")(x)
    y = layers.LeakyReLU(0.3, name="leaky")(y)
    model = keras.Model(x, layers.Dense(3, name="scores")(y))
    kernel = np.abs(np.random.default_rng(0).normal(size=(4, 8)))
    kernel[:, 4:] *= -1
    model.get_layer("hidden").kernel.assign(kernel)
    return model


def dead_units(file, factor=0.0):
    """Scales the rows of the second kernel that no pixel reaches."""
    for tensor in file.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.shape in ((8, 3), (3, 8)):
            array = array.copy()
            array[(slice(4, None), ...) if array.shape == (8, 3) else (..., slice(4, None))] *= (
                factor
            )
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def slightly_wrong_units(file):
    dead_units(file, 1.0001)


def other_slope(file):
    for node in file.graph.node:
        if node.op_type == "LeakyRelu":
            node.attribute[0].f = 0.0


def parts_of(model, file):
    placed = placed_layers(model, file, suite_set(model).probe)
    return {part.layer: part for part in compare_parts(file, placed)}


def test_right_parts_pass():
    model = network()
    parts = parts_of(model, converted(model))
    assert list(parts) == ["hidden", "leaky", "scores"]
    assert all(part.error is not None and part.error < 0.1 for part in parts.values())


@pytest.mark.parametrize(
    "fault, layer",
    [(dead_units, "scores"), (slightly_wrong_units, "scores"), (other_slope, "leaky")],
)
def test_faults_behind_units_that_no_input_of_the_model_moves(fault, layer):
    model = network()
    file = converted(model)
    fault(file)
    failed = [part.layer for part in parts_of(model, file).values() if not part.passed]
    assert failed == [layer]


def test_an_iteration_that_changes_nothing_on_small_poses_is_not_the_layer():
    keras.utils.set_random_seed(0)
    poses = keras.Input((90, 4), name="poses")
    small = layers.Rescaling(1e-3, name="small")(poses)
    model = keras.Model(poses, CapsuleLength(name="scores")(CapsuleLayer(4, 32, name="top")(small)))
    parts = parts_of(model, converted(model))
    assert parts["top"].error is not None and parts["top"].passed


@keras.saving.register_keras_serializable(package="parts")
class Position(layers.Layer):
    """Finds the largest value."""

    def call(self, x):
        return keras.ops.argmax(x, axis=-1)


def test_the_file_counts_in_other_integers():
    """A position is int32 in Keras, and int64 in ONNX."""
    keras.utils.set_random_seed(0)
    x = keras.Input((10,), name="x")
    position = Position()(layers.Dense(12)(x))
    model = keras.Model(x, keras.ops.one_hot(position, 12))
    parts = parts_of(model, converted(model))
    assert all(part.error is not None and part.passed for part in parts.values())


@keras.saving.register_keras_serializable("tests")
class Similarity(keras.layers.Layer):
    """Compares each sample with each other one, as contrastive losses do."""

    def call(self, x):
        x = x - keras.ops.mean(x, axis=0, keepdims=True)
        return keras.ops.matmul(x, keras.ops.transpose(x))


def test_layers_along_the_batch_are_compared_in_the_whole(tmp_path):
    """Values without a batch axis are those of one batch each, and are not put into a part."""
    x = keras.Input((8,), name="x")
    model = keras.Model(x, Similarity(name="scores")(layers.Dense(5)(x)))
    report = export.export_onnx(model, tmp_path / "model.onnx")
    assert report.passed and len(report.comparisons) > 3


def test_sums_that_differ_by_little_are_not_taken_for_one_another():
    """Their numbers differ from those in the file's names, if sums were made before."""
    keras.utils.set_random_seed(0)
    x = y = keras.Input((10,), name="x")
    keras.Input((10,)) + 1  # Takes a number.
    for _ in range(3):
        y = y + layers.Rescaling(1e-6)(layers.Dense(10)(y))
    model = keras.Model(x, y)
    assert all(part.passed for part in parts_of(model, converted(model)).values())


def test_the_rounding_of_a_layer_is_measured_where_it_decides(monkeypatch):
    """It takes two runs more, and does not matter where the difference is below any rounding."""
    measured = []

    def record(suite, seed):
        measured.append(seed)
        return last_bits_changed(suite, seed)

    monkeypatch.setattr(parts, "last_bits_changed", record)
    assert all(part.error <= 1 for part in parts_of(network(), converted(network())).values())
    assert not measured
    file = converted(network())
    dead_units(file)
    assert parts_of(network(), file)["scores"].error > 1
    assert measured == [0, 1]


def test_units_that_nothing_moves_are_counted():
    model = network()
    kernel = model.get_layer("scores").kernel
    kernel.assign(np.asarray(kernel) * [1.0, 0.0, 1.0])
    assert parts_of(model, converted(model))["scores"].unmoved == 1


@pytest.mark.usefixtures("warm_conversions")
def test_an_export_with_a_wrong_part_is_not_written(tmp_path, monkeypatch):
    convert = pipeline.convert

    def convert_wrongly(*arguments):
        conversion = convert(*arguments)
        dead_units(conversion.raw)
        return conversion

    report = export.export_onnx(network(), tmp_path / "right.onnx")
    assert "3 of 3 layers were compared on their own inputs" in report.to_text()
    monkeypatch.setattr(pipeline, "convert", convert_wrongly)
    with pytest.raises(export.ParityError) as failed:
        export.export_onnx(network(), tmp_path / "wrong.onnx", input_range=(0, 1))
    assert not failed.value.report.passed
    assert not (tmp_path / "wrong.onnx").exists()
