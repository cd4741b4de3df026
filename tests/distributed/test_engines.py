"""Ten steps of training on several simulated devices give what one device gives."""

import json

import keras
import pytest
from conftest import BACKENDS, ROOT, once, run_python

import keras_capsules

pytestmark = once


@pytest.mark.distributed
@pytest.mark.parametrize("engine", ["jax_data", "jax_model", "tensorflow", "torch"])
def test_training(engine):
    """`DataParallel`, `ModelParallel`, `MirroredStrategy`, `DistributedDataParallel`."""
    if engine.partition("_")[0] not in BACKENDS:
        pytest.skip("the backend is not installed")
    printed = run_python(ROOT / "tests/distributed/engines.py", engine).stdout
    differences = json.loads(printed.splitlines()[-1])
    assert len(differences) == {"tensorflow": 16, "torch": 13}.get(engine, 14)
    assert differences.pop("mixed_bfloat16") < 0.03  # bfloat16 has 8 bits.
    assert max(differences.values()) < 1e-5, differences


class Mesh:
    """Axes and sizes of a mesh; a real one needs JAX."""

    def __init__(self, shape=(1, 2), axis_names=("batch", "model")):
        self.shape, self.axis_names = shape, axis_names


def model(**options):
    inputs = keras.Input((6, 4))
    capsules = keras_capsules.CapsuleLayer(4, 8, name="classes", **options)(inputs)
    scores = keras.layers.Dense(2, name="scores")(keras.layers.Flatten()(capsules))
    return keras.Model(inputs, scores)


@pytest.mark.parametrize("shard, spec", [("parents", 1), ("children", 0)])
def test_layouts(shard, spec):
    layouts = keras_capsules.distribution.layout_map(model(), Mesh(), shard=shard)
    kernel = layouts["classes/kernel"].axes
    assert kernel == tuple("model" if axis == spec else None for axis in range(4))
    assert layouts["scores/kernel"].axes == (None, "model")
    assert layouts["scores/bias"].axes == ("model",)
    assert layouts["other_classes/kernel"] is None


@pytest.mark.parametrize(
    "options, mesh, message",
    [
        ({}, Mesh((1, 3)), "3 devices do not divide the 4 parents of layer 'classes'"),
        ({"shard": "children"}, Mesh((1, 4)), "do not divide the 6 children"),
        ({}, Mesh(axis_names=("batch", "experts")), "must have the axis 'model'"),
        ({"shard": "rows"}, Mesh(), "Received: 'rows'"),
        ({"max_replicated": 10}, Mesh(), "'classes/self_attention_routing.*/prior' of shape"),
    ],
)
def test_errors(options, mesh, message):
    network = model(routing="self_attention")
    with pytest.raises(ValueError, match=message):
        keras_capsules.distribution.layout_map(network, mesh, **options)


def test_nothing_to_divide():
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3)])
    with pytest.raises(ValueError, match="use keras.distribution.DataParallel"):
        keras_capsules.distribution.layout_map(network, Mesh())
    with pytest.raises(ValueError, match="Build the model first"):
        keras_capsules.distribution.layout_map(keras.Sequential(), Mesh())
