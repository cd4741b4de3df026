"""Models in half precision are explained as those in float32."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_capsules import CapsuleLayer, CapsuleLength, PrimaryCapsule2D, explain


def model_of(routing):
    image = keras.Input((12, 12, 1))
    x = layers.Conv2D(4, 3, activation="relu")(image)
    x = PrimaryCapsule2D(2, 4, 3, strides=2, explicit_activations=routing == "em")(x)
    x = CapsuleLayer(3, 4, routing=routing, name="classes")(x)
    scores = CapsuleLength(name="scores")(x) if routing != "em" else layers.Identity()(x[1])
    return keras.Model(image, scores)


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "mixed_bfloat16"])
def test_half_precision(generator, policy):
    """Maps stay those of the same weights in float32, also of a blank image."""
    images = generator.uniform(size=(3, 12, 12, 1)).astype("float32")
    images[0] = 0
    single = [model_of(routing) for routing in ("dynamic", "em")]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        for model, routing in zip(single, ("dynamic", "em"), strict=True):
            half = model_of(routing)
            half.set_weights(model.get_weights())
            for explanation in (explain.coupling_map, explain.grad_cam):
                expected = explanation(model, images, class_index=1)
                found = explanation(half, images, class_index=1)
                assert found.dtype == "float32"
                np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())
            assert np.isfinite(explain.coupling_statistics(half, images)["classes"]).all()
            assert len(explain.part_whole_tree(half, images)) == 3
    finally:
        keras.config.set_dtype_policy(before)
