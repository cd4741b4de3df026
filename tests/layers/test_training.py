"""Capsule layers train: alone, in a stack, and with every routing."""

import keras
import numpy as np
import pytest
from reference import routing as reference

import keras_capsules
from keras_capsules import CapsuleLayer, CapsuleLength, routing


@pytest.mark.slow
@pytest.mark.parametrize("children", [16, 1152])
def test_few_and_many_children_train_from_the_default_initializer(generator, children):
    model = keras.Sequential([keras.Input((children, 8)), CapsuleLayer(3, 16), CapsuleLength()])
    model.compile(keras.optimizers.Adam(1e-3), keras_capsules.MarginLoss())
    labels = np.arange(48) % 3
    prototypes = generator.normal(size=(3, children, 8))
    poses = prototypes[labels] + generator.normal(size=(48, children, 8))
    poses = reference.squash(poses).astype("float32")
    targets = np.eye(3, dtype="float32")[labels]
    losses = model.fit(poses, targets, epochs=40, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_stacked_capsule_layers_train(generator):
    model = keras.Sequential(
        [keras.Input((20, 4)), CapsuleLayer(12, 6), CapsuleLayer(8, 6), CapsuleLayer(3, 6)]
    )
    model.add(CapsuleLength())
    model.compile(keras.optimizers.Adam(1e-2), keras_capsules.MarginLoss())
    poses = generator.normal(size=(60, 20, 4)).astype("float32")
    labels = np.eye(3, dtype="float32")[np.abs(poses[..., :3]).sum(axis=1).argmax(axis=1)]
    losses = model.fit(poses, labels, epochs=12, batch_size=20, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(routing.ROUTINGS))
def test_every_routing_in_a_layer_trains_and_saves(generator, tmp_path, name):
    poses = keras.Input((9, 4), name="poses")
    activations = keras.layers.Dense(1, activation="sigmoid")(poses)
    activations = keras.layers.Reshape((9,))(activations)
    layer = CapsuleLayer(3, 4, routing=name)
    explicit = layer.routing.explicit_activations
    parents = layer((poses, activations) if explicit else poses)
    present = parents[1] if explicit else CapsuleLength()(parents)
    scores = keras.layers.Dense(3, activation="softmax")(present)
    model = keras.Model(poses, scores)
    model.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy")
    inputs = generator.normal(size=(30, 9, 4)).astype("float32")
    labels = np.eye(3)[np.abs(inputs[:, :, :3]).sum(axis=1).argmax(axis=1)]
    losses = model.fit(inputs, labels, epochs=8, batch_size=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict(inputs, verbose=0), model.predict(inputs, verbose=0), atol=1e-6
    )
