"""Defines the base class of every routing algorithm."""

from typing import Any, ClassVar, NamedTuple

import keras
from keras import ops

from keras_capsules.ops import at_least_float32
from keras_capsules.routing._competition import WITHIN_THE_CELL
from keras_capsules.routing.votes import StoredVotes, TrainingVotes, Votes

# Added to sums of weights before a division by them. Without any child the result is zero.
TINY = 1e-12


class RoutingResult(NamedTuple):
    """Holds what a routing returns.

    Attributes:
        poses: Tensor `(batch, num_out, dim)`. The parents' poses.
        activations: Tensor `(batch, num_out)`. How present each parent is.
        coupling: Tensor `(batch, num_in, num_out)`. The share of each child's vote that each
            parent received.
    """

    poses: Any
    activations: Any
    coupling: Any


@keras.saving.register_keras_serializable(package="keras_capsules")
class Routing(keras.layers.Layer):
    """Base class of every routing algorithm, which turns the votes of children into parents.

    A subclass implements `route`, and `build` if it has weights. `route` gets `Votes` in which the
    votes of absent children are already zero, so a subclass need not handle masks. A subclass
    computes sums with `votes.combine(coupling)`, `votes.agreement(parents)` and the other methods
    of `keras_capsules.routing.votes.Votes`, or it uses the tensor `votes.tensor`,
    `(batch, num_out, num_in, dim)`. The parents stand before the children, so each step is one
    batched matmul.

    `build(self, votes_shape)` gets the shape of the votes that a call takes,
    `(batch, num_in, num_out, dim)`. If `needs_poses` is `True`, the signature is
    `build(self, votes_shape, poses_shape)`, with the shape `(batch, num_in, in_dim)` of the poses.

    Attributes:
        explicit_activations: Boolean. `True` if a capsule's activation is a separate number,
            `False` if it is the length of the pose.
        needs_poses: Boolean. `True` for routings that use the children's poses.
        sums_votes: Boolean. `True` for routings that use votes only through `combine`, `agreement`
            and what derives from them. A layer need not store the votes for such a routing.
        fits_votes: Boolean. `True` for routings that use votes only through `fit` and `distances`.
            A convolutional layer need not store the votes for such a routing. Routings with neither
            attribute may use `votes.tensor`.
        expected_sums: Integer. Number of calls of `combine`, `agreement`, `total`,
            `mean_component`, `fit` and `distances` by a routing. Training computes one gradient of
            the votes for all of these calls. The number is a hint: a wrong one costs time, but
            never changes the result. Defaults to `1`.
        competes_across_cells: Boolean. `True` for routings in which a child of a convolution
            divides itself among the parents of every cell that sees it. `votes.competition` does
            this.
        unit: Float. The unit in which `route` takes votes, see `votes.in_unit`. In training a layer
            divides its kernel by it, which is less work than to divide the votes. Defaults to
            `1.0`.
        vote_scaling: Dictionary. Options of `keras_capsules.VoteScaling` for the kernel of a new
            layer. Defaults to `{}`, so that the sums of votes have about length one.

    Call arguments:
        votes: Tensor `(batch, num_in, num_out, dim)`. Each child's vote for each parent.
        activations: Tensor `(batch, num_in)` in [0, 1], only for routings with
            `explicit_activations`.
        poses: Tensor `(batch, num_in, in_dim)`. The children's poses, for routings with
            `needs_poses`.
        mask: Boolean tensor `(batch, num_in)`. `True` where the child is present. An absent child
            gives no vote, no coupling and no gradient.

    Returns:
        `RoutingResult(poses, activations, coupling)`.

    Raises:
        ValueError: If a shape does not fit the votes, if a routing with explicit activations gets
            no `activations`, or if another routing gets them.
    """

    explicit_activations = False
    needs_poses = False
    sums_votes = False
    fits_votes = False
    expected_sums = 1
    competes_across_cells = False
    unit = 1.0
    vote_scaling: ClassVar[dict[str, Any]] = {}

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, votes_shape: tuple) -> None:
        self.built = True

    def call(
        self,
        votes: Any,
        activations: Any = None,
        poses: Any = None,
        mask: Any = None,
        training: Any = False,
    ) -> RoutingResult:
        if len(votes.shape) != 4:
            raise ValueError(
                f"{type(self).__name__} expects votes of shape (batch, num_in, num_out, dim). "
                f"Received: votes.shape={tuple(votes.shape)}"
            )
        votes = self.stored(ops.transpose(votes, (0, 2, 1, 3)), training)
        return self.call_parents_first(votes, activations, poses, mask)

    def stored(
        self,
        tensor: Any,
        training: Any,
        competition: Any = WITHIN_THE_CELL,
        dtype: str | None = None,
        unit: float = 1.0,
    ) -> Votes:
        """Returns votes that are a tensor `(batch, num_out, num_in, dim)`, for this routing."""
        if training and self.shares_gradient:
            return TrainingVotes(tensor, self.expected_sums, dtype, competition, unit)
        return StoredVotes(tensor, dtype, competition, unit)

    @property
    def shares_gradient(self) -> bool:
        """Whether training computes one gradient of the votes for several sums over them."""
        return (self.sums_votes or self.fits_votes) and self.expected_sums > 1

    def call_parents_first(
        self, votes: Votes, activations: Any = None, poses: Any = None, mask: Any = None
    ) -> RoutingResult:
        """Works like a call of the routing, but takes `Votes`, in which the parents stand first."""
        self._check_children(votes.shape[2], activations, poses, mask)
        if activations is not None:
            activations = at_least_float32(activations)
        if mask is not None:
            mask = ops.cast(mask, "bool")
            votes = votes.present(mask)
            if activations is not None:
                activations = ops.where(mask, activations, 0.0)
        parents, activations, coupling = self.route(votes, activations, poses)
        coupling = ops.transpose(coupling, (0, 2, 1))
        if mask is not None:
            coupling = ops.where(mask[:, :, None], coupling, 0.0)
        parts = (parents, activations, coupling)
        return RoutingResult(*(ops.cast(part, votes.dtype) for part in parts))

    def route(self, votes: Votes, activations: Any = None, poses: Any = None) -> RoutingResult:
        """Computes the parents.

        Args:
            votes: `Votes` of shape `(batch, num_out, num_in, dim)`, float32 or wider.
            activations: Tensor `(batch, num_in)` or `None`.
            poses: Tensor `(batch, num_in, in_dim)` or `None`.

        Returns:
            `RoutingResult(poses, activations, coupling)` with the coupling as
            `(batch, num_out, num_in)`.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `route`.")

    def compute_mask(self, *args, **kwargs):
        return None  # Every parent is present, even where children are absent.

    def compute_output_shape(self, votes_shape):
        batch, num_in, num_out, dim = votes_shape
        return RoutingResult((batch, num_out, dim), (batch, num_out), (batch, num_in, num_out))

    def compute_output_spec(self, votes, activations=None, poses=None, mask=None, training=False):
        shapes = self.compute_output_shape(votes.shape)
        return RoutingResult(*(keras.KerasTensor(shape, self.compute_dtype) for shape in shapes))

    def get_config(self):
        return super().get_config()  # Keras derives no config where `dtype` is a policy object.

    def _known_children(self, votes_shape):
        """Returns the number of children, for a routing with separate weights for each child."""
        if votes_shape[1] is None:
            raise ValueError(
                f"{type(self).__name__} has weights for each child, so the number of children must "
                "be known. Fix it in the input's shape, or choose a routing without such weights: "
                '"dynamic", "em", "inverted_dot_product", "kmeans", "uniform" or '
                f'"variational_bayes". Received: votes_shape={tuple(votes_shape)}'
            )
        return votes_shape[1]

    def check_activations(self, activations: Any) -> None:
        """Raises if activations are missing, or given without need."""
        name = type(self).__name__
        if self.explicit_activations and activations is None:
            raise ValueError(
                f"{name} weighs the votes by the children's activations. Pass "
                "`activations` of shape (batch, num_in); a layer takes the pair "
                "`(poses, activations)`. Received: activations=None"
            )
        if not self.explicit_activations and activations is not None:
            raise ValueError(
                f"{name} takes the length of a pose as its activation and does not use "
                "explicit `activations`. Leave them out, or choose a routing with "
                f"`explicit_activations=True`. Received: activations.shape="
                f"{tuple(activations.shape)}"
            )

    def _check_children(self, num_in, activations, poses, mask):
        self.check_activations(activations)
        name = type(self).__name__
        if self.needs_poses and poses is None:
            raise ValueError(
                f"{name} uses the children's poses. Pass `poses` of shape (batch, num_in, "
                "in_dim). Received: poses=None"
            )
        for argument, tensor, rank in (
            ("activations", activations, 2),
            ("poses", poses, 3),
            ("mask", mask, 2),
        ):
            if tensor is None:
                continue
            shape = tuple(tensor.shape)
            if len(shape) != rank or (num_in and shape[1] and shape[1] != num_in):
                expected = ("batch", num_in, "in_dim")[:rank]
                raise ValueError(
                    f"{name} routes the votes of {num_in} children and expects `{argument}` of "
                    f"shape {expected}. Received: {argument}.shape={shape}"
                )
