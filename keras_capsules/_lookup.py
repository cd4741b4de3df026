"""Resolves a name, config or instance."""

import difflib
from collections.abc import Iterable

import keras


def check_name(what: str, name: str, known: Iterable[str]) -> None:
    """Raises a `ValueError` that lists the known names, and the nearest, for another name."""
    known = list(known)
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"Unknown {what}.{meant} Known ones: {', '.join(known)}. Received: {what}={name!r}"
        )


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
        check_name(what, identifier, table)
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
