"""Files that are not whole, trusted Keras models: refused, and nothing is left behind."""

import zipfile

import keras
import pytest
from conftest import command_line, once

import export


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
