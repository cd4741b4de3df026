"""Converts recurrent layers to ONNX' own LSTM, GRU and RNN, without a loop in the file."""

from typing import Any

import numpy as np
from keras import layers

from export.convert.onnx_nodes import onnx_node
from export.convert.recurrent_cells import are_alike, cells_of, is_standard, operation_of
from export.convert.recurrent_masks import Moves

_LAYERS = (layers.RNN, layers.LSTM, layers.GRU, layers.SimpleRNN)
_LOOPS = {cls.inner_loop for cls in _LAYERS}


def has_operation(layer: layers.RNN, initial_state: Any) -> bool:
    """Returns whether ONNX has operations for a layer's call.

    Stacked cells cannot be converted if their states are given or returned, which Keras nests.
    """
    if layer.stateful or type(layer).inner_loop not in _LOOPS:
        return False
    cells = cells_of(layer)
    with_states = initial_state is not None or layer.return_state
    return all(map(is_standard, cells)) and not (with_states and len(cells) > 1)


def has_one_operation(layer: layers.Bidirectional) -> bool:
    """Returns whether ONNX has an operation for both directions of a layer together."""
    forward, backward = layer.forward_layer, layer.backward_layer
    return (
        type(layer) is layers.Bidirectional
        and all(type(one) in _LAYERS and has_operation(one, None) for one in (forward, backward))
        and are_alike(forward.cell, backward.cell)
        and len(cells_of(forward)) == 1
        and not forward.go_backwards
    )


def call_layer(
    layer: layers.RNN, sequences: Any, initial_state: Any = None, mask: Any = None
) -> Any:
    """Computes what `layer.call` does without dropout, with operations of ONNX.

    Args:
        layer: A layer that `has_operation`.
        sequences: TensorFlow tensor `(batch, steps, features)`.
        initial_state: The initial states, or `None` for zeros.
        mask: Tensor `(batch, steps)`, true for the present steps, or `None`.

    Returns:
        The output of the layer, followed by its states if it returns them.
    """
    import tensorflow as tf

    if layer.go_backwards:
        sequences = _flip(sequences)
        mask = None if mask is None else _flip(_first(mask))
    steps, moves = _steps(sequences, mask)
    initial = _listed(initial_state)
    states = []
    for cell in cells_of(layer):
        outputs, states = _run([cell], steps, [tf.expand_dims(x, 0) for x in initial], moves)
        steps = tf.squeeze(outputs, 1)
    states = [tf.squeeze(state, 0) for state in states]
    if layer.return_sequences:
        output = tf.transpose(steps, [1, 0, 2])
        output = output if moves is None else moves.back(output, layer.zero_output_for_mask)
    else:
        output = states[0] if moves is None else moves.last(states[0], layer.zero_output_for_mask)
    if not layer.return_state:
        return output
    return (output, *(states if moves is None else moves.states(initial, states)))


def call_both(
    layer: layers.Bidirectional, sequences: Any, initial_state: Any = None, mask: Any = None
) -> Any:
    """Does the same for both directions of a layer that `has_one_operation`."""
    import tensorflow as tf

    steps, moves = _steps(sequences, mask)
    initial = _listed(initial_state)
    half = len(initial) // 2
    pairs = zip(initial[:half], initial[half:], strict=True)
    cells = [layer.forward_layer.cell, layer.backward_layer.cell]
    outputs, states = _run(cells, steps, [tf.stack(pair) for pair in pairs], moves)
    if layer.return_sequences:
        output = tf.transpose(outputs, [2, 0, 1, 3])
    else:
        output = tf.transpose(states[0], [1, 0, 2])
    merged = _merge(layer.merge_mode, output)
    if moves is not None:
        placed = moves.back if layer.return_sequences else moves.last
        # Only where such a layer returns sequences, Keras gives absent steps zeros.
        merged = tf.nest.map_structure(lambda one: placed(one, layer.return_sequences), merged)
    if not layer.return_state:
        return merged
    last = [state[direction] for direction in (0, 1) for state in states]
    last = last if moves is None else moves.states(initial, last)
    return (*(merged if layer.merge_mode is None else [merged]), *last)


def _steps(sequences, mask):
    """Returns the present steps as a tensor `(steps, batch, features)`, and their moves."""
    import tensorflow as tf

    sequences = tf.convert_to_tensor(sequences)
    moves = None if mask is None else Moves(_first(mask))
    steps = sequences if moves is None else moves.to_front(sequences)
    return tf.transpose(steps, [1, 0, 2]), moves


def _run(cells, steps, initial, moves):
    """Adds an operation, and returns its outputs and its last states.

    Args:
        cells: A cell, or a cell for each direction.
        steps: Tensor `(steps, batch, features)`.
        initial: The initial states `(directions, batch, units)`, or an empty list for zeros.
        moves: The moves of the steps, or `None`.
    """
    import tensorflow as tf

    operation = operation_of(cells)
    weights = [None if array is None else tf.constant(array) for array in operation.weights]
    lengths = None if moves is None else moves.lengths
    time, batch, _ = steps.shape
    directions, units = len(cells), cells[0].units
    state = (directions, batch, units)
    states = [state, state] if operation.name == "LSTM" else [state]
    outputs, *last = onnx_node(
        operation.name,
        [steps, *weights, lengths, *initial],
        [(shape, steps.dtype) for shape in ((time, directions, batch, units), *states)],
        **operation.attributes,
    )
    return outputs, last


def _merge(mode, output):
    """Merges the two directions, the axis before the last, as Keras does."""
    import tensorflow as tf

    if mode == "concat":
        *kept, _, units = output.shape
        shape = tf.constant([0] * len(kept) + [2 * units], tf.int64)  # 0 keeps the size of an axis.
        return onnx_node("Reshape", [output, shape], [((*kept, 2 * units), output.dtype)])[0]
    forward, backward = tf.unstack(output, axis=-2)
    if mode == "mul":
        return forward * backward
    if mode is None:
        return forward, backward
    return forward + backward if mode == "sum" else (forward + backward) / 2


def _flip(values):
    """Reverses the order of the steps, the second axis."""
    import tensorflow as tf

    start, end, axis, step = (
        tf.constant([number], tf.int64) for number in (-1, np.iinfo("int64").min, 1, -1)
    )
    inputs = [values, start, end, axis, step]
    return onnx_node("Slice", inputs, [(values.shape, values.dtype)])[0]


def _first(mask):
    """Returns the mask of the sequences. Keras may pass those of the states too."""
    return mask[0] if isinstance(mask, list | tuple) else mask


def _listed(states):
    return list(states) if isinstance(states, list | tuple) else [] if states is None else [states]
