"""Inserts attention into existing models."""

import fnmatch
from collections.abc import Callable
from typing import Any

import keras

from keras_capsules._graph import ends, is_graph, tensors
from keras_capsules._residual_branches import RecordedCalls
from keras_capsules.attention import clone


def insert_attention(
    model: keras.Model,
    attention: "str | dict | keras.layers.Layer" = "se",
    after: "str | type | Callable[[keras.layers.Layer], bool] | None" = None,
) -> keras.Model:
    """Copies a model, and inserts a block of attention at each chosen point.

    The model stays unchanged, and the copy shares nothing with it. The copy has the same weights,
    bit for bit, the same inputs and outputs, and the same names, dtypes and `trainable` flags of
    layers. Nested models are treated in the same way. The copy is a functional model and is not
    compiled. The blocks are trainable even if all other layers are frozen.

    Without `after` the blocks are inserted as in the paper: at the end of each residual branch,
    right before the addition. A branch of an addition consists of the layers that lead to one input
    and not to the other. The residual branch is the one with more layers that have weights or, if
    these numbers are equal, with more layers. The other branch is the shortcut. Some additions are
    left alone: those with more than two inputs or different shapes, and those whose branches start
    at no common layer or are equally long.

    Args:
        model: Functional or sequential `keras.Model`, such as those of `keras.applications`.
        attention: Name, config or instance of an attention. It is cloned for each block, with the
            dtype policy and data format of the layer before the block. The block is named after
            this layer, such as `conv1_bn_se`. Defaults to `"se"`.
        after: Layers to follow: the type of a layer or the type's name (`"Conv2D"`), a pattern of
            layer names (`"conv*_block*_3_bn"`), or a function of a layer that returns a boolean.
            Everything that takes the output of such a layer then takes the block's output. If a
            block follows an output of the model, the output takes the block's name. Defaults to
            `None`, the residual branches.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If no layer is chosen, if the attention does not fit one, or if a layer to
            follow has several outputs. Also if the model is subclassed, has no input shape yet, or
            calls a layer more than once.

    Example:

    >>> resnet = keras_capsules.create_model("se_resnet20", attention=None, blocks=1)
    >>> model = keras_capsules.insert_attention(resnet, "eca")
    >>> [layer.name for layer in model.layers if layer.name.endswith("eca")][0]
    'stage_1_block_1_2_normalization_eca'

    Reference:
        Hu, Shen, Albanie, Sun, Wu, 2018, arXiv 1709.01507, figure 3 (the end of the branch).
    """
    if not (after is None or isinstance(after, str) or callable(after)):
        raise ValueError(
            "`after` must be a type of layer, a name or pattern, a function of a layer, or None. "
            f"Received: after={after!r}"
        )
    surgery = _Surgery(attention, after)
    copy = surgery.copy(model)
    if not surgery.inserted:
        what = "addition of a residual branch and a shortcut" if after is None else "such layer"
        names = [layer.name for layer in model.layers]
        raise ValueError(
            f"The model has no {what}. Choose with `after` which layers to follow: "
            f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}. "
            f"Received: after={after!r}"
        )
    surgery.copy_weights()
    return copy


class _Surgery:
    """Copies one model, and records the copied layers and the graph while it is rebuilt."""

    def __init__(self, attention: Any, after: Any):
        self.attention = attention
        self.after = after
        self.calls = RecordedCalls()
        self.originals = {}  # The original and the copy, by the identity of the copy.
        self.called = set()
        self.names = set()
        self.inserted = 0

    def copy(self, model: keras.Model) -> keras.Model:
        """Copies a model and the models nested in it, without their weights."""
        if not is_graph(model):
            raise ValueError(
                "A subclassed model has no graph to insert layers into. Pass a functional or a "
                "sequential one, or call the attention in the model's code. "
                f"Received: {type(model).__name__} {getattr(model, 'name', model)!r}"
            )
        if not model.built:
            raise ValueError(
                "The model has no shapes yet. Start it with a `keras.Input`, or call it once. "
                f"Received: {type(model).__name__} {model.name!r}"
            )
        functional = keras.Model(*ends(model), name=model.name)
        self.names |= {layer.name for layer in functional.layers}
        inputs = {
            id(layer.output): type(layer).from_config(layer.get_config()).output
            for layer in functional.layers
            if isinstance(layer, keras.layers.InputLayer)
        }
        return keras.models.clone_model(
            functional,
            keras.tree.map_structure(lambda x: inputs[id(x)], functional.input),
            clone_function=self.copy_layer,
            call_function=self.call,
        )

    def copy_layer(self, layer: Any) -> Any:
        """Copies a layer and records its original."""
        copy = self.copy(layer) if is_graph(layer) else type(layer).from_config(layer.get_config())
        self.originals[id(copy)] = layer, copy
        return copy

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls a copied layer, with a block before or after it if there should be one."""
        if id(layer) in self.called:
            raise ValueError(
                f"The model calls its layer {layer.name!r} more than once, so there is no unique "
                "position before or after it. Give each call a separate layer."
            )
        self.called.add(id(layer))
        inputs, residual = tensors((args, kwargs)), None
        if self.after is None and type(layer).__name__ == "Add" and len(inputs) == 2:
            residual = self.calls.residual_branch(*inputs)
        if residual is not None:
            weighed = self.weigh(residual)
            args, kwargs = keras.tree.map_structure(
                lambda x: weighed if x is residual else x, (args, kwargs)
            )
        outputs = layer(*args, **kwargs)
        self.calls.record(layer, inputs, outputs)
        if not self.matches(self.originals[id(layer)][0]):
            return outputs
        if not isinstance(outputs, keras.KerasTensor):
            raise ValueError(
                f"The layer {layer.name!r} has several outputs, but attention takes one. "
                f"Choose other layers. Received: after={self.after!r}"
            )
        return self.weigh(outputs)

    def matches(self, layer: Any) -> bool:
        """Returns whether `after` chooses a layer."""
        if self.after is None or not isinstance(layer, keras.layers.Layer):
            return False
        if isinstance(self.after, str):
            return self.after == type(layer).__name__ or fnmatch.fnmatchcase(layer.name, self.after)
        return isinstance(layer, self.after) if isinstance(self.after, type) else self.after(layer)

    def weigh(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Calls a new block of attention."""
        layer, data_format = self.calls.layer_of(x), self.calls.data_format(x)
        options = {"data_format": data_format} if data_format else {}
        if isinstance(layer, keras.layers.Layer):
            options["dtype"] = layer.dtype_policy
        block, count = clone(self.attention, layer.name, **options), 1
        while block.name in self.names:
            count += 1
            block = clone(self.attention, f"{layer.name}_{count}", **options)
        try:
            outputs = block(x)
        except ValueError as error:
            raise ValueError(
                f"{type(block).__name__} cannot follow the layer {layer.name!r}, whose output has "
                f"shape {x.shape}. Choose other layers with `after`, or another attention. {error}"
            ) from error
        self.names.add(block.name)
        self.inserted += 1
        self.calls.record_alias(x, outputs)
        return outputs

    def copy_weights(self) -> None:
        """Gives the copied layers the weights of the originals."""
        for old, new in self.originals.values():
            if isinstance(old, keras.layers.Layer) and not is_graph(old):
                new.set_weights(old.get_weights())
            if isinstance(new, keras.layers.Normalization):
                new.finalize_state()  # The layer computes with copies of its weights.
