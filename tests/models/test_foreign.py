"""Loads weights of other codes, and compares with their forward passes in NumPy."""

import json
import re

import keras
import numpy as np
import pytest
from conftest import ROOT
from reference import foreign
from reference import foreign_weights as drawn

from keras_capsules import CapsuleLayer, models

EFFICIENT = {
    "input_shape": (14, 14, 1),
    "num_classes": 3,
    "filters": (4, 6, 8),
    "kernel_sizes": (3, 3, 3),
    "strides": (1, 1, 2),
    "primary_capsules": 4,
    "capsule_dim": 6,
    "decoder_units": (9, 10),
}
CAPSNET = {
    "input_shape": (9, 9, 1),
    "num_classes": 5,
    "filters": 4,
    "kernel_size": 3,
    "primary_capsules": 2,
    "primary_dim": 4,
    "primary_kernel_size": 3,
    "capsule_dim": 6,
    "decoder_units": (9, 10),
}
GRAM_AI = CAPSNET | {"input_shape": (12, 14, 1)}


def over_children():
    """The routing of docs/migration.md."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/migration.md").read_text(), re.S)
    scope = {}
    exec(next(block for block in blocks if "class OverChildren" in block), scope)
    return scope["OverChildren"]()


def images_of(generator, model, batch=4):
    inputs = model.input["image"] if isinstance(model.input, dict) else model.input
    return generator.random((batch, *inputs.shape[1:])).astype("float32")


def poses_of(model, images):
    poses = keras.Model(model.input, model.get_layer("class_capsules").output)
    return poses.predict(images, verbose=0)


def close(found, wanted):
    wanted = np.asarray(wanted)
    assert np.ptp(wanted) > 0.01  # The weights make a difference.
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", (14, 16))  # The last map is 4 x 4, or 5 x 5 as for MultiMNIST.
def test_efficient_capsnet_gives_the_authors_outputs(generator, tmp_path, size):
    layers = drawn.efficient_capsnet(generator, decoder=(18, 9, 10, size**2))
    drawn.write_keras_2(tmp_path / "weights.h5", layers)
    sizes = EFFICIENT | {"input_shape": (size, size, 1)}
    model = models.load_foreign("efficient_capsnet", tmp_path / "weights.h5", **sizes)
    images = images_of(generator, model)
    weights = [group for name, group in layers.items() if not name.startswith("dense")]
    poses, lengths = foreign.efficient_capsnet(weights, images, EFFICIENT["strides"])
    close(poses_of(model, images), poses)
    close(model.predict(images, verbose=0), lengths)


def test_capsnet_keras_gives_its_outputs(generator):
    layers = drawn.capsnet_keras(generator)
    model = models.load_foreign("capsnet_keras", drawn.by_name(layers), **CAPSNET)
    images = images_of(generator, model)
    poses, lengths = foreign.capsnet_keras(list(layers.values()), images)
    close(poses_of(model, images), poses)
    close(model.predict(images, verbose=0), lengths)


def test_decoders_are_loaded(generator):
    label = np.eye(5, dtype="float32")[[1, 0, 4, 2]]
    layers = drawn.capsnet_keras(generator, decoder=(30, 9, 10, 81))
    model = models.load_foreign(
        "capsnet_keras", drawn.by_name(layers), **CAPSNET, with_decoder=True
    )
    images = images_of(generator, model)
    outputs = model.predict({"image": images, "label": label}, verbose=0)
    *network, first, second, third = layers.values()
    poses, _ = foreign.capsnet_keras(network, images)
    dense = [(group["kernel"], group["bias"]) for group in (first, second, third)]
    wanted = foreign.decoder(poses, label, dense)
    close(outputs["reconstruction"].reshape(4, -1), wanted)

    state = drawn.gram_ai(generator, decoder=(30, 9, 10, 168))
    model = models.load_foreign("gram_ai", state, **GRAM_AI, with_decoder=True)
    images = images_of(generator, model)
    outputs = model.predict({"image": images, "label": label}, verbose=0)
    poses, _ = foreign.gram_ai(state, images.transpose(0, 3, 1, 2), over_parents=True)
    names = [f"decoder.{number}" for number in (0, 2, 4)]
    dense = [(state[f"{name}.weight"].T, state[f"{name}.bias"]) for name in names]
    close(outputs["reconstruction"].reshape(4, -1), foreign.decoder(poses, label, dense))


@pytest.mark.parametrize("over_parents", (True, False))
def test_gram_ai_gives_its_outputs_by_its_routing_only(generator, over_parents):
    state = drawn.gram_ai(generator)
    routing = "dynamic" if over_parents else over_children()
    model = models.load_foreign("gram_ai", state, **GRAM_AI, routing=routing)
    images = images_of(generator, model)
    channels_first = images.transpose(0, 3, 1, 2)
    poses, lengths = foreign.gram_ai(state, channels_first, over_parents)
    close(poses_of(model, images), poses)
    close(model.predict(images, verbose=0), lengths)
    other, _ = foreign.gram_ai(state, channels_first, not over_parents)
    assert np.abs(other - poses).max() > 0.01


@pytest.mark.parametrize("bottleneck", (True, False))
def test_timm_gives_its_outputs(generator, bottleneck):
    state = drawn.timm(generator, bottleneck=bottleneck)
    model = models.load_foreign("timm", state, input_shape=(45, 52, 3))  # Odd and even maps.
    images = images_of(generator, model)
    logits = foreign.se_resnet(state, images.transpose(0, 3, 1, 2))
    close(model.predict(images, verbose=0), foreign.softmax(logits, axis=-1))


@pytest.mark.parametrize(
    "axes, foreign_axes",
    [
        ("children parents out in", "zjkoi"),
        ("parents children in out", "kjio"),
        ("parents children out in", "zkjoi"),
        ("children in parents out", "jiko"),
    ],
)
@pytest.mark.parametrize("grid", (None, (2, 3, 4)))
def test_a_layer_casts_the_votes_of_the_other_code(generator, axes, foreign_axes, grid):
    sizes = {"z": 1, "j": 24, "k": 3, "o": 5, "i": 2}
    kernel = generator.normal(size=[sizes[axis] for axis in foreign_axes]).astype("float32")
    children = generator.normal(size=(2, 24, 2)).astype("float32")
    layer = models.load_foreign_layer(CapsuleLayer(3, 5), kernel, axes, grid)
    ours = children
    if grid:  # The other code has the types first, and ours last.
        ours = children.reshape(2, 4, 2, 3, 2).transpose(0, 2, 3, 1, 4).reshape(2, 24, 2)
    votes = np.einsum(f"bji,{foreign_axes}->bkjo", children, kernel, dtype="float64")
    close(layer(ours), foreign.route(votes, 3, over_parents=True))


def safetensors(arrays):
    """The file's layout: the size of the header, the header, and the bytes of the tensors."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (kind, array) in arrays.items():
        start, data = len(data), data + array.tobytes()
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_files_hold_the_same_arrays(generator, tmp_path):
    state = drawn.timm(generator, bottleneck=False)
    np.savez(tmp_path / "state.npz", **state)
    kinds = {"float32": "F32", "int64": "I64"}
    tensors = {name: (kinds[str(array.dtype)], array) for name, array in state.items()}
    (tmp_path / "state.safetensors").write_bytes(safetensors(tensors))
    loaded = [
        models.load_foreign("timm", weights, input_shape=(32, 32, 3)).get_weights()
        for weights in (state, tmp_path / "state.npz", str(tmp_path / "state.safetensors"))
    ]
    for arrays in zip(*loaded, strict=True):
        assert all((array == arrays[0]).all() for array in arrays)


def test_bfloat16_of_safetensors_is_read(tmp_path):
    halves = np.array([0x3F80, 0xC040], "<u2")  # 1 and -3
    (tmp_path / "x.safetensors").write_bytes(safetensors({"conv1.weight": ("BF16", halves)}))
    (array,) = models.foreign.arrays_of(tmp_path / "x.safetensors").values()
    assert array.tolist() == [1.0, -3.0]


def refused(source, weights, message, **sizes):
    with pytest.raises(ValueError, match=message):
        models.load_foreign(source, weights, **sizes)


def test_what_is_missing_or_too_much_is_named(generator):
    state = drawn.timm(generator)
    lacking = {name: array for name, array in state.items() if "se.fc1.weight" not in name}
    refused("timm", lacking, r"'layer1.0.se.fc1.weight' of shape \(any, 32, 1, 1\)")
    refused("timm", state | {"layer5.0.conv1.weight": np.zeros(3)}, "layer5.0.conv1.weight")
    state["layer2.0.conv2.weight"] = np.zeros((10, 5, 3, 3))
    refused("timm", state, r"conv2.weight' .* \(any, 10, 3, 3\).* Received: shape=\(10, 5, 3, 3\)")
    refused("timm", {"layer0.conv1.weight": np.zeros(3)}, r"'conv1.weight' of shape \(any, 3, 7")
    layers = drawn.efficient_capsnet(generator)
    larger = EFFICIENT | {"input_shape": (18, 18, 1)}
    refused("efficient_capsnet", drawn.by_name(layers), r"\(6, 6, 1, 8\).*\(4, 4", **larger)
    larger = EFFICIENT | {"input_shape": (18, 18, 1)}
    refused("efficient_capsnet", drawn.by_name(layers), r"\(6, 6, 1, 8\).*\(4, 4", **larger)
    sizes = EFFICIENT | {"num_classes": 4}
    refused("efficient_capsnet", drawn.by_name(layers), r"W' .* \(4, 4, 2, 6\).*\(3, 4", **sizes)
    del layers["batch_normalization_8"]["moving_mean"]  # As in the network for smallNORB.
    refused("efficient_capsnet", drawn.by_name(layers), "normalization 2/moving_mean", **EFFICIENT)
    refused("capsnet_keras", {}, "'convolution 1/kernel'.*no arrays", **CAPSNET)
    refused("gram_ai", {}, r"'conv1.weight' of shape \(4, 1, 3, 3\)", **GRAM_AI)


def test_wrong_sources_files_and_axes_are_named(tmp_path):
    refused("torchvision", {}, "'efficient_capsnet', .*'timm'.*source='torchvision'")
    refused("timm", "weights.pth", r"\.npz, \.safetensors or \.h5.*torch.load")
    for name in ("x.npz", "x.safetensors", "x.h5"):
        (tmp_path / name).write_bytes(b"\xff" * 40)
        refused("timm", tmp_path / name, f"{name} is damaged, or not")
    (tmp_path / "x.safetensors").write_bytes(safetensors({"x": ("F8_E4M3", np.zeros(3, "u1"))}))
    refused("timm", tmp_path / "x.safetensors", "F64, F32, F16, BF16, I64. Received: F8_E4M3")
    tensors = {"conv1.weight": ("F32", np.zeros(3, "float32"))}
    (tmp_path / "x.safetensors").write_bytes(safetensors(tensors)[:-4])
    refused("timm", tmp_path / "x.safetensors", "damaged")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(
        tmp_path / "x.weights.h5"
    )
    refused("capsnet_keras", tmp_path / "x.weights.h5", "layer_names")
    kernel = np.zeros((1, 6, 3, 5, 2))
    load = models.load_foreign_layer
    with pytest.raises(ValueError, match="children, parents, in, out"):
        load(CapsuleLayer(3, 5), kernel, "children parents out")
    with pytest.raises(ValueError, match=r"\(6, 4, 5, 2\).*\(6, 3, 5, 2\)"):
        load(CapsuleLayer(4, 5), kernel)
    with pytest.raises(ValueError, match="leading axes"):
        load(CapsuleLayer(3, 5), kernel[0, 0])
    with pytest.raises(ValueError, match="6 children"):
        load(CapsuleLayer(3, 5), kernel, grid=(2, 2, 2))
