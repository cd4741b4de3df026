"""Trains small models on one device and on several, and prints the differences as JSON.

    python engines.py jax_data | jax_model | tensorflow | torch

Each engine gives two functions: one that trains on one device, one that trains on several.
"""

import json
import os
import sys
import tempfile
from functools import cache, partial

ENGINE = sys.argv[1]
DEVICES = 4 if ENGINE.startswith("jax") else 2
os.environ["KERAS_BACKEND"] = ENGINE.partition("_")[0]
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # Compiling takes most of the time.

import keras
import numpy as np

import keras_capsules
from keras_capsules.routing import ROUTINGS

EPOCHS, STEPS, BATCH = 2, 5, 8
MEASURED = ("DeadCapsuleRate", "CouplingVariance", "CouplingEntropy")


def cases():
    """Yields a name and a function that builds a compiled model."""
    for name, routing in sorted(ROUTINGS.items()):
        options = (
            {"normalize": False} if name == "variational_bayes" else {}
        )  # See `on_tensorflow`.
        made = partial(routing, **options)
        yield name, lambda made=made: capsules(made(), keras_capsules.MarginLoss())
    yield "spread_loss", lambda: capsules("em", keras_capsules.SpreadLoss())
    yield "attention", attention
    yield "mixed_bfloat16", mixed
    # PyTorch's loop is the user's own. Keras cannot accumulate under a strategy of TensorFlow.
    if DEVICES == 4:
        yield "accumulated", lambda: capsules("dynamic", keras_capsules.MarginLoss(), 2)


def capsules(routing, loss, accumulated=None):
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="stem")(images)
    x = keras_capsules.PrimaryCapsule2D(4, 4, 3, strides=2, name="primary")(x)
    layer = keras_capsules.CapsuleLayer(4, 4, routing=routing, name="classes")
    if layer.routing.explicit_activations:
        _, outputs = layer((x, keras_capsules.CapsuleLength(name="activations")(x)))
    else:
        outputs = keras_capsules.CapsuleLength(name="scores")(layer(x))
    return compiled(keras.Model(images, outputs), loss, accumulated)


def mixed():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return capsules("dynamic", keras_capsules.MarginLoss())
    finally:
        keras.config.set_dtype_policy("float32")


def attention():
    keras.utils.set_random_seed(0)
    x = images = keras.Input((8, 8, 1))
    for name in ("SqueezeExcitation", "EfficientChannelAttention", "GlobalContext", "SimAM"):
        x = keras.layers.Conv2D(8, 3, padding="same", name=f"before_{name}")(x)
        x = getattr(keras_capsules, name)(name=name)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(4, activation="softmax", name="scores")(x)
    return compiled(keras.Model(images, outputs), keras.losses.CategoricalCrossentropy())


def compiled(model, loss, accumulated=None):
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=accumulated)
    model.compile(optimizer, loss, metrics=["categorical_accuracy"])
    return model


def data():
    generator = np.random.default_rng(0)
    x = generator.random((STEPS * BATCH, 8, 8, 1), "float32")
    return x, np.eye(4, dtype="float32")[generator.integers(0, 4, len(x))]


def trained(build):
    """Trains with `fit`, and returns the losses and the weights."""
    model = build()
    if isinstance(keras.distribution.distribution(), keras.distribution.ModelParallel):
        assert any(not weight.value.is_fully_replicated for weight in model.trainable_weights)
    options = {"shuffle": False, "verbose": 0, "callbacks": schedules_of(model)}
    history = model.fit(*data(), BATCH, EPOCHS, **options).history
    return [np.asarray(history["loss"]), *map(np.asarray, model.get_weights())]


def schedules_of(model):
    spread = isinstance(model.loss, keras_capsules.SpreadLoss)
    return [keras_capsules.SpreadMarginSchedule(epochs=EPOCHS)] if spread else []


def on_jax(build):
    def layouts():
        mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"))
        return keras_capsules.distribution.layout_map(build(), mesh)

    distribution = (
        keras.distribution.DataParallel()
        if ENGINE == "jax_data"
        else keras.distribution.ModelParallel(layout_map=layouts(), batch_dim_name="batch")
    )
    with distribution.scope():
        return trained(build)


@cache
def mirrored():
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def on_tensorflow(build):
    """Batch normalization is left out: it uses the statistics of a replica's part of the batch."""
    with mirrored().scope():
        return trained(build)


def on_torch(folder):
    """Each of two processes takes half of each batch, as `DistributedDataParallel` wants it."""
    import torch

    torch.multiprocessing.spawn(torch_process, (folder,), nprocs=DEVICES)


def torch_process(rank, folder):
    import torch

    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", rank=rank, world_size=DEVICES
    )
    for case, build in cases():
        arrays = torch_trained(build(), rank)
        if rank == 0:
            np.savez(f"{folder}/{case}.npz", *arrays)
    torch.distributed.destroy_process_group()


def torch_trained(model, rank):
    import torch

    parallel = torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = torch.optim.SGD(parallel.parameters(), 0.05, momentum=0.9)
    x, y = map(torch.tensor, data())
    schedules = schedules_of(model)
    losses = []
    for epoch in range(EPOCHS):
        for schedule in schedules:
            schedule.set_model(model)
            schedule.on_epoch_begin(epoch)
        for start in range(0, len(x), BATCH):
            own = slice(start + rank * BATCH // DEVICES, start + (rank + 1) * BATCH // DEVICES)
            optimizer.zero_grad()
            loss = model.loss(y[own], parallel(x[own], training=True))
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
            torch.distributed.all_reduce(losses[-1], torch.distributed.ReduceOp.AVG)
    return [np.mean(np.reshape(losses, (EPOCHS, -1)), axis=1), *model.get_weights()]


def metrics():
    """Returns the values of the metrics on one device and on several."""
    import tensorflow as tf

    generator = np.random.default_rng(0)
    coupling = generator.random((16, 5, 3)).astype("float32")
    coupling[:10, :, 0] = 0.0
    found = {}
    for name in MEASURED:
        y = coupling[:, 0] if name == "DeadCapsuleRate" else coupling
        values = []
        for strategy in (tf.distribute.get_strategy(), mirrored()):
            with strategy.scope():
                model = keras.Sequential([keras.Input(y.shape[1:]), keras.layers.Identity()])
                model.compile(loss="mse", metrics=[getattr(keras_capsules, name)()])
                values.append(model.evaluate(y, y, batch_size=4, verbose=0)[1])
        found[name] = abs(values[0] - values[1])
    return found


def main():
    if ENGINE == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    differences = metrics() if ENGINE == "tensorflow" else {}
    with tempfile.TemporaryDirectory() as folder:
        if ENGINE == "torch":
            on_torch(folder)
        for case, build in cases():
            one = trained(build)
            if ENGINE == "torch":
                with np.load(f"{folder}/{case}.npz") as arrays:
                    several = [arrays[name] for name in arrays.files]
            else:
                several = (on_tensorflow if ENGINE == "tensorflow" else on_jax)(build)
            pairs = zip(one, several, strict=True)
            differences[case] = max(float(np.abs(a - b).max()) for a, b in pairs)
    print(json.dumps(differences))


if __name__ == "__main__":
    main()
