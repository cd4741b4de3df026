"""The weights that come with the library: whole, right, and refused when they are not."""

import importlib
import shutil

import keras
import numpy as np
import pytest
from conftest import ROOT, once, once_under_torch

from keras_capsules import create_model, datasets, list_models
from keras_capsules.models import card, examples, pretrained

SHIPPED = [(name, weights) for name in list_models() for weights in pretrained.names(name)]
MEGABYTE = 1e6


@once
def test_some_models_have_weights():
    assert ("efficient_capsnet", "mnist") in SHIPPED
    assert list_models(weights="mnist") == [name for name, data in SHIPPED if data == "mnist"]
    assert list_models("*caps*", weights="*") == sorted({n for n, _ in SHIPPED if "caps" in n})


@once
@pytest.mark.parametrize("name, weights", SHIPPED)
def test_a_card_says_what_the_weights_are(name, weights):
    found = card(name, weights)
    for field in ("task", "split", "metric", "command", "versions", "hardware", "data_licence"):
        assert found[field], field
    assert all(0.5 < value <= 1 for value in found["accuracy_by_seed"].values())
    for file in found["files"]:
        assert (pretrained.FOLDER / file).stat().st_size < 3 * MEGABYTE


@once
@pytest.mark.parametrize("name, weights", SHIPPED)
def test_the_page_says_what_the_card_says(name, weights):
    accuracy = card(name, weights)["accuracy_by_seed"]["0"]
    row = f"| `{name}` | `{weights}` | {accuracy:.2%}".replace("%", " %")
    assert row in (ROOT / "docs/models.md").read_text()


@pytest.mark.parametrize("name, weights", SHIPPED)
def test_a_model_gives_the_scores_that_were_stored_with_its_weights(name, weights):
    vectors = examples(name, weights)
    model = create_model(name, weights=weights)
    scores = model.predict(vectors[model.inputs[0].name], verbose=0)
    np.testing.assert_allclose(scores, vectors["scores"], rtol=0, atol=1e-5)


@pytest.mark.slow
@once
@pytest.mark.parametrize("name", list_models(weights="mnist"))
def test_the_accuracy_on_the_card_is_that_on_the_test_digits(name, data):
    images, labels = datasets.mnist()[1]
    model = create_model(name, weights="mnist")
    scores = model.predict(images[:2000] / np.float32(255), batch_size=250, verbose=0)
    wrong = np.sum(scores.argmax(axis=1) != labels[:2000])
    # So many of 2,000 are wrong, at most, by a share of three times what the card says of 10,000.
    assert wrong <= 3 * 2000 * (1 - card(name, "mnist")["accuracy_by_seed"]["0"])


def test_the_decoder_draws_the_digit_again():
    model = create_model("efficient_capsnet", weights="mnist", with_decoder=True)
    vectors = examples("efficient_capsnet", "mnist")
    labels = keras.utils.to_categorical(vectors["scores"].argmax(axis=1), 10)
    drawn = model.predict({"image": vectors["image"], "label": labels}, verbose=0)
    error = np.mean((drawn["reconstruction"] - vectors["image"]) ** 2)
    assert error < 0.35 * np.var(vectors["image"])


def test_features_of_trained_weights():
    vectors = examples("efficient_capsnet", "mnist")
    features = create_model("efficient_capsnet", weights="mnist", include_top=False)
    whole = create_model("efficient_capsnet", weights="mnist")
    expected = keras.Model(whole.inputs, whole.get_layer("primary_capsules").output)
    assert features.output_shape == (None, 1, 1, 16, 8)
    found = [model.predict(vectors["image"], verbose=0) for model in (features, expected)]
    np.testing.assert_array_equal(*found)


@once
def test_weights_without_a_decoder_tell_how_to_train_one():
    with pytest.raises(ValueError, match="without those of a decoder.*with_decoder=True") as error:
        create_model("segcaps", weights="shapes", with_decoder=True)
    trained = create_model("segcaps", weights="shapes")
    options = card("segcaps", "shapes")["arguments"]
    model = create_model("segcaps", with_decoder=True, **options)
    eval(str(error.value).split("`")[5])
    x = np.random.default_rng(0).uniform(size=(2, *trained.input_shape[1:])).astype("float32")
    scores = model.get_layer("scores").output
    found = keras.Model(model.inputs[0], scores).predict(x, verbose=0)
    np.testing.assert_allclose(found, trained.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("ending", ["weights.h5", "decoder.npz", "examples.npz"])
def test_a_damaged_file_is_refused(tmp_path, monkeypatch, ending):
    shutil.copytree(pretrained.FOLDER, tmp_path / "weights")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "weights")
    path = tmp_path / "weights" / f"efficient_capsnet-mnist.{ending}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{ending} is damaged: its sha256 is"):
        if ending == "examples.npz":
            examples("efficient_capsnet", "mnist")
        else:
            create_model("efficient_capsnet", weights="mnist", with_decoder=True)


@once
def test_weights_that_do_not_fit_are_refused(tmp_path):
    damaged = tmp_path / "damaged.weights.h5"
    damaged.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="damaged.weights.h5 cannot be read"):
        create_model("efficient_capsnet", weights=str(damaged))
    with pytest.raises(ValueError, match="fit .*include_top=False.*'num_classes': 7"):
        create_model("efficient_capsnet", weights="mnist", num_classes=7)
    with pytest.raises(ValueError, match="capsnet': .*multi_mnist.*Received: weights='mnits'"):
        create_model("efficient_capsnet", weights="mnits")
    with pytest.raises(ValueError, match="There are: none"):
        card("capsnet", "mnist")
    with pytest.raises(ValueError, match="`size` must be 'tiny' or None"):
        create_model("capsnet", size="huge")


@once
@pytest.mark.parametrize("name, weights", SHIPPED)
def test_a_card_names_the_classes(name, weights):
    names = card(name, weights)["class_names"]
    assert len(set(names)) == card(name, weights)["arguments"]["num_classes"]
    recipe = importlib.import_module(f"examples.recipes.{name}_{weights}")
    assert names == recipe.CLASS_NAMES


PIXELS = [pair for pair in SHIPPED if card(*pair)["preprocessing"] is not None]


@once
def test_signals_have_no_preprocessing():
    for name, weights in set(SHIPPED) - set(PIXELS):
        with pytest.raises(ValueError, match=f"'{name}' takes signals.*weights='{weights}'"):
            create_model(name, weights, include_preprocessing=True)


@once_under_torch
@pytest.mark.parametrize("name, weights", PIXELS)
def test_preprocessing_inside_gives_the_same_scores_of_pixels(tmp_path, name, weights):
    vectors = examples(name, weights, include_preprocessing=True)
    assert vectors["image"].dtype == "uint8" and vectors["image"].max() > 200
    model = create_model(name, weights, include_preprocessing=True)
    model.save(tmp_path / "model.keras")
    for taken in (model, keras.models.load_model(tmp_path / "model.keras")):
        for pixels in (vectors["image"], vectors["image"].astype("float32")):
            scores = taken.predict(pixels, verbose=0)
            np.testing.assert_allclose(scores, vectors["scores"], rtol=0, atol=1e-5)


def test_preprocessing_inside_with_a_decoder_and_without_the_top():
    options = {"weights": "mnist", "include_preprocessing": True}
    pixels = examples("efficient_capsnet", "mnist", include_preprocessing=True)["image"]
    image = pixels / np.float32(255)
    labels = np.eye(10)[np.arange(len(pixels)) % 10]
    found = create_model("efficient_capsnet", with_decoder=True, **options)
    plain = create_model("efficient_capsnet", "mnist", with_decoder=True)
    drawn, expected = (
        model.predict({"image": x, "label": labels}, verbose=0)["reconstruction"]
        for model, x in ((found, pixels), (plain, image))
    )
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    features = create_model("efficient_capsnet", include_top=False, **options)
    expected = create_model("efficient_capsnet", "mnist", include_top=False)
    np.testing.assert_allclose(
        features.predict(pixels, verbose=0), expected.predict(image, verbose=0), atol=1e-5
    )


@once_under_torch
@pytest.mark.slow
def test_trained_photographs_are_taken_as_they_are_loaded(data):
    """The card's accuracy is of 10,000; `python -m benchmarks.cards` measures on all of them."""
    images, labels = datasets.cifar10()[1]
    model = create_model("se_resnet20", "cifar10", include_preprocessing=True)
    assert images.dtype == "uint8"
    scores = model.predict(images[:1000], batch_size=250, verbose=0)
    accuracy = card("se_resnet20", "cifar10")["mean"]
    found = np.mean(scores.argmax(axis=1) == labels[:1000])
    assert abs(found - accuracy) < 3 * np.sqrt(accuracy * (1 - accuracy) / 1000)


@once
def test_preprocessing_without_a_card_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'capsnet': none.*Rescaling.*weights=None"):
        create_model("capsnet", include_preprocessing=True)
    path = str(tmp_path / "own.weights.h5")
    create_model("se_capsnet").save_weights(path)
    with pytest.raises(ValueError, match="'se_capsnet': micro_mnist, mnist"):
        create_model("se_capsnet", path, include_preprocessing=True)
