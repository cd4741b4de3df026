# %% [markdown]
# # Choosing a routing
#
# Routing decides how a child divides its vote among the parents. Changing it is one word, so try
# before you choose. This tutorial trains the same small network with five routings and measures
# what each costs and gives.

# %%
import time

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_capsules
from keras_capsules import datasets
from keras_capsules.explain import coupling_statistics

# %% [markdown]
# ## The candidates
#
# `uniform` is the control: each child gives every parent the same share, so nothing is routed.
# `squeeze_excitation` learns one gate for each child. The others share votes by agreement, in one
# pass (`self_attention`) or iterated. Five more, such as `em`, are in
# [the table of all routings](../layers.md#routings): some have explicit activations, and their
# layers take and return pairs `(poses, activations)`.

# %%
NAMES = ("uniform", "squeeze_excitation", "self_attention", "dynamic", "kmeans")


def network(routing):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras_capsules.PrimaryCapsule2D(8, 8, kernel_size=3),
            keras_capsules.CapsuleLayer(10, 8, routing=routing, name="digits"),
            keras_capsules.CapsuleLength(name="scores"),
        ]
    )


# %% [markdown]
# ## Equal terms
#
# All train on the same 1,437 digits of scikit-learn, for the same 10 epochs, with the same
# optimizer, from two seeds. 360 digits are held out. The first epoch is left out of the time,
# because it compiles.

# %%
(images, labels), (test_images, test_labels) = datasets.digits()
images, test_images = images / 255.0, test_images / 255.0


class Clock(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.start = time.perf_counter()


results = {}
columns = ("parameters", "s an epoch", "seed 0", "seed 1", "entropy", "variance")
print(f"{'routing':20}" + "".join(f"{column:>12}" for column in columns))
for name in NAMES:
    right = []
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        model, clock = network(name), Clock()
        model.compile(keras.optimizers.Adam(3e-3), keras_capsules.MarginLoss())
        model.fit(
            images, labels, batch_size=96, epochs=10, verbose=0, callbacks=[clock]
        )
        seconds = (time.perf_counter() - clock.start) / 9
        found = model.predict(test_images, batch_size=360, verbose=0).argmax(axis=1)
        right.append(np.mean(found == test_labels))
    coupling = coupling_statistics(model, test_images)["digits"]
    results[name] = (seconds, right)
    print(f"{name:20}{model.count_params():12,}{seconds:12.2f}", end="")
    print("".join(f"{share:12.1%}" for share in right), end="")
    print(f"{coupling.entropy:12.2f}{coupling.variance:12.3f}")

# %% [markdown]
# The entropy of the coupling is 1 if each child divides its vote evenly and 0 if it gives all of it
# to one parent. The variance is over the inputs: where it is near 0, the coupling is nearly the
# same for each picture, and its maps say little of a picture.

# %%
figure, (left, right) = plt.subplots(
    1, 2, figsize=(8, 2.6), sharey=True, layout="constrained"
)
left.barh(NAMES, [results[name][0] for name in NAMES], color="tab:gray")
left.set_xlabel("seconds for an epoch")
for seed in (0, 1):
    shares = [100 * results[name][1][seed] for name in NAMES]
    right.plot(shares, NAMES, "o", label=f"seed {seed}")
right.set_xlabel("test accuracy, %")
right.grid(alpha=0.3)
right.legend()
plt.show()

# %% [markdown]
# ## How to choose
#
# Two seeds of one routing differ by about as much as two routings do, and one digit of 360 is 0.3
# percentage points, so this table does not rank them. `uniform`, which routes nothing, is close,
# and the coupling of `dynamic` is nearly even: on digits as easy as these, routing decides little.
# Then choose by cost, and by what you want to know. Take `dynamic` until you have compared on your
# task, with five seeds rather than two, and keep `uniform` in the table: it shows what routing is
# worth. [Which head?](../which-one.md) compares all ten with heads without routing, by a rule that
# was written before the runs.
