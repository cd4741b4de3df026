"""Makes models of the zoo by their names, for the command line."""

from collections.abc import Collection
from typing import Any

from export.errors import UsageError


def pretrained(
    name: str, weights: str | None, outputs: Collection[str] = (), preprocess: bool = False
) -> tuple[Any, dict[str, Any]]:
    """Returns a model of the zoo, and the export options from its card.

    Args:
        name: Name of the model.
        weights: Name of its weights.
        outputs: Names of the file's outputs.
        preprocess: Whether the file will take pixels.

    Raises:
        UsageError: If there is no such model, or if it has no such weights.
    """
    if weights is None:
        raise UsageError(f"Add --weights NAME. Without weights {name!r} is not trained.")
    import keras_capsules

    decoder: dict[str, Any] = {"with_decoder": True} if "reconstruction" in outputs else {}
    try:
        model = keras_capsules.create_model(name, weights, **decoder)
        card = keras_capsules.models.card(name, weights)
    except (TypeError, ValueError) as error:  # TypeError: a model without a decoder.
        raise UsageError(str(error)) from error
    steps, options = card["preprocessing"], {"labels": tuple(card["class_names"])}
    if steps is None:  # It takes signals as they are.
        return model, options
    options["input_range"] = tuple(steps["input_range"])
    if "mean" in steps:
        if not preprocess:
            raise UsageError(
                f"{name} with weights {weights} takes standardized pixels. Add --preprocess, "
                "and the file standardizes the pixels."
            )
        options |= {"mean": steps["mean"], "std": steps["std"]}
    return model, options
