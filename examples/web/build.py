"""Writes the networks and decoders of the page as ONNX files, and a list with sample digits.

`make web` runs it. For each set of weights that the library includes, it writes two files to
`build/web`: a network with explanations, and the decoder, which draws an image from poses that are
zero for all but one capsule. The network takes the capsule to explain as a second input, one-hot.
"""

import json
from pathlib import Path

import keras
import numpy as np

import export
import keras_capsules
from keras_capsules.explain._evidence import evidence_map
from keras_capsules.explain._recording import recorded_copy

FOLDER = Path("build/web")
LEVELS = Path(__file__).with_name("levels.json")  # `python -m benchmarks.unsure` writes it.
MODEL = "efficient_capsnet"
LABELS = [str(digit) for digit in range(10)]
SAMPLES = 8

# By the name of the weights: the file's name, and the number of digits in one image.
SETS = {"mnist": ("digits", 1), "multi_mnist": ("two_digits", 2)}


def explained(model):
    """Returns a model from an image and a chosen capsule to scores, poses and the chosen's map."""
    copy, recording = recorded_copy(model)
    capsules = recording.capsules_of(None)
    chosen = keras.Input((len(LABELS),), name="chosen")
    outputs = {
        "scores": copy.output["scores"],
        "poses": capsules.poses,
        "map": evidence_map(capsules, recording.capsules, chosen),
    }
    image = next(x for x in copy.inputs if len(x.shape) == 4)  # The decoder's label is the other.
    return keras.Model({"image": image, "chosen": chosen}, outputs, name=model.name)


def samples(weights, digits):
    """Returns test images, each with another answer, as lists of pixels from 0 to 255."""
    found = keras_capsules.models.examples(MODEL, weights)
    answers = np.sort(np.argsort(found["scores"])[:, -digits:])
    _, first = np.unique(answers, axis=0, return_index=True)
    first = sorted(first)[:SAMPLES]
    pixels = np.rint(found["image"][first] * 255).astype(int).reshape(len(first), -1)
    return [
        {"digits": answer, "pixels": image}
        for answer, image in zip(answers[first].tolist(), pixels.tolist(), strict=True)
    ]


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    levels, networks = json.loads(LEVELS.read_text()), []
    for weights, (name, digits) in SETS.items():
        if MODEL not in keras_capsules.list_models(weights=weights):
            continue
        model = keras_capsules.create_model(MODEL, weights, with_decoder=True)
        network = FOLDER / f"{name}.onnx"
        export.export_onnx(explained(model), network, labels=LABELS, force=True)
        decoder = keras_capsules.explain.decoder_model(model)
        export.export_onnx(decoder, FOLDER / f"{name}_decoder.onnx", force=True)
        card = keras_capsules.models.card(MODEL, weights)
        networks.append(
            {
                "name": name,
                "digits": digits,
                "size": card["arguments"]["input_shape"][0],
                "licence": card["data_licence"],
                "levels": levels[weights],
                "samples": samples(weights, digits),
            }
        )
        print(f"{network}: verified, {network.stat().st_size:,} bytes")
    (FOLDER / "networks.json").write_text(json.dumps(networks))  # Last, when all is there.


if __name__ == "__main__":
    main()
