"""The seal of an exported file, and everything that must break it."""

import io
import json
import shutil
import zipfile

import keras
import numpy as np
import onnx
import pytest
from conftest import ROOT, once, run_python
from onnx import TensorProto, helper, numpy_helper

from export import verify
from export.compare.seal import seal, vectors
from export.compare.suites import suite_set
from export.verify import main, seal_path

ABSENT = "keras keras_capsules tensorflow jax torch onnx tf2onnx onnxslim h5py PIL"
BLOCKED = "import sys; sys.modules.update(dict.fromkeys(sys.argv.pop(1).split()));"


@pytest.fixture
def sealed(exported_capsnet, tmp_path):
    """Path of a copy of an exported file, its seal beside it."""
    path = tmp_path / "model.onnx"
    shutil.copy(exported_capsnet[0], path)
    shutil.copy(seal_path(exported_capsnet[0]), seal_path(path))
    return path


def read(path):
    with np.load(seal_path(path)) as stored:
        arrays = dict(stored)
    return json.loads(arrays.pop("seal").tobytes()), arrays


def write(path, seal, arrays):
    text = np.frombuffer(json.dumps(seal).encode(), "uint8")
    np.savez(seal_path(path), seal=text, **arrays)


@once
@pytest.mark.parametrize("how", ["from export.verify import main", "from verify import main"])
def test_with_onnxruntime_and_numpy_alone(sealed, how):
    """As a part of the package, and as the one file copied beside the model."""
    shutil.copy(ROOT / "export/verify.py", sealed.parent)
    folder = ROOT if "export" in how else sealed.parent
    result = run_python(
        *("-c", f"{BLOCKED} {how}; sys.exit(main())", ABSENT, sealed),
        env={"PYTHONPATH": str(folder)},
        cwd=sealed.parent,
    )
    for suite in ("random, batch 2", "zeros", "constant", "huge, x 1e4", "tiny, x 1e-30"):
        assert f"scores          {suite} " in result.stdout
    assert result.stdout.endswith("PASSED\n")


def test_the_vectors_are_the_models(exported_capsnet, saved_capsnet):
    seal, arrays = read(exported_capsnet[0])
    model = keras.models.load_model(saved_capsnet)
    for number, suite in enumerate(seal["suites"]):
        images = np.resize(arrays[f"suite_{number}_input_0"], (2, 12, 12, 1))
        expected = model.predict(images, verbose=0)
        found = arrays[f"suite_{number}_output_0"].reshape(expected.shape)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert 0 < suite["allowed"][0] <= 1e-4
    largest = [abs(arrays[f"suite_{number}_input_0"]).max() for number in range(5)]
    np.testing.assert_allclose(largest, [1, 0, 1, 1e4, 1e-30], rtol=0.05)
    assert seal["sha256"] == exported_capsnet[1].file.sha256
    assert seal_path(exported_capsnet[0]).stat().st_size < 20_000


def refused(path, capsys, *words):
    assert main([str(path)]) == 4
    error = capsys.readouterr().err
    assert error.startswith("verify: ")
    for word in words:
        assert word in error


def test_one_changed_byte_of_the_weights(sealed, capsys):
    model = onnx.load(sealed)
    weight = numpy_helper.to_array(model.graph.initializer[0]).tobytes()
    content = sealed.read_bytes()
    place = content.index(weight) + 2
    sealed.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert onnx.load(sealed).graph.node == model.graph.node  # Still a model, but another.
    refused(sealed, capsys, "was changed")


def test_the_seal_of_another_model(sealed, capsys):
    seal, arrays = read(sealed)
    write(sealed, seal | {"sha256": "0" * 64}, arrays)
    refused(sealed, capsys, "different exports", "0" * 64)


@pytest.mark.parametrize("part", [0, 1, 0.01, 0.5, 0.99])
def test_a_cut_seal(sealed, capsys, part):
    content = seal_path(sealed).read_bytes()
    seal_path(sealed).write_bytes(content[: -1 if part == 1 else int(len(content) * part)])
    refused(sealed, capsys, "damaged")


def test_a_changed_byte_of_the_seal(sealed, capsys):
    content = bytearray(seal_path(sealed).read_bytes())
    content[len(content) // 2] ^= 1
    seal_path(sealed).write_bytes(content)
    refused(sealed, capsys, "damaged", "CRC")


def suite(**changes):
    def change(seal, arrays):
        seal["suites"][0] |= changes

    return change


def array(name, make):
    return lambda seal, arrays: arrays.update({name: make(arrays.get(name))})


CONTRADICTIONS = {
    "the array 'suite_1_output_0' is missing": lambda s, a: a.pop("suite_1_output_0"),
    "one array too many, 'suite_5_input_0'": array("suite_5_input_0", lambda _: np.zeros(1)),
    "has 7 float32 values for an output of shape (2, 4)": array(
        "suite_0_output_0", lambda values: values[:-1]
    ),
    "has 289 float32 values for an input": array(
        "suite_0_input_0", lambda values: np.append(values, values[:1])
    ),
    "has 288 float64 values": array("suite_0_input_0", lambda values: values.astype("float64")),
    "has object, not numbers": array(
        "suite_0_output_0", lambda values: np.array([print] * 8, dtype=object)
    ),
    "of shape (2, 4) has 32 bytes": array("suite_0_output_0", lambda v: v.reshape(2, 4)),
    "tolerances of 'random, batch 2' are [nan]": suite(allowed=[float("nan")]),
    "tolerances of 'random, batch 2' are []": suite(allowed=[]),
    "an input of shape (-2, 12, 12, 1)": suite(samples=-2),
    "an input of shape (1000000000, 12, 12, 1)": suite(samples=10**9),
    "an input of shape (2, 'k', 'e', 'y')": lambda s, a: s["inputs"][0].update(shape="key"),
    "cannot be printed": suite(name="\x1b[2J"),
    "nothing to compare": lambda seal, arrays: seal.update(suites=[]),
    "format is 2": lambda seal, arrays: seal.update(format=2),
    "KeyError: 'outputs'": lambda seal, arrays: seal.pop("outputs"),
    "TypeError": lambda seal, arrays: seal.update(suites=3),
    "its seal has [('photo',": lambda s, a: s["inputs"][0].update(name="photo"),
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_seals_at_odds_with_themselves(sealed, capsys, message):
    seal, arrays = read(sealed)
    CONTRADICTIONS[message](seal, arrays)
    write(sealed, seal, arrays)
    refused(sealed, capsys, message)


def entries(path):
    with zipfile.ZipFile(seal_path(path)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_compression_that_takes_any_memory(sealed, capsys):
    files = entries(sealed)
    with zipfile.ZipFile(seal_path(sealed), "w", zipfile.ZIP_LZMA) as archive:
        for name, whole in files.items():
            archive.writestr(name, whole)
    refused(sealed, capsys, "LZMA")


def test_archives_that_promise_more_than_they_hold(sealed, capsys):
    files = entries(sealed)
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        huge, {"descr": "<f4", "fortran_order": False, "shape": (2**40,)}
    )
    bomb = bytes(10**7)
    for content, words in ((huge.getvalue(), "has 0 bytes"), (bomb, "unpacks to more")):
        with zipfile.ZipFile(seal_path(sealed), "w", zipfile.ZIP_DEFLATED) as archive:
            for name, whole in files.items():
                archive.writestr(name, content if name == "suite_0_output_0.npy" else whole)
        refused(sealed, capsys, words)


def test_a_machine_that_computes_something_else(sealed, capsys):
    seal, arrays = read(sealed)
    arrays["suite_3_output_0"] = arrays["suite_3_output_0"] + np.float32(2e-3)
    arrays["suite_4_output_0"][0] = np.nan
    write(sealed, seal, arrays)
    assert main([str(sealed)]) == 1
    text = capsys.readouterr().out
    assert text.count("  ok\n") == 3 and "2.0e-03" in text and "inf" in text
    assert text.endswith("FAILED: this machine computes something else.\n")


def test_missing_files_and_arguments(sealed, capsys):
    seal_path(sealed).unlink()
    for arguments, words in (
        ([str(sealed)], "model.onnx.golden.npz cannot be read: No such file"),
        ([str(sealed.with_name("other.onnx"))], "other.onnx cannot be read"),
        ([str(sealed.parent)], "not a regular file"),
        ([], "usage:"),
    ):
        assert main(arguments) == 5
        assert words in capsys.readouterr().err


def test_a_whole_file_that_onnxruntime_cannot_run(sealed, capsys):
    content = b"an operation of the future"
    sealed.write_bytes(content)
    seal_path(sealed).write_bytes(seal(seal_path(sealed).read_bytes(), digest(content)))
    assert main([str(sealed)]) == 1
    assert "is intact, but onnxruntime" in capsys.readouterr().err


def digest(content):
    return verify.hashlib.sha256(content).hexdigest()


def scaling(factor):
    """A hand-made file that multiplies a large image."""
    axes = ["batch", 224, 224, 3]
    image, scaled = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name in ("image", "scaled")
    )
    node = helper.make_node("Mul", ["image", "factor"], ["scaled"])
    weight = numpy_helper.from_array(np.float32(factor), "factor")
    graph = helper.make_graph([node], "model", [image], [scaled], [weight])
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def test_large_inputs_and_outputs_are_sealed_in_part():
    model = keras.Sequential(
        [keras.Input((224, 224, 3), name="image"), keras.layers.Rescaling(2.0, name="scaled")]
    )
    unbound = vectors(model, suite_set(model).sealed, "not measured")
    assert len(unbound) < 200_000
    for factor, passes in ((2.0, True), (2.1, False)):
        content = scaling(factor)
        found = verify.replay(content, seal(unbound, digest(content)))
        assert found.passed == passes
