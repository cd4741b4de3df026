# %% [markdown]
# # From `.keras` to browser, Pi and microcontroller
#
# A trained model becomes one file that onnxruntime runs, without Keras. The file is compared with
# the model before it is written, and again on the device. This tutorial goes from a saved model to
# a Raspberry Pi, to a browser and to a file small enough for smaller machines.

# %%
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

import export
import keras_capsules
from export.device import Predictor
from keras_capsules import datasets

# %% [markdown]
# ## A model and some data
#
# Efficient-CapsNet with its shipped weights stands for your own model. 600 digits that it has not
# seen serve for comparison and for judging reduced precision.

# %%
model = keras_capsules.create_model("efficient_capsnet", weights="mnist")
model.save("digits.keras")
_, (images, labels) = datasets.mnist()
images, labels = images[:600], labels[:600]
data = {"image": images.astype("float32") / 255, "labels": labels}
names = [str(digit) for digit in range(10)]

# %% [markdown]
# ## One file, compared with the model
#
# `outputs` adds the map of the pixels that spoke for the answer. `ort=True` also writes
# onnxruntime's own format, which needs a smaller runtime. On the command line this is
# `python -m export.to_onnx digits.keras -o digits.onnx --labels names.txt --data test.npz
# --outputs scores,map --ort`.

# %%
report = export.export_onnx(
    "digits.keras",
    "digits.onnx",
    labels=names,
    data=data,
    outputs=["scores", "map"],
    ort=True,
)
print(f"verified: {report.passed}, in {len(report.comparisons)} comparisons;", end=" ")
print(f"largest difference {report.max_abs:.1e}")
print(f"{report.file.nodes} nodes, opset {report.file.opset}")
for path in sorted(Path().glob("digits*")):
    print(f"{path.stat().st_size:10,} bytes  {path}")

# %% [markdown]
# ## On a Raspberry Pi
#
# Copy `digits.onnx` and `export/device.py` there, and `pip install onnxruntime numpy pillow`. Here
# a folder stands for the Pi, and a Python that cannot import Keras.

# %%
pi = Path("pi")
pi.mkdir()
for file in ("digits.onnx", "digits.onnx.golden.npz"):
    shutil.copy(file, pi)
for module in ("device", "verify"):
    shutil.copy(Path(export.__file__).with_name(f"{module}.py"), pi)
Image.fromarray(images[0, :, :, 0]).save(pi / "photo.png")


NO_KERAS = """
import runpy, sys
sys.modules.update(dict.fromkeys(["keras", "keras_capsules", "tensorflow", "jax", "torch"]))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def on_the_pi(*command):
    run = [sys.executable, "-c", NO_KERAS, *command]
    done = subprocess.run(run, cwd=pi, check=True, capture_output=True, text=True)
    print("$ python", *command)
    print(done.stdout)


on_the_pi("device.py", "digits.onnx", "photo.png")

# %% [markdown]
# Does that machine compute the same? The seal beside the file holds inputs and the model's
# answers.

# %%
on_the_pi("verify.py", "digits.onnx")

# %% [markdown]
# In your program it is two lines. The same call returns the map.

# %%
predictor = Predictor("digits.onnx", threads=1)
for found in predictor.predict(images[:3]):
    print(found.label, f"{found.score:.3f}")
answer = predictor(data["image"][:6])
figure, axes = plt.subplots(2, 6, figsize=(7, 2.6), layout="constrained")
for column in range(6):
    found = answer["map"][column]
    axes[0, column].imshow(images[column, ..., 0], cmap="gray_r")
    limit, scores = abs(found).max(), answer["scores"][column]
    axes[0, column].set_title(f"{scores.argmax()}: {scores.max():.2f}")
    axes[1, column].imshow(found, cmap="RdBu_r", vmin=-limit, vmax=limit)
for one in axes.flat:
    one.set_axis_off()
plt.show()

# %% [markdown]
# ## In the browser
#
# `devices/javascript` gives the same answers from the same file, in browsers and in Node:
#
# ```javascript
# import { Predictor } from "keras-capsules"; // npm install ./devices/javascript
#
# const predictor = await Predictor.load("digits.onnx", { seal: "digits.onnx.golden.npz" });
# const { passed } = await predictor.verify();
# const [answer] = await predictor.predict(canvas);
# ```
#
# `make web` opens a page made in this way.

# %% [markdown]
# ## Smaller machines
#
# int8 weighs less than half, is faster where the processor multiplies bytes, and may lose
# something. It is calibrated on a part of the data and judged on the rest, and is written only if
# it loses at most half a percentage point. `batch=1` fixes all shapes, which compilers for small
# processors want, and `preprocess=True` lets the file take the camera's bytes.

# %%
small = export.export_onnx(
    "digits.keras",
    "small.onnx",
    labels=names,
    data={"image": images, "labels": labels},  # pixels from 0 to 255
    precision="int8",
    batch=1,
    preprocess=True,
)
print(f"{'':10}{'bytes':>10}{'ms':>8}{'right, %':>10}")
for row in small.precision.rows:
    print(f"{row.precision:10}{row.bytes:10,}{row.latency_ms:8.2f}{row.score:10.2f}")
print("inputs:", small.file.inputs, " operations:", len(small.file.operations))
for check in small.edge:
    mark = {True: "passed", False: "failed", None: "counted"}[check.passed]
    print(f"{mark:8} {check.check}: {check.finding}")
