"""What the copy of a model takes over from it: dtypes, structures, names and state."""

import keras
import numpy as np
from conftest import once
from keras import layers

from keras_capsules import SqueezeExcitation, insert_attention
from tests.surgery.residual import assert_kept, inserted


@once
def test_a_block_takes_dtype_and_data_format_of_its_place():
    image = keras.Input((3, 6, 6), name="image")
    options = {"padding": "same", "data_format": "channels_first"}
    stem = layers.Conv2D(4, 3, dtype="mixed_float16", name="stem", **options)(image)
    x = layers.BatchNormalization(axis=1, dtype="mixed_float16", name="bn")(stem)
    model = keras.Model(image, layers.Add(name="add")([stem, x]))
    model.get_layer("stem").trainable = False
    prototype = SqueezeExcitation(2, use_bias=False, data_format="channels_last", name="mine")
    copy = insert_attention(model, prototype)
    block = copy.get_layer("bn_se")
    assert block is not prototype and not prototype.built and block.reduction_ratio == 2
    assert block.dtype_policy.name == "mixed_float16" and block.data_format == "channels_first"
    assert block.output.dtype == "float16" and block.reduce.kernel.shape == (1, 1, 4, 2)
    assert block.trainable
    assert_kept(model, copy)
    assert copy.get_layer("stem").dtype_policy.name == "mixed_float16"


@once
def test_structures_and_names_of_inputs_and_outputs_stay(generator):
    inputs = {key: keras.Input((6, 6, 3), name=key) for key in ("left", "right")}
    x = layers.Conv2D(4, 3, name="stem")(inputs["left"])
    x = layers.Add(name="add")([x, layers.Conv2D(4, 1, name="conv")(x)])
    both = layers.Concatenate(name="both")([x, layers.Conv2D(1, 3, name="small")(inputs["right"])])
    model = keras.Model(inputs, {"z": both, "a": x}, name="several")
    copy = insert_attention(model, "simam")
    assert copy.name == "several" and inserted(model, copy) == ["conv_simam"]
    images = {key: generator.normal(size=(2, 6, 6, 3)).astype("float32") for key in inputs}
    outputs = copy(images)
    assert list(outputs) == list(model(images)) and outputs["z"].shape == (2, 4, 4, 5)
    assert copy.output_names == model.output_names
    assert [layer.name for layer in copy.layers[:2]] == [layer.name for layer in model.layers[:2]]


@once
def test_adapted_layers_and_a_second_insertion(generator):
    images = generator.normal(3.0, 2.0, size=(4, 6, 6, 3)).astype("float32")
    normalization = layers.Normalization(name="normalize")
    normalization.adapt(images)
    model = keras.Sequential([keras.Input((6, 6, 3)), normalization, layers.ReLU(name="relu")])
    copy = insert_attention(model, "se", after="relu")
    assert_kept(model, copy)
    features = keras.Model(copy.input, copy.get_layer("relu").output)
    np.testing.assert_array_equal(features(images), model(images))
    again = insert_attention(copy, "se", after="relu")
    assert [layer.name for layer in again.layers][-2:] == ["relu_2_se", "relu_se"]
