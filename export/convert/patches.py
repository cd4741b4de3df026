"""Holds every patch of Keras and tf2onnx. They apply to the conversion's process alone.

Each says why it is there, for which version, and which test tells when it can go.
"""

import contextlib
from collections.abc import Iterator
from unittest import mock


@contextlib.contextmanager
def nodes_in_order() -> Iterator[None]:
    """Makes tf2onnx meet the nodes of a graph in the same order in each process.

    Of equal nodes tf2onnx keeps the first, and the file gets its name. TensorFlow's optimizer
    returns the nodes in any order, and tf2onnx holds them in sets, by their addresses.

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
