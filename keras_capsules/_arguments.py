"""Checks constructor arguments."""

import numbers


def positive_integer(name: str, value) -> int:
    """Returns `value` as an integer, or raises a ValueError that names the argument."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    return int(value)
