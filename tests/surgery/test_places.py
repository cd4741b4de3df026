"""Where blocks are inserted, and where not."""

import keras
import numpy as np
import pytest
from conftest import once
from keras import layers

from keras_capsules import insert_attention
from tests.surgery.residual import assert_kept, edges, inserted, residual


@once
@pytest.mark.parametrize(
    "after, names",
    [
        (layers.Conv2D, ["stem_se", "a_se", "b_se", "shortcut_se"]),
        ("Conv2D", ["stem_se", "a_se", "b_se", "shortcut_se"]),
        ("?_bn", ["a_bn_se", "b_bn_se"]),
        (lambda layer: layer.name in ("stem", "relu"), ["stem_se", "relu_se"]),
    ],
)
def test_places(after, names):
    model = residual()
    copy = insert_attention(model, after=after)
    assert sorted(inserted(model, copy)) == sorted(names)
    graph = edges(copy)
    for name in names:
        assert graph[name] == [name.removesuffix("_se")]
        followers = {key for key, inputs in edges(model).items() if graph[name][0] in inputs}
        assert {key for key, inputs in graph.items() if name in inputs} == followers


@once
def test_the_residual_rule_weighs_the_edge_into_the_addition_only():
    image = keras.Input((6, 6, 3))  # Its layer has a name of its own, unlike the tensor.
    stem = layers.Conv2D(4, 3, name="stem")(image)
    branch = layers.Conv2D(4, 3, padding="same", name="branch")(stem)
    model = keras.Model(image, [layers.Add(name="add")([branch, stem]), branch])
    copy = insert_attention(model)
    assert edges(copy)["add"] == ["branch_se", "stem"]
    assert copy.output_names == ["add", "branch"] == model.output_names
    followed = insert_attention(model, after="branch")
    assert followed.output_names == ["add", "branch_se"]
    operation = keras.Model(image, branch + stem)
    assert inserted(operation, insert_attention(operation)) == ["branch_se"]


@once
def test_blocks_that_are_models(generator):
    """A nested model counts by its layers, is copied as well, and gets its own blocks."""
    image = keras.Input((6, 6, 3), name="image")
    branch = keras.Sequential([layers.Conv2D(4, 3, padding="same", name=f"c{i}") for i in range(3)])
    x = layers.Conv2D(4, 1, name="short")(image)
    x = layers.BatchNormalization(name="short_bn")(x)
    model = keras.Model(image, layers.Add(name="add")([branch(image), x]))
    copy = insert_attention(model)
    assert inserted(model, copy) == [f"{branch.name}_se"]
    assert_kept(model, copy)
    nested = keras.Sequential([keras.Input((6, 6, 3)), residual(), layers.Flatten()])
    copy = insert_attention(nested)
    inner = copy.get_layer("residual")
    assert inserted(nested.get_layer("residual"), inner) == ["b_bn_se"]
    assert_kept(nested.get_layer("residual"), inner)
    for weight in inner.get_layer("b_bn_se").weights:  # Gates of one: as the old model.
        weight.assign(np.full(weight.shape, 40.0 if weight.path.endswith("excite/bias") else 0.0))
    image = generator.normal(size=(2, 6, 6, 3)).astype("float32")
    old, new = nested.predict_on_batch(image), copy.predict_on_batch(image)
    np.testing.assert_allclose(new, old, atol=1e-5)


@once
def test_additions_that_are_no_residual_blocks():
    left, right = keras.Input((6, 6, 3)), keras.Input((6, 6, 3))
    convolution = layers.Conv2D(3, 1)
    apart = keras.Model([left, right], layers.Add()([convolution(left), right]))
    same = layers.Add()([layers.Conv2D(3, 1)(left), layers.Conv2D(3, 1)(left)])
    three = layers.Add()([layers.ReLU()(left), left, left])
    wide = layers.Add()([layers.AveragePooling2D(6)(left), left])
    for model in (apart, *(keras.Model(left, x) for x in (same, three, wide))):
        with pytest.raises(ValueError, match="no addition"):
            insert_attention(model)
