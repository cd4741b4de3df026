"""Goes from handwritten digits to a checked ONNX file on a device, in one run.

`python examples/quickstart.py` trains a small capsule network on the 1,797 digits of scikit-learn,
saves it, exports it to ONNX, compares the file with the model on held-out digits, and classifies
these digits in a process that has onnxruntime and numpy but no Keras. Where a C compiler and
emx-onnx-cgen are installed, a program of C reads a digit too. It runs on any backend:
`KERAS_BACKEND=jax python examples/quickstart.py`. The files are written to `build/quickstart`.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import export
import keras_capsules

FOLDER = Path("build/quickstart")
SEED = 1

# Replaces a device by a fresh process that cannot import Keras and its backends.
DEVICE = """
import sys
sys.modules.update(dict.fromkeys(["keras", "keras_capsules", "tensorflow", "jax", "torch"]))
from export.device import main
sys.exit(main())
"""

# Reads pixels from the standard input, and prints the label of the digit.
PROGRAM = """#include <stdio.h>
#include "model.h"

int main(void) {
    uint8_t pixels[16 * 16];
    float scores[10];
    if (fread(pixels, sizeof pixels, 1, stdin) != 1) {
        return 1;
    }
    puts(model_labels[model_predict(pixels, scores)]);
    return 0;
}
"""


def digits():
    """Returns training and held-out digits, 16 x 16 with pixels from 0 to 255, and their labels."""
    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype("uint8")
    images = images.repeat(2, axis=1).repeat(2, axis=2)
    return train_test_split(images, labels, test_size=360, stratify=labels, random_state=SEED)


def c_compiler():
    """Returns the name of a C compiler, or None if it or the generator is missing."""
    if importlib.util.find_spec("emx_onnx_cgen") is None or shutil.which("size") is None:
        return None
    return next(filter(shutil.which, ("cc", "gcc", "clang")), None)


def read_in_c(compiler, image):
    """Returns what a program of C reads in an image."""
    (FOLDER / "digit.c").write_text(PROGRAM)
    sources = [str(FOLDER / name) for name in ("digit.c", "model.c")]
    program = str(FOLDER / "digit")
    subprocess.run([compiler, "-std=c99", "-O2", *sources, "-lm", "-o", program], check=True)
    done = subprocess.run([program], input=image.tobytes(), stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().strip()


def main():
    """Trains, saves, exports, verifies, runs on the device and in C, and prints a table."""
    keras.utils.set_random_seed(SEED)
    FOLDER.mkdir(parents=True, exist_ok=True)
    train_images, test_images, train_labels, test_labels = digits()

    model = keras_capsules.create_model(
        "capsnet",
        input_shape=(16, 16, 1),
        filters=64,
        kernel_size=5,
        primary_capsules=8,
        primary_kernel_size=5,
        capsule_dim=8,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, 45 * 30)),
        loss=keras_capsules.MarginLoss(),
        metrics=["accuracy"],
    )
    model.fit(train_images / 255.0, keras.utils.to_categorical(train_labels), epochs=30)
    model.save(FOLDER / "model.keras")

    report = export.export_onnx(
        FOLDER / "model.keras",
        FOLDER / "model.onnx",
        labels=[str(digit) for digit in range(10)],
        data={"image": (test_images / 255.0).astype("float32")},
        c=c_compiler() is not None,
        force=True,
    )
    print(report.to_text())

    np.save(FOLDER / "held_out.npy", test_images)
    Image.fromarray(test_images[0, :, :, 0]).save(FOLDER / "digit.png")
    files = [str(FOLDER / "model.onnx"), str(FOLDER / "held_out.npy")]
    device = subprocess.run(
        [sys.executable, "-c", DEVICE, *files, "--latency", "--json"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    answer = json.loads(device.stdout)
    device_labels = np.array([int(row["label"]) for row in answer["predictions"]])
    model_labels = model.predict(test_images / 255.0, verbose=0).argmax(axis=1)

    agreed = int((device_labels == model_labels).sum())
    latency = answer["latency_ms"]
    print(f"""
backend         {keras.backend.backend()}
test accuracy   {100 * np.mean(device_labels == test_labels):.2f} % of {len(test_labels)} digits
parameters      {model.count_params():,}
file size       {report.file.bytes:,} bytes
parity          {report.max_abs:.1e} (largest difference, Keras and onnxruntime)
same label      {agreed} of {len(test_labels)} on the device
latency         p50 {latency["p50"]:.2f} ms, p99 {latency["p99"]:.2f} ms at batch 1""")
    if report.program is not None:
        found, need = read_in_c(c_compiler(), test_images[0]), report.program.need
        print(
            f"read in C       {found}, with {need.flash:,} bytes of flash and {need.ram:,} of RAM"
        )
        agreed -= int(found) != model_labels[0]
    if agreed != len(test_labels):
        sys.exit("The device does not agree with the model on every digit.")


if __name__ == "__main__":
    main()
