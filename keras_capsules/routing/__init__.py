"""Lists the routing algorithms by name. Each is a `Routing` in a separate file."""

from keras_capsules._lookup import resolve
from keras_capsules.routing.base import Routing, RoutingResult
from keras_capsules.routing.dynamic import DynamicRouting
from keras_capsules.routing.em import EMRouting
from keras_capsules.routing.heinsen import HeinsenRouting
from keras_capsules.routing.inverted_dot_product import InvertedDotProductRouting
from keras_capsules.routing.kmeans import KMeansRouting
from keras_capsules.routing.self_attention import SelfAttentionRouting
from keras_capsules.routing.self_routing import SelfRouting
from keras_capsules.routing.squeeze_excitation import SqueezeExcitationRouting
from keras_capsules.routing.uniform import UniformRouting
from keras_capsules.routing.variational_bayes import VariationalBayesRouting

ROUTINGS = {
    "dynamic": DynamicRouting,
    "em": EMRouting,
    "heinsen": HeinsenRouting,
    "inverted_dot_product": InvertedDotProductRouting,
    "kmeans": KMeansRouting,
    "self_attention": SelfAttentionRouting,
    "self_routing": SelfRouting,
    "squeeze_excitation": SqueezeExcitationRouting,
    "uniform": UniformRouting,
    "variational_bayes": VariationalBayesRouting,
}


def get(identifier: "str | dict | Routing", **kwargs) -> Routing:
    """Returns the routing that `identifier` names.

    Args:
        identifier: String, config or instance. A name from `keras_capsules.routing.ROUTINGS`, a
            config made by `keras.saving.serialize_keras_object`, or a `Routing`, which is returned
            unchanged.
        **kwargs: Constructor arguments. Only for a name.

    Returns:
        A `Routing`.

    Raises:
        ValueError: If the name is unknown, if the object is not a `Routing`, or if arguments come
            with a config or an instance.

    Example:

    >>> keras_capsules.routing.get("dynamic", iterations=2).iterations
    2
    """
    return resolve("routing", identifier, ROUTINGS, Routing, **kwargs)


__all__ = [
    "ROUTINGS",
    "DynamicRouting",
    "EMRouting",
    "HeinsenRouting",
    "InvertedDotProductRouting",
    "KMeansRouting",
    "Routing",
    "RoutingResult",
    "SelfAttentionRouting",
    "SelfRouting",
    "SqueezeExcitationRouting",
    "UniformRouting",
    "VariationalBayesRouting",
    "get",
]
