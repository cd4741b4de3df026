"""Patches Keras and tf2onnx, in the process of the conversion alone.

Each patch documents its reason, its version, and the test that shows when it can be removed.
"""

import contextlib
from collections.abc import Iterator
from unittest import mock


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
