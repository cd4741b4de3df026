"""Letters, signs and scribbles: strokes without digits, prepared as the page prepares a drawing."""

import numpy as np

PEN = 2.6  # Pixels, the thickness of MNIST's strokes, as in examples/web/pad.js.
BOXES = {28: (20, 20), 36: (28, 23)}  # Width and height of the space for strokes, as there.


def _arc(x, y, width, height, start, end):
    turns = 2 * np.pi * np.linspace(start, end, 1 + round(32 * abs(end - start)))
    return [(x + width * np.cos(turn), y + height * np.sin(turn)) for turn in turns]


def _spiral():
    radii = np.linspace(0, 0.5, 60)
    return [(0.5 + r * np.cos(40 * r), 0.5 + r * np.sin(40 * r)) for r in radii]


# Each as strokes through points, with x to the right and y down. Letters that are digits to many
# people, such as O, I, Z and q, are left out.
SHAPES = {
    "A": [[(0.1, 1), (0.5, 0), (0.9, 1)], [(0.25, 0.6), (0.75, 0.6)]],
    "C": [_arc(0.5, 0.5, 0.45, 0.5, 0.88, 0.12)],
    "E": [[(0.8, 0), (0.2, 0), (0.2, 1), (0.8, 1)], [(0.2, 0.5), (0.7, 0.5)]],
    "F": [[(0.8, 0), (0.2, 0), (0.2, 1)], [(0.2, 0.5), (0.7, 0.5)]],
    "H": [[(0.2, 0), (0.2, 1)], [(0.8, 0), (0.8, 1)], [(0.2, 0.5), (0.8, 0.5)]],
    "K": [[(0.2, 0), (0.2, 1)], [(0.8, 0), (0.2, 0.55), (0.8, 1)]],
    "M": [[(0, 1), (0.15, 0), (0.5, 0.6), (0.85, 0), (1, 1)]],
    "N": [[(0.2, 1), (0.2, 0), (0.8, 1), (0.8, 0)]],
    "P": [[(0.2, 1), (0.2, 0), (0.5, 0), *_arc(0.5, 0.25, 0.3, 0.25, -0.25, 0.25), (0.2, 0.5)]],
    "R": [
        [(0.2, 1), (0.2, 0), (0.5, 0), *_arc(0.5, 0.25, 0.3, 0.25, -0.25, 0.25), (0.2, 0.5)],
        [(0.4, 0.5), (0.8, 1)],
    ],
    "T": [[(0.1, 0), (0.9, 0)], [(0.5, 0), (0.5, 1)]],
    "U": [[(0.2, 0), *_arc(0.5, 0.7, 0.3, 0.3, 0.5, 0), (0.8, 0)]],
    "V": [[(0.1, 0), (0.5, 1), (0.9, 0)]],
    "W": [[(0, 0), (0.25, 1), (0.5, 0.3), (0.75, 1), (1, 0)]],
    "X": [[(0.1, 0), (0.9, 1)], [(0.9, 0), (0.1, 1)]],
    "e": [[(0.1, 0.5), *_arc(0.5, 0.5, 0.4, 0.45, 0, -0.88)]],
    "m": [
        [(0, 1), (0, 0.3), *_arc(0.25, 0.4, 0.25, 0.3, 0.5, 1), (0.5, 1), (0.5, 0.4)]
        + [*_arc(0.75, 0.4, 0.25, 0.3, 0.5, 1), (1, 1)]
    ],
    "plus": [[(0.5, 0), (0.5, 1)], [(0, 0.5), (1, 0.5)]],
    "equals": [[(0, 0.3), (1, 0.3)], [(0, 0.7), (1, 0.7)]],
    "hash": [
        [(0.3, 0), (0.3, 1)],
        [(0.7, 0), (0.7, 1)],
        [(0, 0.3), (1, 0.3)],
        [(0, 0.7), (1, 0.7)],
    ],
    "question": [[*_arc(0.5, 0.25, 0.3, 0.25, -0.5, 0.2), (0.5, 0.7)], [(0.5, 0.95), (0.5, 1)]],
    "tick": [[(0, 0.6), (0.35, 1), (1, 0)]],
    "square": [[(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]],
    "triangle": [[(0.5, 0), (1, 1), (0, 1), (0.5, 0)]],
    "arrow": [[(0, 0.5), (1, 0.5)], [(0.7, 0.2), (1, 0.5), (0.7, 0.8)]],
    "star": [[(0.2, 1), (0.5, 0), (0.8, 1), (0, 0.4), (1, 0.4), (0.2, 1)]],
    "house": [[(0, 1), (0, 0.4), (0.5, 0), (1, 0.4), (1, 1), (0, 1)]],
    "zigzag": [[(0, 0), (0.2, 1), (0.4, 0), (0.6, 1), (0.8, 0), (1, 1)]],
    "wave": [[(x, 0.5 + 0.25 * np.sin(4 * np.pi * x)) for x in np.linspace(0, 1, 40)]],
    "spiral": [_spiral()],
    "face": [
        _arc(0.5, 0.5, 0.5, 0.5, 0, 1),
        [(0.35, 0.35), (0.35, 0.4)],
        [(0.65, 0.35), (0.65, 0.4)],
        _arc(0.5, 0.55, 0.25, 0.2, 0.05, 0.45),
    ],
}


def draw(shape, size, generator):
    """Returns one shape, drawn by an unsteady hand, as an image `(size, size)` in [0, 1]."""
    angle, shear, slim = generator.normal(0, [0.15, 0.15, 0.15])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ [[np.exp(slim), shear], [0, 1]]
    return to_pixels([_wobble(stroke, generator) @ matrix.T for stroke in shape], size)


def scribble(size, generator):
    """Returns a smooth random line, as `draw` does."""
    corners = generator.random((generator.integers(4, 10), 2))
    return to_pixels([_smooth(corners)], size)


def _wobble(stroke, generator):
    points = np.array(stroke, float)
    return points + generator.normal(0, 0.03, points.shape)


def _smooth(corners):
    """Returns points on a quadratic spline."""
    middles = (corners[:-1] + corners[1:]) / 2
    t = np.linspace(0, 1, 12)[:, None]
    curves = [
        (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
        for a, b, c in zip(middles[:-1], corners[1:-1], middles[1:], strict=True)
    ]
    return np.concatenate(curves)


def to_pixels(strokes, size):
    """Prepares strokes as `toPixels` of examples/web/pad.js does."""
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = ((np.array(BOXES[size]) - PEN) / np.maximum(high - low, 1e-9)).min()
    place = size / 2 - (low + high) / 2 * scale
    image = _trace(strokes, size, scale, place)
    grid = np.arange(size) + 0.5
    centre = np.array([image.sum(axis=0) @ grid, image.sum(axis=1) @ grid]) / image.sum()
    return _trace(strokes, size, scale, place + size / 2 - centre)


def _trace(strokes, size, scale, place):
    y, x = np.mgrid[:size, :size] + 0.5
    pixels = np.stack([x, y], axis=-1)
    nearest = np.full((size, size), np.inf)
    for stroke in strokes:
        points = np.asarray(stroke) * scale + place
        for start, end in zip(points[:-1], points[1:], strict=True):
            along = end - start
            share = (pixels - start) @ along / max(along @ along, 1e-9)
            foot = start + np.clip(share, 0, 1)[..., None] * along
            nearest = np.minimum(nearest, np.linalg.norm(pixels - foot, axis=-1))
    return np.clip(PEN / 2 - nearest + 0.5, 0, 1)
