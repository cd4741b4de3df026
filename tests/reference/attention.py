"""The family of squeeze-and-excitation in float64 NumPy, written from the papers.

Each function takes `x`, (batch, positions..., channels), and `w`, weights by their path in the
layer, and returns the output and the gates.
"""

import itertools

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def relu(z):
    return np.maximum(z, 0)


def hard_sigmoid(z):
    return np.clip(z / 6 + 0.5, 0, 1)


def dense(z, w, name):
    """A 1 x 1 convolution or a dense layer, applied to the last axis."""
    kernel = w[f"{name}/kernel"]
    return z @ kernel.reshape(kernel.shape[-2:]) + w.get(f"{name}/bias", 0)


def batch_norm(z, w, name):
    scale = w[f"{name}/gamma"] / np.sqrt(w[f"{name}/moving_variance"] + 1e-5)
    return (z - w[f"{name}/moving_mean"]) * scale + w[f"{name}/beta"]


def convolve(x, kernel, stride=1, dilation=1, groups=1, depthwise=False):
    """With zeros around the map as in PyTorch: `dilation * (size - 1) / 2` on each side."""
    sizes, rank = kernel.shape[:-2], x.ndim - 2
    margin = [(0, 0), *((dilation * (size - 1) // 2,) * 2 for size in sizes), (0, 0)]
    padded = np.pad(x, margin)
    out = [-(-size // stride) for size in x.shape[1:-1]]
    result = 0.0
    for offset in itertools.product(*map(range, sizes)):
        part = padded
        for axis in range(rank):
            at = offset[axis] * dilation + stride * np.arange(out[axis])
            part = np.take(part, at, axis=axis + 1)
        if depthwise:
            result = result + part * kernel[offset][:, 0]
        else:
            many = part.shape[-1] // groups
            filters = kernel.shape[-1] // groups
            result = result + np.concatenate(
                [
                    part[..., g * many : (g + 1) * many]
                    @ kernel[offset][:, g * filters : (g + 1) * filters]
                    for g in range(groups)
                ],
                axis=-1,
            )
    return result


def flat(x):
    return x.reshape(len(x), -1, x.shape[-1])


def over_positions(x, gates):
    """Gates (batch, channels) with axes for the positions of x."""
    return gates.reshape(len(x), *[1] * (x.ndim - 2), -1)


def se(x, w, gate=sigmoid, prefix=""):
    """1709.01507, equations 2 to 4."""
    hidden = relu(dense(flat(x).mean(axis=1), w, f"{prefix}reduce"))
    gates = gate(dense(hidden, w, f"{prefix}excite"))
    return x * over_positions(x, gates), gates


def sse(x, w, prefix=""):
    """1803.02579, section 2.2."""
    gates = sigmoid(dense(x, w, f"{prefix}excite"))
    return x * gates, gates[..., 0]


def scse(x, w, mode="max"):
    """1803.02579, section 2.3; the maximum is the released code's."""
    (by_channel, channel), (by_position, position) = (
        se(x, w, prefix="channel/"),
        sse(x, w, prefix="spatial/"),
    )
    join = {"max": np.maximum, "add": np.add, "multiply": np.multiply}[mode]
    return join(by_channel, by_position), (channel, position)


def ese(x, w):
    """1911.06667, equations 3 and 4; the hard sigmoid is the released code's."""
    gates = hard_sigmoid(dense(flat(x).mean(axis=1), w, "excite"))
    return x * over_positions(x, gates), gates


def eca(x, w):
    """1910.03151, equations 7 and 8."""
    kernel = w["excite/kernel"][:, 0, 0]
    half = len(kernel) // 2
    means = np.pad(flat(x).mean(axis=1), ((0, 0), (half, half)))
    channels = x.shape[-1]
    gates = np.zeros((len(x), channels))
    for channel in range(channels):
        gates[:, channel] = sigmoid(means[:, channel : channel + len(kernel)] @ kernel)
    return x * over_positions(x, gates), gates


def cbam(x, w):
    """1807.06521, equations 2 and 3, with the released code's order and normalization."""

    def mlp(z):
        return dense(relu(dense(z, w, "reduce")), w, "excite")

    channel = sigmoid(mlp(flat(x).mean(axis=1)) + mlp(flat(x).max(axis=1)))
    x = x * over_positions(x, channel)
    pooled = np.stack([x.max(axis=-1), x.mean(axis=-1)], axis=-1)
    gates = sigmoid(batch_norm(convolve(pooled, w["spatial/kernel"]), w, "normalize"))
    return x * gates, (channel, gates[..., 0])


def ge(x, w, variant="theta_minus", extent=0):
    """1810.12348, section 3; what lies beyond the border is no part of a mean."""
    sizes = x.shape[1:-1]
    if extent == 0:
        if variant == "theta_minus":
            gathered = flat(x).mean(axis=1)
        else:
            gathered = (flat(x) * w["kernel"].reshape(-1, x.shape[-1])).sum(axis=1)
            gathered = batch_norm(gathered, w, "normalize_1")
        gathered = over_positions(x, gathered)
    elif variant == "theta_minus":
        out = [-(-size // extent) for size in sizes]
        gathered = np.zeros((len(x), *out, x.shape[-1]))
        for at in itertools.product(*map(range, out)):
            window = tuple(slice(max(0, a * extent - extent + 1), a * extent + extent) for a in at)
            gathered[(slice(None), *at)] = flat(x[(slice(None), *window)]).mean(axis=1)
    else:
        gathered = x
        for number in range(1, int(np.log2(extent)) + 1):
            gathered = relu(gathered) if number > 1 else gathered
            kernel = w[f"gather_{number}/kernel"]
            gathered = convolve(gathered, kernel, stride=2, depthwise=True)
            gathered = batch_norm(gathered, w, f"normalize_{number}")
    if variant == "theta_plus":
        gathered = dense(relu(dense(relu(gathered), w, "reduce")), w, "excite")
    gates = sigmoid(gathered)
    outputs = np.zeros_like(x)
    for at in itertools.product(*map(range, sizes)):
        near = tuple(a * gates.shape[axis + 1] // sizes[axis] for axis, a in enumerate(at))
        outputs[(slice(None), *at)] = x[(slice(None), *at)] * gates[(slice(None), *near)]
    return outputs, gates if extent else gates.reshape(len(x), -1)


def gc(x, w, fusion="add"):
    """1904.11492, equation 6."""

    def transform(z, name):
        z = dense(z, w, f"{name}_reduce")
        variance = ((z - z.mean(-1, keepdims=True)) ** 2).mean(-1, keepdims=True)
        z = (z - z.mean(-1, keepdims=True)) / np.sqrt(variance + 1e-5)
        z = z * w[f"{name}_normalize/gamma"] + w[f"{name}_normalize/beta"]
        return over_positions(x, dense(relu(z), w, f"{name}_excite"))

    logits = dense(x, w, "attention")[..., 0]
    weights = np.exp(logits - logits.max())
    weights = weights / weights.sum(axis=tuple(range(1, weights.ndim)), keepdims=True)
    context = flat(x * weights[..., None]).sum(axis=1)
    outputs = x
    if fusion in ("multiply", "both"):
        outputs = outputs * sigmoid(transform(context, "multiply"))
    if fusion in ("add", "both"):
        outputs = outputs + transform(context, "add")
    return outputs, weights


def sk(x, w, branches=2, groups=1):
    """1903.06586, equations 1 to 6."""
    maps = []
    for m in range(1, branches + 1):
        u = convolve(x, w[f"branch_{m}/kernel"], dilation=m, groups=groups)
        maps.append(relu(batch_norm(u, w, f"branch_{m}_normalize")))
    z = relu(batch_norm(dense(sum(maps).mean(axis=(1, 2)), w, "reduce"), w, "normalize"))
    logits = dense(z, w, "select").reshape(len(x), branches, -1)
    gates = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return sum(u * gates[:, m, None, None] for m, u in enumerate(maps)), gates


def ca(x, w):
    """2103.02907, equations 4 to 9."""

    def hidden(z):
        z = batch_norm(dense(z, w, "reduce"), w, "normalize")
        return z * hard_sigmoid(z)

    rows = sigmoid(dense(hidden(x.mean(axis=2)), w, "excite_rows"))
    columns = sigmoid(dense(hidden(x.mean(axis=1)), w, "excite_columns"))
    return x * rows[:, :, None] * columns[:, None], (rows, columns)


def srm(x, w):
    """1903.10829, equations 1 to 5, with the released code's variance."""
    n = flat(x).shape[1]
    mean = flat(x).mean(axis=1)
    variance = ((flat(x) - mean[:, None]) ** 2).sum(axis=1) / max(n - 1, 1)
    z = w["mean_weight"] * mean + w["deviation_weight"] * np.sqrt(variance + 1e-5)
    gates = sigmoid(batch_norm(z, w, "normalize"))
    return x * over_positions(x, gates), gates


def simam(x, w, regularization=1e-4):
    """The released code's simam_module, and no division by zero at one position."""
    d = (x - over_positions(x, flat(x).mean(axis=1))) ** 2
    v = over_positions(x, flat(d).sum(axis=1) / max(flat(d).shape[1] - 1, 1))
    gates = sigmoid(d / (4 * (v + regularization)) + 0.5)
    return x * gates, gates


def triplet(x, w, spatial=True):
    """2010.03045, equation 4, with the channels first."""
    x = np.moveaxis(x, -1, 1)
    outputs, all_gates = [], []
    for name, axis in (("height", 2), ("width", 3), ("channels", 1))[: 3 if spatial else 2]:
        pooled = np.stack([x.max(axis=axis), x.mean(axis=axis)], axis=-1)
        z = convolve(pooled, w[f"{name}/kernel"])
        gates = sigmoid(batch_norm(z, w, f"{name}_normalize"))[..., 0]
        all_gates.append(gates)
        outputs.append(x * np.expand_dims(gates, axis))
    return np.moveaxis(sum(outputs) / len(outputs), 1, -1), tuple(all_gates)


def capsule(poses, w):
    """Squeeze by the lengths of all capsules, excite, and weigh the poses."""
    flat_poses = poses.reshape(len(poses), -1, poses.shape[-1])
    lengths = np.sqrt((flat_poses**2).sum(axis=-1))
    gates = sigmoid(dense(relu(dense(lengths, w, "reduce")), w, "excite"))
    return (flat_poses * gates[:, :, None]).reshape(poses.shape), gates
