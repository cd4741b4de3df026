"""Tests that the page says in words why a user's own file or picture does not go."""

import json

import onnx
import pytest
from playwright.sync_api import expect

from examples.web.own_files import drop
from examples.web.visit import LOADING


def changed(folder, name, **properties):
    """Writes a file with other properties, or without those that are None."""
    model = onnx.load(folder / "birds.onnx")
    stored = {entry.key: entry.value for entry in model.metadata_props} | properties
    onnx.helper.set_model_props(model, {k: v for k, v in stored.items() if v is not None})
    onnx.save(model, folder / name)


@pytest.fixture(scope="module")
def bad(folder):
    """Returns the folder with files that do not go."""
    content = (folder / "birds.onnx").read_bytes()
    (folder / "cut.onnx").write_bytes(content[: len(content) // 2])
    (folder / "text.onnx").write_text("This is not a network.")
    (folder / "empty.onnx").write_bytes(b"")
    changed(folder, "others.onnx", verification=None, input_range=None)
    changed(folder, "range.onnx", input_range="[1, 0]")
    changed(folder, "names.onnx", class_names=json.dumps("names"))
    model = onnx.load(folder / "birds.onnx")
    model.graph.node[0].op_type = "Telepathy"
    onnx.save(model, folder / "operation.onnx")
    signal(folder / "signal.onnx", model)
    return folder


def signal(path, model):
    """Writes a network for signals of three channels, with the properties of another one."""
    helper = onnx.helper
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 12, 3])
        for name in ("signal", "scores")
    ]
    node = helper.make_node("Identity", ["signal"], ["scores"])
    graph = helper.make_graph([node], "signal", values[:1], values[1:])
    other = helper.make_model(graph, opset_imports=model.opset_import, ir_version=8)
    other.metadata_props.extend(model.metadata_props)
    onnx.save(other, path)


@pytest.mark.parametrize(
    "name, words",
    [
        ("cut.onnx", "cut.onnx cannot be read: it is not an ONNX file, or its end is missing."),
        ("text.onnx", "it is not an ONNX file"),
        ("empty.onnx", "it is not an ONNX file"),
        ("others.onnx", "keras-capsules did not export it"),
        ("range.onnx", "is damaged: its input range is [1, 0]"),
        ("names.onnx", "is damaged: what it says of itself cannot be read"),
        ("operation.onnx", "it is damaged, or not for onnxruntime-web"),
        ("signal.onnx", "does not take one picture of one or three channels"),
    ],
)
def test_a_file_that_does_not_go_is_told(own_page, bad, name, words):
    drop(own_page, bad / name, bad / "colours.png")
    expect(own_page.locator("#answer")).to_contain_text(words, timeout=LOADING)
    expect(own_page.locator("#classes li")).to_have_count(0)
    drop(own_page, bad / "birds.onnx")  # The picture was taken all the same.
    expect(own_page.locator("#classes li")).to_have_count(4, timeout=LOADING)


def test_a_file_that_is_too_large_is_told(own_page):
    own_page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File([new ArrayBuffer(201e6)], "large.onnx"));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }"""
    )
    words = "large.onnx has 201 MB, more than the 200 MB here."
    expect(own_page.locator("#answer")).to_contain_text(words)


def test_a_damaged_picture_is_told(own_page, folder):
    (folder / "cut.png").write_bytes((folder / "colours.png").read_bytes()[:60])
    drop(own_page, folder / "birds.onnx", folder / "cut.png")
    expect(own_page.locator("#answer")).to_contain_text("cut.png is not a picture", timeout=LOADING)
    drop(own_page, folder / "colours.png")
    expect(own_page.locator("#classes li")).to_have_count(4)
