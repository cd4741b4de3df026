# %% [markdown]
# # Segmentation
#
# A segmentation gives each pixel a class. `segcaps` does so with capsules: convolutional capsules
# go down to an eighth of the size and up again, and the lengths of the last ones are the scores.
# Here it finds objects in noise, next to a U-Net of as many parameters.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_capsules
from keras_capsules import datasets

# %% [markdown]
# ## Pictures with masks
#
# `datasets.shapes` draws ellipses, rectangles, triangles and digits over each other, with noise.
# All objects of the training are upright. The test pictures exist once upright and once with each
# object turned by up to 180 degrees.

# %%
options = {"size": 32, "train": 240, "test": 100}
(images, classes), (test_images, test_classes) = datasets.shapes(**options)
_, (turned_images, turned_classes) = datasets.shapes(**options, rotation=180)
masks, test_masks, turned_masks = (
    (numbers > 0)[..., None] for numbers in (classes, test_classes, turned_classes)
)
print("pictures:", images.shape, " masks:", masks.shape)
print(f"{masks.mean():.0%} of the pixels belong to an object")

# %% [markdown]
# ## Two networks
#
# `num_classes=1` asks of each pixel whether it belongs to an object. Dice's coefficient is
# `2 * |found and true| / (|found| + |true|)` over all pixels.


# %%
def dice(model, images, masks):
    found = model.predict(images / 255.0, batch_size=50, verbose=0) > 0.5
    return 2 * np.sum(found & masks) / (found.sum() + masks.sum())


recipes = {
    "segcaps": ({"width": 4}, 1e-2),
    "unet": ({"filters": (7, 14, 28, 50)}, 3e-3),
}
models = {}
for name, (sizes, rate) in recipes.items():
    keras.utils.set_random_seed(0)
    sizes = {"input_shape": (32, 32, 1), "num_classes": 1, **sizes}
    model = models[name] = keras_capsules.create_model(name, **sizes)
    loss = keras_capsules.MarginLoss() if name == "segcaps" else "binary_crossentropy"
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(images / 255.0, masks.astype("float32"), 20, epochs=6, verbose=0)
    print(f"{name:8} {model.count_params():7,} parameters   Dice:", end=" ")
    print(f"{dice(model, test_images, test_masks):.3f} upright,", end=" ")
    print(f"{dice(model, turned_images, turned_masks):.3f} turned")

# %% [markdown]
# Both have trained for seconds, on 240 pictures, from one seed: that shows how it is done, and not
# which one is better. `python -m benchmarks.segmentation` asks that, with more of all three.

# %% [markdown]
# ## What they see
#
# Turned pictures, their masks, and the scores of the networks, from 0 (black) to 1 (white).

# %%
shown = turned_images[:6]
rows = {"picture": shown / 255.0, "mask": turned_masks[:6]}
for name, model in models.items():
    rows[name] = model.predict(shown / 255.0, verbose=0)
figure, axes = plt.subplots(4, 6, figsize=(7, 4.8), layout="constrained")
for line, (label, pictures) in zip(axes, rows.items(), strict=True):
    line[0].set_ylabel(label)
    for one, picture in zip(line, pictures, strict=True):
        one.imshow(picture[..., 0], cmap="gray", vmin=0, vmax=1)
        one.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## Several classes
#
# With `num_classes=5` the scores are `(batch, height, width, 5)`, the background is a class as
# well, and labels are the class numbers, here `classes`. Then weigh each pixel by the rarity of its
# class, as the paper does, with `sample_weight` of `fit`: in a short training the background wins
# otherwise.
#
# Both networks export like any other, and `export.device` writes the mask of a picture as a PNG,
# see [on the device](../device.md).
