"""The margin that training uses is the one that the schedule asks for."""

import keras
import numpy as np
import pytest
from conftest import once

from keras_capsules import MarginLoss, SpreadLoss, SpreadMarginSchedule

LABELS = np.eye(3, dtype="float32")[[0, 1, 2, 0]]
SCORES = np.full((4, 3), 0.5, "float32")


def spread(margin):
    """The loss of equal scores: two wrong classes, each behind by nothing."""
    return 2 * margin**2


def model_of_constant_scores(**options):
    """A model that training does not move: what changes its loss is the margin."""
    scale = keras.layers.Dense(3, "relu", kernel_initializer="identity")
    model = keras.Sequential([keras.Input((3,)), scale])
    model.compile(keras.optimizers.SGD(0.0), SpreadLoss(), **options)
    return model


def fit(model, schedule, **options):
    return model.fit(
        SCORES,
        LABELS,
        batch_size=4,
        verbose=0,
        callbacks=[schedule],
        validation_data=(SCORES, LABELS),
        **options,
    ).history


@once
def test_the_margin_changes_the_loss_with_xla():
    """Keras' default for TensorFlow on a GPU, and for JAX anywhere."""
    model = model_of_constant_scores(jit_compile=True)
    history = fit(model, SpreadMarginSchedule(epochs=1), epochs=2)
    expected = [spread(0.2), spread(0.9)]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], expected, rtol=1e-5)


def test_the_margin_changes_the_loss_during_fit(tmp_path):
    model = model_of_constant_scores()
    schedule = SpreadMarginSchedule(epochs=2)
    history = fit(model, schedule, epochs=4)
    expected = [spread(margin) for margin in (0.2, 0.55, 0.9, 0.9)]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(history["margin"], [0.2, 0.55, 0.9, 0.9])
    np.testing.assert_allclose(model.evaluate(SCORES, LABELS, verbose=0), spread(0.9), rtol=1e-5)

    history = fit(model, schedule, epochs=1)  # A second training starts again.
    np.testing.assert_allclose(history["loss"], [spread(0.2)], rtol=1e-5)
    history = fit(model, schedule, epochs=3, initial_epoch=1)  # A resumed one goes on.
    np.testing.assert_allclose(history["loss"], [spread(0.55), spread(0.9)], rtol=1e-5)

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.loss.margin == pytest.approx(0.9)
    history = fit(again, schedule, epochs=2, initial_epoch=1)
    np.testing.assert_allclose(history["loss"], [spread(0.55)], rtol=1e-5)


def test_only_a_new_margin_compiles_again(monkeypatch):
    model, compiled = model_of_constant_scores(), []
    original = model.make_train_function
    monkeypatch.setattr(
        model, "make_train_function", lambda force=False: (compiled.append(force), original(force))
    )
    fit(model, SpreadMarginSchedule(epochs=2), epochs=6)
    assert compiled.count(True) == 2


def test_one_loss_of_several():
    poses = keras.Input((3,))
    outputs = {"a": keras.layers.Dense(3, "sigmoid", name="a")(poses), "b": poses}
    model = keras.Model(poses, outputs)
    model.compile("sgd", {"a": SpreadLoss(), "b": "mse"})
    labels = {"a": LABELS, "b": SCORES}
    model.fit(SCORES, labels, verbose=0, callbacks=[SpreadMarginSchedule(1, start=0.4)])
    assert model.loss["a"].margin == 0.4


def test_curves():
    linear = SpreadMarginSchedule(epochs=7)
    np.testing.assert_allclose([linear.margin(e) for e in (0, 1, 7, 99)], [0.2, 0.3, 0.9, 0.9])
    released = SpreadMarginSchedule(epochs=400_000, end=0.99, curve="sigmoid")
    for step in (0, 50_000, 200_000, 400_000, 700_000, 10_000_000):
        expected = 0.2 + 0.79 / (1 + np.exp(-min(10, step / 50_000 - 4)))
        np.testing.assert_allclose(released.margin(step), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 2.5}, "epochs=2.5"),
        ({"epochs": 2, "start": 0.0}, "start=0.0"),
        ({"epochs": 2, "end": 1.2}, "end=1.2"),
        ({"epochs": 2, "curve": "cosine"}, "cosine"),
    ],
)
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SpreadMarginSchedule(**options)


def test_a_model_without_a_spread_loss_is_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", MarginLoss())
    with pytest.raises(ValueError, match="Compile the model.*MarginLoss"):
        model.fit(SCORES, LABELS, verbose=0, callbacks=[SpreadMarginSchedule(epochs=2)])


@pytest.mark.parametrize("several", [False, True])
def test_a_last_layer_without_activation_is_told(several):
    """On every backend: the model says it, and no values are needed."""
    poses = keras.Input((3,))
    logits = keras.layers.Dense(3, name="logits")(poses)
    model = keras.Model(poses, {"scores": logits, "same": poses} if several else logits)
    model.compile("sgd", {"scores": SpreadLoss(), "same": "mse"} if several else SpreadLoss())
    labels = {"scores": LABELS, "same": SCORES} if several else LABELS
    with pytest.warns(UserWarning, match="'logits'.*no activation.*CategoricalCrossentropy"):
        model.fit(SCORES, labels, verbose=0, callbacks=[SpreadMarginSchedule(epochs=2)])


def test_scores_in_range_are_not_told(recwarn):
    fit(model_of_constant_scores(), SpreadMarginSchedule(epochs=2))
    assert not [warning for warning in recwarn if "SpreadLoss" in str(warning.message)]
