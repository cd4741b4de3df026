# %% [markdown]
# # A routing of your own
#
# A routing is one class with one method. This tutorial writes one that learns how sharply children
# choose, checks it against NumPy, trains it, looks at what it learned, and exports it.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

import export
from export.device import Predictor
from keras_capsules import CapsuleLayer, CapsuleLength, MarginLoss, PrimaryCapsule2D
from keras_capsules.datasets import digits
from keras_capsules.explain import coupling_statistics
from keras_capsules.ops import capsule_length, squash
from keras_capsules.routing import DynamicRouting, Routing, RoutingResult

# %% [markdown]
# ## The idea
#
# Dynamic routing measures how far a vote agrees with a parent, and a softmax of the agreement
# divides the vote. How sharply it divides depends on how long the vectors happen to be. We multiply
# the agreement by a learned number `s`:
#
# `p_j = squash(sum_i votes_ij / num_out)`, `c_ij = softmax_j(s votes_ij . p_j)`,
# `v_j = squash(sum_i c_ij votes_ij)`.

# %% [markdown]
# ## The class
#
# `route` gets `Votes`. `total`, `agreement` and `combine` are all that this routing asks of them,
# and `sums_votes = True` says so: layers then need not store the votes. `expected_sums` is how
# often it asks. Weights go into `build`, constructor arguments into `get_config`.


# %%
@keras.saving.register_keras_serializable(package="tutorial")
class SharpRouting(Routing):
    sums_votes = True
    expected_sums = 3

    def __init__(self, sharpness=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = sharpness

    def build(self, votes_shape):
        start = keras.initializers.Constant(self.start)
        self.sharpness = self.add_weight(shape=(), initializer=start, name="sharpness")
        self.built = True

    def route(self, votes, activations=None, poses=None):
        # The parents stand before the children: `votes.shape[1]` is their number.
        parents = squash(votes.total() / votes.shape[1])
        coupling = ops.softmax(self.sharpness * votes.agreement(parents), axis=1)
        parents = squash(votes.combine(coupling))
        return RoutingResult(parents, capsule_length(parents), coupling)

    def get_config(self):
        return {**super().get_config(), "sharpness": self.start}


# %% [markdown]
# ## Is it what we meant
#
# Write the equations once more in NumPy. And for `s = 1` it must be dynamic routing of two
# iterations.


# %%
def by_numpy(votes, s):  # (batch, children, parents, dim)
    def squashed(x):
        squares = (x**2).sum(axis=-1, keepdims=True)
        return squares / (1 + squares) * x / np.sqrt(squares)

    parents = squashed(votes.sum(axis=1) / votes.shape[2])
    weights = np.exp(s * np.einsum("bijd,bjd->bij", votes, parents))
    coupling = weights / weights.sum(axis=2, keepdims=True)
    return squashed(np.einsum("bij,bijd->bjd", coupling, votes))


votes = np.random.default_rng(0).normal(size=(4, 6, 3, 5))
pairs = [(SharpRouting(1.0), 1), (SharpRouting(4.0), 4), (DynamicRouting(2), 1)]
for routing, s in pairs:
    poses = ops.convert_to_numpy(routing(votes.astype("float32")).poses)
    difference = abs(poses - by_numpy(votes, s)).max()
    print(f"{type(routing).__name__}: at most {difference:.0e} from NumPy with s = {s}")

# %% [markdown]
# ## What does it learn

# %%
(images, labels), (test_images, test_labels) = digits()
images, test_images = images / 255.0, test_images / 255.0


class Watch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        value = self.model.get_layer("digits").routing.sharpness
        curves.setdefault(start, []).append(float(ops.convert_to_numpy(value)))


curves = {}
for start in (0.5, 2.0, 8.0):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            PrimaryCapsule2D(8, 8, kernel_size=3),
            CapsuleLayer(10, 8, routing=SharpRouting(start), name="digits"),
            CapsuleLength(name="scores"),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), MarginLoss(), metrics=["accuracy"])
    model.fit(images, labels, batch_size=96, epochs=15, verbose=0, callbacks=[Watch()])
    _, accuracy = model.evaluate(test_images, test_labels, batch_size=360, verbose=0)
    entropy = coupling_statistics(model, test_images, batch_size=360)["digits"].entropy
    print(f"s from {start} to {curves[start][-1]:.2f}:", end=" ")
    print(f"{accuracy:.1%} right, entropy {entropy:.2f}")

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for start, values in curves.items():
    axes.plot(values, label=f"from {start}")
axes.set(xlabel="epoch", ylabel="sharpness", ylim=(0, None))
axes.grid(alpha=0.3)
axes.legend()
plt.show()

# %% [markdown]
# From each start the sharpness grows, also where it starts above the 1 of dynamic routing.
# But the entropy says that children still divide their votes nearly evenly, and the accuracy hardly
# changes. On digits as easy as these, an idea for a routing can be right and yet gain nothing.

# %% [markdown]
# ## It saves and exports
#
# Registered under a package's name, the class loads from a file. The export needs nothing more, not
# even for a class of a notebook.

# %%
model.save("sharp.keras")
loaded = keras.models.load_model("sharp.keras")
print("loaded, starts at", loaded.get_layer("digits").routing.start)
report = export.export_onnx(model, "sharp.onnx")
print(f"verified: {report.passed}, at most {report.max_abs:.0e} from the model")
answers = Predictor("sharp.onnx").predict(test_images)
right = np.mean([int(answer.label) for answer in answers] == test_labels)
print(f"right on the device: {right:.1%}")

# %% [markdown]
# To share it, add it to `keras_capsules/routing/`: the tests of all routings then run over yours as
# well, see [Contributing](../CONTRIBUTING.md#adding-a-routing).
