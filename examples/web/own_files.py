"""Files and pictures of a user, and how they are dropped onto the page."""

import base64

import keras
import numpy as np
import onnx
from PIL import Image

import export
import keras_capsules
from examples.web.visit import DIGITS, image_of
from keras_capsules.layers import CapsuleLayer, CapsuleLength, PrimaryCapsule2D

NAMES = ["<b>cat</b>", "dog", "a very long name of a rare kind of bird", "emu"]

DROP = """async ([files]) => {
  const data = new DataTransfer();
  for (const [name, type, content] of files) {
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    data.items.add(new File([bytes], name, { type }));
  }
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(
      new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
  }
}"""


def write(folder):
    """Writes three files and three pictures."""
    keras.utils.set_random_seed(0)
    model = keras_capsules.create_model("efficient_capsnet", "mnist", with_decoder=True)
    outputs = ["scores", "map", "reconstruction"]
    labels = [f"digit {digit}" for digit in range(10)]
    export.export_onnx(model, folder / "digits.onnx", outputs=outputs, labels=labels)

    x = inputs = keras.Input((20, 28, 3))
    x = keras.layers.Conv2D(8, 5, strides=2, activation="relu")(x)
    x = CapsuleLayer(4, 8)(PrimaryCapsule2D(4, 4, 3)(x))
    birds = keras.Model(inputs, CapsuleLength(name="scores")(x))
    export.export_onnx(
        birds,
        folder / "birds.onnx",
        outputs=["scores", "map"],
        labels=NAMES,
        input_range=(-1, 1),
    )

    x = inputs = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(x))
    planes = keras.Model(inputs, keras.layers.Dense(3, activation="sigmoid")(x))
    export.export_onnx(
        planes,
        folder / "planes.onnx",
        preprocess=True,
        layout="channels_first",
        labels=NAMES[:3],
        task="labels",
    )

    pairs = onnx.load(folder / "birds.onnx")
    pairs.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2  # The size of a batch.
    onnx.save(pairs, folder / "pairs.onnx")

    digit = np.uint8(255 * image_of(DIGITS["samples"][1])[0, ..., 0])
    Image.fromarray(digit).resize((140, 140)).save(folder / "digit.png")
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (5, 7, 3), "uint8"))
    coarse.resize((210, 100), Image.Resampling.BICUBIC).save(folder / "colours.png")
    clear = coarse.resize((90, 70)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize((90, 70)))
    clear.save(folder / "transparent.png")


def drop(page, *paths):
    kinds = {".png": "image/png"}
    files = [
        (path.name, kinds.get(path.suffix, ""), base64.b64encode(path.read_bytes()).decode())
        for path in paths
    ]
    page.evaluate(DROP, [files])
