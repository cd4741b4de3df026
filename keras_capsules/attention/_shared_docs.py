"""Completes the docstrings of the family with the descriptions that its members share."""

import inspect

DESCRIPTIONS = {
    "reduction_ratio": """\
reduction_ratio: Integer or float. The width of the hidden layer is the number of channels
    divided by `reduction_ratio`. Defaults to `{default}`.""",
    "reduced_channels": """\
reduced_channels: Integer or `None`, the default. Width of the hidden layer. Overrides
    `reduction_ratio`.""",
    "divisor": """\
divisor: Integer. The width that `reduction_ratio` gives is rounded to a multiple of
    `divisor` and is at least `divisor`. Defaults to `{default}`.""",
    "min_channels": """\
min_channels: Integer. The width that `reduction_ratio` gives is at least `min_channels`.
    Defaults to `{default}`.""",
    "activation": """\
activation: String or callable. Activation of the hidden layer. Defaults to `"{default}"`.""",
    "gate_activation": """\
gate_activation: String or callable. Activation of the gates. Defaults to `"{default}"`.""",
    "use_bias": """\
use_bias: Boolean. Whether the layers that compute the gates have biases. Defaults to
    `{default}`.""",
    "data_format": """\
data_format: `"channels_last"`, `"channels_first"` or `None`, the default, which stands for
    `keras.config.image_data_format()`.""",
    "inputs": """\
inputs: Tensor of rank 3 to 5: `(batch, positions..., channels)`, or
    `(batch, channels, positions...)` with `"channels_first"`.""",
    "image_inputs": """\
inputs: Tensor `(batch, height, width, channels)`, or `(batch, channels, height, width)`
    with `"channels_first"`.""",
    "mask": """\
mask: Boolean tensor `(batch, steps)`, for sequences. Masked steps stay out of the mean.""",
    "return_gates": """\
return_gates: Boolean. Whether to return the gates as well. Defaults to `False`.""",
    "training": """\
training: Boolean. Whether batch normalization uses the batch's statistics.""",
}
REDUCING_ARGUMENTS = ("reduction_ratio", "reduced_channels", "divisor")


def documented(layer_class: type) -> type:
    """Replaces lines such as `{divisor}` in the docstring of a class by their descriptions.

    `{reducing_arguments}` stands for `REDUCING_ARGUMENTS`. Defaults come from the constructor of
    the class, so a description cannot name another one.
    """
    if layer_class.__doc__ is None:  # Python removes docstrings with -OO.
        return layer_class
    defaults = inspect.signature(layer_class.__init__).parameters
    lines = []
    for line in layer_class.__doc__.split("\n"):
        placeholder = line.strip()
        name = placeholder.strip("{}")
        names = REDUCING_ARGUMENTS if name == "reducing_arguments" else (name,)
        if placeholder != f"{{{name}}}":
            lines.append(line)
            continue
        indent = line[: line.index("{")]
        for name in names:
            default = defaults[name].default if name in defaults else None
            description = DESCRIPTIONS[name].replace("{default}", str(default))
            lines.extend(indent + part for part in description.split("\n"))
    layer_class.__doc__ = "\n".join(lines)
    return layer_class
