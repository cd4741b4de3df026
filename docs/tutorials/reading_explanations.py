# %% [markdown]
# # Reading the explanations
#
# A capsule network can say which pixels spoke for its answer, which other answer they spoke for,
# and what it keeps of the picture. It can also be wrong about that. This tutorial reads one
# network's explanations and tests how far to trust them. Nothing is trained: the weights come
# with the library.

# %%
import numpy as np

import keras_capsules
from keras_capsules import datasets, explain

model = keras_capsules.create_model("efficient_capsnet", "mnist", with_decoder=True)
explained = explain.explained_model(model, ["scores", "reconstruction"])
_, (images, labels) = datasets.mnist()
images = images[:1000].astype("float32") / 255
labels = labels[:1000]
found = explained.predict(images, batch_size=250, verbose=0)
answers = found["scores"].argmax(axis=1)
print(f"right: {np.mean(answers == labels):.1%} of {len(images):,}")

# %% [markdown]
# ## Which pixels
#
# Red pixels lengthen the winning capsule, and blue ones shorten it. The map of a digit has its own
# scale: compare places within a map, not colours between maps.

# %%
titles = [f"{row.argmax()}: {row.max():.2f}" for row in found["scores"][:8]]
explain.plot_coupling_map(model, images[:8], titles)

# %% [markdown]
# ## Compared with what
#
# A map for one answer says little alone. Ask for the rivals: which pixels speak for a 4 and against
# a 9, and the other way round? Here is the digit on which the two best scores are closest.

# %%
ordered = np.sort(found["scores"], axis=1)
unsure = int(np.argmin(ordered[:, -1] - ordered[:, -2]))
rivals = found["scores"][unsure].argsort()[::-1][:3]
titles = [f"for {rival}: {found['scores'][unsure][rival]:.2f}" for rival in rivals]
print(f"digit {unsure} is a {labels[unsure]}, the network says {answers[unsure]}")
copies = np.stack([images[unsure]] * 3)
explain.plot_coupling_map(model, copies, titles, class_index=rivals)

# %% [markdown]
# ## Are the maps true
#
# Delete the pixels in the order of a map. If the map is true, the score falls at once. Insert them
# into a blank picture, and it rises at once. Compare with Grad-CAM, with pixels in random order,
# and with the darkest pixels first, which asks no network at all.

# %%
few = images[:40]
maps = {
    "coupling map": explain.coupling_map(model, few, batch_size=40),
    "Grad-CAM": explain.grad_cam(model, few, batch_size=40),
    "darkness": few[..., 0],
    "random": explain.random_maps(few),
}
curves = {
    name: explain.deletion_insertion(model, few, one, steps=8, batch_size=40)
    for name, one in maps.items()
}
explain.plot_deletion_insertion(curves)

# %% [markdown]
# The coupling map beats random order by far, and the darkness hardly: on white paper only ink
# can matter. So on such pictures the map earns its place by telling rivals apart, which darkness
# cannot. [The same on 500 digits, and on moved ones](../explanations.md#are-the-maps-true).

# %% [markdown]
# ## Does the routing route
#
# If each child divides its vote evenly, whatever the picture, then "the routing chose these parts"
# means nothing. Entropy 1 is even, variance 0 the same for each picture.

# %%
for layer, statistics in explain.coupling_statistics(model, few).items():
    print(
        f"{layer}: entropy {statistics.entropy:.2f}, variance {statistics.variance:.3f}"
    )

# %% [markdown]
# This network's coupling is close to even. Its maps do not come from the coupling alone but from
# the agreement of each vote with the winning pose.

# %% [markdown]
# ## What the pose keeps
#
# The decoder redraws the digit from the sixteen numbers of its pose. Each row moves
# one of them and shows what it stands for.

# %%
two = images[labels == 2][0]
explain.plot_pose_traversal(model, two, deltas=(-0.2, -0.1, 0.0, 0.1, 0.2))

# %% [markdown]
# ## When not to believe it
#
# A network that has only seen digits gives long capsules to other things too. Noise is not a digit,
# and its reconstruction shows it: a picture that the pose does not redraw was not understood.

# %%
noise = np.random.default_rng(0).random((1000, 28, 28, 1), dtype="float32")
turned = images.transpose(0, 2, 1, 3)
kinds = {"digits": images, "mirrored and turned digits": turned, "noise": noise}
for name, pictures in kinds.items():
    seen = explained.predict(pictures, batch_size=250, verbose=0)
    redrawn = seen["reconstruction"].reshape(pictures.shape)
    error = ((pictures - redrawn) ** 2).sum() / (pictures**2).sum()
    longest = seen["scores"].max(axis=1).mean()
    print(f"{name:28} longest capsule {longest:.2f}, not redrawn {error:.0%}")
