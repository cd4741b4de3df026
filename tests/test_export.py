"""From a saved model to an ONNX file, in Python and on the command line."""

import hashlib
import json
import signal
import subprocess
import sys
import time
import zipfile

import custom_layers
import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import BACKENDS, ROOT, once, run_python, small_capsnet

import export
import keras_capsules


def command_line(*arguments, **options):
    return run_python("-m", "export.to_onnx", *arguments, check=False, **options)


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
    assert report.file["sha256"] == sha256(path)
    assert report.file["bytes"] == path.stat().st_size


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
    assert {entry["suite"] for entry in report.comparisons} >= {
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
    assert json.loads(properties["verification"]) == {"verdict": "passed", "tolerance": 1e-5}
    assert str(ROOT) not in exported_capsnet[0].read_bytes().decode("latin1")


@once
def test_one_model_gives_one_file_whichever_backend_asks(saved_capsnet, tmp_path):
    digests = set()
    for seed, backend in enumerate([*BACKENDS, "tensorflow"]):
        target = tmp_path / f"{seed}.onnx"
        report = tmp_path / f"{seed}.json"
        result = command_line(
            *(saved_capsnet, "-o", target, "--report", report),
            backend=backend,
            env={"PYTHONHASHSEED": str(seed)},
        )
        assert result.returncode == 0, result.stderr
        assert json.loads(report.read_text())["backend"] == backend
        digests.add(sha256(target))
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
        return report.file["operations"].get("Transpose", 0)

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


def test_a_difference_is_found_named_and_not_written(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVERSION_SHIFT", "0.001")
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, activation="tanh", name="before")(inputs)
    x = custom_layers.ShiftedInConversion(name="culprit")(x)
    x = keras.layers.Dense(4, activation="tanh", name="after")(x)
    with pytest.raises(export.ParityError, match="(?s)FAILED.*Nothing was written") as caught:
        export.export_onnx(keras.Model(inputs, x), target, force=True)
    assert caught.value.exit_code == 1
    assert caught.value.report.first_divergence == "culprit"
    assert json.loads(caught.value.report.to_json())["verdict"] == "failed"
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


# --- What is refused: exit code, message, and nothing left behind. ---


def check_refused(result, code, *words, folder, left=()):
    assert result.returncode == code, result.stderr
    message = result.stderr
    assert "Traceback" not in message
    assert message.startswith("export: ") or "\nexport: " in message
    for word in words:
        assert word in message
    assert {path.name for path in folder.iterdir()} == set(left)


@pytest.fixture
def damaged(tmp_path_factory, saved_capsnet):
    """Makes files that are no whole Keras models."""

    def make(kind):
        path = tmp_path_factory.mktemp("damaged") / "model.keras"
        whole = saved_capsnet.read_bytes()
        if kind == "text":
            path.write_text("not a model")
        elif kind == "empty":
            path.write_bytes(b"")
        elif kind == "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        elif kind == "flipped":
            middle = len(whole) // 2
            path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
        elif kind == "another zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("readme.txt", "hello")
        elif kind == "config is a list":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("config.json", "[]")
        elif kind == "no weights":
            with zipfile.ZipFile(saved_capsnet) as old, zipfile.ZipFile(path, "w") as new:
                for name in ("config.json", "metadata.json"):
                    new.writestr(name, old.read(name))
        return path

    return make


@pytest.mark.parametrize(
    "kind",
    ["text", "empty", "truncated", "flipped", "another zip", "config is a list", "no weights"],
)
def test_damaged_files(damaged, tmp_path, kind):
    with pytest.raises(export.RefusedInputError, match="model.keras.*(again|cut short)"):
        export.export_onnx(damaged(kind), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@once
def test_command_line_refuses_a_damaged_file(damaged, tmp_path):
    result = command_line(damaged("truncated"), "-o", tmp_path / "model.onnx")
    check_refused(result, 4, "cut short", folder=tmp_path)


@once
def test_command_line_refuses_a_lambda(tmp_path_factory, tmp_path):
    source = tmp_path_factory.mktemp("lambda") / "model.keras"
    image = keras.Input((4,))
    doubled = keras.layers.Lambda(lambda x: 2 * x, name="double", output_shape=(4,))(image)
    keras.Model(image, doubled).save(source)
    result = command_line(source, "-o", tmp_path / "model.onnx")
    check_refused(result, 4, "'double'", "Lambda", "register_keras", folder=tmp_path)


def test_a_lambda_as_activation_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation=lambda x: 2 * x)])
    with pytest.raises(export.RefusedInputError, match="layer 'dense.*lambda"):
        export.export_onnx(model, tmp_path / "model.onnx")


class Unregistered(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


@once
def test_command_line_refuses_an_unregistered_class(tmp_path_factory, tmp_path):
    source = tmp_path_factory.mktemp("unregistered") / "model.keras"
    keras.Sequential([keras.Input((4,)), Unregistered(name="mine")]).save(source)
    result = command_line(source, "-o", tmp_path / "model.onnx")
    check_refused(result, 4, "'mine'", "'Unregistered'", "register_keras", folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "missing.keras"}, ["no file", "missing.keras"]),
        ({"model": "."}, ["folder"]),
        ({"-o": "missing/model.onnx"}, ["missing", "does not exist"]),
        ({"-o": "."}, ["folder"]),
        ({"-o": "old.onnx"}, ["old.onnx exists", "--force"]),
        ({"--opset": "12"}, ["from 13 to 18", "12"]),
        ({"--opset": "19"}, ["from 13 to 18", "19"]),
        ({"--opset": "many"}, ["many", "usage:"]),
        ({"--labels": "three.txt"}, ["4 columns", "3 labels"]),
        ({"--labels": "missing.txt"}, ["missing.txt"]),
        ({"--data": "old.onnx"}, ["numpy.savez"]),
        ({"--data": "wrong.npz"}, ["image", "(12, 12, 1)", "(2, 8, 8, 1)"]),
        ({"--input-range": "1 0"}, ["rise"]),
        ({"--colour": "red"}, ["--colour", "usage:"]),
    ],
)
def test_usage_errors(saved_capsnet, tmp_path, monkeypatch, capsys, change, words):
    """In this process, for speed: the command line is one function."""
    from export.to_onnx import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.onnx").write_bytes(b"old")
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    np.savez(tmp_path / "wrong.npz", image=np.zeros((2, 8, 8, 1)))
    before = sorted(path.name for path in tmp_path.iterdir())
    options = {"model": str(saved_capsnet), "-o": "model.onnx", **change}
    arguments = [options.pop("model")]
    for name, value in options.items():
        arguments += [name, *value.split()]
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert main(arguments) == 5
    finally:
        signal.signal(signal.SIGTERM, handler)
    error = capsys.readouterr().err
    assert error.startswith("export: ")
    for word in words:
        assert word in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "old.onnx").read_bytes() == b"old"


@once
def test_command_line_without_arguments():
    result = command_line()
    assert result.returncode == 5 and "usage:" in result.stderr
    assert "exit codes" in command_line("--help").stdout


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: keras.Sequential([keras.layers.Dense(2)]), "without inputs"),
        (
            lambda: keras.Sequential([keras.Input((None, 4)), keras.layers.Dense(2)]),
            "Only the batch axis",
        ),
        (
            lambda: keras.Sequential(
                [keras.Input((4,)), keras.layers.Dense(2, dtype="mixed_float16")]
            ),
            "compute in float32",
        ),
    ],
)
def test_models_that_cannot_be_converted(tmp_path, model, message):
    with pytest.raises(export.ConversionError, match=message):
        export.export_onnx(model(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@once
def test_control_flow_is_an_unsupported_operation(tmp_path):
    model = keras.Sequential([keras.Input((4,)), custom_layers.Looping(name="loop")])
    with pytest.raises(export.UnsupportedOperationError, match="Loop.*Replace") as caught:
        export.export_onnx(model, tmp_path / "model.onnx")
    assert caught.value.exit_code == 3 and not list(tmp_path.iterdir())


@once
def test_a_registered_class_of_the_users_own(tmp_path):
    model = keras.Sequential([keras.Input((4,)), custom_layers.ShiftedInConversion()])
    assert export.export_onnx(model, tmp_path / "model.onnx").passed


@once
@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGINT])
def test_a_killed_export_leaves_the_old_file(saved_capsnet, tmp_path, kill):
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    process = subprocess.Popen(
        [sys.executable, "-m", "export.to_onnx", saved_capsnet, "-o", target, "--force"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(4)
    process.send_signal(kill)
    assert process.wait(60) != 0
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]
