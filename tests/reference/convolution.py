"""Which children a cell of a capsule convolution sees, and what they vote, one at a time."""

import itertools

import numpy as np


def windows(grid, kernel_size, strides, padding):
    """Returns, for each cell in order, what each tap of its window sees: a position, or None."""
    axes = []
    for size, kernel, stride in zip(grid, kernel_size, strides, strict=True):
        if padding == "valid":
            starts = [s for s in range(size) if s % stride == 0 and s + kernel <= size]
        else:
            cells = int(np.ceil(size / stride))
            missing = max((cells - 1) * stride + kernel - size, 0)
            starts = [cell * stride - missing // 2 for cell in range(cells)]
        axes.append(starts)
    found = []
    for start in itertools.product(*axes):
        window = []
        for offset in itertools.product(*(range(kernel) for kernel in kernel_size)):
            place = tuple(s + o for s, o in zip(start, offset, strict=True))
            inside = all(0 <= p < size for p, size in zip(place, grid, strict=True))
            window.append(place if inside else None)
        found.append(window)
    return found, [len(starts) for starts in axes]


def transposed_windows(grid, kernel_size, strides, padding):
    """Returns the same of a transposed convolution, in which each child writes to its cells."""
    cells, before = [], []
    for size, kernel, stride in zip(grid, kernel_size, strides, strict=True):
        more = max(kernel - stride, 0)
        cells.append(size * stride + (more if padding == "valid" else 0))
        before.append(0 if padding == "valid" else more // 2)
    taps = list(itertools.product(*(range(kernel) for kernel in kernel_size)))
    found = {cell: [None] * len(taps) for cell in np.ndindex(*cells)}
    for place in np.ndindex(*grid):
        for number, tap in enumerate(taps):
            cell = tuple(
                p * s + t - b for p, s, t, b in zip(place, strides, tap, before, strict=True)
            )
            if cell in found:
                found[cell][number] = place
    return list(found.values()), cells


def votes_of_a_cell(poses, window, kernel, matrix, bias, coordinates):
    """Returns the votes (taps * types, parents, dim) of one sample for one cell; beyond the edge 0.

    `poses` is (*grid, types, in_dim), `kernel` (taps, types, parents, rows, columns), and
    `coordinates` None or (taps, dim).
    """
    taps, types, parents = kernel.shape[:3]
    dim = bias.shape[1]
    votes = np.zeros((taps, types, parents, dim))
    for tap, place in enumerate(window):
        if place is None:
            continue
        for i, j in np.ndindex(types, parents):
            pose, weights = poses[place][i], kernel[tap, i, j]
            if matrix:
                pose = pose.reshape(len(weights), len(weights))
            votes[tap, i, j] = (pose @ weights).reshape(-1) + bias[j]
            if coordinates is not None:
                votes[tap, i, j] += coordinates[tap]
    return votes.reshape(-1, parents, dim)
