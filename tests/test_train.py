"""Training by recipe: what a kill interrupts goes on to the very end it would have had."""

import importlib
import json
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import BACKENDS, ROOT, once, once_under_torch

from examples import train
from keras_capsules import datasets, list_models

pytestmark = pytest.mark.slow

# A run on few random images; argv[1] is the epoch in whose middle it is killed, or "never".
TRAIN = """
import os, signal, sys
import keras
import numpy as np
from examples import train
from examples.recipes import efficient_capsnet_mnist as recipe

when, folder, *more = sys.argv[1:]
if more:  # Adam takes long steps along gradients that are zero but for rounding.
    keras.optimizers.Adam = keras.optimizers.SGD
generator = np.random.default_rng(0)
images = generator.integers(256, size=(48, 28, 28, 1)).astype("uint8")
labels = generator.integers(10, size=48)
recipe.data = lambda: ((images, labels), (images, labels))
recipe.BATCH_SIZE = 16
recipe.ARGUMENTS = dict(filters=(8, 16), kernel_sizes=(5, 3), strides=(2, 2), primary_capsules=4)
recipe.DECODER = dict(decoder_units=(16,))
transform, calls = recipe.transform, []

def counted(*arguments):
    calls.append(1)
    if when != "never" and len(calls) > 3 * int(when) + 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return transform(*arguments)

recipe.transform = counted
sys.argv[1:] = ["--model", "efficient_capsnet", "--dataset", "mnist", "--epochs", "3",
                "--output", folder, "--seed", "5", *more]
sys.exit(train.main())
"""


@once
def test_the_rate_falls_to_zero_at_each_end():
    def cosine(start, end, rate):
        return rate * (1 + np.cos(np.pi * np.arange(end - start) / (end - start))) / 2

    rise = 0.2 * np.arange(5) / 5
    expected = np.concatenate([rise, cosine(5, 20, 0.2), cosine(20, 30, 0.1), cosine(30, 70, 0.1)])
    schedule = train.CosineWithRestarts(0.2, 5, (20, 30, 70))
    schedule = train.CosineWithRestarts.from_config(schedule.get_config())
    rates = [float(schedule(step)) for step in range(70)]
    np.testing.assert_allclose(rates, expected, atol=1e-6)
    assert abs(float(schedule(70))) < 1e-6


def run(when, folder, *options, **environment):
    return subprocess.run(
        [sys.executable, "-c", TRAIN, when, folder, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )


def weights(folder):
    import h5py

    found = {}
    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(
            lambda name, item: (
                found.update({name: np.asarray(item)}) if hasattr(item, "dtype") else None
            )
        )
    return found


@once
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_killed_run_ends_where_an_unbroken_one_does(backend, tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    result = run("never", unbroken, KERAS_BACKEND=backend)
    assert result.returncode == 0, result.stderr
    assert "accuracy on the test images" in result.stdout
    assert run("1", broken, KERAS_BACKEND=backend).returncode == -signal.SIGKILL
    assert not (broken / "model.weights.h5").exists()
    result = run("never", broken, KERAS_BACKEND=backend)
    assert result.returncode == 0, result.stderr
    expected, found = weights(unbroken), weights(broken)
    assert expected.keys() == found.keys() and len(found) > 10
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    epochs = [line.split(",")[0] for line in (broken / "log.csv").read_text().splitlines()]
    assert epochs == ["epoch", "0", "1", "2"]


def test_averaged_weights_are_stored_beside_the_last_ones(monkeypatch, tmp_path, generator):
    from examples.recipes import cnn_baseline_micro_mnist as recipe

    steps = []

    class Recorder(keras.callbacks.CSVLogger):
        def on_epoch_end(self, epoch, logs=None):
            steps.append([np.array(weight) for weight in self.model.trainable_weights])

    images = generator.integers(256, size=(8, 28, 28, 1)).astype("uint8")
    labels = generator.integers(10, size=8)
    monkeypatch.setattr(recipe, "data", lambda: ((images, labels), (images, labels)))
    monkeypatch.setattr(recipe, "BATCH_SIZE", 8)
    monkeypatch.setattr(keras.callbacks, "CSVLogger", Recorder)
    arguments = ["--model", "cnn_baseline", "--dataset", "micro_mnist", "--epochs", "3"]
    assert train.main([*arguments, "--output", str(tmp_path), "--average", "0.9"]) == 0
    model = train.build("cnn_baseline", recipe)
    model.load_weights(tmp_path / "model.weights.h5")
    for weight, last in zip(model.trainable_weights, steps[-1], strict=True):
        np.testing.assert_array_equal(weight, last)
    model.load_weights(tmp_path / "average.weights.h5")
    each = zip(model.trainable_weights, zip(*steps, strict=True), strict=True)
    for weight, (first, second, third) in each:
        expected = 0.9 * (0.9 * first + 0.1 * second) + 0.1 * third
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-7)


@once
def test_a_momentum_out_of_range_is_refused(capsys):
    arguments = ["--model", "cnn_baseline", "--dataset", "mnist", "--average", "1"]
    with pytest.raises(SystemExit):
        train.main(arguments)
    assert "--average 1.0 is not a momentum" in capsys.readouterr().err


@once
@pytest.mark.parametrize("option", ["--seed=6", "--epochs=4", "--average=0.9", "--mixed-precision"])
def test_a_run_does_not_go_on_with_other_settings(option, tmp_path, capsys):
    arguments = ["--model", "cnn_baseline", "--dataset", "mnist", "--output", str(tmp_path)]
    settings = {"epochs": 3, "seed": 5, "mixed_precision": False, "average": None}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(SystemExit):
        train.main([*arguments, "--seed=5", "--epochs=3", option])
    assert f"the run in {tmp_path} began with {settings}" in capsys.readouterr().err


def on_devices(number, when, folder):
    """Runs under JAX on so many simulated devices."""
    flags = f"--xla_force_host_platform_device_count={number}"
    return run(when, folder, "--data-parallel", KERAS_BACKEND="jax", XLA_FLAGS=flags)


@once
@pytest.mark.distributed
def test_a_run_goes_on_with_another_number_of_devices(tmp_path):
    """It is killed on four devices, goes on with two, and ends as an unbroken run on one does."""
    pytest.importorskip("jax")
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    result = on_devices(1, "never", unbroken)
    assert result.returncode == 0, result.stderr
    assert on_devices(4, "1", broken).returncode == -signal.SIGKILL
    result = on_devices(2, "never", broken)
    assert result.returncode == 0, result.stderr
    expected, found = weights(unbroken), weights(broken)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=1e-5, err_msg=name)
    result = on_devices(3, "never", broken)
    assert result.returncode == 2 and "3 devices do not divide batches of 16" in result.stderr


RECIPES = sorted(path.stem for path in train.RECIPES.glob("[!_]*.py"))


@once_under_torch
@pytest.mark.parametrize("name", RECIPES)
def test_recipes_make_batches_that_their_models_take(name, generator):
    recipe = importlib.import_module(f"examples.recipes.{name}")
    model = train.build(next(model for model in list_models() if name.startswith(model)), recipe)
    recipe.compile(model, 1e-3)
    shape = [size or 12 for size in recipe.ARGUMENTS["input_shape"]]
    if "multi" in name:
        shape = [28, 28, 1]
    images = generator.integers(256, size=(8, *shape)).astype("uint8")
    labels = np.arange(8) % recipe.ARGUMENTS["num_classes"]
    if "shapes" in name:
        labels = generator.integers(recipe.ARGUMENTS["num_classes"], size=(8, *shape[:2]))
    batch = recipe.transform(images, labels, generator)
    assert np.isfinite(keras.tree.flatten(model.train_on_batch(*batch))[0])
    if "multi" in name:
        images, _, labels = datasets.overlap(images, labels, generator)
    assert 0 <= recipe.accuracy(model, images, labels) <= 1
