"""Divides the weights of a model between devices."""

import math
import re
from collections.abc import Iterator

import keras

from keras_capsules.layers.voting import VotingLayer


def layout_map(
    model: keras.Model,
    mesh: keras.distribution.DeviceMesh,
    axis: str = "model",
    shard: str = "parents",
    max_replicated: int = 1 << 22,
) -> keras.distribution.LayoutMap:
    """Returns layouts that divide the kernels of capsule layers and dense layers between devices.

    A kernel `(num_in, num_out, in_dim, out_dim)` of a capsule layer is divided along `num_out`, or
    along `num_in`. A `Dense` kernel is divided along its outputs, if the mesh divides them. All
    other weights are copied to each device. A layout belongs to the path of a weight: under the
    distribution, build the same model again, with the same layer names.

    Args:
        model: Built model. Only its paths and shapes are used.
        mesh: `keras.distribution.DeviceMesh`.
        axis: String. Axis of the mesh along which weights are divided. Defaults to `"model"`.
        shard: `"parents"` or `"children"`. Axis of the kernels of capsule layers. Children of a
            convolution are its types. Defaults to `"parents"`.
        max_replicated: Integer. The largest number of values of a weight that is copied to each
            device. Defaults to `4194304`, which is 16 MiB.

    Raises:
        ValueError: If the mesh lacks the axis, if `shard` is another word, if the model is not
            built, if the mesh does not divide the capsules of a layer, if nothing is divided, or if
            a larger weight than `max_replicated` would be copied to each device.

    Example:

    >>> devices = keras.distribution.list_devices()
    >>> mesh = keras.distribution.DeviceMesh((1, len(devices)), ("batch", "model"), devices)
    >>> template = keras_capsules.create_model("capsnet", size="tiny")
    >>> layouts = keras_capsules.distribution.layout_map(template, mesh)
    >>> parallel = keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")
    """
    if axis not in mesh.axis_names:
        raise ValueError(f"The mesh must have the axis {axis!r}. Received: {mesh.axis_names}")
    if shard not in ("parents", "children"):
        raise ValueError(f'shard must be "parents" or "children". Received: {shard!r}')
    if not model.built:
        raise ValueError("Build the model first, for example by a call on one batch.")
    devices = mesh.shape[mesh.axis_names.index(axis)]
    layouts, divided = keras.distribution.LayoutMap(mesh), {}
    for layer in _layers(model):
        divided |= {weight.path: index for weight, index in _divided(layer, devices, shard)}
    if not divided:
        raise ValueError(
            f"No capsule layer and no dense layer can be divided between {devices} devices: use "
            f"keras.distribution.DataParallel. Received: model={model.name!r}"
        )
    for weight in model.variables:
        size = math.prod(weight.shape)
        if weight.path in divided:
            spec: list[str | None] = [None] * len(weight.shape)
            spec[divided[weight.path]] = axis
            layouts[f"^{re.escape(weight.path)}$"] = tuple(spec)
        elif size > max_replicated:
            raise ValueError(
                f"The weight {weight.path!r} of shape {tuple(weight.shape)} would be copied to "
                f"each device. Divide it by a layout that you add, and pass max_replicated={size} "
                f"or more. Received: max_replicated={max_replicated}"
            )
    return layouts


def _layers(model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        yield from _layers(layer) if isinstance(layer, keras.Model) else (layer,)


def _divided(layer, devices, shard):
    """Yields the weights of a layer that are divided, each with the axis that is."""
    if isinstance(layer, VotingLayer):
        index = -3 if shard == "parents" else -4
        if layer.kernel.shape[index] == 1:  # All positions share it.
            return
        if layer.kernel.shape[index] % devices:
            raise ValueError(
                f"{devices} devices do not divide the {layer.kernel.shape[index]} {shard} of layer "
                f"{layer.name!r}. Choose another mesh, or divide along the other axis: "
                'shard="parents" or "children".'
            )
        yield layer.kernel, index
        if shard == "parents" and layer.bias is not None:
            yield layer.bias, 0
    elif isinstance(layer, keras.layers.Dense) and layer.units % devices == 0:
        yield layer.kernel, 1
        if layer.bias is not None:
            yield layer.bias, 0
