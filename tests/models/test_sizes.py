"""Models of the zoo at the sizes of photographs."""

import warnings

import keras
import numpy as np
import pytest
from conftest import SMALL, once

from keras_capsules import create_model, list_models
from keras_capsules.models import default_loss, registry

# The largest image that a network of small images takes as it is.
LARGEST = {name: 40 for name in list_models(task="images")} | {
    name: 64 for name in ("deepcaps", "se_resnet20", "se_resnet32", "se_resnet56")
}
LARGEST.pop("se_resnet50")  # It is made for 224 x 224.


def halvings(model):
    return sum(
        layer.name.startswith("halving_") and isinstance(layer, keras.layers.Conv2D)
        for layer in model.layers
    )


def small(name, size, **options):
    return create_model(name, **SMALL | {"input_shape": (size, size, 3)} | options)


@once
@pytest.mark.parametrize("name", LARGEST)
def test_sizes_of_the_papers_are_left_and_larger_ones_halved(name):
    largest = LARGEST[name]
    for size, expected in (
        (28, 0),
        (largest, 0),
        (largest + 1, 1),
        (224, 3 if largest == 40 else 2),
    ):
        model = small(name, size)
        assert halvings(model) == expected, size
        assert -(-size // 2**expected) <= largest
    model = create_model(name, **SMALL | {"input_shape": (30, largest + 1, 1), "halvings": 0})
    assert halvings(model) == 0
    assert halvings(small(name, 64, halvings=2)) == 2


@once
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LARGEST))
def test_parameters_of_the_papers_widths_stay_in_reach(name):
    """As many as at the largest size that is left as it is, and those of the halvings."""
    usual = create_model(name, input_shape=(LARGEST[name],) * 2 + (3,)).count_params()
    for size in (64, 96, 128, 224):
        count = create_model(name, input_shape=(size, size, 3)).count_params()
        assert count < usual + 3 * (9 * 32 * 32 + 4 * 32) + 9 * 32 * 256 * 9, size


@pytest.mark.parametrize("name", ["capsnet", "efficient_capsnet", "matrix_capsnet"])
def test_a_large_image_trains(generator, name):
    model = small(name, 96)
    x = generator.uniform(size=(12, 96, 96, 3)).astype("float32")
    x[:6, :48] = 0
    y = np.eye(3)[np.arange(12) // 6]
    model.compile(keras.optimizers.Adam(3e-3), default_loss(name))
    losses = model.fit(x, y, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@once
def test_a_model_that_is_too_large_says_what_it_costs(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        count = small("capsnet", 64).count_params()
    monkeypatch.setattr(registry, "_COSTLY", count)
    message = (
        rf"capsnet has {count:,} parameters for input_shape=\(64, 64, 3\), of which .*add_head"
    )
    with pytest.warns(UserWarning, match=message):
        small("capsnet", 64)


@once
@pytest.mark.parametrize("value", [-1, 1.5, "one"])
def test_halvings_out_of_range_are_refused(value):
    with pytest.raises(ValueError, match=f"`halvings` must be.*halvings={value!r}"):
        small("capsnet", 64, halvings=value)
