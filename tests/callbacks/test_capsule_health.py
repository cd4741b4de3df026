"""The figures are those of the layers, and what is off is told in one line, with a remedy."""

import csv

import keras
import numpy as np
import pytest
from conftest import once_under_torch

from keras_capsules import (
    CapsuleHealth,
    CapsuleLayer,
    CapsuleLength,
    ConvCapsule2D,
    DeadCapsuleRate,
    MarginLoss,
    PrimaryCapsule2D,
    SpreadLoss,
    SpreadMarginSchedule,
    create_model,
)
from keras_capsules.datasets import digits
from keras_capsules.explain import coupling_statistics

NUMBERS = np.arange(128) % 4
Y = np.eye(4, dtype="float32")[NUMBERS]


@pytest.fixture
def x(generator):
    """Images of four classes: each has a bright quarter."""
    images = generator.uniform(0, 0.3, size=(128, 8, 8, 1)).astype("float32")
    for image, number in zip(images, NUMBERS, strict=True):
        row, column = 4 * (number // 2), 4 * (number % 2)
        image[row : row + 4, column : column + 4] += 0.7
    return images


@pytest.fixture
def noise(generator):
    """Images that say nothing about the labels."""
    return generator.uniform(size=(128, 8, 8, 1)).astype("float32")


def network(optimizer="adam", loss=None, **options):
    image = keras.Input((8, 8, 1))
    features = keras.layers.Rescaling(4.0)(image)
    poses = PrimaryCapsule2D(4, 4, 4, strides=2, name="primary_capsules")(features)
    poses = CapsuleLayer(4, 6, name="class_capsules", **options)(poses)
    model = keras.Model(image, CapsuleLength(name="scores")(poses))
    model.compile(optimizer, loss or MarginLoss())
    return model


def matrix_network(optimizer="adam"):
    image = keras.Input((8, 8, 1))
    options = {"explicit_activations": True, "activation": None, "name": "primary_capsules"}
    x = PrimaryCapsule2D(2, 4, 4, strides=2, **options)(image)
    x = ConvCapsule2D(3, 4, 2, routing="em", transform="matrix", name="convolutional")(x)
    x = CapsuleLayer(4, 4, routing="em", name="class_capsules")(x)
    model = keras.Model(image, x[1])
    model.compile(optimizer, SpreadLoss())
    return model


def still():
    """An optimizer that leaves all weights as they are."""
    return keras.optimizers.SGD(0.0)


def watch(model, x, y=Y, epochs=1, health=None, callbacks=(), **options):
    health = health or CapsuleHealth(x, y)
    history = model.fit(x, y, epochs=epochs, verbose=0, callbacks=[health, *callbacks], **options)
    return {name: values[-1] for name, values in history.history.items()}


def lines(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if line]


def test_the_figures_are_those_of_the_trained_layers(x):
    model = network()
    found = watch(model, x, health=CapsuleHealth(x[:32], Y[:32]))
    poses = keras.Model(model.input, model.get_layer("primary_capsules").output)
    for name, of_layer in (("primary_capsules", poses), ("class_capsules", model)):
        rate = DeadCapsuleRate()
        rate.update_state(of_layer.predict(x[:32], verbose=0))
        assert found[f"{name}/dead"] == pytest.approx(float(rate.result()))
    statistics = coupling_statistics(model, x[:32])["class_capsules"]
    assert found["class_capsules/coupling_entropy"] == pytest.approx(statistics.entropy, rel=1e-4)
    loss = model.evaluate(x[:32], Y[:32], verbose=0)
    assert found["scores/loss"] == pytest.approx(loss, rel=1e-4)
    mean = np.broadcast_to(model.predict(x[:32], verbose=0).mean(axis=0), (32, 4))
    constant = float(MarginLoss()(Y[:32], np.array(mean)))
    assert found["scores/constant_loss"] == pytest.approx(constant, rel=1e-4)


def test_the_gradient_is_the_step_of_gradient_descent(x):
    model = network(keras.optimizers.SGD(0.01))
    health = CapsuleHealth(x[:64], Y[:64])
    found = watch(model, x[:64], Y[:64], batch_size=64, health=health)
    before = [layer.get_weights() for layer in model.layers]
    model.fit(x[:64], Y[:64], batch_size=64, verbose=0)
    for layer, old in zip(model.layers, before, strict=True):
        if old:
            step = sum(
                np.sum(np.square(a - b)) for a, b in zip(layer.get_weights(), old, strict=True)
            )
            expected = np.sqrt(step) / 0.01
            assert found[f"{layer.name}/gradient"] == pytest.approx(expected, rel=2e-2)


def test_watching_changes_nothing(x):
    weights = []
    for health in ([], [CapsuleHealth(x, Y)]):
        keras.utils.set_random_seed(1)
        model = network()
        model.fit(x, Y, epochs=2, verbose=0, callbacks=health)
        weights.append(model.get_weights())
    for plain, watched in zip(*weights, strict=True):
        np.testing.assert_array_equal(plain, watched)


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


def test_explicit_activations_and_convolutions_of_capsules(x):
    found = watch(matrix_network(), x)
    names = ("primary_capsules", "convolutional", "class_capsules")
    for name in names:
        assert 0 <= found[f"{name}/dead"] <= 1 and 0 <= found[f"{name}/saturated"] <= 1
        assert found[f"{name}/gradient"] > 0
    entropies = [f"{name}/coupling_entropy" for name in names[1:]]
    assert all(0 < found[name] <= 1 for name in entropies)
    assert "primary_capsules/coupling_entropy" not in found


def test_the_gradient_follows_the_margin(x):
    """A compiled function would keep the first margin."""
    callbacks = [SpreadMarginSchedule(epochs=1)]
    model = matrix_network(still())
    history = model.fit(
        x, Y, epochs=2, verbose=0, callbacks=[*callbacks, CapsuleHealth(x, Y)]
    ).history
    first, second = history["class_capsules/gradient"]
    assert second > 1.5 * first


@pytest.mark.parametrize("x_has_labels", [True, False])
def test_a_model_with_a_decoder(x, x_has_labels):
    sizes = {"input_shape": (8, 8, 1), "num_classes": 4, "filters": 4, "kernel_size": 3}
    sizes |= {"primary_capsules": 2, "primary_kernel_size": 3, "decoder_units": (8,)}
    model = create_model("capsnet", with_decoder=True, **sizes)
    model.compile("adam", {"scores": MarginLoss(), "reconstruction": "mse"})
    inputs, labels = {"image": x, "label": Y}, {"scores": Y, "reconstruction": x}
    health = CapsuleHealth(inputs, labels) if x_has_labels else CapsuleHealth({"image": x})
    found = watch(model, inputs, labels, health=health, epochs=1)
    assert "class_capsules/dead" in found
    if x_has_labels:
        assert found["reconstruction/gradient"] > 0
        assert found["scores/loss"] < found["scores_loss"] + 0.1
    else:
        assert not [name for name in found if name.endswith("/gradient")]


def test_without_labels_and_in_a_sequential_model(x):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            PrimaryCapsule2D(4, 4, 4, strides=2, name="primary_capsules"),
            CapsuleLayer(4, 6, name="class_capsules"),
            CapsuleLength(),
        ]
    )
    model.compile("adam", MarginLoss())
    found = watch(model, x, health=CapsuleHealth(x))
    assert set(found) - {"loss"} == {
        "primary_capsules/dead",
        "primary_capsules/saturated",
        "class_capsules/dead",
        "class_capsules/saturated",
        "class_capsules/coupling_entropy",
    }


def test_numbers_as_labels(x):
    model = network(loss="sparse_categorical_crossentropy")
    found = watch(model, x, NUMBERS, epochs=2)
    assert np.isfinite(found["scores/loss"])


def test_loggers_that_come_later_have_the_figures(x, tmp_path):
    found = watch(
        network(), x, epochs=2, callbacks=[keras.callbacks.CSVLogger(tmp_path / "log.csv")]
    )
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for name in ("class_capsules/dead", "class_capsules/coupling_entropy", "scores/loss"):
        assert float(rows[1][name]) == pytest.approx(found[name])


def test_tensorboard_has_the_figures(x, tmp_path):
    pytest.importorskip("tensorboard")
    watch(network(), x, callbacks=[keras.callbacks.TensorBoard(tmp_path)])
    events = b"".join(path.read_bytes() for path in tmp_path.rglob("events*"))
    assert b"epoch_class_capsules/dead" in events and b"primary_capsules/gradient" in events


def test_more_than_64_samples_are_thinned_out(x):
    health = CapsuleHealth({"image": x}, Y)
    assert health.x["image"].shape == (64, 8, 8, 1) and health.y.shape == (64, 4)
    np.testing.assert_array_equal(health.x["image"][[0, -1]], x[[0, -1]])


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


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((4, 2)), np.ones((3, 2)), "4, 3 samples"),
        (np.ones((0, 2)), None, "at least one sample"),
        (iter([]), None, "take a batch"),
    ],
)
def test_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        CapsuleHealth(x, y)


def test_models_that_cannot_be_watched_are_refused(x):
    model = create_model("cnn_baseline", size="tiny", input_shape=(8, 8, 1), num_classes=4)
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="layers of capsules.*cnn_baseline"):
        watch(model, x)

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def call(self, inputs):
            return self.inner(inputs)

    model = Subclassed()
    model.compile("adam", MarginLoss())
    with pytest.raises(ValueError, match="functional or sequential"):
        watch(model, x)
