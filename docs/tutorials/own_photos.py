# %% [markdown]
# # Your own photos
#
# You have pictures in folders, a folder for each class, and want a network that runs without
# Keras. This tutorial takes photographs of CIFAR-10 in place of yours. With your folder, leave out
# the first step. `python examples/photos.py FOLDER` does all of it in one command.

# %%
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers
from PIL import Image
from sklearn.metrics import ConfusionMatrixDisplay

import export
import keras_capsules
from export.device import Predictor
from keras_capsules import datasets, explain

keras.utils.set_random_seed(0)

# %% [markdown]
# ## Pictures in folders
#
# 250 photographs of each of four classes become JPEG files.

# %%
pixels, labels = datasets.cifar10()[0]
for number, name in {1: "car", 4: "deer", 6: "frog", 8: "ship"}.items():
    folder = Path("photos") / name
    folder.mkdir(parents=True)
    for place, photo in enumerate(pixels[labels == number][:250]):
        Image.fromarray(photo).save(folder / f"{place}.jpg", quality=95)

# %% [markdown]
# `image_folder` reads them as a device will, whatever their size and format. A fifth of each class
# is held out for the test.

# %%
photos = datasets.image_folder("photos", image_size=(32, 32))
train, test = photos.split(share=0.2, seed=0)
names = photos.class_names
print(f"{', '.join(names)}: {len(train.images)} to train, {len(test.images)} to test")

# %% [markdown]
# ## A network
#
# A small residual network with squeeze-and-excitation is the backbone. It is trained from new
# weights, so random flips and shifts make up for the few pictures. `add_head` puts a head of
# capsules on it. The labels are numbers, and pixels from 0 to 255 are scaled inside.

# %%
image = keras.Input((32, 32, 3), name="image")
x = layers.RandomFlip("horizontal")(image)
x = layers.RandomTranslation(0.1, 0.1, fill_mode="nearest")(x)
x = layers.Rescaling(1 / 127.5, offset=-1)(x)
network = keras_capsules.create_model(
    "se_resnet20", input_shape=(32, 32, 3), blocks=1, include_top=False
)
backbone = keras.Model(image, network(x), name="backbone")
model = keras_capsules.add_head(backbone, len(names), head="capsules")
print(f"{model.count_params():,} parameters")

rate = keras.optimizers.schedules.CosineDecay(3e-3, 10 * 25)
optimizer = keras.optimizers.Adam(rate)
model.compile(optimizer, keras_capsules.MarginLoss(), metrics=["accuracy"])
fitted = model.fit(train.images, train.labels, batch_size=32, epochs=10, verbose=0)
scores = model.predict(test.images, batch_size=200, verbose=0)
found = scores.argmax(axis=1)
print(f"right: {fitted.history['accuracy'][-1]:.0%} of the training pictures,", end=" ")
print(f"{np.mean(found == test.labels):.0%} of the test; 25% by chance")

# %% [markdown]
# ## What it confuses

# %%
figure, axes = plt.subplots(figsize=(4, 4))
ConfusionMatrixDisplay.from_predictions(
    test.labels, found, display_labels=names, cmap="Blues", colorbar=False, ax=axes
)
axes.set(xlabel="answer of the network", ylabel="class of the picture")
plt.show()

# %% [markdown]
# The most confident mistakes, each with what spoke for the wrong answer (red). They often show
# what the pictures of a class have in common by accident, such as a colour of the background. The
# grid is the network's: its shortcuts see only every other row and column.

# %%
wrong = np.flatnonzero(found != test.labels)
wrong = wrong[np.argsort(-scores[wrong].max(axis=1))][:6]
titles = [f"{names[test.labels[i]]},\ntaken for\n{names[found[i]]}" for i in wrong]
explain.plot_coupling_map(model, test.images[wrong], titles, class_index=found[wrong])

# %% [markdown]
# ## To a device
#
# The export compares the file with the model before it writes it. The names of the classes, and
# that pixels go from 0 to 255, are stored in the file.

# %%
data = {"image": test.images}
report = export.export_onnx(model, "photos.onnx", labels=names, data=data)
print(f"verified: {report.passed}, at most {report.max_abs:.0e} from the model")
print(f"{report.file.bytes:,} bytes")

# %% [markdown]
# `Predictor` needs onnxruntime and numpy alone. It takes the pixels of a picture as they are.

# %%
predictor = Predictor("photos.onnx")
answers = predictor.predict(test.images)
labels = np.array([names.index(answer.label) for answer in answers])
print(f"on the device: {np.mean(labels == test.labels):.0%} right,", end=" ")
print(f"{predictor.latency()['p50']:.2f} ms for a picture")
print("the first one:", test.paths[0], "is a", answers[0].label)

# %% [markdown]
# With pretrained weights, such as those of `keras.applications`, a few pictures go further: see
# [a head on a backbone](backbone_head.md).
