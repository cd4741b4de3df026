"""Convolutions in three dimensions with groups, and transposed ones with cells no input reaches."""

from export.convert.operations.build import by_tf2onnx


def _convolution_3d(graph, node, *_):
    """Sets the number of groups, which tf2onnx sets in two dimensions alone."""
    inputs, kernel = graph.get_shape(node.input[0]), graph.get_shape(node.input[1])
    by_tf2onnx(graph, node)
    node.set_attr("group", inputs[-1] // kernel[-2])


def _transposed(graph, node, *_):
    """Writes negative padding, which tf2onnx makes and ONNX forbids, as output padding."""
    by_tf2onnx(graph, node)
    pads = node.get_attr_value("pads") if "pads" in node.attr else []
    half = len(pads) // 2
    totals = [before + after for before, after in zip(pads[:half], pads[half:], strict=True)]
    if any(total < 0 for total in totals):
        before = [max(total, 0) // 2 for total in totals]
        after = [max(total, 0) - first for total, first in zip(totals, before, strict=True)]
        node.set_attr("pads", before + after)
        node.set_attr("output_padding", [max(-total, 0) for total in totals])


HANDLERS = {
    "Conv2DBackpropInput": (_transposed, []),
    "Conv3D": (_convolution_3d, []),
    "Conv3DBackpropInputV2": (_transposed, []),
}
