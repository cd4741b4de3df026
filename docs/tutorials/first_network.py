# %% [markdown]
# # Your first capsule network
#
# A capsule is a group of neurons whose output is a vector, the *pose* of a thing. The length of
# the vector says whether the thing is there, and its direction how it looks. This tutorial builds
# a small capsule network, trains it on handwritten digits in less than a minute, and looks inside.

# %%
import keras
import numpy as np

from keras_capsules import (
    CapsuleLayer,
    CapsuleLength,
    MarginLoss,
    PrimaryCapsule2D,
    datasets,
    explain,
)

keras.utils.set_random_seed(0)

# %% [markdown]
# ## The data
#
# `datasets.mnist` returns pixels from 0 to 255. 6,000 digits are enough for a first try.

# %%
(train_images, train_labels), (test_images, test_labels) = datasets.mnist()
train_images = train_images[:6000].astype("float32") / 255
test_images = test_images[:2000].astype("float32") / 255
train_labels, test_labels = train_labels[:6000], test_labels[:2000]
print("to train on:", train_images.shape, " to test on:", test_images.shape)

# %% [markdown]
# ## The network
#
# A convolution finds strokes. `PrimaryCapsule2D` makes poses of them: 8 numbers for each of 8
# types, in each cell of a 5 x 5 grid. Then each of these 200 children casts a vote for each of the
# ten digits, and `CapsuleLayer` routes the votes: a child gives most of its vote to the digit on
# which it agrees with the others. `CapsuleLength` turns the ten poses into ten scores.

# %%
model = keras.Sequential(
    [
        keras.Input((28, 28, 1), name="image"),
        keras.layers.Conv2D(32, 7, strides=2, activation="relu", name="strokes"),
        PrimaryCapsule2D(8, 8, kernel_size=3, strides=2, name="parts"),
        CapsuleLayer(num_capsules=10, capsule_dim=16, routing="dynamic", name="digits"),
        CapsuleLength(name="scores"),
    ]
)
for layer in model.layers:
    shape = str(layer.output.shape)
    print(f"{layer.name:8} {shape:20} {layer.count_params():9,} parameters")

# %% [markdown]
# ## Training
#
# The margin loss asks for a length of at least 0.9 from the capsule of the right digit, and of at
# most 0.1 from the others. All else is Keras as you know it.

# %%
model.compile(keras.optimizers.Adam(2e-3), MarginLoss(), metrics=["accuracy"])
fitted = model.fit(train_images, train_labels, batch_size=64, epochs=4, verbose=0)
for epoch in range(4):
    print(f"epoch {epoch + 1}: accuracy {fitted.history['accuracy'][epoch]:.1%}")
loss, accuracy = model.evaluate(test_images, test_labels, batch_size=256, verbose=0)
print(f"right on {len(test_images):,} digits that it has not seen: {accuracy:.1%}")

# %% [markdown]
# ## What is in a pose
#
# The part of the network below the lengths gives the poses. The longest one is the answer.

# %%
poses = keras.Model(model.inputs, model.get_layer("digits").output)
found = poses.predict(test_images[:1], verbose=0)[0]
lengths = np.linalg.norm(found, axis=-1)
print("poses:", found.shape, "of a", test_labels[0])
print("lengths:", "  ".join(f"{i}: {length:.2f}" for i, length in enumerate(lengths)))

# %% [markdown]
# ## Which parts spoke for the answer
#
# The length of the winning capsule is a sum of votes, so it divides among the pixels. Red pixels
# speak for the answer, and blue ones against it.

# %%
shown = test_images[:8]
scores = model.predict(shown, verbose=0)
titles = [f"{row.argmax()}: {row.max():.2f}" for row in scores]
explain.plot_coupling_map(model, shown, titles)

# %% [markdown]
# The same question for another digit: what in this 7 speaks for a 7, for a 2 and for a 9?

# %%
sevens = np.repeat(shown[:1], 3, axis=0)
titles = ["for 7", "for 2", "for 9"]
explain.plot_coupling_map(model, sevens, titles, class_index=[7, 2, 9])

# %% [markdown]
# ## Saving
#
# A saved model loads wherever `keras_capsules` was imported before, under each of the three
# backends.

# %%
model.save("digits.keras")
loaded = keras.models.load_model("digits.keras")
same = np.array_equal(loaded.predict(shown, verbose=0), scores)
print("the loaded model gives the same scores:", same)

# %% [markdown]
# Where to go next: [your own photos](own_photos.md), [other routings](choosing_a_routing.md), or
# [what the maps mean and how far to trust them](reading_explanations.md).
