"""Tells the votes of a window apart by the positions of their children."""

import math

import numpy as np


def coordinate_components(rank: int, capsule_dim: int, transform: str) -> list[int]:
    """Returns the components of a vote to which a coordinate is added.

    Raises:
        ValueError: If a vote has too few components.
    """
    side = math.isqrt(capsule_dim)
    last = transform == "matrix"
    components = [axis * side + side - 1 if last else axis for axis in range(rank)]
    if components[-1] >= capsule_dim:
        raise ValueError(
            f"`coordinate_addition` needs {rank} components of a pose to add to. "
            f"Received: capsule_dim={capsule_dim}"
        )
    return components


def coordinates_of(kernel_size: tuple, num_in: int, capsule_dim: int, transform: str) -> np.ndarray:
    """Returns each child's position in its window, `(window_size * num_in, capsule_dim)`.

    Coordinates are from 0 to 1. The components without a coordinate are 0.
    """
    rank = len(kernel_size)
    centers = [(np.arange(size) + 0.5) / size for size in kernel_size]
    coordinates = np.zeros((*kernel_size, num_in, capsule_dim), "float32")
    for axis, component in enumerate(coordinate_components(rank, capsule_dim, transform)):
        shape = [1] * (rank + 1)
        shape[axis] = -1
        coordinates[..., component] = centers[axis].reshape(shape)
    return coordinates.reshape(-1, capsule_dim)
