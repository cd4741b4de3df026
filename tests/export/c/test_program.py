"""The files of `--c` are a program that computes what the model does, and says when it does not."""

import json
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest
from conftest import once, small_capsnet

import export
from benchmarks.c_routings import network
from export.c.build import emulated_chip
from export.c.graph import fixed, multiply_adds
from export.device import Predictor
from export.report.html import to_html
from keras_capsules.routing import ROUTINGS
from tests.devices.cases import all_cases

pytestmark = [once, pytest.mark.usefixtures("warm_conversions")]

# Kinds of models whose sizes are fixed.
FIXED = sorted(set(all_cases(np.random.default_rng(0))) - {"planes", "signal"})

# Reads images from the standard input, and prints the number of each label and the scores.
MAIN = """
#include <stdio.h>
#include "NAME.h"
int main(void) {
    static uint8_t pixels[LENGTH];
    static float scores[COUNT];
    while (fread(pixels, sizeof pixels, 1, stdin) == 1) {
        printf("%d", NAME_predict(pixels, scores));
        for (int i = 0; i < COUNT; i++) {
            printf(" %.9g", scores[i]);
        }
        puts("");
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def capsnet(saved_capsnet, tmp_path_factory, warm_start):
    """The folder of a small CapsNet's program, and the report."""
    folder = tmp_path_factory.mktemp("program")
    labels = ["ant", "bee", '*/ "cat\\', "дог"]
    with warm_start():
        path = folder / "digits.onnx"
        return folder, export.export_onnx(saved_capsnet, path, labels=labels, c=True)


def sources_of(folder, target, *suffixes):
    """Copies sources of a program."""
    target.mkdir()
    for suffix in suffixes:
        shutil.copy(folder / f"digits{suffix}", target)
    return target


def classify(folder, target, images, run_program):
    """Returns the labels' numbers and the scores that a program prints for images."""
    sources_of(folder, target, ".c", ".h")
    count = re.search(r"float scores\[(\d+)\]\);\n", (folder / "digits.h").read_text())[1]
    main = MAIN.replace("NAME", "digits").replace("COUNT", count)
    (target / "main.c").write_text(main.replace("LENGTH", str(images[0].size)))
    lines = run_program(target, images.tobytes()).stdout.decode().splitlines()
    rows = np.array([line.split() for line in lines], "float64")
    return rows[:, 0].astype(int), rows[:, 1:]


def test_the_program_classifies_pixels_as_the_device_does(capsnet, tmp_path, run_program):
    folder, report = capsnet
    images = np.random.default_rng(1).integers(0, 256, (40, 12, 12, 1)).astype("uint8")
    labels, scores = classify(folder, tmp_path / "c", images, run_program)
    predictor = Predictor(folder / "digits.onnx")
    expected = predictor.predict(images)
    assert [predictor.labels[number] for number in labels] == [p.label for p in expected]
    assert len(set(labels)) > 1
    np.testing.assert_allclose(scores, [p.scores for p in expected], atol=1e-5)
    assert report.passed and report.program.passed


def test_the_files_and_the_report(capsnet):
    folder, report = capsnet
    files = {path.name for path in folder.iterdir()}
    written = {"digits.c", "digits.h", "digits_selftest.c"}
    assert files == written | {"digits.onnx", "digits.onnx.golden.npz"}
    program = report.program
    assert set(program.files) == written and program.fixed == {"batch": 1}
    assert "fixed: batch 1" in report.to_text() and "RAM" in report.to_text()
    assert f"flash {program.need.flash:,} bytes" in to_html(report)
    stored = json.loads(report.to_json())["program"]
    assert stored["need"]["flash"] == program.need.flash > 4 * report.parameters
    assert 0 < program.need.static < 2**16 and 0 < program.need.stack < 2**12
    source = (folder / "digits.c").read_text()
    assert not re.search(r"\b(malloc|calloc|realloc|free|alloca)\b", source)
    assert report.file.sha256 in (folder / "digits.h").read_text()


def test_the_self_test_passes(capsnet, tmp_path, run_program):
    target = sources_of(capsnet[0], tmp_path / "c", ".c", ".h", "_selftest.c")
    done = run_program(target)
    assert done.returncode == 0 and b"PASSED" in done.stdout and b"WRONG" not in done.stdout


@pytest.mark.parametrize("name", ["weight2_", "capsules_matmul"])
def test_a_flipped_weight_fails_the_self_test(capsnet, tmp_path, run_program, name):
    target = sources_of(capsnet[0], tmp_path / "c", ".c", ".h", "_selftest.c")
    source = (target / "digits.c").read_text()
    begin = re.search(rf"^static const EMX_UNUSED float \w*{name}\w*", source, re.M).end()
    number = re.compile(r"-?0x1\.[0-9a-f]+p[-+]\d+f").search(source, begin)
    flipped = number[0].removeprefix("-") if number[0][0] == "-" else f"-{number[0]}"
    changed = source[: number.start()] + flipped + source[number.end() :]
    (target / "digits.c").write_text(changed)
    done = run_program(target)
    assert done.returncode == 1 and b"FAILED: this chip" in done.stdout and b"WRONG" in done.stdout


@pytest.mark.skipif(emulated_chip() is None, reason="gcc-arm-none-eabi or qemu-system-arm missing")
def test_the_emulated_chip_took_part(capsnet):
    run = capsnet[1].program.runs[1]
    assert run.machine == "an emulated Cortex-M7" and run.passed
    assert "arm-none-eabi" in run.compiler and "arm-none-eabi" in capsnet[1].program.measured
    assert max(entry.max_abs for entry in run.comparisons) > 0
    assert capsnet[1].program.remark == ""


@pytest.mark.parametrize("routing", sorted(ROUTINGS))
def test_every_routing(routing, tmp_path, run_program):
    model = network(routing, pixels=20, classes=3)
    report = export.export_onnx(model, tmp_path / "digits.onnx", c=True)
    assert all(run.passed for run in report.program.runs)
    images = np.random.default_rng(1).integers(0, 256, (10, 20, 20, 1)).astype("uint8")
    _, scores = classify(tmp_path, tmp_path / "c", images, run_program)
    expected = model.predict(images / np.float32(255), verbose=0)["scores"]
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert np.ptp(scores, axis=0).max() > 0


@pytest.mark.parametrize("name", FIXED)
def test_every_kind_of_model(name, tmp_path, run_program):
    case = all_cases(np.random.default_rng(0))[name]
    path = tmp_path / "digits.onnx"
    report = export.export_onnx(case.model, path, c=True, **case.options)
    assert report.program.passed and run_program(tmp_path).returncode == 0


def test_what_the_generator_does_not_take_is_rewritten(tmp_path, run_program):
    recurrent = [keras.layers.GRU, keras.layers.SimpleRNN, keras.layers.LSTM]
    x = steps = keras.Input((7, 3), name="steps")
    for layer in recurrent:
        x = keras.layers.Bidirectional(layer(3, return_sequences=True))(x)
    x = keras.layers.GRU(4, reset_after=False, go_backwards=True)(keras.ops.flip(x, axis=1))
    y = image = keras.Input((6, 5, 2), name="image")
    for interpolation in ("bilinear", "nearest"):
        y = keras.layers.UpSampling2D(2, interpolation=interpolation)(y)
    y = keras.layers.Resizing(9, 4)(y)
    model = keras.Model([steps, image], {"last": x, "resized": y})
    report = export.export_onnx(model, tmp_path / "digits.onnx", c=True)
    assert report.program.passed and run_program(tmp_path).returncode == 0


def test_multiply_adds_by_hand():
    x = image = keras.Input((9, 9, 2))
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.DepthwiseConv2D(3)(x)
    x = keras.layers.Conv2DTranspose(3, 2)(x)
    model = keras.Model(image, keras.layers.Dense(5)(keras.layers.Flatten()(x)))
    from tests.converted import converted

    counted = multiply_adds(fixed(converted(model), {"batch": 1}))
    convolutions = 7 * 7 * 4 * 9 * 2 + 5 * 5 * 4 * 9 + 5 * 5 * 4 * 4 * 3
    assert counted == convolutions + 6 * 6 * 3 * 5


def test_names_that_are_no_identifiers(tmp_path, run_program):
    model = small_capsnet()
    x = keras.layers.Dense(2, name="while")(model.outputs[0])
    model = keras.Model(model.inputs[0], {"int": x, "double/-1.x": x * 2.0})
    report = export.export_onnx(model, tmp_path / "for.onnx", c=True)
    assert report.program.passed and run_program(tmp_path).returncode == 0


def test_a_program_of_two_networks(capsnet, tmp_path, run_program):
    target = sources_of(capsnet[0], tmp_path / "c", ".c", ".h")
    for end in (".c", ".h"):
        text = (target / f"digits{end}").read_text()
        other = text.replace("digits", "letters").replace("DIGITS", "LETTERS")
        (target / f"letters{end}").write_text(other)
    includes = '#include "digits.h"\n#include "letters.h"\n'
    (target / "main.c").write_text(includes + "int main(void) { return 0; }\n")
    assert run_program(target).returncode == 0


def test_the_header_is_also_one_of_cpp(capsnet, tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler: apt-get install g++")
    target = sources_of(capsnet[0], tmp_path / "c", ".h")
    (target / "main.cpp").write_text('#include "digits.h"\nint main() { return 0; }\n')
    command = ["g++", "-Wall", "-Werror", "-pedantic", "-c", "main.cpp"]
    subprocess.run(command, cwd=target, check=True)


@pytest.mark.parametrize("stem", ["my-net", "3 classes"])
def test_files_whose_names_are_not_words_of_c(tmp_path, run_program, stem):
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Dense(3, name="scores")(x))
    report = export.export_onnx(model, tmp_path / f"{stem}.onnx", c=True)
    assert report.passed and run_program(tmp_path).returncode == 0
