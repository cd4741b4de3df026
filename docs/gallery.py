# %% [markdown]
# # Gallery
#
# Figures of the library, each with the lines that made it. They take a few digits that come with
# the trained weights, so you can run them as they are. [Explanations](explanations.md) says what
# each one means, and how far to trust it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import keras_capsules
from keras_capsules import explain

digits = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"][:10]
model = keras_capsules.create_model("efficient_capsnet", "mnist", with_decoder=True)
explained = explain.explained_model(model, ["scores", "poses", "coupling"])
found = explained.predict(digits, verbose=0)
titles = [f"{row.argmax()}: {row.max():.2f}" for row in found["scores"]]

# %% [markdown]
# ## What spoke for the answer
#
# Red pixels speak for the class above the digit, and blue ones against it.

# %%
explain.plot_coupling_map(model, digits, titles)

# %% [markdown]
# ## What spoke for its rivals
#
# One 9, and what in it speaks for a 9, a 4 and a 7.

# %%
nine = digits[found["scores"].argmax(axis=1) == 9][:1]
explain.plot_coupling_map(
    model, nine.repeat(3, axis=0), ["for 9", "for 4", "for 7"], class_index=[9, 4, 7]
)

# %% [markdown]
# ## Two digits over each other
#
# Another network reads both, and the maps take them apart.

# %%
both = keras_capsules.create_model("efficient_capsnet", "multi_mnist")
pairs = keras_capsules.models.examples("efficient_capsnet", "multi_mnist")["image"][:4]
best = both.predict(pairs, verbose=0).argsort(axis=1)[:, -2:]
explain.plot_coupling_map(
    both,
    pairs.repeat(2, axis=0),
    [f"for {digit}" for digit in best.ravel()],
    class_index=best.ravel(),
)

# %% [markdown]
# ## Grad-CAM, which needs no capsules
#
# Channels of the last feature map, weighted by the gradient of the score.

# %%
explain.plot_grad_cam(model, digits, titles)

# %% [markdown]
# ## A pose, varied
#
# Each row moves one of the sixteen numbers of a pose, and the decoder draws the digit.

# %%
two = digits[found["scores"].argmax(axis=1) == 2][0]
explain.plot_pose_traversal(model, two, deltas=np.linspace(-0.25, 0.25, 11))

# %% [markdown]
# ## What a pose keeps
#
# The digit, and what the decoder makes of its pose.

# %%
explain.plot_reconstructions(model, digits, titles)

# %% [markdown]
# ## The agreement of the routing
#
# The coupling of a seven and of a two: a row for each of 16 parts, a column for each digit.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True, layout="constrained")
for one, row in zip(axes, (0, 1), strict=True):
    shown = one.imshow(found["coupling"][row], aspect="auto", cmap="viridis")
    one.set(title=f"coupling in a {found['scores'][row].argmax()}", xlabel="digit")
    one.set_xticks(range(10))
    figure.colorbar(shown, ax=one)
axes[0].set_ylabel("part")
plt.show()

# %% [markdown]
# ## How much the routing divides and adapts
#
# Entropy 1 is even, and variance 0 the same for each picture.

# %%
explain.plot_coupling_statistics(model, digits)

# %% [markdown]
# ## Which parts made it
#
# The five parts to which the pose of the digit owes most.

# %%
explain.plot_part_whole_tree(model, digits[0], strongest=5)

# %% [markdown]
# ## Where poses lie
#
# The poses of the winning capsules, in the plane of their two main directions.

# %%
winners = found["poses"][np.arange(10), found["scores"].argmax(axis=1)]
centred = winners - winners.mean(axis=0)
plane = centred @ np.linalg.svd(centred)[2][:2].T
figure, axes = plt.subplots(figsize=(4.5, 4), layout="constrained")
axes.scatter(*plane.T)
for place, row in zip(plane, found["scores"], strict=True):
    axes.annotate(row.argmax(), place, xytext=(4, 4), textcoords="offset points")
axes.set(xlabel="first direction", ylabel="second direction")
plt.show()

# %% [markdown]
# ## How gates differ between classes
#
# Mean gates of the channels of two blocks of squeeze-and-excitation, for two classes of digits.

# %%
gated = keras_capsules.create_model("se_capsnet", "mnist")
stored = keras_capsules.models.examples("se_capsnet", "mnist")
explain.plot_excitation_profile(
    gated,
    (stored["image"], stored["scores"].argmax(axis=1)),
    classes=[1, 9],
    layers=["block_1_se", "block_2_se"],
)

# %% [markdown]
# ## Whether a map is true
#
# Delete pixels in the order of a map, and insert them into a blank picture.

# %%
maps = {
    "coupling map": explain.coupling_map(model, digits),
    "Grad-CAM": explain.grad_cam(model, digits),
    "random": explain.random_maps(digits),
}
explain.plot_deletion_insertion(
    {name: explain.deletion_insertion(model, digits, one, steps=10) for name, one in maps.items()}
)

# %% [markdown]
# ## What spoke in a signal
#
# A smart watch's six channels, over the colours of their steps.

# %%
watch = keras_capsules.create_model("signal_capsnet", "basic_motions")
series = keras_capsules.models.examples("signal_capsnet", "basic_motions")["signal"]
names = keras_capsules.models.card("signal_capsnet", "basic_motions")["class_names"]
answers, first = np.unique(watch.predict(series, verbose=0).argmax(axis=1), return_index=True)
explain.plot_coupling_map(watch, series[first], [names[answer] for answer in answers])

# %% [markdown]
# ## What spoke in a photograph
#
# Grad-CAM of a squeeze-and-excitation ResNet with its weights for CIFAR-10.
# [Segmentation](tutorials/segmentation.md) has figures of masks.

# %%
resnet = keras_capsules.create_model("se_resnet20", "cifar10", include_preprocessing=True)
options = {"include_preprocessing": True}
photos = keras_capsules.models.examples("se_resnet20", "cifar10", **options)["image"][:8]
names = keras_capsules.models.card("se_resnet20", "cifar10")["class_names"]
answers = resnet.predict(photos, verbose=0).argmax(axis=1)
explain.plot_grad_cam(resnet, photos, [names[answer] for answer in answers])
