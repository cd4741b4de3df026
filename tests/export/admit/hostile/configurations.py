"""Configurations made to do harm: each changes that of a whole model, or gives another text."""

import json

import keras


def with_dense(config, /, **changes):
    """Changes the first Dense layer, the whole of it or its own configuration."""
    dense = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
    for name, value in changes.items():
        (dense if name in dense else dense["config"])[name] = value
    return config


def with_gadget(config, module, name, place="activation"):
    gadget = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    return with_dense(config, **{place: gadget})


def with_layer(config, name, /, **options):
    """Puts another layer of Keras in its place."""
    return with_dense(
        config, module="keras.layers", class_name=name, config={"name": "dense", **options}
    )


def with_constant(config, name, argument, **options):
    """Puts an operation in its place, which is called on a constant."""
    return with_dense(
        config,
        module="keras.src.ops.core" if name == "Scan" else "keras.src.ops.numpy",
        class_name=name,
        config={"name": "dense", **options},
        inbound_nodes=[{"args": [argument], "kwargs": {}}],
    )


def with_tables(config, size):
    """Puts a layer in its place that computes tables of the size of its inputs."""
    return with_dense(
        config,
        module="keras.layers",
        class_name="Normalization",
        config={"name": "dense", "mean": 0.0, "variance": 1.0},
        build_config={"input_shape": [None, size]},
    )


def nested(levels):
    """A model in a model in a model, each called twice."""
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(4)(image))
    for _ in range(levels):
        image = keras.Input((4,))
        model = keras.Model(image, model(model(image)))
    return keras.saving.serialize_keras_object(model)


def in_reverse(count):
    """Layers one after the other, of which the file describes the last one first."""
    image = x = keras.Input((4,), name="x")
    for number in range(count):
        x = keras.layers.Identity(name=f"layer_{number}")(x)
    config = keras.saving.serialize_keras_object(keras.Model(image, x))
    config["config"]["layers"].reverse()
    return config


CODE = {"class_name": "__lambda__", "config": {"value": ["4wEAAAA=", None, None]}}
CONFIGS = {
    "Lambda": lambda c: with_layer(c, "Lambda", function=CODE),
    "Lambda within a wrapper": lambda c: with_layer(
        c, "TimeDistributed", layer={"module": "keras.layers", "class_name": "Lambda", "config": {}}
    ),
    "Lambda under a dotted name": lambda c: with_dense(
        c, module="keras", class_name="layers.Lambda", config={"function": "relu"}
    ),
    "Lambda by its file": lambda c: with_dense(
        c, module="keras.src.layers.core.lambda_layer", class_name="Lambda"
    ),
    "Lambda of Keras 2": lambda c: {**with_layer(c, "Lambda", function=["4wE=", None, None])},
    "lambda as an initializer": lambda c: with_dense(c, kernel_initializer=CODE),
    "lambda of Keras 2": lambda c: with_dense(c, activation={"value": ["4wE=", None, None]}),
    "TFSMLayer": lambda c: with_layer(c, "TFSMLayer", filepath="/secret"),
    "TorchModuleWrapper": lambda c: with_layer(c, "TorchModuleWrapper", module="gASVIQ=="),
    "JaxLayer": lambda c: with_layer(c, "JaxLayer", call_fn=CODE),
    "os.system": lambda c: with_gadget(c, "os", "system"),
    "builtins.exec": lambda c: with_gadget(c, "builtins", "exec"),
    "a class of another package": lambda c: with_dense(c, module="subprocess", class_name="Popen"),
    "get_file": lambda c: with_gadget(c, "keras.utils", "get_file"),
    "get_file under a dotted name": lambda c: with_gadget(c, "keras", "utils.get_file"),
    "get_file as a class": lambda c: with_dense(c, module="keras.utils", class_name="get_file"),
    "load_model": lambda c: with_gadget(c, "keras.saving", "load_model"),
    "enable_unsafe_deserialization": lambda c: with_gadget(
        c, "keras.config", "enable_unsafe_deserialization", "kernel_initializer"
    ),
    "a private module of Keras": lambda c: with_gadget(c, "keras.src.utils.io_utils", "print_msg"),
    "a layer of Keras 2": lambda c: {
        **c,
        "config": {
            **c["config"],
            "layers": [
                {
                    "class_name": "deserialize",
                    "registered_name": "keras_capsules>CapsuleLayer",
                    "config": {},
                }
            ],
        },
    },
    "a class that is not registered": lambda c: with_dense(
        c, module="evil", class_name="Evil", registered_name="evil>Evil"
    ),
    "registered name that is a list": lambda c: with_dense(c, module="evil", registered_name=[1]),
    "vocabulary from a file": lambda c: with_layer(c, "StringLookup", vocabulary="/tmp/secret"),
    "vocabulary from a URL": lambda c: with_layer(
        c, "TextVectorization", vocabulary="http://localhost/secret"
    ),
    "10^12 weights": lambda c: with_dense(c, units=10**12),
    "10^40 weights": lambda c: with_dense(c, units=10**40),
    "as many weights as memory": lambda c: with_dense(c, units=10**9),
    "negative weights": lambda c: with_dense(c, units=-(10**9)),
    "NaN weights": lambda c: with_dense(c, units=float("nan")),
    "infinite weights": lambda c: with_dense(c, units=float("inf")),
    "weights by a string": lambda c: with_dense(c, units="10000"),
    "10^12 values": lambda c: with_layer(c, "RepeatVector", n=10**12),
    "constants of Tile": lambda c: with_constant(c, "Tile", [[1.0]], repeats=[10**9]),
    "constants of BroadcastTo": lambda c: with_constant(c, "BroadcastTo", 1.0, shape=[10**9]),
    "constants of Scan": lambda c: with_constant(c, "Scan", None, length=10**9, unroll=10**9),
    "tables as large as memory": lambda c: with_tables(c, 10**9),
    "tables as large as a value may be": lambda c: with_tables(c, 10**8),
    "states as large as memory": lambda c: with_layer(c, "LSTM", units=1, stateful=1),
    "models in models": lambda c: nested(10),
    "layers in reverse": lambda c: in_reverse(800),
    "n-grams as large as memory": lambda c: with_layer(
        c, "TextVectorization", ngrams=10**9, standardize=None, split=None, vocabulary=["a"]
    ),
    "10^9 bins": lambda c: with_layer(c, "Hashing", num_bins=10**9, output_mode="one_hot"),
    "escape codes as a class": lambda c: with_dense(
        c, module="\x1b[2J", class_name="\x1b]0;evil\x07"
    ),
    "escape codes as a name": lambda c: with_dense(c, name="\x1b[2J", units=10**12),
    "deep lists": lambda c: "[" * 200_000 + "]" * 200_000,
    "deep layers": lambda c: '{"class_name": "a", "config": ' * 5000 + "1" + "}" * 5000,
    "deep enough for json only": lambda c: '{"a":' * 700 + "1" + "}" * 700,
    "17 MiB": lambda c: json.dumps(c) + " " * (17 << 20),
    "number of 5000 digits": lambda c: json.dumps(c).replace(
        '"units": 3', f'"units": {"9" * 5000}'
    ),
    "no text": lambda c: b"\xff\xfe\x00",
    "no model": lambda c: {},
}
