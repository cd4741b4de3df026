"""Models of the zoo by their names, for the command line."""

from export.errors import UsageError


def resolve(options) -> None:
    """Replaces `--model NAME --weights NAME` by the model, and what its card says of its inputs.

    Args:
        options: Parsed arguments of the command line; they are changed.

    Raises:
        UsageError: If there is no such model or weights, or neither a file nor a model is named.
    """
    if (options.model is None) == (options.name is None):
        raise UsageError("Pass either the file MODEL or --model NAME, one of the zoo.")
    if options.name is None:
        if options.weights is not None:
            raise UsageError("A file brings its weights: pass --weights with --model NAME only.")
        return
    if options.weights is None:
        raise UsageError(f"Add --weights NAME: without, {options.name!r} would not be trained.")
    import keras_capsules

    decoder = {"with_decoder": True} if "reconstruction" in (options.outputs or ()) else {}
    try:
        options.model = keras_capsules.create_model(options.name, options.weights, **decoder)
        card = keras_capsules.models.card(options.name, options.weights)
    except (TypeError, ValueError) as error:  # TypeError: a model that has no decoder.
        raise UsageError(str(error)) from error
    preprocessing = card["preprocessing"]
    options.input_range = preprocessing["input_range"]
    if "mean" in preprocessing:
        if not options.preprocess:
            raise UsageError(
                f"{options.name} with weights {options.weights} takes standardized pixels. Add "
                "--preprocess, and the file does that itself."
            )
        options.mean, options.std = preprocessing["mean"], preprocessing["std"]
