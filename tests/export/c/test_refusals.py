"""What cannot become a program of C is refused before a file is written."""

import shutil
from importlib import metadata

import keras
import onnx
import pytest
from conftest import once
from onnx import TensorProto, helper

import export
from export.c import build, program
from export.c.generate import to_source
from export.c.graph import fixed
from export.c.interface import c_string
from export.c.memory import in_static_memory
from export.write import Target

pytestmark = [once, pytest.mark.usefixtures("warm_conversions")]


def dense(*shape):
    x = inputs = keras.Input(shape, name="image")
    return keras.Model(inputs, keras.layers.Dense(3, name="scores")(x))


def test_without_a_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(export.UsageError, match="no C compiler here.*apt-get install gcc"):
        export.export_onnx("model.keras", tmp_path / "model.onnx", c=True)


def test_without_the_generator(monkeypatch, tmp_path):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(export.UsageError, match=r"emx-onnx-cgen.*keras-capsules\[c\]"):
        export.export_onnx("model.keras", tmp_path / "model.onnx", c=True)


def test_options_that_do_not_fit():
    with pytest.raises(export.UsageError, match="C computes in float32.*float16"):
        export.ExportOptions(c=True, precision="float16")
    for options in ({"ram": 1000}, {"c": True, "ram": 0}):
        with pytest.raises(export.UsageError, match="--c --ram 65536"):
            export.ExportOptions(**options)


def test_names_that_files_of_c_cannot_have(tmp_path):
    with pytest.raises(export.UsageError, match='letters without accents.*zi"ffern'):
        export.export_onnx("model.keras", tmp_path / 'zi"ffern.onnx', c=True)
    with pytest.raises(export.UsageError, match="name of a file of C. Call the ONNX file .onnx"):
        export.export_onnx("model.keras", tmp_path / "model.c", c=True)


def test_too_much_ram(saved_capsnet, tmp_path):
    with pytest.raises(export.UsageError, match=r"needs [\d,]+ bytes of RAM.*--ram allows 1,000"):
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx", c=True, ram=1000)
    assert list(tmp_path.iterdir()) == []


def test_open_sizes(tmp_path):
    with pytest.raises(export.UsageError, match="leaves open length.*keras.Input"):
        export.export_onnx(dense(None, 2), tmp_path / "model.onnx", c=True)
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_the_generator_does_not_take(tmp_path):
    x = inputs = keras.Input((5, 4), name="steps")
    cell = keras.layers.LSTM(3, recurrent_activation="hard_sigmoid", name="memory")
    with pytest.raises(export.UnsupportedOperationError) as caught:
        export.export_onnx(keras.Model(inputs, cell(x)), tmp_path / "model.onnx", c=True)
    words = str(caught.value)
    assert "LSTM in the layer 'memory'" in words and "without --c" in words
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_computes_something_else(saved_capsnet, tmp_path, monkeypatch):
    def changed(*arguments):
        source = to_source(*arguments)
        begin = source.index("static const EMX_UNUSED float")
        return source[:begin] + source[begin:].replace("0x1.", "0x9.", 1)

    monkeypatch.setattr(program, "to_source", changed)
    with pytest.raises(export.ParityError) as caught:
        export.export_onnx(saved_capsnet, tmp_path / "model.onnx", c=True)
    words, runs = str(caught.value), caught.value.report.program.runs
    assert "the program of C computes something else" in words and "self-test FAILED" in words
    assert runs and not any(run.passed or run.selftest for run in runs)
    assert list(tmp_path.iterdir()) == []


def test_sources_of_the_user_stay(tmp_path):
    target = Target(tmp_path / "model.onnx", force=False)
    for path in target.sources:
        path.write_text("int main(void) { return 0; }")
    target.check()
    assert not set(target.sources) & set(target.derived)
    with pytest.raises(export.UsageError, match="model.c exists. Pass --force"):
        Target(tmp_path / "model.onnx", force=False, c=True).check()


def test_old_programs_do_not_stay_beside_a_new_file(tmp_path):
    path, model = tmp_path / "model.onnx", dense(4)
    export.export_onnx(model, path, c=True)
    with pytest.raises(export.UsageError, match="Pass --force"):
        Target(path, force=False).check()
    export.export_onnx(model, path, force=True)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["model.onnx", "model.onnx.golden.npz"]


def test_a_chip_that_is_missing_or_too_small(monkeypatch, tmp_path):
    monkeypatch.setattr(program, "_CHIP_MEMORY", {"flash": 10, "ram": 10})
    report = export.export_onnx(dense(4), tmp_path / "small.onnx", c=True)
    small = "more memory than it has" in report.to_text() or build.emulated_chip() is None
    assert report.passed and small and len(report.program.runs) == 1
    monkeypatch.setattr(build, "emulated_chip", lambda: None)
    report = export.export_onnx(dense(4), tmp_path / "model.onnx", c=True)
    assert report.passed and "apt-get install gcc-arm-none-eabi" in report.to_text()


def test_names_in_comments():
    node = helper.make_node("Relu", ["x"], ["y"], name="a*/ int evil; /*??/")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph([node], "graph", value[:1], value[1:])
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.helper.set_model_props(file, {"class_names": "*/ int evil;"})
    source = to_source(fixed(file, {}), "net_run")
    assert "*/ int" not in source and "a_/_int_evil_" in source and "class_names" not in source


def test_texts_of_c(tmp_path, run_program):
    texts = ["дог\n", 'a"b\\', "??/", "*/", "\0001", "%s"]
    lines = ", ".join(map(c_string, texts))
    (tmp_path / "main.c").write_text(
        "#include <stdio.h>\nint main(void) {\n"
        f"    const char texts[] = {c_string(''.join(t.replace(chr(0), '') for t in texts))};\n"
        f"    const char *all[] = {{{lines}}};\n"
        "    fputs(texts, stdout);\n    return all[0] == 0;\n}\n"
    )
    done = run_program(tmp_path)
    assert done.stdout.decode() == "".join(texts).replace("\0", "") and done.returncode == 0


def test_values_that_live_at_once_do_not_overlap():
    source = """
void net(const float x[restrict 1][4], float y[restrict 1][4]) {
    float a[1][4];
    float b[1][6];
    float c[1][4];
    int32_t d[2];
    first(x, a);
    second(a, b, d);
    third(b, c);
    fourth(a, c, d, y);
    fifth(y);
}
"""
    text = in_static_memory(source, "net")
    places = {}
    for name, size in (("a", 4), ("b", 6), ("c", 4)):
        begin = int(text.split(f"*const {name})")[1].partition("memory_float + ")[2].split(")")[0])
        places[name] = range(begin, begin + size)
    assert all(not set(places[x]) & set(places[y]) for x, y in ("ab", "ac", "bc"))
    assert "static float memory_float[14];" in text and "static int32_t memory_int32_t[2];" in text
    assert "second((const float (*)[4])a, b, d);" in text
    assert "fifth((const float (*)[4])y);" in text


def test_values_share_places():
    steps = "\n".join(f"    step(v{i}, v{i + 1});" for i in range(9))
    values = "\n".join(f"    float v{i}[100];" for i in range(10))
    text = in_static_memory(f"\nvoid net(void) {{\n{values}\n{steps}\n}}\n", "net")
    assert "static float memory_float[200];" in text


def test_the_deepest_stack():
    lines = ["n.c:1:1:net_run\t100\tstatic", "n.c:1:1:net_predict\t10\tstatic"]
    lines += ["n.c:1:1:node0_conv\t40\tstatic", "n.c:1:1:node1_exp\t70\tstatic"]
    lines += ["n.c:1:1:ref_scalar\t8\tstatic"]
    assert build._deepest_stack(lines) == 100 + 10 + 70 + 8


def test_the_machine_is_measured_with_its_own_compiler(tmp_path):
    if shutil.which("size") is None:
        pytest.skip("no size: apt-get install binutils")
    (tmp_path / "net.c").write_text(
        "static const int table[100] = {1};\nstatic char memory[300];\n"
        "int net_run(int i) { memory[i] = 1; return table[i] + memory[i / 2]; }\n"
    )
    need = build.compile_network(build.here(), tmp_path, "net.c")
    assert need.flash > 400 and need.static >= 300 and need.ram == need.static + need.stack


def test_several_samples_a_call(tmp_path, run_program):
    report = export.export_onnx(dense(4), tmp_path / "model.onnx", c=True, batch=3)
    assert report.program.fixed == {} and run_program(tmp_path).returncode == 0
    assert (
        "model_run(const float image[3][4], float scores[3][3]);"
        in (tmp_path / "model.h").read_text()
    )


def test_a_model_that_is_larger_than_the_stack_of_this_machine(tmp_path, run_program):
    x = image = keras.Input((600, 600, 1), name="image")
    for _ in range(6):
        x = keras.layers.ReLU()(keras.layers.Conv2D(3, 1)(x))
    x = keras.layers.Conv2D(3, 1, strides=300, name="scores")(x)
    report = export.export_onnx(keras.Model(image, x), tmp_path / "model.onnx", c=True)
    together = 600 * 600 * 3 * 4 * 12
    assert report.program.need.stack < 2**12 and together > 2**23 > report.program.need.static / 2
    assert run_program(tmp_path).returncode == 0
