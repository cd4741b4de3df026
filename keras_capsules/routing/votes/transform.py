"""Turns poses into votes by a kernel, and the gradient of votes into those of poses and kernel.

A pose is a vector, or a matrix of several rows that stand one after the other. A kernel multiplies
the rows of a pose as if they were entries of the batch. Each function is one batched matmul over
the children, in which a kernel is read once for the whole batch. `matrices` are the kernels of a
child side by side, as `matrices_of` returns them.
"""

from typing import Any

from keras import ops


def matrices_of(kernel: Any) -> Any:
    """Lays the kernels `(num_in, num_out, size, columns)` of each child side by side."""
    num_out, size, columns = kernel.shape[1:]
    return ops.reshape(ops.transpose(kernel, (0, 2, 1, 3)), (-1, size, num_out * columns))


def votes_of(poses: Any, matrices: Any, num_out: int) -> Any:
    """Computes the votes `u_i @ kernel_ij`, `(batch, num_out, num_in, dim)`.

    Args:
        poses: Tensor `(batch, num_in, in_dim)`.
        matrices: Tensor `(num_in, in_dim / rows, num_out * dim / rows)`, or with 1 in place of
            `num_in` if all children share them.
        num_out: Integer.
    """
    num_in = poses.shape[1] or ops.shape(poses)[1]
    rows, columns = poses.shape[2] // matrices.shape[1], matrices.shape[2] // num_out
    votes = ops.matmul(_rows(poses, rows), matrices)
    if rows == 1:
        votes = ops.reshape(votes, (num_in, -1, num_out, columns))
        return ops.transpose(votes, (1, 2, 0, 3))
    votes = ops.reshape(votes, (num_in, -1, rows, num_out, columns))
    votes = ops.transpose(votes, (1, 3, 0, 2, 4))
    return ops.reshape(votes, (-1, num_out, num_in, rows * columns))


def votes_children_last(poses: Any, kernel: Any) -> Any:
    """Computes the votes as `(batch, num_out, dim, num_in)`.

    Small kernels are multiplied in a loop over their rows. Its steps run along all children, and
    compilers make one loop of them.

    Args:
        poses: Tensor `(batch, in_dim, num_in)`.
        kernel: Tensor `(in_dim / rows, num_out, dim / rows, num_in)`.
    """
    size, num_out, columns, num_in = kernel.shape
    rows = poses.shape[1] // size
    if size > 8:
        poses = ops.transpose(ops.reshape(poses, (-1, size, num_in)), (2, 0, 1))
        kernel = ops.transpose(ops.reshape(kernel, (size, -1, num_in)), (2, 0, 1))
        votes = ops.reshape(ops.matmul(poses, kernel), (num_in, -1, rows, num_out, columns))
        votes = ops.transpose(votes, (1, 3, 2, 4, 0))
    else:
        # The product with the identity keeps XLA from fusing what made the poses into
        # the loop, which would make the loop four times slower.
        poses = ops.matmul(ops.eye(rows * size, dtype=poses.dtype), poses)
        poses = ops.reshape(poses, (-1, 1, rows, size, 1, num_in))
        kernel = ops.expand_dims(kernel, 2)
        votes = sum(poses[:, :, :, row] * kernel[row] for row in range(size))
    return ops.reshape(votes, (-1, num_out, rows * columns, num_in))


def gradients_of(votes: Any, poses: Any, matrices: Any) -> tuple:
    """Returns the gradients of poses and matrices from the gradient of the votes.

    They are `sum_j dvotes_ij @ kernel_ij^T` and `u_i^T @ dvotes_ij`, summed over the batch.
    """
    _, num_out, num_in, dim = votes.shape
    rows = poses.shape[2] // matrices.shape[1]
    votes = ops.reshape(votes, (-1, num_out, num_in, rows, dim // rows))
    votes = ops.transpose(votes, (2, 0, 3, 1, 4))
    votes = ops.reshape(votes, (num_in, -1, matrices.shape[2]))
    of_poses = ops.matmul(votes, ops.transpose(matrices, (0, 2, 1)))
    of_poses = ops.transpose(ops.reshape(of_poses, (num_in, -1, poses.shape[2])), (1, 0, 2))
    return of_poses, ops.matmul(ops.transpose(_rows(poses, rows), (0, 2, 1)), votes)


def _rows(poses, rows):
    """Returns the rows of each child's poses, `(num_in, batch * rows, in_dim / rows)`."""
    children = ops.transpose(poses, (1, 0, 2))
    if rows == 1:
        return children
    num_in = poses.shape[1] or ops.shape(poses)[1]
    return ops.reshape(children, (num_in, -1, poses.shape[2] // rows))
