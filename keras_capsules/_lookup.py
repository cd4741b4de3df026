"""Resolves a name, config or instance."""

import keras


def resolve(what: str, identifier, table: dict, base: type, **kwargs):
    """Returns the instance of `base` that `identifier` stands for.

    Args:
        what: String. The argument's name in messages.
        identifier: A name from `table`, a config made by `keras.saving.serialize_keras_object`, or
            an instance, which is returned unchanged.
        table: Dictionary of classes by name.
        base: Class. The result must be an instance of it.
        **kwargs: Constructor arguments. Only for a name.

    Raises:
        ValueError: If the name is unknown, if the object is not an instance of `base`, or if
            arguments come with a config or an instance.
    """
    if isinstance(identifier, str):
        if identifier not in table:
            raise ValueError(
                f"Unknown {what}. Known ones: {', '.join(table)}. Received: {what}={identifier!r}"
            )
        return table[identifier](**kwargs)
    if kwargs:
        raise ValueError(
            f"Constructor arguments go with the {what}'s name; a config or an instance already "
            f"has its own. Received: {what}={identifier!r} with {sorted(kwargs)}"
        )
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if not isinstance(identifier, base):
        raise ValueError(
            f"`{what}` must be one of the names {', '.join(table)}, the config of a "
            f"`{base.__name__}` or an instance of one. Received: {what}={identifier!r}"
        )
    return identifier
