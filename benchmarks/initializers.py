"""Measures whether stacks of new layers of capsules start neither dead nor saturated.

    python -m benchmarks.initializers
    python -m benchmarks.initializers --backends torch --names em --sizes 1152x10 --cases

Each stack has four layers with the default kernels of its routing. The first goes from children to
parents, and the others from as many parents to as many: dense and matrix `CapsuleLayer`, and
`ConvCapsule2D` with 3 x 3 windows over 4 x 4 cells of as many children a window. The children have
poses of random direction and lengths of 0.1 to 0.9, and activations of 0 to 1 where the routing
takes them. A row has the worst of all stacks of a routing:

* `lowest`, `highest`: mean activation of the parents of a layer, after any number of layers. For
  `inverted_dot_product` this is the length, divided by the length of a normalized pose. For
  `self_routing`, which divides one among all parents, it is the activation times their number.
* `shortest`, `longest`: root mean square of the components of the parents' poses.
* `varies`: the smallest part of this root mean square that differs from sample to sample.
* `first / last`, smallest and largest: the gradient of the first kernel, divided by that of the
  last. A gradient is the norm of its product with the kernel, element by element: the change of
  the loss if each weight changes by the same share. The loss is a random projection of the parents.
"""

import argparse
import json

import numpy as np

from benchmarks import results

SIZES = ("16x2", "16x10", "16x100", "256x10", "1152x10", "10000x2", "10000x10", "10000x100")
KINDS = ("dense", "matrix", "windows")
DEPTH = 4
CELLS = 4  # Rows and columns of the grid of `windows`.
LARGEST = 2e7  # Number of components of the votes.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--names", nargs="+", help="routings (default: all)")
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="children x parents")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--cases", action="store_true", help="a row for each stack")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    results.add_options(parser, "initializers")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options)))
        return
    rows = []
    for backend in options.backends:
        arguments = ["--measure", "--sizes", *options.sizes, "--kinds", *options.kinds]
        arguments += ["--cases"] if options.cases else []
        arguments += ["--names", *options.names] if options.names else []
        found = results.in_process("benchmarks.initializers", arguments, backend)
        rows += [{"backend": backend, **row} for row in found]
    results.publish(rows, ["backend", "name", "kind", "size"], options)


def measured(options) -> list[dict]:
    """Returns a row for each routing or stack, on the backend of this process."""
    from keras_capsules.routing import ROUTINGS

    rows = []
    for name in options.names or sorted(ROUTINGS):
        found = []
        for kind in options.kinds:
            for size in options.sizes:
                children, parents = map(int, size.split("x"))
                if kind == "windows" and CELLS**2 * max(children, 9 * parents) * parents > 200_000:
                    continue
                figures = stack(name, kind, children, parents)
                found.append({"name": name, "kind": kind, "size": size, **figures})
        rows += found if options.cases else [worst(found)]
    return rows


def worst(rows: list[dict]) -> dict:
    """Returns one row with the extreme of each figure."""
    extremes = {"highest": max, "longest": max, "largest first / last": max}
    figures = {
        column: extremes.get(column, min)(row[column] for row in rows)
        for column in list(rows[0])[3:]
    }
    return {"name": rows[0]["name"], "kind": "all", "size": f"{len(rows)} stacks", **figures}


def stack(name: str, kind: str, children: int, parents: int, depth: int = DEPTH) -> dict:
    """Returns the figures of one stack."""
    import keras

    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    dim = 16 if children * parents < 200_000 else 4
    inputs = capsules(name, kind, children, parents, dim, generator)
    layers = [layer(name, kind, parents, dim) for _ in range(depth)]
    symbols = [keras.Input(array.shape[1:]) for array in inputs]
    outputs = [symbols]
    for one in layers:
        x = outputs[-1]
        outputs.append(keras.tree.flatten(one(x if len(x) == 2 else x[0])))
    found = training_outputs(keras.Model(symbols, outputs[1:]), inputs)
    states = [state(name, parents, [keras.ops.convert_to_numpy(x) for x in pair]) for pair in found]
    activations, sizes, parts = zip(*states, strict=True)
    first, last = gradients(keras.Model(symbols, outputs[-1]), inputs, layers, generator)
    ratio = first / max(last, 1e-30)
    return {
        "lowest": min(activations),
        "highest": max(activations),
        "shortest": min(sizes),
        "longest": max(sizes),
        "varies": min(parts),
        "smallest first / last": ratio,
        "largest first / last": ratio,
    }


def capsules(name, kind, children, parents, dim, generator) -> list:
    """Draws the first children: poses, and activations if the routing takes them."""
    from keras_capsules.routing import get

    shape, votes = (children,), children * parents * dim
    if kind == "windows":
        shape = (CELLS, CELLS, max(1, children // 9))
        votes = CELLS**2 * max(children, 9 * parents) * parents * dim
    shape = (int(np.clip(LARGEST / votes, 3, 16)), *shape)
    poses = generator.normal(size=(*shape, dim))
    poses *= generator.uniform(0.1, 0.9, (*shape, 1)) / np.linalg.norm(poses, axis=-1)[..., None]
    inputs = [poses.astype("float32"), generator.uniform(size=shape).astype("float32")]
    return inputs if get(name).explicit_activations else inputs[:1]


def layer(name, kind, parents, dim):
    """Returns a layer with the default kernel."""
    from keras_capsules import CapsuleLayer, ConvCapsule2D

    if kind == "windows":
        return ConvCapsule2D(parents, dim, 3, routing=name, transform="matrix", padding="same")
    return CapsuleLayer(parents, dim, routing=name, transform=kind)


def training_outputs(model, inputs):
    """Calls a model in training. Without compiling, JAX takes ten times as long."""
    import keras

    if keras.backend.backend() != "jax":
        return model(inputs, training=True)
    import jax

    call = jax.jit(lambda *weights: model.stateless_call(*weights, inputs, training=True)[0])
    return call(
        [weight.value for weight in model.trainable_variables],
        [weight.value for weight in model.non_trainable_variables],
    )


def state(name, parents, outputs) -> tuple[float, float, float]:
    """Returns the mean activation, the size of the poses, and the part of it that varies."""
    poses = outputs[0].astype("float64")
    activations = outputs[1] if len(outputs) == 2 else np.linalg.norm(poses, axis=-1)
    scale = {"self_routing": parents, "inverted_dot_product": poses.shape[-1] ** -0.5}
    size = np.sqrt(np.mean(poses**2))
    varies = np.sqrt(np.mean(np.square(poses - poses.mean(axis=0))))
    mean = float(activations.mean()) * scale.get(name, 1.0)
    return mean, float(size), float(varies / max(size, 1e-30))


def gradients(model, inputs, layers, generator) -> tuple[float, float]:
    """Returns the gradients of the first and of the last kernel, relative to the kernels."""
    import keras

    class Gradients(keras.optimizers.Optimizer):
        """Puts the gradient in the place of the weight, which works on each backend."""

        def update_step(self, gradient, variable, learning_rate):
            self.assign(variable, gradient)

    kernels = [keras.ops.convert_to_numpy(one.kernel).copy() for one in (layers[0], layers[-1])]
    projections = [generator.normal(size=(len(inputs[0]), *y.shape[1:])) for y in model.outputs]
    losses = [lambda projection, y: keras.ops.sum(projection * y)] * len(projections)
    model.compile(Gradients(1.0), losses, run_eagerly=keras.backend.backend() != "jax")
    model.train_on_batch(inputs, [projection.astype("float32") for projection in projections])
    found = [keras.ops.convert_to_numpy(one.kernel) for one in (layers[0], layers[-1])]
    pairs = zip(kernels, found, strict=True)
    first, last = (float(np.linalg.norm(kernel * gradient)) for kernel, gradient in pairs)
    return first, last


if __name__ == "__main__":
    main()
