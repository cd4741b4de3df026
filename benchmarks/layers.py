"""Measures training and inference of layers, with a separate process for each backend.

    python -m benchmarks.layers
    python -m benchmarks.layers --backends torch --what routing

`routing` measures `CapsuleLayer` on 1152 poses of 8 to 10 of 16 with each routing, and the layer as
it is commonly written (`benchmarks.layers_by_hand`), relative to the common layer with einsums.
`gaussian` measures the routings that fit Gaussians, relative to the same routing as its equations
say it, with stored votes. `attention` measures each member of the family on 28 x 28 x 64, relative
to `se`. `network` measures Efficient-CapsNet, relative to the same network with a plain Dense head
of equal width. `implementation` measures layers with `dynamic` routing that never store votes,
relative to layers that do, by shape. `implementation="auto"` is based on these figures. A training
step is forward, backward and SGD at batch 64, compiled as `--jit-compile` says: as Keras chooses
(auto), by XLA or torch.compile (on), or not (off). Milliseconds are medians, and compared models
take turns in one process, twice in each turn, of which the second is timed.
"""

import argparse
import json

import numpy as np

from benchmarks import results

BATCH = 64
BASES = {
    "routing": "einsum layer",
    "gaussian": "textbook",
    "attention": "se",
    "network": "dense head",
    "implementation": "stored",
}
COMPILED = {"auto": "auto", "on": True, "off": False}
# Children, the size of their poses, parents, and the size of the parents' poses.
SHAPES = {
    "own kernels": [
        (64, 8, 10, 16),
        (256, 8, 10, 16),
        (512, 8, 10, 16),
        (1152, 8, 10, 16),
        (1152, 16, 10, 16),
        (1152, 4, 10, 64),
        (256, 16, 32, 16),
    ],
    "one kernel": [(64, 8, 10, 16), (1152, 8, 10, 16), (1152, 64, 10, 8), (1152, 64, 10, 4)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--what", nargs="+", default=list(BASES), choices=list(BASES))
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--jit-compile", default="auto", choices=list(COMPILED))
    parser.add_argument("--measure", choices=list(BASES), help=argparse.SUPPRESS)
    results.add_options(parser, "layers")
    options = parser.parse_args()
    if options.measure:
        compiled = COMPILED[options.jit_compile]
        print(json.dumps(measured(options.measure, options.runs, compiled)))
        return
    rows = []
    for backend in options.backends:
        for what in options.what:
            arguments = ["--measure", what, "--runs", str(options.runs)]
            arguments += ["--jit-compile", options.jit_compile]
            found = results.in_process("benchmarks.layers", arguments, backend)
            rows += [{"backend": backend, "what": what, **row} for row in found]
    results.publish(rows, ["backend", "what", "name"], options)


def measured(what: str, runs: int, jit_compile: str | bool) -> list[dict]:
    """Returns a row for each model, on the backend of this process."""
    import keras

    generator = np.random.default_rng(0)
    training, inference = {}, {}
    models = {
        "routing": routings,
        "gaussian": gaussians,
        "attention": attentions,
        "network": networks,
        "implementation": implementations,
    }
    for name, model in models[what]():
        model.compile(keras.optimizers.SGD(1e-3), "mse", jit_compile=jit_compile)
        inputs = [
            generator.uniform(size=(BATCH, *tensor.shape[1:])).astype("float32")
            for tensor in model.inputs
        ]
        targets = [np.zeros((BATCH, *output.shape[1:]), "float32") for output in model.outputs]
        training[name] = lambda model=model, x=inputs, y=targets: model.train_on_batch(x, y)
        inference[name] = lambda model=model, x=inputs: model.predict_on_batch(x)
    training = results.medians(training, runs, twice=True)
    inference = results.medians(inference, runs, twice=True)
    rows = []
    for name in training:
        _, colon, case = name.partition(":")
        base = BASES[what] + colon + case
        rows.append(
            {
                "name": name,
                "training ms": training[name],
                "of base": training[name] / training[base],
                "inference ms": inference[name],
                "inference of base": inference[name] / inference[base],
            }
        )
    return rows


def routings():
    """Yields a model with only the layer for each routing, and for each way to write the layer."""
    import keras

    from benchmarks.layers_by_hand import BroadcastCapsules, EinsumCapsules
    from keras_capsules import CapsuleLayer, routing

    layers = {"einsum layer": EinsumCapsules(), "broadcast layer": BroadcastCapsules()}
    layers |= {name: CapsuleLayer(10, 16, routing=name) for name in sorted(routing.ROUTINGS)}
    for name in ("dynamic", "self_attention"):
        layers[f"{name}, lean"] = CapsuleLayer(10, 16, routing=name, implementation="lean")
    for name, layer in layers.items():
        poses = inputs = keras.Input((1152, 8))
        if isinstance(layer, CapsuleLayer) and layer.routing.explicit_activations:
            inputs = [poses, keras.Input((1152,))]
        yield name, keras.Model(inputs, keras.tree.flatten(layer(inputs))[0])


def gaussians():
    """Yields a model with only the layer for each routing that fits Gaussians, in two ways."""
    import keras

    from benchmarks.layers_by_hand import GAUSSIAN
    from keras_capsules import CapsuleLayer, VariationalBayesRouting

    for name, textbook in GAUSSIAN.items():
        plain = VariationalBayesRouting(normalize=False)
        routing = plain if name == "variational_bayes" else name
        for way, layer in (
            ("textbook", textbook()),
            ("ours", CapsuleLayer(10, 16, routing=routing)),
        ):
            inputs = [keras.Input((1152, 8)), keras.Input((1152,))]
            yield f"{way}: {name}", keras.Model(inputs, layer(inputs)[:2])


def attentions():
    """Yields a model with only the layer for each attention."""
    import keras

    from keras_capsules import attention

    for name in attention.ATTENTIONS:
        feature_map = keras.Input((28, 28, 64))
        yield name, keras.Model(feature_map, attention.get(name)(feature_map))


def networks():
    """Yields Efficient-CapsNet, and its copy with a Dense layer instead of class capsules."""
    import keras

    from keras_capsules import CapsuleLayer, CapsuleLength, create_model

    model = create_model("efficient_capsnet")
    yield "capsule head", model
    (capsules,) = (layer for layer in model.layers if isinstance(layer, CapsuleLayer))
    x = keras.layers.Flatten()(capsules.input)
    x = keras.layers.Dense(capsules.num_capsules * capsules.capsule_dim)(x)
    x = keras.layers.Reshape((capsules.num_capsules, capsules.capsule_dim))(x)
    plain = keras.Model(model.inputs, CapsuleLength()(x))
    yield "dense head", keras.models.clone_model(plain)


def implementations():
    """Yields a model with only the layer for each implementation and shape."""
    import keras

    from keras_capsules import CapsuleLayer

    for kernels, shapes in SHAPES.items():
        for children, size, *parents in shapes:
            for name in ("stored", "lean"):
                poses = keras.Input((children, size))
                options = {"share_weights": kernels == "one kernel", "implementation": name}
                layer = CapsuleLayer(*parents, **options)
                shape = f"{children} x {size} to {' x '.join(map(str, parents))}"
                yield f"{name}: {kernels}, {shape}", keras.Model(poses, layer(poses))


if __name__ == "__main__":
    main()
