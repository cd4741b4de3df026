"""Resizing of images of known size, where an ONNX Resize cannot say exactly the same."""

from typing import Any

import numpy as np

from export.convert.operations.build import (
    CannotConvertError,
    add,
    by_tf2onnx,
    constant,
    is_float,
    replace,
    value_of,
)

_TO_CHANNELS_FIRST, _TO_CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def _resize(graph, node, *_):
    """Resizes by tf2onnx, or, where its scales lose a pixel to rounding, exactly."""
    sizes = _sizes(graph, node)
    if sizes is None or all(_exact(*pair) for pair in zip(*sizes, strict=True)):
        by_tf2onnx(graph, node)
    elif node.type == "ResizeNearestNeighbor":
        _gather(graph, node, sizes)
    else:
        _multiply(graph, node, *_)


def _exact(old, new):
    """Returns whether the scale in float32 gives the new size, rounded down."""
    return int(old * float(np.float32(new) / np.float32(old))) == new


def _multiply(graph, node, *_):
    """Multiplies by two matrices: every linear resizing is separable.

    TensorFlow itself computes the matrices, from the images of single pixels.
    """
    sizes = _sizes(graph, node)
    if sizes is None:
        raise CannotConvertError(
            "Images of open size can only be resized with the interpolations nearest and bilinear",
            "Use one of these, or give the size to keras.Input",
        )
    (height, width), (new_height, new_width) = sizes
    rows = constant(graph, _matrix(node, height, new_height), "float32")
    columns = constant(graph, _matrix(node, width, new_width).T, "float32")
    images = node.input[0]
    if not is_float(graph, images):
        images = add(graph, "Cast", [images], to=1)
    images = add(graph, "Transpose", [images], perm=_TO_CHANNELS_FIRST)
    resized = add(graph, "MatMul", [add(graph, "MatMul", [rows, images]), columns])
    replace(graph, node, "Transpose", [resized], perm=_TO_CHANNELS_LAST)


def _gather(graph, node, sizes):
    """Takes the nearest rows and columns, by constant numbers."""
    (height, width), (new_height, new_width) = sizes
    rows = _matrix(node, height, new_height).argmax(1)
    columns = _matrix(node, width, new_width).argmax(1)
    taken = add(graph, "Gather", [node.input[0], constant(graph, rows, "int64")], axis=1)
    replace(graph, node, "Gather", [taken, constant(graph, columns, "int64")], axis=2)


def _sizes(graph, node):
    """Returns the old and the new height and width, or None if some are open."""
    old, new = graph.get_shape(node.input[0])[1:3], value_of(node, 1)
    if new is None or min(old) < 0:
        return None
    return tuple(old), tuple(map(int, new))


def _matrix(node, old, new):
    """Returns the matrix, (new, old), that resizes one axis, as TensorFlow computes it."""
    import tensorflow as tf

    flags = {"align_corners", "half_pixel_centers", "antialias"}.intersection(node.attr)
    options: dict[str, Any] = {name: bool(node.get_attr_value(name)) for name in flags}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        pixels, size = tf.reshape(tf.eye(old), (old, old, 1, 1)), tf.constant([new, 1])
        if node.type == "ScaleAndTranslate":
            options["scale"] = tf.constant([new / old, 1.0], tf.float32)
            options["kernel_type"] = node.get_attr_str("kernel_type")
            options["translation"] = tf.zeros(2)
        resized = getattr(tf.raw_ops, node.type)(images=pixels, size=size, **options)
        return session.run(resized)[:, :, 0, 0].T


HANDLERS = {
    "ResizeArea": (_multiply, []),
    "ResizeBicubic": (_multiply, []),
    "ResizeBilinear": (_resize, []),
    "ResizeNearestNeighbor": (_resize, []),
    "ScaleAndTranslate": (_multiply, []),
}
