"""Draws weights with the names, shapes and order that other codes give them."""

import math

import h5py
import numpy as np


def efficient_capsnet(generator, channels=1, decoder=()):
    """A small network with names as in Keras 2, in a process that has made other layers before."""
    widths, sizes = (channels, 4, 6, 8), (3, 3, 3)
    layers = {}
    for number, (size, before, after) in enumerate(
        zip(sizes, widths, widths[1:], strict=False), start=7
    ):
        layers[f"conv2d_{number}"] = drawn(
            generator, kernel=(size, size, before, after), bias=after
        )
        layers[f"batch_normalization_{number}"] = drawn(
            generator, gamma=after, beta=after, moving_mean=after, moving_variance=after
        )
    layers["primary_caps/conv2d_10"] = drawn(generator, kernel=(4, 4, 1, 8), bias=8)
    layers["fc_caps"] = drawn(generator, W=(3, 4, 2, 6), b=(3, 4, 1))
    return layers | dense(generator, decoder)


def capsnet_keras(generator, decoder=()):
    layers = {
        "conv1": drawn(generator, kernel=(3, 3, 1, 4), bias=4),
        "primarycap_conv2d": drawn(generator, kernel=(3, 3, 4, 8), bias=8),
        "digitcaps": drawn(generator, W=(5, 18, 6, 4)),
    }
    return layers | dense(generator, decoder)


def dense(generator, widths):
    pairs = zip(widths, widths[1:], strict=False)
    return {
        f"dense_{number}": drawn(generator, kernel=pair, bias=pair[1])
        for number, pair in enumerate(pairs, start=3)
    }


def gram_ai(generator, decoder=()):
    state = _torch(generator, "conv1", (4, 1, 3, 3))
    for component in range(4):
        state |= _torch(generator, f"primary_capsules.capsules.{component}", (2, 4, 3, 3))
    weights = generator.normal(size=(5, 2 * 4 * 5, 4, 6)).astype("float32")
    state["digit_capsules.route_weights"] = weights
    for number, pair in enumerate(zip(decoder, decoder[1:], strict=False)):
        state |= _torch(generator, f"decoder.{2 * number}", pair[::-1])
    return state


def timm(generator, blocks=(2, 1, 1, 1), bottleneck=True, classes=7):
    widths, expansion = (8, 10, 12, 16), 4 if bottleneck else 1
    state = {}
    _add_normalized(generator, state, "conv1", "bn1", (8, 3, 7, 7))
    before = 8
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
        after = width * expansion
        for block in range(count):
            name = f"layer{stage}.{block}"
            shapes = (
                [(width, before, 1, 1), (width, width, 3, 3), (after, width, 1, 1)]
                if bottleneck
                else [(width, before, 3, 3), (width, width, 3, 3)]
            )
            for number, shape in enumerate(shapes, start=1):
                _add_normalized(
                    generator, state, f"{name}.conv{number}", f"{name}.bn{number}", shape
                )
            state |= _torch(generator, f"{name}.se.fc1", (8, after, 1, 1))
            state |= _torch(generator, f"{name}.se.fc2", (after, 8, 1, 1))
            if block == 0 and (stage > 1 or before != after):
                conv, norm = f"{name}.downsample.0", f"{name}.downsample.1"
                _add_normalized(generator, state, conv, norm, (after, before, 1, 1))
            before = after
    return state | _torch(generator, "fc", (classes, before))


def _add_normalized(generator, state, conv, norm, shape):
    state |= {f"{conv}.weight": _torch(generator, conv, shape)[f"{conv}.weight"]}
    weights = drawn(
        generator,
        weight=shape[0],
        bias=shape[0],
        running_mean=shape[0],
        running_var=shape[0],
    )
    state |= {f"{norm}.{name}": array for name, array in weights.items()}
    state[f"{norm}.num_batches_tracked"] = np.array(3)


def _torch(generator, name, shape):
    fan_in = math.prod(shape[1:])
    weight = generator.normal(0, math.sqrt(2 / fan_in), shape).astype("float32")
    return {f"{name}.weight": weight, f"{name}.bias": drawn(generator, bias=shape[0])["bias"]}


def drawn(generator, **shapes):
    """Arrays of these shapes, large enough that each of them changes the outputs."""
    arrays = {}
    for name, shape in shapes.items():
        array = generator.normal(0, 0.3, shape)
        if name in ("moving_variance", "running_var", "gamma", "weight"):
            array = 1 + np.abs(array)
        arrays[name] = array.astype("float32")
    return arrays


def by_name(layers):
    return {
        f"{layer}/{name}:0": a for layer, arrays in layers.items() for name, a in arrays.items()
    }


def write_keras_2(path, layers, nested="Efficient_CapsNet"):
    """Writes weights as `save_weights` of Keras 2, in a nested model: trainable ones come first."""
    names = by_name(layers)
    ordered = sorted(names, key=lambda name: "moving_" in name)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"input_1", nested.encode()]
        file.create_group("input_1").attrs["weight_names"] = []
        group = file.create_group(nested)
        group.attrs["weight_names"] = [name.encode() for name in ordered]
        for name in ordered:
            group[name] = names[name]
