"""Divides the result of a layer among its inputs, with the layer's weights.

Each computation is an operation of a graph. The operation has no weights. It uses the weights of
the layer that made the poses and finds this layer in the graph, so a copied or loaded model uses
the copied or loaded weights. In an exported file its nodes have the layer's name.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_capsules._graph import calls, producer
from keras_capsules._receptive_fields import ReceptiveFields
from keras_capsules.layers import CapsuleLayer, PrimaryCapsule2D
from keras_capsules.layers._stored_maps import reads_stored_maps
from keras_capsules.layers.voting import split_pair
from keras_capsules.ops import at_least_float32, safe_norm


class LayerShares(keras.Operation):
    """Base of the operations that divide the outputs of a layer among its inputs."""

    layer: Any = None  # The layer in the graph of the operation's call.

    def symbolic_call(self, inputs: Any, poses: Any, *args: Any) -> Any:
        """Joins the operation to the graph, and to the layer that made `poses`."""
        self.layer = producer(poses).operation
        return super().symbolic_call(inputs, poses, *args)

    def call(self, inputs: Any, poses: Any, *args: Any) -> Any:
        """Computes the shares in the scope of the layer."""
        # Keras enters a layer's scope twice for each call, to build and to run. TensorFlow counts
        # this in the names of nodes. Exported files keep their bytes if it happens here too.
        with keras.name_scope(self.layer.name, caller=self.layer):
            pass
        with keras.name_scope(self.layer.name, caller=self.layer):
            return self.shares(inputs, poses, *args)

    def shares(self, inputs: Any, poses: Any, *args: Any) -> Any:
        """Computes the shares. A subclass implements it."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="keras_capsules")
class ChildDirections(LayerShares):
    """Traces directions of the parents of a `CapsuleLayer` back to its children.

    `g_i = sum_j c_ij |v_j| / |s_j| kernel_ij @ d_j`, `s_j = sum_i c_ij votes_ij`

    Where `v_j` is `s_j` but for its length, `sum_i g_i . u_i` is `sum_j v_j . d_j` without what the
    bias adds to it.

    Call arguments:
        inputs: The children's poses, as the layer took them.
        poses: The parents' poses `v`, as the layer gave them, `(batch, num_out, dim)`.
        coupling: `c`, `(batch, num_in, num_out)`.
        directions: `d`, of the shape of `poses`; zero for parents of no interest.

    Output shape:
        `(batch, num_in, in_dim)`.
    """

    def compute_output_spec(
        self, inputs: Any, poses: Any, coupling: Any, directions: Any
    ) -> keras.KerasTensor:
        shape = (inputs.shape[0], coupling.shape[1], inputs.shape[-1])
        return keras.KerasTensor(shape, self.layer.compute_dtype)

    def shares(self, inputs: Any, poses: Any, coupling: Any, directions: Any) -> Any:
        layer = self.layer
        rows, columns = layer.rows, layer.capsule_dim // layer.rows
        votes = layer.votes_of(inputs)
        coupling = ops.transpose(at_least_float32(coupling), (0, 2, 1))
        lengths = safe_norm(votes.combine(coupling), keepdims=True)
        directions = at_least_float32(directions) * safe_norm(poses, keepdims=True) / lengths
        num_in = votes.shape[2]
        split = ops.reshape(directions, (-1, layer.num_capsules, 1, rows, columns))
        weighted = split * ops.expand_dims(coupling, (3, 4))
        # One batched matmul over the children; the rows of a pose are members of the batch.
        weighted = ops.transpose(weighted, (2, 0, 3, 1, 4))
        weighted = ops.reshape(weighted, (num_in, -1, layer.num_capsules * columns))
        kernel = ops.transpose(at_least_float32(layer.kernel), (0, 1, 3, 2))
        kernel = ops.reshape(kernel, (-1, layer.num_capsules * columns, kernel.shape[3]))
        in_dim = rows * kernel.shape[2]
        shares = ops.reshape(ops.matmul(weighted, kernel), (num_in, -1, in_dim))
        return ops.cast(ops.transpose(shares, (1, 0, 2)), layer.compute_dtype)


@keras.saving.register_keras_serializable(package="keras_capsules")
class CellShares(LayerShares):
    """Divides `sum_i poses_i . directions_i` of a `PrimaryCapsule2D` among the cells it sees.

    The layer's activation counts as the factor by which it changed the length of each pose.

    Call arguments:
        inputs: The feature map `(batch, height, width, channels)` that the layer took.
        poses: The poses that the layer gave.
        directions: Tensor of the shape of `poses`.

    Output shape:
        `(batch, height, width)`.
    """

    def compute_output_spec(self, inputs: Any, poses: Any, directions: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape[:-1], self.layer.compute_dtype)

    def shares(self, inputs: Any, poses: Any, directions: Any) -> Any:
        layer = self.layer
        features = ops.reshape(layer.convolution(inputs), (-1, *poses.shape[1:]))
        fields = ReceptiveFields(
            inputs.shape[1:-1], layer.kernel_size, layer.strides, layer.padding
        )
        channels, cells = inputs.shape[-1], math.prod(fields.cells)
        factors = safe_norm(poses, keepdims=True) / safe_norm(features, keepdims=True)
        kernel = at_least_float32(layer.convolution.kernel)
        directions = at_least_float32(directions) * factors
        if layer.depthwise:
            directions = ops.reshape(directions, (-1, cells, 1, channels, kernel.shape[-1]))
            kernel = ops.reshape(kernel, (fields.window_size, channels, -1))
            back = ops.sum(directions * kernel, axis=-1)
        else:
            directions = ops.reshape(directions, (-1, cells, kernel.shape[-1]))
            kernel = ops.transpose(ops.reshape(kernel, (fields.window_size * channels, -1)))
            back = ops.matmul(directions, kernel)
        inputs = ops.reshape(at_least_float32(inputs), (-1, fields.grid_size, channels))
        seen = fields.gather(inputs)
        back = ops.reshape(back, (-1, cells * fields.window_size, channels))
        shares = ops.sum(back * seen, axis=-1)
        if not fields.unchanged:  # Adds up the shares of each cell from all windows.
            entries = fields.entries_by_position()[0]
            shares = ops.take(ops.pad(shares, [(0, 0), (0, 1)]), entries.reshape(-1), axis=1)
            shares = ops.sum(ops.reshape(shares, (-1, *entries.shape)), axis=-1)
        return ops.cast(ops.reshape(shares, (-1, *fields.grid)), layer.compute_dtype)


@reads_stored_maps(CapsuleLayer)
def _child_directions(layer: CapsuleLayer, inputs: Any, toward: tuple) -> tuple[LayerShares, tuple]:
    return ChildDirections(), (split_pair(inputs)[0], *toward)


@reads_stored_maps(PrimaryCapsule2D)
def _cell_shares(layer: PrimaryCapsule2D, inputs: Any, toward: Any) -> tuple[LayerShares, tuple]:
    poses = next(call.outputs[0] for call in calls(layer) if call.inputs[0] is inputs)
    return CellShares(), (inputs, poses, toward)
