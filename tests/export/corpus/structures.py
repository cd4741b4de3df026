"""How models are built: structures of inputs and outputs, sharing, nesting, subclasses."""

import keras
from keras import layers, ops

from tests.export.corpus.registry import model


def vectors(*names):
    return [keras.Input((4,), name=name) for name in names]


@model()
def dictionary():
    a, b = vectors("a", "b")
    outputs = {"sum": a + b, "product": layers.Multiply()([a, b])}
    return keras.Model({"b": b, "a": a}, outputs)


@model()
def nested_dictionary():
    a, b, c = vectors("a", "b", "c")
    return keras.Model({"x": a, "rest": [b, {"y": c}]}, {"all": {"sum": a + b, "c": [c * 2]}})


@model()
def lists():
    a, b = vectors("a", "b")
    return keras.Model([a, b], [layers.Dense(2)(a), layers.Dense(3)(b), a - b])


@model()
def single_in_list():
    (x,) = vectors("x")
    return keras.Model([x], [layers.Dense(2)(x)])


@model()
def shared_twice():
    a, b = vectors("a", "b")
    layer = layers.Dense(3, activation="tanh")
    return keras.Model([a, b], ops.sum(layer(a) * layer(b), axis=-1))


@model()
def twin_networks():
    a, b = vectors("a", "b")
    tower = keras.Sequential([layers.Dense(5, activation="relu"), layers.Dense(3)])
    return keras.Model([a, b], layers.Dot(axes=1, normalize=True)([tower(a), tower(b)]))


@model()
def nested():
    (inner,) = vectors("inner")
    block = keras.Model(inner, layers.Dense(4)(inner) + inner, name="block")
    (x,) = vectors("x")
    return keras.Model(x, layers.Dense(2)(block(block(x))))


@model()
def nested_of_several():
    a, b = vectors("a", "b")
    block = keras.Model({"a": a, "b": b}, {"sum": a + b, "difference": a - b}, name="block")
    x, y = vectors("x", "y")
    results = block({"a": x, "b": y})
    return keras.Model([x, y], results["sum"] * results["difference"])


@model()
def sequence_in_sequence():
    inner = keras.Sequential([layers.Dense(3), keras.Sequential([layers.ReLU()])])
    return keras.Sequential([keras.Input((4,)), inner, layers.Dense(2)])


@model()
def output_is_input():
    (x,) = vectors("x")
    return keras.Model(x, x)


@model()
def input_beside_output():
    (x,) = vectors("x")
    return keras.Model(x, [x, layers.Dense(2)(x)])


@model()
def same_output_twice():
    (x,) = vectors("x")
    y = layers.Dense(2)(x)
    return keras.Model(x, [y, y])


@model()
def unused_input():
    used, unused = vectors("used", "unused")
    return keras.Model([used, unused], layers.Dense(2)(used))


@model()
def constant_output():
    (x,) = vectors("x")
    return keras.Model(x, ops.zeros_like(x))


@model()
def sequential_built_by_data():
    built = keras.Sequential([layers.Dense(3), layers.Dense(2)])
    built(ops.ones((1, 4)))
    return built


@model()
def sequential_built_by_shape():
    built = keras.Sequential([layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(2)])
    built.build((None, 6, 6, 1))
    return built


@model()
def part_of_another():
    """Ends at a layer within."""
    whole = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="features"), layers.Dense(2)])
    return keras.Model(whole.inputs, whole.get_layer("features").output)


@model()
def many_layers():
    x = start = keras.Input((4,))
    for _ in range(40):
        x = x + layers.Dense(4, activation="tanh")(x)
    return keras.Model(start, x)


@model()
def low_rank_weights():
    layer = layers.Dense(3)
    built = keras.Sequential([keras.Input((4,)), layer])
    layer.enable_lora(2)
    return built


@model()
def frozen():
    built = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.BatchNormalization()])
    built.trainable = False
    return built


@model()
def compiled():
    built = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_regularizer="l2")])
    built.compile("adam", "mse", metrics=["mae"])
    return built


@keras.saving.register_keras_serializable(package="corpus")
class Gate(layers.Layer):
    """A user's layer, with a weight and a value that training alone changes."""

    def build(self, shape):
        self.scale = self.add_weight(shape[-1:], initializer="ones", name="scale")

    def call(self, x, training=False):
        return ops.zeros_like(x) if training else x * ops.sigmoid(self.scale * x)


@model()
def custom_layer():
    return keras.Sequential([keras.Input((4,)), Gate(), layers.Dense(2)])


@keras.saving.register_keras_serializable(package="corpus")
class Subclass(keras.Model):
    """A model whose computation is Python."""

    def __init__(self, **options):
        super().__init__(**options)
        self.hidden, self.drop, self.out = layers.Dense(5), layers.Dropout(0.5), layers.Dense(2)

    def call(self, x, training=False):
        for _ in range(2):
            x = ops.relu(self.drop(self.hidden(x), training=training))
        return self.out(x)


@model()
def subclass():
    built = Subclass()
    built(ops.ones((1, 5)))
    return built


@model()
def subclass_in_a_model():
    x = keras.Input((5,))
    return keras.Model(x, Subclass()(x))


@keras.saving.register_keras_serializable(package="corpus")
class OfDictionaries(keras.Model):
    """Takes a dictionary, and returns another."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(3)

    def call(self, inputs):
        return {"sum": self.dense(inputs["a"] + inputs["b"]), "a": inputs["a"]}


@model()
def subclass_of_dictionaries():
    built = OfDictionaries()
    built({"a": ops.ones((1, 4)), "b": ops.ones((1, 4))})
    return built


@model(
    {"sparse": {"sparse": True}, "ragged": {"ragged": True}}, refused=("ConversionError", "dense")
)
def input_that_is(options):
    x = keras.Input((4,), name="x", **options)
    return keras.Model(x, layers.Dense(2)(x) if "sparse" in options else layers.Identity()(x))


@model(refused=("RefusedInputError", "Lambda"))
def code_in_the_file():
    return keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x * 2)])


@model(refused=("UnsupportedOperationError", "Random numbers", "as an input"))
def random_in_use():
    """A sampler answers differently each time, so nothing can be compared."""
    return keras.Sequential([keras.Input((4,)), Sampler()])


@keras.saving.register_keras_serializable(package="corpus")
class Sampler(layers.Layer):
    """Adds noise, in use as in training."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x):
        return x + keras.random.normal(ops.shape(x), seed=self.seeds)
