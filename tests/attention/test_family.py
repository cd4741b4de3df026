"""What the classes share: one base, and one text for each argument."""

import ast
import inspect
import pydoc

import numpy as np
import pytest
from conftest import ROOT, once, run_python

from keras_capsules import CapsuleSqueezeExcitation, SqueezeExcitation, attention
from keras_capsules.attention import _shared_docs
from keras_capsules.attention.gated_layer import GatedLayer

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
