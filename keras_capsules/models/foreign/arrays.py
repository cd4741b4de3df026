"""Holds arrays of another code by name, and says what was expected where one lacks or differs."""

from collections.abc import Mapping
from typing import Any

import numpy as np


class ForeignArrays:
    """Arrays by name, each of which is taken once.

    Args:
        arrays: Mapping of names to arrays.
        source: String. The code that they come from, for messages.
    """

    def __init__(self, arrays: Mapping[str, Any], source: str):
        self.arrays = {name: np.asarray(array) for name, array in arrays.items()}
        self.source = source
        self.taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def take(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """Returns the array of this name. `None` in `shape` stands for any size.

        Raises:
            ValueError: If there is no such array, or it has another shape.
        """
        if name not in self.arrays:
            raise ValueError(
                f"Weights of {self.source} have {name!r} of shape {written(shape)}, and it is "
                f"missing. Received: {listed(self.arrays)}"
            )
        array = self.arrays[name]
        check_shape(self.source, name, array, shape)
        self.taken.add(name)
        return array

    def finish(self) -> None:
        """Raises a `ValueError` if an array has not been taken: the network would differ."""
        left = [name for name in self.arrays if name not in self.taken]
        if left:
            raise ValueError(
                f"Weights of {self.source} that build the network which was asked for have no "
                f"others than {listed(sorted(self.taken))}. Received also: {listed(left)}"
            )


def check_shape(source: str, name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> None:
    """Raises a `ValueError` that names the expected shape, if an array has another one."""
    fits = len(array.shape) == len(shape) and all(
        expected in (None, size) for size, expected in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{name!r} of {source} must have the shape {written(shape)}, by the sizes that were "
            f"asked for. Received: shape={array.shape}"
        )


def written(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


def listed(names) -> str:
    names = list(names)
    more = f", ... ({len(names)} names)" if len(names) > 8 else ""
    return ", ".join(map(repr, names[:8])) + more or "no arrays"
