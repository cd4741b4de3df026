"""From a saved model to an ONNX file, in Python and on the command line."""

import collections
import hashlib
import json

import custom_layers
import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import BACKENDS, ROOT, command_line, once, small_capsnet

import export
import keras_capsules
from export.verify import seal_path

pytestmark = pytest.mark.usefixtures("warm_conversions")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_names_axes_opset_and_operations(exported_capsnet):
    path, report = exported_capsnet
    model = onnx.load(path)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.ir_version == 8
    for value, expected in (
        (model.graph.input[0], ("image", ["batch", 12, 12, 1])),
        (model.graph.output[0], ("scores", ["batch", 4])),
    ):
        dims = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        assert (value.name, dims) == expected
    operations = {node.op_type for node in model.graph.node}
    refused = {"Loop", "If", "Scan", "Einsum", "Where", "Shape", "Gather", "Cast", "Reciprocal"}
    assert not operations & refused
    assert {node.domain for node in model.graph.node} == {""} and not model.functions
    assert report.file.sha256 == sha256(path)
    assert report.file.bytes == path.stat().st_size


def test_nodes_are_named_after_keras_layers(exported_capsnet):
    names = [node.name for node in onnx.load(exported_capsnet[0]).graph.node]
    assert "class_capsules/routing_2/softmax" in names
    assert "primary_capsules/convolution/conv" in names
    assert len(set(names)) == len(names)
    layers = {name.partition("/")[0] for name in names}
    assert layers == {"convolution", "primary_capsules", "class_capsules", "scores"}


@pytest.mark.parametrize("batch", [1, 2, 7, 32])
def test_the_file_computes_what_the_model_does(saved_capsnet, exported_capsnet, batch, generator):
    images = generator.uniform(size=(batch, 12, 12, 1)).astype("float32")
    session = onnxruntime.InferenceSession(exported_capsnet[0])
    (found,) = session.run(["scores"], {"image": images})
    expected = keras.models.load_model(saved_capsnet).predict(images, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_report(exported_capsnet):
    path, report = exported_capsnet
    assert report.passed and report.max_abs <= 1e-5
    assert {entry.suite.label for entry in report.comparisons} >= {
        "random, batch 1",
        "random, batch 7",
        "zeros",
        "constant",
        "huge, x 1e4",
        "tiny, x 1e-30",
    }
    as_json = json.loads(report.to_json())
    assert as_json["verdict"] == "passed" and as_json["schema"] == 1
    assert as_json["file"]["sha256"] in report.to_text()
    assert "PASSED" in report.to_text()


def test_metadata_tells_the_device_what_it_needs(exported_capsnet):
    properties = {entry.key: entry.value for entry in onnx.load(exported_capsnet[0]).metadata_props}
    assert json.loads(properties["class_names"]) == ["ant", "bee", "cat", "dog"]
    assert json.loads(properties["input_range"]) == [0, 1]
    assert json.loads(properties["versions"])["keras"] == keras.__version__
    tolerance = {"roundings": 8, "floor": 1e-6}
    assert json.loads(properties["verification"]) == {"verdict": "passed", "tolerance": tolerance}
    assert str(ROOT) not in exported_capsnet[0].read_bytes().decode("latin1")


@once
def test_one_model_gives_one_file_whichever_backend_asks(saved_capsnet, tmp_path):
    digests = set()
    for seed, backend in enumerate(BACKENDS):
        target = tmp_path / f"{seed}.onnx"
        report = tmp_path / f"{seed}.json"
        result = command_line(
            *(saved_capsnet, "-o", target, "--report", report),
            backend=backend,
            env={"PYTHONHASHSEED": str(seed)},
        )
        assert result.returncode == 0, result.stderr
        assert json.loads(report.read_text())["backend"] == backend
        digests.add((sha256(target), sha256(seal_path(target))))
    assert len(digests) == 1


@once
def test_a_model_from_memory_gives_the_file_of_the_saved_one(saved_capsnet, tmp_path):
    export.export_onnx(saved_capsnet, tmp_path / "saved.onnx")
    export.export_onnx(keras.models.load_model(saved_capsnet), tmp_path / "memory.onnx")
    assert sha256(tmp_path / "saved.onnx") == sha256(tmp_path / "memory.onnx")


def test_two_inputs_and_two_outputs(tmp_path, generator):
    model = small_capsnet(with_decoder=True)
    export.export_onnx(model, tmp_path / "model.onnx", labels=list("abcd"))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    inputs = {
        "image": generator.uniform(size=(3, 12, 12, 1)).astype("float32"),
        "label": np.eye(4, dtype="float32")[:3],
    }
    expected = model.predict(inputs, verbose=0)
    for name, found in zip(("reconstruction", "scores"), session.run(None, inputs), strict=True):
        np.testing.assert_allclose(found, expected[name], atol=1e-5)


def user_model():
    """A Sequential model of the user's own, with layers that leave debris in most exports."""
    return keras.Sequential(
        [
            keras.Input((11, 9, 3), name="photo"),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            keras.layers.BatchNormalization(),
            keras_capsules.SqueezeExcitation(4),
            keras.layers.DepthwiseConv2D(3),
            keras.layers.MaxPooling2D(),
            keras.layers.Reshape((12, 8)),
            keras_capsules.CapsuleLayer(3, 4, use_bias=True, routing="uniform"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(5, activation="softmax", name="answer"),
        ]
    )


@once
@pytest.mark.parametrize("opset", [pytest.param(13, marks=once), 18])
def test_a_model_of_the_users_own(tmp_path, opset):
    path = tmp_path / "model.onnx"
    report = export.export_onnx(user_model(), path, opset=opset, input_range=(-1, 1))
    assert report.passed
    model = onnx.load(path)
    assert model.opset_import[0].version == opset
    assert model.graph.input[0].name == "photo" and model.graph.output[0].name == "answer"
    assert not {node.op_type for node in model.graph.node} & {"Shape", "Gather", "Slice", "Cast"}


@once
def test_squeeze_excitation_leaves_no_transpose(tmp_path):
    def transposes(with_gates):
        image = x = keras.Input((8, 8, 3))
        for _ in range(2):
            x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
            x = keras_capsules.SqueezeExcitation(4)(x) if with_gates else x
        x = keras.layers.GlobalAveragePooling2D()(x)
        report = export.export_onnx(keras.Model(image, x), tmp_path / f"{with_gates}.onnx")
        return report.file.operations.get("Transpose", 0)

    assert transposes(True) == transposes(False)


@once
def test_real_data_is_compared_too(saved_capsnet, tmp_path, generator):
    images = generator.uniform(size=(40, 12, 12, 1))
    np.savez(tmp_path / "data.npz", image=images)
    report = tmp_path / "report.json"
    result = command_line(
        *(saved_capsnet, "-o", tmp_path / "model.onnx"),
        *("--data", tmp_path / "data.npz", "--report", report),
    )
    assert result.returncode == 0, result.stderr
    (real,) = [e for e in json.loads(report.read_text())["comparisons"] if e["suite"] == "real"]
    assert real["samples"] == 40 and real["passed"]


@once
def test_a_difference_is_found_named_and_not_written(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVERSION_SHIFT", "0.001")
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, activation="tanh", name="before")(inputs)
    x = custom_layers.ShiftedInConversion(name="culprit")(x)
    x = keras.layers.Dense(4, activation="tanh", name="after")(x)
    with pytest.raises(export.ParityError, match="(?s)FAILED.*was not written") as caught:
        export.export_onnx(keras.Model(inputs, x), target, force=True)
    assert caught.value.exit_code == 1
    assert caught.value.report.first_divergence == "culprit"
    assert json.loads(caught.value.report.to_json())["verdict"] == "failed"
    assert target.read_bytes() == b"old"
    assert set(tmp_path.iterdir()) == {target, target.with_suffix(".worst.npz")}


@once
def test_constants_sums_unused_inputs_and_ordered_outputs(tmp_path, generator):
    """What a converter is apt to lose: each is compared, and by name."""
    image, unused = keras.Input((4,), name="image"), keras.Input((2,), name="unused")
    x = keras.layers.Normalization(mean=1.0, variance=2.0)(image)
    for _ in range(3):
        x = keras.ops.add(keras.layers.Dense(4)(x), x)
    constant = keras.initializers.Constant(0.1)
    shared = keras.layers.Dense(3, bias_initializer=constant, name="dense_a")
    outputs = [shared(x), shared(image), keras.layers.Dense(3, name="dense_a_1")(x)]
    model = keras.Model([image, unused], outputs)
    assert export.export_onnx(model, tmp_path / "model.onnx", labels=range(3)).passed
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    inputs = [generator.normal(size=(2, size)).astype("float32") for size in (4, 2)]
    found = session.run(None, dict(zip(("image", "unused"), inputs, strict=True)))
    for one, other in zip(found, model.predict(inputs, verbose=0), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    names = [value.name for value in session.get_outputs()]
    assert names == ["dense_a", "dense_a_2", "dense_a_1"]
    # Keras swaps these two when it saves the model: that must not go unnoticed.
    swapped = collections.OrderedDict(z=shared(image), b=keras.layers.Dense(3)(image))
    with pytest.raises(export.ParityError):
        export.export_onnx(keras.Model(image, swapped), tmp_path / "swapped.onnx")


@once
def test_explanations_go_to_the_device(tmp_path, generator):
    """The decoder's model needs no label then; with raw pixels, from the command line."""
    model = small_capsnet(with_decoder=True)
    model.save(tmp_path / "model.keras")
    names = ["scores", "poses", "coupling", "reconstruction"]
    target = tmp_path / "model.onnx"
    result = command_line(
        *(tmp_path / "model.keras", "-o", target, "--outputs", ",".join(names), "--preprocess")
    )
    assert result.returncode == 0, result.stderr
    session = onnxruntime.InferenceSession(target)
    pixels = generator.integers(256, size=(3, 12, 12, 1)).astype("uint8")
    assert [value.name for value in session.get_inputs()] == ["image"]
    found = dict(zip(sorted(names), session.run(sorted(names), {"image": pixels}), strict=True))
    explained = keras_capsules.explain.explained_model(model, names)
    for name, expected in explained.predict(pixels / 255.0, verbose=0).items():
        np.testing.assert_allclose(found[name], expected, atol=1e-5)


def test_explanations_that_a_model_has_not(saved_capsnet, tmp_path):
    with pytest.raises(export.UsageError, match="has no gates; it has scores"):
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx", outputs=["gates"])
    assert not list(tmp_path.iterdir())
