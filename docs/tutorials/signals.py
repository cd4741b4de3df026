# %% [markdown]
# # Signals
#
# Capsules need no image. Here a smart watch tells what its owner is doing: standing, running,
# walking or playing badminton. Then series of any length tell which of nine speakers says a vowel.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_capsules
from keras_capsules import datasets, explain

keras.utils.set_random_seed(0)

# %% [markdown]
# ## Six channels, ten steps a second
#
# BasicMotions has 40 series to train on and 40 to test on. Three channels are from the
# accelerometer, and three from the gyroscope.

# %%
(series, labels), (test_series, test_labels) = datasets.basic_motions()
names = ["standing", "running", "walking", "badminton"]
print("series, steps, channels:", series.shape)

figure, axes = plt.subplots(1, 4, figsize=(10, 2.2), sharex=True, layout="constrained")
for number, (one, name) in enumerate(zip(axes, names, strict=True)):
    one.plot(series[labels == number][0][:, :3], linewidth=1)
    one.set(title=name, xlabel="step")
axes[0].set_ylabel("acceleration")
plt.show()

# %% [markdown]
# ## A network of the zoo
#
# `signal_capsnet` has two convolutions, primary capsules at each place of the series,
# convolutional capsules and class capsules. They share their kernels along the series, so the
# number of parameters does not depend on its length.

# %%
sizes = {"input_shape": (100, 6), "num_classes": 4}
model = keras_capsules.create_model("signal_capsnet", **sizes)
loss = keras_capsules.models.default_loss("signal_capsnet")
model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
history = model.fit(series, labels, batch_size=20, epochs=40, verbose=0).history
print(f"{model.count_params():,} parameters")
for epoch in (1, 10, 40):
    print(f"accuracy in epoch {epoch}: {history['accuracy'][epoch - 1]:.0%}")
_, accuracy = model.evaluate(test_series, test_labels, batch_size=40, verbose=0)
print(f"right: {round(40 * accuracy)} of 40 series that it has not seen")

# %% [markdown]
# One series of 40 is 2.5 percentage points, so do not choose between networks by this set alone.

# %% [markdown]
# ## When did it happen
#
# The coupling map divides the length of the winning capsule among the steps. Red steps speak for
# the answer, and blue ones against it.

# %%
shown = np.stack([test_series[test_labels == number][0] for number in range(4)])
scores = model.predict(shown, verbose=0)
titles = [f"{names[row.argmax()]}: {row.max():.2f}" for row in scores]
explain.plot_coupling_map(model, shown, titles)

# %% [markdown]
# A stroke of badminton is there in a moment, and running is there all the time. Is the map true?
# Delete the steps that it names, the highest first, and the score should fall by more than for
# steps in random order.

# %%
maps = explain.coupling_map(model, test_series)
answers = model.predict(test_series, batch_size=40, verbose=0)
chance = np.random.default_rng(0).random(maps.shape)
for kind, ranking in {"the map's order": maps, "random order": chance}.items():
    first = np.argsort(-ranking, axis=1)[:, :30, None]
    deleted = test_series.copy()
    np.put_along_axis(deleted, first, series.mean(axis=(0, 1)), axis=1)
    left = model.predict(deleted, batch_size=40, verbose=0)
    winner = (np.arange(40), answers.argmax(axis=1))
    kept = np.mean(left[winner] / answers[winner])
    print(f"30 of 100 steps deleted in {kind}: {kept:.0%} of the score is left")

# %% [markdown]
# ## Series of different lengths
#
# Nine speakers say two vowels in 7 to 29 steps. With an open length, `(None, 12)`, the network
# takes any number of steps, and `mask_value=0.0` tells it which steps are only padding. Weights
# come with the library.

# %%
vowels = keras_capsules.create_model("signal_capsnet", weights="japanese_vowels")
_, (spoken, speakers) = datasets.japanese_vowels()
found = vowels.predict(spoken, batch_size=370, verbose=0).argmax(axis=1)
print(f"{vowels.input_shape}: {np.mean(found == speakers):.2%} of {len(spoken)} right")

# %% [markdown]
# Do the series need the padding? Each one alone, at its own length, gets nearly the same answers.
# The scores differ, since windows with strides fall differently on a series of another length.

# %%
lengths = (spoken != 0).any(axis=2).sum(axis=1)
alone = np.zeros(len(spoken), int)
for steps in np.unique(lengths):
    scores = keras.ops.convert_to_numpy(vowels(spoken[lengths == steps, :steps]))
    alone[lengths == steps] = scores.argmax(axis=1)
print(f"{lengths.min()} to {lengths.max()} steps without padding:", end=" ")
print(f"{np.mean(alone == speakers):.2%} right")
print(f"the same answer as with padding: {np.sum(alone == found)} of {len(spoken)}")

# %% [markdown]
# On a device such a file reads `.csv` and `.wav` files, see [on the device](../device.md), and
# `examples/stream.py` labels a window that slides over a stream.
