"""Moves the steps of masked sequences, so that ONNX' recurrent operations can run them.

In these operations each sequence of a batch has a length. Keras' masks may leave out any step. The
present steps are therefore moved to the front, in their order, and the outputs are moved back:

    step           0  1  2  3  4
    present        -  x  -  x  x
    moved to          0     1  2
    output         -  0  0  1  2    the place to read it from: the last present step until now
    with zeros     -  0  -  1  2    if `zero_output_for_mask`

The others get zeros. ONNX leaves open what an operation writes beyond the end of a sequence, and
versions of onnxruntime differ.
"""

from typing import Any

from export.convert.onnx_nodes import onnx_node


class Moves:
    """Moves the present steps of sequences to the front, and their outputs back.

    Args:
        mask: TensorFlow tensor `(batch, steps)` or `(batch, steps, 1)`, true for present steps.

    Attributes:
        present: Tensor `(batch, steps, 1)` of int32, 1 for present steps.
        lengths: Number of present steps of each sequence.
    """

    def __init__(self, mask: Any):
        import tensorflow as tf

        present = tf.cast(mask, tf.int32)
        self.present = tf.expand_dims(present, 2) if len(present.shape) == 2 else present
        self.lengths = tf.reduce_sum(self.present, axis=[1, 2])

    def to_front(self, sequences: Any) -> Any:
        """Moves the present steps of a tensor `(batch, steps, ...)` to the front."""
        import tensorflow as tf

        shape = self.present.shape
        steps = tf.cast(tf.shape(self.present)[1:2], tf.int64)
        # Of equal values, TopK takes the first ones first.
        outputs = [(shape, tf.int32), (shape, tf.int64)]
        _, places = onnx_node("TopK", [self.present, steps], outputs, axis=1)
        return _gather(sequences, places)

    def back(self, outputs: Any, zeros: bool) -> Any:
        """Gives each step its output, and each absent one zeros or the output before it.

        Args:
            outputs: Tensor `(batch, steps, units)`, of which the present steps come first.
            zeros: Whether all absent steps get zeros, and not only those before the first one.
        """
        import tensorflow as tf

        ranks = tf.cumsum(self.present, axis=1)
        read = _gather(outputs, tf.cast(ranks - 1, tf.int64))
        return _where((self.present if zeros else ranks) == 0, tf.constant(0.0), read)

    def last(self, output: Any, zeros: bool) -> Any:
        """Replaces the last output of a sequence by zeros if it has no present step.

        Args:
            output: Tensor `(batch, units)`.
            zeros: Whether to replace it also if the last step is absent.
        """
        import tensorflow as tf

        present = self.present[:, -1] if zeros else tf.expand_dims(self.lengths, 1)
        return _where(present == 0, tf.constant(0.0), output)

    def states(self, initial: list, last: list) -> list:
        """Returns the last states. A sequence without steps keeps the initial ones."""
        import tensorflow as tf

        empty = tf.expand_dims(self.lengths, 1) == 0
        initial = initial or [tf.constant(0.0)] * len(last)
        return [_where(empty, *pair) for pair in zip(initial, last, strict=True)]


def _where(condition, value, other):
    """Chooses without arithmetic, unlike what tf2onnx makes of `tf.where`."""
    return onnx_node("Where", [condition, value, other], [(other.shape, other.dtype)])[0]


def _gather(values, places):
    """Reads `values[b, places[b, t, 0]]` for each `b` and `t`."""
    outputs = [(values.shape, values.dtype)]
    return onnx_node("GatherND", [values, places], outputs, batch_dims=1)[0]
