"""Implements convolutional capsules: each cell of a grid routes the votes of its window."""

import keras

from keras_capsules.layers._convolution import ConvCapsule


@keras.saving.register_keras_serializable(package="keras_capsules")
class ConvCapsule2D(ConvCapsule):
    """Lets the capsules in each window of a grid vote for the capsules of one cell.

    `votes_ij = u_i @ kernel_ij (+ bias_j)` for each child i, of `num_in` types, in the window of a
    cell; `poses, activations, coupling = routing(votes)` in each cell, with the same weights.

    With `em` and `variational_bayes` a child divides itself among the parents of all cells that see
    it. With the other routings it divides itself among the parents of each cell separately.

    Args:
        num_capsules: Integer. Parent types in each cell.
        capsule_dim: Integer. Size of a parent's pose.
        kernel_size: Integer or pair. Size of the window, in cells of the children's grid.
        strides: Integer or pair. Distance between windows. Defaults to `1`.
        padding: `"valid"` or `"same"`. There are no children beyond the edge. Defaults to
            `"valid"`.
        routing, use_bias, kernel_initializer, kernel_regularizer, kernel_constraint,
            bias_initializer: As in `keras_capsules.CapsuleLayer`.
        transform: `"dense"` or `"matrix"`, as in `CapsuleLayer`, or `"convolution"`: all children
            of a type in a window cast one vote, the sum of their votes, and all types share the
            kernel, as in SegCaps. The children of a cell are then the types. For routings without
            explicit activations. Defaults to `"dense"`.
        coordinate_addition: Boolean. Whether to add the child's position in its window, from 0 to
            1, to each vote. Row and column are added to the first two elements of the right column
            of a matrix, or to the first two components of a vector. Defaults to `False`.
        share_weights: Boolean. Whether all positions of a window share one kernel. The class
            capsules of a matrix capsule network do so, with the whole grid as their window.
            Defaults to `False`.

    Call arguments:
        inputs: Grid of poses `(batch, height, width, num_in, in_dim)`. A routing with explicit
            activations needs the pair of the grid and activations `(batch, height, width, num_in)`.
            Height and width may be open.
        mask: Boolean tensor `(batch, height, width)`. `True` where the children of a position are
            present. In the mask of the output, `compute_mask(inputs, mask)`, a cell is present if
            its window sees at least one present position.
        return_coupling: Boolean. Whether to return the coupling as well. Defaults to `False`.

    Output shape:
        Grid `(batch, new_height, new_width, num_capsules, capsule_dim)`. A routing with explicit
        activations returns the pair of the grid and activations
        `(batch, new_height, new_width, num_capsules)`. With `return_coupling=True` the layer
        returns the pair of these outputs and the coupling `(batch, new_height, new_width,
        kernel_height * kernel_width * num_in, num_capsules)`, or `(batch, new_height, new_width,
        num_in, num_capsules)` for `transform="convolution"`.

    Weights:
        `kernel`: `(kernel_height, kernel_width, num_in, num_capsules, in_dim, capsule_dim)`, or
        `(..., p, p)` for `transform="matrix"`. With `share_weights=True` the window's
        axes are 1, and for `transform="convolution"` the axis of the types.
        `bias`: `(num_capsules, capsule_dim)`.

    Raises:
        ValueError: If an argument is out of range, the kernel is larger than the grid, or an
            input has a rank or a size that does not fit, or an unknown number of types or size of
            poses.

    Example:

    >>> layer = keras_capsules.ConvCapsule2D(8, 16, kernel_size=3, strides=2, routing="em",
    ...                                      transform="matrix")
    >>> poses, activations = layer((keras.random.normal((2, 7, 7, 4, 16)),
    ...                             keras.random.uniform((2, 7, 7, 4))))
    >>> poses.shape, activations.shape
    ((2, 3, 3, 8, 16), (2, 3, 3, 8))

    References:
        Hinton, Sabour, Frosst, 2018, "Matrix Capsules with EM Routing", ICLR.
        LaLonde, Bagci, 2018, "Capsules for Object Segmentation", arXiv 1804.04241 (convolution).
    """

    rank = 2


@keras.saving.register_keras_serializable(package="keras_capsules")
class ConvCapsule1D(ConvCapsule):
    """Lets the capsules in each window of a sequence vote for the capsules of one cell.

    It works like `keras_capsules.ConvCapsule2D`, on one axis.

    Args:
        num_capsules, capsule_dim, kernel_size, strides, padding, routing, transform,
            coordinate_addition, share_weights, use_bias, kernel_initializer, kernel_regularizer,
            kernel_constraint, bias_initializer: As in `ConvCapsule2D`. The only coordinate is added
            to the first element.

    Call arguments:
        inputs: Poses `(batch, length, num_in, in_dim)`. A routing with explicit activations needs
            the pair of poses and activations `(batch, length, num_in)`. The length may be open.
        mask: Boolean tensor `(batch, length)`, as in `ConvCapsule2D`. A cell without children has
            poses that mean nothing, and the mask of the output, `(batch, new_length)`, hides them
            from the next layer.
        return_coupling: Boolean. Whether to return the coupling as well. Defaults to `False`.

    Output shape:
        `(batch, new_length, num_capsules, capsule_dim)`, with activations and coupling as in
        `ConvCapsule2D`.

    Weights:
        `kernel`: `(kernel_size, num_in, num_capsules, in_dim, capsule_dim)`.

    Raises:
        ValueError: As `ConvCapsule2D`.

    Example:

    >>> layer = keras_capsules.ConvCapsule1D(4, 8, kernel_size=5, strides=2)
    >>> layer(keras.random.normal((2, 31, 4, 8))).shape
    (2, 14, 4, 8)
    """

    rank = 1
