"""Patches Keras and tf2onnx, in the process of the conversion alone.

Each patch documents its reason, its version, and the test that shows when it can be removed.
"""

import contextlib
from collections.abc import Iterator
from unittest import mock

import keras

from export.convert import recurrent
from export.errors import ConversionError


@contextlib.contextmanager
def nodes_in_order() -> Iterator[None]:
    """Makes tf2onnx visit the nodes of a graph in the same order in each process.

    tf2onnx keeps the first of several equal nodes, whose name then appears in the file. The order
    is not fixed: TensorFlow's optimizer returns the nodes in any order, and tf2onnx stores them in
    sets, by their addresses.

    Version: tf2onnx 1.17.0.
    Test: `tests/export/convert/test_patches.py`, which fails when the patch is not needed.
    """
    import tf2onnx

    optimize = tf2onnx.tf_loader.tf_optimize

    def optimize_and_sort(*arguments):
        graph = optimize(*arguments)
        nodes = sorted(graph.node, key=lambda node: node.name)
        del graph.node[:]
        graph.node.extend(nodes)
        return graph

    with (
        mock.patch.object(tf2onnx.tf_loader, "tf_optimize", optimize_and_sort),
        mock.patch.object(tf2onnx.graph.Node, "__hash__", lambda node: hash(node.name)),
    ):
        yield


@contextlib.contextmanager
def reshaped_outputs() -> Iterator[None]:
    """Keeps the shape of an output of the graph whose sizes tf2onnx writes as constants.

    tf2onnx may reshape to more axes, of size 1, and remove them by a Squeeze, which takes the place
    of the value in the nodes that use it, but not in the outputs of the graph.

    Version: tf2onnx 1.17.0.
    Test: `tests/export/convert/test_patches.py`, which fails when the patch is not needed.
    """
    from tf2onnx.graph_builder import GraphBuilder
    from tf2onnx.optimizer.reshape_optimizer import ReshapeOptimizer

    optimize = ReshapeOptimizer._optimize_reshape

    def optimize_and_squeeze(self, node, graph):
        name = node.output[0]
        shape, dtype = graph.get_shape(name), graph.get_dtype(name)
        if not optimize(self, node, graph):
            return False
        longer = graph.get_shape(name)
        if name in graph.outputs and len(longer or ()) > len(shape or ()):
            inputs, axes = list(node.input), list(range(len(longer) - len(shape)))
            graph.remove_node(node.name)
            inner = graph.make_node("Reshape", inputs, shapes=[longer], dtypes=[dtype]).output[0]
            squeezed = {"data": inner, "axes": axes, "outputs": [name]}
            GraphBuilder(graph).make_squeeze(squeezed, shapes=[shape], dtypes=[dtype])
        return True

    with mock.patch.object(ReshapeOptimizer, "_optimize_reshape", optimize_and_squeeze):
        yield


@contextlib.contextmanager
def convolutions_on_cpus() -> Iterator[None]:
    """Lets TensorFlow run the convolutions on a CPU that other backends of Keras run there.

    Those with `channels_first` get transposed inputs, as Keras itself does for pooling. Transposed
    ones with a dilation get a kernel with zeros between its cells, unless only a graph is traced.

    Version: Keras 3.15.1, TensorFlow 2.21.
    Test: `tests/export/convert/test_patches.py`, which fails when the patch is not needed.
    """
    import tensorflow as tf
    from keras.src.backend.tensorflow import nn

    convolve, transpose = nn.conv, nn.conv_transpose

    def channels_last(function, inputs, data_format, **options):
        if (data_format or keras.config.image_data_format()) == "channels_last":
            return function(inputs, data_format="channels_last", **options)
        inputs = nn._transpose_spatial_inputs(inputs)
        outputs = function(inputs, data_format="channels_last", **options)
        return nn._transpose_spatial_outputs(outputs)

    def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
        options = {"strides": strides, "padding": padding, "dilation_rate": dilation_rate}
        return channels_last(convolve, inputs, data_format, kernel=kernel, **options)

    def conv_transpose(
        inputs,
        kernel,
        strides=1,
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=1,
    ):
        if tf.executing_eagerly():
            kernel, dilation_rate = _dilated(kernel, dilation_rate), 1
        options = {"strides": strides, "padding": padding, "dilation_rate": dilation_rate}
        options |= {"output_padding": output_padding, "kernel": kernel}
        return channels_last(transpose, inputs, data_format, **options)

    with (
        mock.patch.object(nn, "conv", conv),
        mock.patch.object(nn, "conv_transpose", conv_transpose),
    ):
        yield


def _dilated(kernel, rates):
    """Returns a kernel with zeros between its cells."""
    kernel = keras.ops.convert_to_tensor(kernel)
    dimensions = len(kernel.shape) - 2
    rates = (rates,) * dimensions if isinstance(rates, int) else rates
    for axis, rate in enumerate(rates):
        size = kernel.shape[axis]
        places = [place // rate if place % rate == 0 else size for place in range(rate * size)]
        pads = [(0, int(other == axis)) for other in range(dimensions + 2)]
        padded = keras.ops.pad(kernel, pads)  # With zeros at the place `size`.
        kernel = keras.ops.take(padded, places[: rate * (size - 1) + 1], axis=axis)
    return kernel


@contextlib.contextmanager
def sums_of_other_backends() -> Iterator[None]:
    """Adds biases to channels that come first, even if there are as many columns as channels.

    Keras on TensorFlow then adds a bias `(1, 8, 1, 1)` to the columns of `(batch, 8, height, 8)`. A
    model on TensorFlow computes that, and so does its file.

    Version: Keras 3.15.1.
    Test: `tests/export/convert/test_patches.py`, which fails when the patch is not needed.
    """
    from keras.src.backend.tensorflow import numpy

    add = numpy.add

    def add_along_axes(x1, x2):
        inputs, bias = (list(getattr(x, "shape", [])) for x in (x1, x2))
        first = len(inputs) > 1 and len(bias) > 1 and bias[-1] == 1 != inputs[-1]
        # Keras never takes the first term for a bias.
        return add(x2, x1) if first and inputs[-1] in bias else add(x1, x2)

    with mock.patch.object(numpy, "add", add_along_axes):
        yield


@contextlib.contextmanager
def readable_functions() -> Iterator[None]:
    """Makes Keras trace what tf2onnx can read.

    Functions that XLA would compile are traced in line: Keras compiles convolutions with groups.
    The sign of a float comes from comparisons and not from its bits. Padding to an aspect ratio has
    no branches, as the size of the image is known. An up-sampling of open size does not compare the
    size with 0. All steps of a distributed layer are one batch, if none is masked.

    Version: Keras 3.15.1, tf2onnx 1.17.0.
    Test: `tests/export/convert/test_patches.py`, which fails when the patch is not needed.
    """
    import tensorflow as tf
    from keras.src.backend.tensorflow import image, numpy

    function, signbit, resize = tf.function, numpy.signbit, image.resize
    step_by_step = keras.layers.TimeDistributed.call
    by_size = keras.layers.UpSampling2D._resize_images

    def inline(func=None, **options):
        if options.get("jit_compile"):
            return func or (lambda function: function)
        return function(func, **options)

    def signbit_by_comparison(x):
        x = tf.convert_to_tensor(x)
        return (x < 0) | (1 / x < 0) if x.dtype.is_floating else signbit(x)

    def resize_padded(images, size, *arguments, pad_to_aspect_ratio=False, **options):
        if pad_to_aspect_ratio:
            first = options.get("data_format") == "channels_first"
            value = options.get("fill_value", 0.0)
            images = _padded_to_ratio(images, size, len(images.shape) - 3 + first, value)
        return resize(images, size, *arguments, **options)

    def all_steps(layer, inputs, training=None, mask=None):
        if mask is not None and layer.layer._call_has_mask_arg:
            return step_by_step(layer, inputs, training, mask)
        _, steps, *sizes = keras.ops.shape(inputs)
        outputs = layer.layer(keras.ops.reshape(inputs, (-1, *sizes)), training=training)
        return keras.ops.reshape(outputs, (-1, steps, *keras.ops.shape(outputs)[1:]))

    def up_sampled(layer, x, height, width, data_format, interpolation="nearest"):
        if interpolation == "nearest" or None not in x.shape[1:]:
            return by_size(layer, x, height, width, data_format, interpolation)
        first = data_format == "channels_first"
        images = keras.ops.moveaxis(x, 1, -1) if first else x
        size = tf.shape(images)[1:3] * (height, width)
        resized = tf.cast(tf.image.resize(images, size, interpolation), x.dtype)
        return keras.ops.moveaxis(resized, -1, 1) if first else resized

    with (
        mock.patch.object(tf, "function", inline),
        mock.patch.object(numpy, "signbit", signbit_by_comparison),
        mock.patch.object(image, "resize", resize_padded),
        mock.patch.object(keras.layers.TimeDistributed, "call", all_steps),
        mock.patch.object(keras.layers.UpSampling2D, "_resize_images", up_sampled),
    ):
        yield


def _padded_to_ratio(images, size, axis, value):
    """Pads images whose height is at an axis, and whose width is at the next, as Keras does."""
    height, width = images.shape[axis : axis + 2]
    if None in (height, width):
        raise ConversionError(
            "Padding to an aspect ratio needs images of known size. Give keras.Input the height "
            "and the width."
        )
    padded = max(height, width * size[0] // size[1]), max(width, height * size[1] // size[0])
    pads = [(0, 0)] * len(images.shape)
    pads[axis : axis + 2] = [
        ((new - old) // 2,) * 2 for new, old in zip(padded, (height, width), strict=True)
    ]
    return keras.ops.pad(images, pads, constant_values=value)


@contextlib.contextmanager
def recurrent_layers() -> Iterator[None]:
    """Makes recurrent layers call ONNX' operations, or unroll their steps if there is none.

    tf2onnx turns the loop of Keras' layers into an operation in some cases only, without masks for
    example. Else a Loop remains, which few devices run.

    Version: tf2onnx 1.17.0.
    Test: `tests/export/convert/test_patches.py`, which fails when the patch is not needed.
    """
    rnn, bidirectional = keras.layers.RNN.call, keras.layers.Bidirectional.call

    def call(layer, sequences, initial_state=None, mask=None, training=False):
        if recurrent.has_operation(layer, initial_state):
            return recurrent.call_layer(layer, sequences, initial_state, mask)
        with mock.patch.object(layer, "unroll", sequences.shape[1] is not None):
            return rnn(layer, sequences, initial_state, mask, training)

    def call_both(layer, sequences, initial_state=None, mask=None, training=None):
        if recurrent.has_one_operation(layer):
            return recurrent.call_both(layer, sequences, initial_state, mask)
        return bidirectional(layer, sequences, initial_state, mask, training)

    with (
        mock.patch.object(keras.layers.RNN, "call", call),
        mock.patch.object(keras.layers.Bidirectional, "call", call_both),
    ):
        yield
