"""Trains SegCaps and two U-Nets of as many parameters on shapes, and turns the test pictures.

    KERAS_CAPSULES_DATA=data python -m benchmarks.segmentation
    python -m benchmarks.segmentation --names segcaps --seeds 1 --epochs 2 --results build/few.jsonl
    python -m benchmarks.segmentation --report

The training pictures show upright objects. The networks see the test pictures as they are, with
each object turned by up to 30, 45 or 180 degrees, and with the whole picture turned by 90. A figure
is the mean over the four classes of objects of `2 * |found and true| / (|found| + |true|)`, counted
over the pixels of all test pictures. Each network trains with its documented loss, with Adam, on
the same pictures and for as many epochs. Nothing is chosen by the test pictures.

Each finished run is a line, and is not repeated. The report is made of the lines alone.
"""

import argparse
import functools
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks import lines, results
from keras_capsules import create_model, datasets
from keras_capsules.datasets.shapes import CLASSES
from keras_capsules.models import default_loss

RATES = {"segcaps": 1e-2, "unet": 1e-3, "se_unet": 1e-3}
ANGLES = (30, 45, 180)  # Each object is turned by up to so many degrees.
IDENTITY = ("name", "seed", "epochs", "size", "train", "test", "batch")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=list(RATES), choices=list(RATES))
    parser.add_argument("--seeds", type=int, default=3, help="from 0 on (default: 3)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=32, help="side of the pictures (default: 32)")
    parser.add_argument("--train", type=int, default=1024, help="pictures (default: 1024)")
    parser.add_argument("--test", type=int, default=500, help="pictures (default: 500)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--weights", type=Path, metavar="FOLDER", help="keep trained weights here")
    lines.add_options(parser, "segmentation.jsonl")
    options = parser.parse_args(arguments)
    if not options.report:
        perform(options)
    rows = lines.read(options.results)
    if not rows:
        parser.error(f"there is not a finished run in {options.results}; leave out --report first")
    print("\n".join(report(rows)))


def perform(options) -> None:
    """Performs the runs that have no line, and writes a line for each."""
    finished = {identity(row) for row in lines.read(options.results)}
    runs = [planned(name, seed, options) for seed in range(options.seeds) for name in options.names]
    todo = [run for run in runs if identity(run) not in finished]
    print(f"{len(todo)} of {len(runs)} runs to do", flush=True)
    perform_one = functools.partial(performed, weights=options.weights)
    for row in lines.performed(perform_one, todo, options.jobs):
        lines.append(options.results, row)
        print(row, flush=True)


def planned(name: str, seed: int, options) -> dict:
    """Returns what identifies a run."""
    return {"name": name, "seed": seed} | {key: getattr(options, key) for key in IDENTITY[2:]}


def identity(row: dict) -> tuple:
    return tuple(row[key] for key in IDENTITY)


def performed(run: dict, weights: Path | None) -> dict:
    """Trains and judges a network, and returns the line of the run."""
    name, size, test = run["name"], run["size"], run["test"]
    (images, masks), held_out = datasets.shapes(size, run["train"], test)
    keras.backend.clear_session()
    keras.utils.set_random_seed(run["seed"])
    model = create_model(name, input_shape=(size, size, 1), num_classes=len(CLASSES))
    start = time.perf_counter()
    loss = trained(model, name, images, masks, run)
    row = run | {"backend": keras.backend.backend(), "parameters": model.count_params()}
    row |= {"train_seconds": time.perf_counter() - start, "loss": loss}
    row["dice"] = dice(model, *held_out)
    for angle in ANGLES:
        turned = datasets.shapes(size, 0, test, rotation=angle)[1]
        row[f"dice_objects_{angle}"] = dice(model, *turned)
    row["dice_picture_90"] = dice(model, *(np.rot90(part, axes=(1, 2)) for part in held_out))
    if weights is not None:
        weights.mkdir(parents=True, exist_ok=True)
        plain = keras.Model(model.inputs, model.outputs)  # Without the state of Adam.
        plain.save_weights(weights / f"{name}-{run['seed']}.weights.h5")
    return row


def trained(model, name, images, masks, run) -> float:
    """Trains a network, and returns the loss of the last epoch."""
    batch, epochs = run["batch"], run["epochs"]
    rate = keras.optimizers.schedules.CosineDecay(RATES[name], epochs * -(-len(images) // batch))
    model.compile(keras.optimizers.Adam(rate), default_loss(name))
    one_hot = np.eye(len(CLASSES), dtype="float32")[masks]
    return model.fit(pixels(images), one_hot, batch, epochs, verbose=0).history["loss"][-1]


def pixels(images):
    return images / np.float32(255)


def dice(model, images, masks) -> float:
    """Returns the mean over the classes of objects."""
    found = model.predict(pixels(images), batch_size=50, verbose=0).argmax(axis=-1)
    objects = range(1, len(CLASSES))
    both = [np.sum((found == number) & (masks == number)) for number in objects]
    either = [np.sum(found == number) + np.sum(masks == number) for number in objects]
    return float(np.mean(2 * np.array(both) / either))


def report(rows: list[dict]) -> list[str]:
    """Returns the table of the networks: mean ± standard deviation over the seeds, in per cent."""
    measures = [key for key in rows[0] if key.startswith("dice")]
    groups = {}
    for row in rows:
        key = (row["name"], *(row[key] for key in IDENTITY[2:]))
        groups.setdefault(key, []).append(row)
    cells = []
    for (name, *sizes), group in groups.items():
        cells.append([name, *map(str, sizes), str(len(group)), f"{group[0]['parameters']:,}"])
        cells[-1] += [spread([100 * row[measure] for row in group]) for measure in measures]
        cells[-1] += [spread([row["train_seconds"] for row in group])]
    header = ["name", *IDENTITY[2:], "seeds", "parameters", *measures, "train seconds"]
    return results.markdown_table(header, cells)


def spread(values: list[float]) -> str:
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=len(values) > 1):.1f}"


if __name__ == "__main__":
    main()
