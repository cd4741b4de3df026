"""The figures are those of the layers, in each kind of model and with each kind of labels."""

import csv

import keras
import numpy as np
import pytest

from keras_capsules import (
    CapsuleHealth,
    CapsuleLayer,
    CapsuleLength,
    DeadCapsuleRate,
    MarginLoss,
    PrimaryCapsule2D,
    SpreadMarginSchedule,
    create_model,
)
from keras_capsules.explain import coupling_statistics
from tests.callbacks.watched import NUMBERS, Y, matrix_network, network, still, watch


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
