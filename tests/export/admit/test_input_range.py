"""The range of the inputs: read from layers and data, and refused where these contradict."""

import json

import keras
import numpy as np
import onnx
import pytest
from conftest import once
from PIL import Image

import export
from export import device, to_onnx
from export.admit.input_range import input_range
from export.admit.scaling import range_by_layers
from export.options import ExportOptions

layers = keras.layers
UNIT, SIGNED, PIXELS = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)


def network(*first, shape=(8, 8, 3)):
    """A classifier that starts with these layers, or with functions of a tensor."""
    image = x = keras.Input(shape, name="image")
    for layer in first:
        x = layer(x)
    x = layers.Flatten()(layers.Conv2D(4, 3)(x)) if len(shape) == 3 else x
    return keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x))


def adapted(high):
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).uniform(0, high, (50, 8, 8, 3)).astype("float32"))
    return layer


def nested(*inside):
    return keras.Sequential([keras.Input((8, 8, 3)), *inside])


MEAN = np.array([103.9, 116.8, 123.7], "float32")
FIRST = {
    "no scaling": ([], None),
    "1/255": ([layers.Rescaling(1 / 255)], PIXELS),
    "1/127.5 - 1": ([layers.Rescaling(1 / 127.5, -1)], PIXELS),
    "2 x - 1": ([layers.Rescaling(2.0, -1)], UNIT),
    "x/2 + 1/2": ([layers.Rescaling(0.5, 0.5)], SIGNED),
    "255": ([layers.Rescaling(255.0)], UNIT),
    "12 bits": ([layers.Rescaling(1 / 4095)], (0.0, 4095.0)),
    "nothing": ([layers.Rescaling(1.0)], None),
    "arithmetic": ([lambda x: (x - 127.5) / 127.5], PIXELS),
    "inverted": ([lambda x: 1 - x / 255], PIXELS),
    "mean only": ([lambda x: x - MEAN], PIXELS),
    "adapted to pixels": ([adapted(255)], PIXELS),
    "adapted to 0..1": ([adapted(1)], UNIT),
    "two steps": ([layers.Rescaling(1 / 255), adapted(1)], PIXELS),
    "a model inside": ([nested(layers.Rescaling(1 / 255))], PIXELS),
    "augmentation inside": ([nested(layers.RandomFlip()), layers.Rescaling(1 / 255)], PIXELS),
    "resized": ([layers.Resizing(8, 8), nested(nested(layers.Rescaling(1 / 255)))], PIXELS),
}


@pytest.mark.parametrize("name", FIRST)
def test_the_first_layers_tell_the_range(name):
    first, expected = FIRST[name]
    model = network(*first)
    found = range_by_layers(model, model.inputs[0])
    assert (found and found[0]) == expected
    assert input_range(model, ExportOptions(), None) == (expected or UNIT)


def test_features_of_different_scale_reach_two_deviations():
    layer = layers.Normalization(mean=[3.0, 0.5, 500.0], variance=[1.0, 0.04, 1e4])
    found = range_by_layers(model := network(layer, shape=(3,)), model.inputs[0])
    assert found is not None and found[0] == pytest.approx((0.1, 700.0), rel=1e-3)


@once
@pytest.mark.parametrize("name", ["MobileNetV3Small", "EfficientNetB0", "ConvNeXtTiny"])
def test_preprocessing_of_keras_applications(name):
    make = getattr(keras.applications, name)
    model = make(weights=None, include_top=False, pooling="avg", input_shape=(32, 32, 3))
    assert input_range(model, ExportOptions(), None) == PIXELS
    inside = keras.Sequential([keras.Input((32, 32, 3)), model, layers.Dense(2)])
    assert input_range(inside, ExportOptions(), None) == PIXELS


def images(high, kind="float32", low=0.0):
    return np.random.default_rng(0).uniform(low, high, (4, 8, 8, 3)).astype(kind)


# What the model scales by, data, options, and the range, or a part of the refusal.
CASES = {
    "pixels without layers": (None, images(253), {}, PIXELS),
    "0 to 1 without layers": (None, images(1), {}, UNIT),
    "-1 to 1 without layers": (None, images(1, low=-1), {}, SIGNED),
    "pixels as uint8": (None, images(253, "uint8"), {}, PIXELS),
    "pixels and 0 to 1 given": (None, images(253), {"input_range": UNIT}, "--input-range 0 255"),
    "0 to 1 and pixels given": (None, images(1), {"input_range": PIXELS}, "--input-range 0 1"),
    "standardized and 0 to 1 given": (None, images(2.8, low=-2), {"input_range": UNIT}, "-1.99"),
    "as given": (None, images(1), {"input_range": UNIT}, UNIT),
    "layer and data": (1 / 255, images(253), {}, PIXELS),
    "layer and data of 0 to 1": (1 / 255, images(1), {}, "--input-range 0 1"),
    "settled by the option": (1 / 255, images(1), {"input_range": UNIT}, UNIT),
    "layer and option": (1 / 255, None, {"input_range": UNIT}, "Leave out --input-range"),
    "layer and option and data": (1 / 255, images(253), {"input_range": UNIT}, "0 255"),
    "option of 12 bits": (1 / 4095, None, {"input_range": (0.0, 4095.0)}, (0.0, 4095.0)),
    "NaN": (None, images(1) * np.nan, {}, UNIT),
    "preprocessing": (1 / 255, None, {"preprocess": True}, PIXELS),
    "preprocessing twice": (
        1 / 255,
        None,
        {"preprocess": True, "mean": [0.5], "std": [0.25]},
        "Leave out --input-range, --mean and --std",
    ),
    "preprocessing to 0 to 1": (
        1 / 255,
        None,
        {"preprocess": True, "input_range": UNIT},
        "the preprocessing would make 0 to 1",
    ),
    "preprocessing of a plain model": (
        None,
        None,
        {"preprocess": True, "mean": [0.5], "std": [0.25]},
        UNIT,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layers_data_and_option_agree_or_are_refused(name):
    scale, data, options, expected = CASES[name]
    model = network(*([] if scale is None else [layers.Rescaling(scale)]))
    arrays = None if data is None else {"image": data}
    if isinstance(expected, str):
        with pytest.raises(export.UsageError, match="not clear which") as refused:
            input_range(model, ExportOptions(**options), arrays)
        assert expected in str(refused.value)
    else:
        assert input_range(model, ExportOptions(**options), arrays) == expected


def test_numbers_that_are_no_images_need_not_lie_in_the_range():
    data = {"image": np.linspace(-40, 900, 30).reshape(10, 3)}
    model = network(shape=(3,))
    assert input_range(model, ExportOptions(input_range=UNIT), data) == UNIT
    assert input_range(model, ExportOptions(), data) == (-40, 900)


def telling(scale):
    """A network with `Rescaling` whose class depends on the brightness, if it is scaled once."""
    image = keras.Input((8, 8, 3), name="image")
    bright = layers.GlobalAveragePooling2D()(layers.Rescaling(*scale)(image))
    dense = layers.Dense(3, activation="softmax", name="scores")
    model = keras.Model(image, dense(bright))
    low, high = scale[1] if len(scale) > 1 else 0, 1
    middles = low + (high - low) * np.array([1 / 6, 1 / 2, 5 / 6])
    kernel = np.tile(20 * middles / 3, (3, 1))
    dense.set_weights([kernel, -10 * middles**2])
    return model


@once
@pytest.mark.parametrize("scale", [(1 / 255,), (1 / 127.5, -1.0)], ids=["0 to 1", "-1 to 1"])
@pytest.mark.parametrize("options", [{}, {"preprocess": True}], ids=["plain", "preprocess"])
def test_the_device_gives_the_class_of_keras_on_a_picture(
    tmp_path, scale, options, warm_conversions
):
    model, paths, expected = telling(scale), [], []
    for number, brightness in enumerate((30, 128, 220)):
        generator = np.random.default_rng(number)
        pixels = generator.integers(brightness - 20, brightness + 20, (8, 8, 3)).astype("uint8")
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
        raw = np.asarray(Image.open(paths[-1]), "float32")[None]
        expected.append(int(np.argmax(keras.ops.convert_to_numpy(model(raw)))))
    assert expected == [0, 1, 2]
    export.export_onnx(model, tmp_path / "model.onnx", **options)
    stored = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(stored["input_range"]) == [0, 255]
    predictor = device.Predictor(tmp_path / "model.onnx")
    found = [predictor.predict(predictor.read_image(path))[0].label for path in paths]
    assert found == list(map(str, expected))


@once
def test_the_command_line_refuses_with_the_option_that_settles_it(tmp_path, capsys):
    telling((1 / 255,)).save(tmp_path / "model.keras")
    target = tmp_path / "model.onnx"
    arguments = [str(tmp_path / "model.keras"), "-o", str(target), "--input-range", "0", "1"]
    assert to_onnx.main(arguments) == 5 and not target.exists()
    assert "Leave out --input-range" in capsys.readouterr().err


@once
def test_a_card_and_another_range(tmp_path, capsys):
    arguments = [
        "--model",
        "cnn_baseline",
        "--weights",
        "mnist",
        "-o",
        str(tmp_path / "model.onnx"),
    ]
    assert to_onnx.main([*arguments, "--input-range", "0", "255"]) == 5
    assert "The card of cnn_baseline says" in capsys.readouterr().err


def test_arithmetic_on_numbers_that_are_no_images_tells_nothing():
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2)(x - 9))
    assert range_by_layers(model, model.inputs[0]) is None
