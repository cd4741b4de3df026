# %% [markdown]
# # Many devices
#
# Capsule networks train on several devices as on one: batches divided, or weights too. This
# tutorial takes JAX, and four simulated devices of one processor. They show that the result is the
# same. They are not faster, since they share its cores: for speed take four real ones and leave out
# the two lines of `os.environ` that simulate them.

# %%
import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import keras

import keras_capsules
from keras_capsules import datasets

print("devices:", keras.distribution.list_devices())

# %% [markdown]
# ## One device
#
# A small network of capsules, trained for two epochs. Plain gradient descent lets the weights be
# compared: Adam takes long steps along gradients that are zero but for rounding. The devices must
# divide each batch, so 1,408 digits are 22 batches of 64, and none is left over.

# %%
(images, labels), (test_images, test_labels) = datasets.digits()
images, labels = images[:1408], labels[:1408]
images, test_images = images / 255.0, test_images / 255.0


def network():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            keras.layers.Conv2D(32, 3, activation="relu", name="strokes"),
            keras_capsules.PrimaryCapsule2D(8, 8, kernel_size=3, name="parts"),
            keras_capsules.CapsuleLayer(10, 16, name="digits"),
            keras_capsules.CapsuleLength(name="scores"),
        ],
        name="network",
    )
    optimizer = keras.optimizers.SGD(0.3, momentum=0.9)
    model.compile(optimizer, keras_capsules.MarginLoss(), metrics=["accuracy"])
    return model


def trained():
    model = network()
    model.fit(images, labels, batch_size=64, epochs=2, verbose=0, shuffle=False)
    return model


def compare(name, model):
    pairs = zip(model.get_weights(), alone.get_weights(), strict=True)
    difference = max(abs(ours - theirs).max() for ours, theirs in pairs)
    _, accuracy = model.evaluate(test_images, test_labels, batch_size=360, verbose=0)
    print(f"{name:18} accuracy {accuracy:.2%},", end=" ")
    print(f"weights at most {difference:.0e} from those of one device")


alone = trained()
compare("one device", alone)

# %% [markdown]
# ## Batches divided
#
# `DataParallel` gives each device a quarter of each batch, and a copy of all weights. Build and
# train the model under it; nothing else changes.

# %%
with keras.distribution.DataParallel().scope():
    compare("batches divided", trained())

# %% [markdown]
# ## Weights divided
#
# The kernel of a capsule layer has a matrix for each pair of child and parent, so it is what grows
# too large for one device. `layout_map` divides it along the parents (or, with `shard="children"`,
# along the children). It takes names and shapes from a model that is built before, without a
# distribution. A layout belongs to a name, so the network has a fixed one.

# %%
mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"))
layouts = keras_capsules.distribution.layout_map(network(), mesh)
for path, layout in layouts.items():
    print(path.strip("^$"), "axes:", layout.axes)

distribution = keras.distribution.ModelParallel(
    layout_map=layouts, batch_dim_name="batch"
)
with distribution.scope():
    model = trained()
    compare("weights divided", model)
    kernel = model.get_layer("digits").kernel
    part = kernel.value.addressable_shards[0].data
    print("kernel", tuple(kernel.shape), "in all,", part.shape, "on each device")

# %% [markdown]
# ## TensorFlow, PyTorch, several machines
#
# TensorFlow trains under `tf.distribute.MirroredStrategy`, PyTorch in `DistributedDataParallel`.
# [Training on several devices](../scaling.md) has both, the differences that we measure on each
# engine, and what does not work.
