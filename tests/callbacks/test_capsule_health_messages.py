"""What is off in a training is told in one line, with a remedy."""

import keras
import numpy as np
import pytest
from conftest import once_under_torch

from keras_capsules import CapsuleLayer, CapsuleLength, MarginLoss, PrimaryCapsule2D, create_model
from keras_capsules.datasets import digits
from tests.callbacks.watched import NUMBERS, Y, lines, matrix_network, network, still, watch


@once_under_torch
def test_a_healthy_training_prints_nothing(capsys):
    pytest.importorskip("sklearn")
    (images, labels), _ = digits()
    images, labels = images[:600], keras.utils.to_categorical(labels[:600], 10)
    sizes = {"filters": 16, "kernel_size": 3, "primary_capsules": 4, "primary_kernel_size": 3}
    model = create_model("capsnet", input_shape=images.shape[1:], **sizes)
    model.compile("adam", MarginLoss())
    found = watch(model, images.astype("float32") / images.max(), labels, epochs=3)
    assert lines(capsys) == []
    assert found["scores/loss"] < 0.9 * found["scores/constant_loss"]


def test_dead_class_capsules_are_told_once(x, capsys):
    model = network(still(), kernel_initializer="zeros")
    found = watch(model, x, epochs=4)
    (line,) = lines(capsys)
    assert "class_capsules: 4 of 4 capsules are dead" in line
    assert 'kernel_initializer="vote_scaling"' in line
    assert found["class_capsules/dead"] == 1
    watch(model, x)
    assert len(lines(capsys)) == 1  # A second training is told again.


def test_features_too_small_are_told_of_the_lowest_layer(x, capsys):
    found = watch(network(still()), 1e-3 * x, epochs=2)
    (line,) = lines(capsys)
    assert "primary_capsules: 36 of 36 capsules are dead" in line
    assert "normalize" in line
    assert found["class_capsules/dead"] == 1


def test_saturated_capsules_are_told(x, capsys):
    model = network(still(), kernel_initializer=keras.initializers.RandomNormal(stddev=300.0))
    found = watch(model, x)
    (line,) = lines(capsys)
    assert "class_capsules" in line and "saturated" in line and "vote_scaling" in line
    assert found["class_capsules/saturated"] >= 0.5 and found["class_capsules/dead"] == 0


@once_under_torch
def test_long_poses_that_are_not_squashed_are_not_saturated(x, capsys):
    model = network(loss="categorical_crossentropy", routing="inverted_dot_product")
    found = watch(model, x)
    assert model.predict(x, verbose=0).min() > 1
    assert found["class_capsules/saturated"] == 0
    assert not [line for line in lines(capsys) if "saturated" in line]


def test_nan_is_told_of_the_lowest_layer(x, capsys):
    model = network(still())
    kernel = model.get_layer("primary_capsules").convolution.kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    found = watch(model, x, epochs=2)
    (line,) = lines(capsys)
    assert "primary_capsules: its activations are not finite" in line and "clipnorm" in line
    assert np.isnan(found["class_capsules/dead"])


@once_under_torch
@pytest.mark.parametrize("build", [network, matrix_network])
def test_a_constant_answer_is_told(build, noise, capsys):
    watch(build(still()), noise, epochs=1)
    assert lines(capsys) == []  # One epoch may be too short.
    watch(build(still()), noise, epochs=4)
    (line,) = lines(capsys)
    assert "Epoch 2: scores: for 2 epochs no better" in line and "learning rate" in line


def test_labels_that_do_not_belong_to_their_samples_are_told(noise, capsys):
    watch(network(keras.optimizers.Adam(1e-3)), noise, epochs=3)
    assert [line for line in lines(capsys) if "labels belong to their samples" in line]


@once_under_torch
def test_right_scores_that_are_too_sure_are_no_constant_answer(x, capsys):
    """Their cross-entropy is above that of a constant answer."""
    image = keras.Input((8, 8, 1))
    poses = PrimaryCapsule2D(2, 4, 4, strides=2)(image)
    scores = keras.layers.Dense(4, name="logits")(keras.layers.Flatten()(poses))
    model = keras.Model(image, scores)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(x, Y, epochs=15, verbose=0)
    for weight in model.get_layer("logits").weights:
        weight.assign(1000 * weight)
    wrong = np.roll(Y, 1, axis=1)
    wrong[:96] = Y[:96]  # Three of four samples have their right label.
    model.compile(still(), loss)
    found = watch(model, x, wrong, epochs=3)
    assert found["scores/loss"] > found["scores/constant_loss"]
    assert lines(capsys) == []


class Stop(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.stop_gradient(inputs)


def test_a_layer_without_a_gradient_is_told(x, capsys):
    image = keras.Input((8, 8, 1))
    poses = PrimaryCapsule2D(4, 4, 4, strides=2, name="primary_capsules")(image)
    poses = Stop()(poses)
    model = keras.Model(image, CapsuleLength()(CapsuleLayer(4, 6, name="class_capsules")(poses)))
    model.compile("adam", MarginLoss())
    found = watch(model, x)
    assert "primary_capsules: the gradient is zero" in lines(capsys)[0]
    assert found["primary_capsules/gradient"] == 0 < found["class_capsules/gradient"]


@pytest.mark.parametrize("head", ["logits", "softmax"])
def test_a_loss_that_does_not_fit_the_scores_is_told(x, head):
    classes = 4 if head == "logits" else 20
    image = keras.Input((8, 8, 1))
    poses = keras.layers.Flatten()(PrimaryCapsule2D(2, 4, 4, strides=2)(image))
    activation = None if head == "logits" else "softmax"
    model = keras.Model(image, keras.layers.Dense(classes, activation=activation)(poses))
    model.compile("adam", MarginLoss())
    labels = np.eye(classes, dtype="float32")[NUMBERS]
    with pytest.warns(UserWarning, match=f"{head}.*CategoricalCrossentropy") as warned:
        watch(model, x, labels, epochs=2)
    assert len([w for w in warned if "MarginLoss" in str(w.message)]) == 1
