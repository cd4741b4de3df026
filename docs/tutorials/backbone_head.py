# %% [markdown]
# # A head on a backbone
#
# A network that was trained on many photographs has features that serve for other pictures as
# well. `add_head` puts a classifier on them: capsules, squeeze-and-excitation or plain pooling,
# with as many parameters each, so that one word compares them. Here a backbone that has only seen
# photographs reads handwritten digits, of which it gets 20 a class.

# %%
import keras
import numpy as np

import keras_capsules
from keras_capsules import datasets, explain

# %% [markdown]
# ## A backbone
#
# `se_resnet20` comes with weights for CIFAR-10. `include_top=False` leaves out its classifier.
# `keras_capsules.add_head` takes any functional backbone, such as those of `keras.applications`.

# %%
backbone = keras_capsules.create_model(
    "se_resnet20", "cifar10", include_top=False, include_preprocessing=True
)
backbone.trainable = False
card = keras_capsules.models.card("se_resnet20", "cifar10")
print(f"{backbone.count_params():,} frozen parameters")
print("features:", backbone.output_shape)
print("trained on:", card["task"])

# %% [markdown]
# ## Digits as photographs
#
# The backbone takes pixels from 0 to 255, 32 x 32 in three colours, and does inside what its card
# says: that is `include_preprocessing`.

# %%
(train_images, train_labels), (test_images, test_labels) = datasets.mnist()


def as_photos(digits):
    return np.pad(digits, ((0, 0), (2, 2), (2, 2), (0, 0))).repeat(3, axis=-1)


few = [np.flatnonzero(train_labels == digit)[:20] for digit in range(10)]
few = np.concatenate(few)
images, labels = as_photos(train_images[few]), train_labels[few]
held_out, held_out_labels = as_photos(test_images[:500]), test_labels[:500]
print(f"{len(images)} digits to train on, {len(held_out)} to test on")

# %% [markdown]
# The frozen part always gives the same features, so they are computed once. `add_head` takes a
# model of any input, so it can also build a head for the features alone.

# %%
features = backbone.predict(images, batch_size=100, verbose=0)
held_out_features = backbone.predict(held_out, batch_size=100, verbose=0)


def head_for(kind, seed):
    keras.utils.set_random_seed(seed)
    x = keras.Input(backbone.output_shape[1:], name="features")
    stem = keras.Model(x, keras.layers.Identity()(x), name="stem")
    model = keras_capsules.add_head(stem, num_classes=10, head=kind)
    loss = "sparse_categorical_crossentropy"
    if kind == "capsules":
        loss = keras_capsules.MarginLoss()
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    return model


# %% [markdown]
# ## Three heads, two seeds each

# %%
print(f"{'':20}{'parameters':>12}{'of training':>13}{'of test, by seed':>18}")
for kind in ("capsules", "squeeze_excitation", "pooling"):
    right = []
    for seed in range(2):
        model = head_for(kind, seed)
        fitted = model.fit(features, labels, batch_size=50, epochs=30, verbose=0)
        scores = model.predict(held_out_features, batch_size=500, verbose=0)
        right.append(np.mean(scores.argmax(axis=1) == held_out_labels))
        if kind == "capsules":
            capsules = model
    learned = fitted.history["accuracy"][-1]
    print(f"{kind:20}{model.count_params():12,}{learned:13.1%}", end="")
    print("".join(f"{share:9.1%}" for share in right))

# %% [markdown]
# 500 test digits have an error of about 2 percentage points, and seeds differ too, so smaller gaps
# say nothing. And this is one backbone and one task: the place of a stroke matters for a digit, and
# pooling throws it away. [Ten backbones](../benchmarks.md#heads-on-ten-backbones) and
# [drawings of another style](../benchmarks.md#heads-on-own-pictures) show more.

# %% [markdown]
# ## One model, with explanations
#
# Put together again, backbone and head are a model from pixels to scores. It trains further if you
# set `backbone.trainable = True`, saves, exports, and shows what spoke for its answers.

# %%
whole = keras.Model(backbone.inputs, capsules(backbone.outputs[0]))
shown = held_out[:8]
scores = whole.predict(shown, verbose=0)
titles = [f"{row.argmax()}: {row.max():.2f}" for row in scores]
explain.plot_coupling_map(whole, shown, titles)

# %% [markdown]
# A cell of the features, one of 8 x 8, has seen much of the picture. These maps are fine because
# each cell is divided by the ink that it sees; `division="even"` shows what the cells alone know.
