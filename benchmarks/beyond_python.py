"""Runs one exported file of five kinds in Python, Node, Chromium and C, for the table of docs/c.md.

    python -m benchmarks.beyond_python

C runs on this machine and on an emulated Cortex-M7. Each cell is the largest difference from the
scores of the Keras model, and the share of answers that agree with it: labels, pairs of digits, or
labels of pixels.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.results import markdown_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    rows = []
    for name in options.names:
        rows.append({"model": name} | row_of(*CASES[name]()))
        print(rows[-1], flush=True)
    print("\n".join(markdown_table(list(rows[0]), [list(row.values()) for row in rows])))


def digits():
    """Trained for MNIST."""
    return *_pretrained("efficient_capsnet", "mnist"), best_label


def photos():
    """A network of keras.applications, which scales the pixels by itself. It is not trained."""
    import keras

    pixels = _examples("se_resnet20", "cifar10") * 255
    network = keras.applications.MobileNetV3Small(
        (64, 64, 3), alpha=0.35, weights=None, classes=10, include_preprocessing=True
    )
    large = pixels.repeat(2, axis=1).repeat(2, axis=2)
    return network, {"input_range": (0, 255)}, large.astype("float32"), best_label


def signal():
    """Trained for the movements of BasicMotions."""
    return *_pretrained("signal_capsnet", "basic_motions"), best_label


def segmentation():
    """A label for each pixel. It is not trained."""
    import keras_capsules

    network = keras_capsules.create_model("unet", size="tiny", input_shape=(32, 32, 3))
    return network, {}, _examples("se_resnet20", "cifar10"), best_label


def two_digits():
    """Trained for two digits on top of each other."""
    return *_pretrained("efficient_capsnet", "multi_mnist"), best_pair


CASES = {
    "MNIST digits": digits,
    "photos": photos,
    "signal": signal,
    "segmentation": segmentation,
    "two digits": two_digits,
}


def best_label(scores):
    """Returns the number of the label of each sample, or of each pixel."""
    return scores.argmax(axis=-1)


def best_pair(scores):
    """Returns the numbers of the two labels of each sample."""
    return np.sort(np.argsort(scores, axis=-1)[..., -2:], axis=-1)


def _pretrained(name, weights):
    from export.admit import zoo

    network, options = zoo.pretrained(name, weights)
    return network, options, _examples(name, weights)


def _examples(name, weights):
    from keras_capsules.models.pretrained import FOLDER

    with np.load(FOLDER / f"{name}-{weights}.examples.npz") as stored:
        return next(stored[key] for key in stored.files if key != "scores")


def row_of(network, options, inputs, answer) -> dict:
    """Exports a network, and compares what each place makes of the inputs with what Keras does."""
    import keras

    import export

    (expected,) = keras.tree.flatten(network.predict(inputs, verbose=0))
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "model.onnx"
        report = export.export_onnx(network, file, c=True, **options)
        found = scores_of(file, inputs)
    cells = {
        place: f"{np.abs(scores - expected).max():.1e}, "
        f"{100 * np.mean(answer(scores) == answer(expected)):g} %"
        for place, scores in found.items()
    }
    need = report.program.need
    return cells | {"flash": f"{need.flash:,}", "RAM": f"{need.ram:,}"}


def scores_of(file: Path, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the scores by the place that computes them."""
    from export.c import build
    from export.device import Predictor
    from tests.devices.ask import ask_chromium, ask_node
    from tests.devices.cases import as_json, job_of

    predictor = Predictor(file)
    ((name, _),) = predictor.shapes.items()
    scores = {"Python": next(iter(predictor.run({name: inputs}).values()))}
    job = job_of(file.parent, file.stem) | {"inputs": {name: as_json(inputs)}}
    for place, ask in (("Node", ask_node), ("Chromium", ask_chromium)):
        (answers,), _ = ask(file.parent, [job])
        (output,) = answers["outputs"].values()
        scores[place] = np.array(output["data"], "float32").reshape(output["dims"])
    scores["C here"] = in_c(build.here(), file, inputs)
    chip = build.emulated_chip()
    return scores if chip is None else scores | {"C, Cortex-M7": in_c(chip, file, inputs)}


def in_c(machine, file: Path, inputs: np.ndarray) -> np.ndarray:
    """Returns the scores of the program beside a file."""
    from export.c.build import compile_network
    from export.c.interface import Interface, arrays_of
    from export.c.run import prepare_runner, run_network

    source = file.with_suffix(".c")
    arrays = arrays_of(source.read_text(), f"{file.stem}_run")
    interface = Interface(file.stem, *arrays, scored=0, facts={}, sha256="")
    compile_network(machine, file.parent, source.name)
    prepare_runner(machine, file.parent, interface, f"{file.stem}.h")
    return run_network(machine, file.parent, interface, [inputs])[0]


if __name__ == "__main__":
    main()
