"""Where the tensors of a model under construction come from."""

from keras_capsules._graph import is_graph, tensors


class TensorGraph:
    """The layers that were called, and on what, as far as it was recorded."""

    def __init__(self):
        self.producers = {}  # by the identity of a tensor: the layer, its inputs and the tensor

    def record(self, layer, inputs, outputs):
        for x in tensors(outputs):
            self.producers[id(x)] = layer, inputs, x

    def record_alias(self, x, alias):
        """`alias` counts as `x`, so that inserted layers do not count."""
        self.producers[id(alias)] = (*self.producers[id(x)][:2], alias)

    def producer(self, x):
        return self.producers[id(x)][0]

    def upstream(self, tensor):
        """The layers, nearest first, that a tensor comes from; `None` for an input."""
        layers, pending = {}, [tensor]
        while pending:
            x = pending.pop(0)
            layer, inputs, _ = self.producers.get(id(x), (None, (), x))
            if (key := id(x if layer is None else layer)) not in layers:
                layers[key] = layer
                pending.extend(inputs)
        return layers

    def data_format(self, x):
        """That of the nearest layer that has one, or `None`."""
        formats = (getattr(layer, "data_format", None) for layer in self.upstream(x).values())
        return next(filter(None, formats), None)

    def residual_branch(self, *inputs):
        """The input of an addition that is not the shortcut, or `None` if neither is one."""
        first, second = (self.upstream(x) for x in inputs)
        if inputs[0].shape != inputs[1].shape or not first.keys() & second.keys():
            return None
        lengths = [
            _length(layer for key, layer in one.items() if key not in other and layer is not None)
            for one, other in ((first, second), (second, first))
        ]
        return None if lengths[0] == lengths[1] else inputs[lengths[0] < lengths[1]]


def _length(layers):
    """How many of the layers have weights, and how many there are, nested models taken apart."""
    weighted = total = 0
    for layer in layers:
        inside = bool(getattr(layer, "weights", ())), 1  # Not every operation is a layer.
        if is_graph(layer):
            inside = _length(layer.layers)
        weighted, total = weighted + inside[0], total + inside[1]
    return weighted, total
