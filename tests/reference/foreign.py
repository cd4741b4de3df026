"""Forward passes of other codes in float64 NumPy, written from their definitions.

Images have the channels last where the code is for Keras, and first where it is for PyTorch.
"""

import numpy as np


def convolution(x, kernel, bias=0.0, strides=1, padding=0):
    """Images `(batch, height, width, channels)`, kernel `(height, width, in, out)`."""
    x = np.pad(np.asarray(x, "float64"), ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    windows = windows[:, ::strides, ::strides]
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel, optimize=True) + bias


def torch_convolution(x, weight, bias=None, strides=1, padding=0):
    """Images `(batch, channels, height, width)`, weight `(out, in, height, width)`."""
    bias = 0.0 if bias is None else bias
    y = convolution(x.transpose(0, 2, 3, 1), weight.transpose(2, 3, 1, 0), bias, strides, padding)
    return y.transpose(0, 3, 1, 2)


def softmax(x, axis):
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def squared(x, epsilon=0.0):
    """The squash of CapsNet, with the epsilon that CapsNet-Keras adds inside the root."""
    square = (x**2).sum(axis=-1, keepdims=True)
    return square / (1 + square) / np.sqrt(square + epsilon) * x


def exponential(x, epsilon=1e-20):
    """The squash of Efficient-CapsNet."""
    norm = np.sqrt((x**2).sum(axis=-1, keepdims=True))
    return (1 - 1 / (np.exp(norm) + epsilon)) * (x / (norm + epsilon))


def efficient_capsnet(layers, images, strides):
    """Returns poses and lengths. `layers` are dictionaries of weights, in order."""
    x = images
    *blocks, primary, capsules = layers
    for (conv, norm), step in zip(
        zip(blocks[::2], blocks[1::2], strict=True), strides, strict=True
    ):
        x = np.maximum(convolution(x, conv["kernel"], conv["bias"], step), 0)
        x = (x - norm["moving_mean"]) / np.sqrt(norm["moving_variance"] + 1e-3)
        x = x * norm["gamma"] + norm["beta"]
    height, width = primary["kernel"].shape[:2]  # It stands once, and may reach less far than x.
    x = (x[:, :height, :width] * primary["kernel"][:, :, 0]).sum(axis=(1, 2)) + primary["bias"]
    parents, children, size, dim = capsules["W"].shape
    u = np.einsum("bji,kjiz->bkjz", exponential(x.reshape(-1, children, size)), capsules["W"])
    c = np.einsum("bkid,bkjd->bki", u, u)[..., None] / np.sqrt(dim)
    c = softmax(c, axis=1) + capsules["b"]
    poses = exponential((u * c).sum(axis=2))
    return poses, np.sqrt((poses**2).sum(axis=-1) + 1e-7)


def capsnet_keras(layers, images, routings=3):
    """Returns lengths and poses."""
    conv, primary, capsules = layers
    x = np.maximum(convolution(images, conv["kernel"], conv["bias"]), 0)
    x = convolution(x, primary["kernel"], primary["bias"], 2)
    matrices = capsules["W"]  # (parents, children, out, in)
    x = squared(x.reshape(len(x), -1, matrices.shape[3]), 1e-7)
    votes = np.einsum("bji,kjoi->bkjo", x, matrices)
    poses = route(votes, routings, over_parents=True, epsilon=1e-7)
    return poses, np.sqrt((poses**2).sum(axis=-1))


def gram_ai(state, images, over_parents, iterations=3):
    """Returns poses and lengths. In the code itself, `over_parents` is false."""
    x = np.maximum(torch_convolution(images, state["conv1.weight"], state["conv1.bias"]), 0)
    components = []
    for component in range(sum("primary" in name for name in state) // 2):
        name = f"primary_capsules.capsules.{component}"
        y = torch_convolution(x, state[f"{name}.weight"], state[f"{name}.bias"], 2)
        components.append(y.reshape(len(x), -1))
    x = squared(np.stack(components, axis=-1))
    votes = np.einsum("bji,kjio->bkjo", x, state["digit_capsules.route_weights"])
    poses = route(votes, iterations, over_parents)
    return poses, np.sqrt((poses**2).sum(axis=-1))


def route(votes, iterations, over_parents, epsilon=0.0):
    """Dynamic routing of votes `(batch, parents, children, dim)`."""
    logits = np.zeros(votes.shape[:3])
    for _ in range(iterations):
        coupling = softmax(logits, axis=1 if over_parents else 2)
        poses = squared((coupling[..., None] * votes).sum(axis=2), epsilon)
        logits = logits + (votes * poses[:, :, None]).sum(axis=-1)
    return poses


def decoder(poses, label, layers):
    x = (poses * label[..., None]).reshape(len(poses), -1)
    for number, (kernel, bias) in enumerate(layers, start=1):
        x = x @ kernel + bias
        x = 1 / (1 + np.exp(-x)) if number == len(layers) else np.maximum(x, 0)
    return x


def se_resnet(state, images):
    """timm's SE-ResNet: the outputs before any softmax, of images with the channels first."""
    x = _normalized(state, images, "conv1", "bn1", 2, 3)
    x = np.pad(np.maximum(x, 0), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    x = x.max(axis=(-2, -1))
    blocks = sorted({tuple(name.split(".")[:2]) for name in state if name.startswith("layer")})
    for stage, block in blocks:
        name = f"{stage}.{block}"
        stride = 2 if stage != "layer1" and block == "0" else 1
        y, bottleneck = x, f"{name}.conv3.weight" in state
        for number in (1, 2, 3) if bottleneck else (1, 2):
            step = stride if number == (2 if bottleneck else 1) else 1
            padding = state[f"{name}.conv{number}.weight"].shape[-1] // 2
            y = y if number == 1 else np.maximum(y, 0)
            y = _normalized(state, y, f"{name}.conv{number}", f"{name}.bn{number}", step, padding)
        gates = y.mean(axis=(2, 3), keepdims=True)
        for part in ("fc1", "fc2"):
            gates = np.maximum(gates, 0) if part == "fc2" else gates
            weight, bias = state[f"{name}.se.{part}.weight"], state[f"{name}.se.{part}.bias"]
            gates = torch_convolution(gates, weight, bias)
        if f"{name}.downsample.0.weight" in state:
            x = _normalized(state, x, f"{name}.downsample.0", f"{name}.downsample.1", stride, 0)
        x = np.maximum(x + y / (1 + np.exp(-gates)), 0)
    return x.mean(axis=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]


def _normalized(state, x, conv, norm, stride, padding):
    x = torch_convolution(x, state[f"{conv}.weight"], None, stride, padding)
    mean, variance, weight, bias = (
        state[f"{norm}.{name}"][:, None, None]
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias
