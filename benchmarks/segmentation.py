"""Trains SegCaps and two U-Nets of as many parameters on shapes, and turns the test pictures.

    KERAS_CAPSULES_DATA=data python -m benchmarks.segmentation --weights build/segmentation
    python -m benchmarks.segmentation --names unet --seeds 1 --epochs 2 --results build/few.jsonl
    python -m benchmarks.segmentation --report

Each network trains by its recipe (`examples/recipes/*_shapes.py`): the same 1,024 pictures of
upright objects for as many epochs, with its documented loss, with Adam. The networks see the test
pictures as they are, with each object turned by up to 30, 45 or 180 degrees, and with the whole
picture turned by 90. A figure is the recipe's, the mean Dice of the four classes of objects.
Nothing is chosen by the test pictures.

Each finished run is a line, and is not repeated. The report is made of the lines alone.
"""

import argparse
import functools
import importlib
import itertools
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks import lines, results
from examples import train

IDENTITY = ("name", "seed", "epochs")
NAMES = ("segcaps", "unet", "se_unet")
ANGLES = (30, 45, 180)  # Each object is turned by up to so many degrees.


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--seeds", type=int, default=5, help="from 0 on (default: 5)")
    parser.add_argument("--epochs", type=int, help="default: those of the recipe")
    parser.add_argument(
        "--weights", type=Path, metavar="FOLDER", help="keep the folders of the trained networks"
    )
    lines.add_options(parser, "segmentation.jsonl")
    options = parser.parse_args(arguments)
    if not options.report:
        finished = {tuple(row[key] for key in IDENTITY) for row in lines.read(options.results)}
        todo = [run for run in planned(options) if run not in finished]
        print(f"{len(todo)} runs to do", flush=True)
        perform = functools.partial(performed, kept=options.weights)
        for row in lines.performed(perform, todo, options.jobs):
            lines.append(options.results, row)
            print(row, flush=True)
    rows = lines.read(options.results)
    if not rows:
        parser.error(f"there is not a finished run in {options.results}; leave out --report first")
    print("\n".join(report(rows)))


def planned(options) -> list[tuple]:
    runs = itertools.product(options.names, range(options.seeds))
    return [(name, seed, options.epochs or recipe_of(name).EPOCHS) for name, seed in runs]


def recipe_of(name: str):
    return importlib.import_module(f"examples.recipes.{name}_shapes")


def performed(run: tuple[str, int, int], kept: Path | None) -> dict:
    """Trains and judges a network, and returns the line of the run."""
    name, seed, epochs = run
    recipe = recipe_of(name)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if kept is None else kept / f"{name}-{seed}"
        arguments = ["--model", name, "--dataset", "shapes", "--output", str(folder)]
        train.main([*arguments, "--seed", str(seed), "--epochs", str(epochs)])
        model = train.build(name, recipe)
        model.load_weights(folder / "model.weights.h5")
    row = dict(zip(IDENTITY, run, strict=True)) | {"backend": keras.backend.backend()}
    row |= {"parameters": model.count_params(), "train_seconds": time.perf_counter() - start}
    images, masks = recipe.data()[1]
    row["dice"] = recipe.accuracy(model, images, masks)
    for angle in ANGLES:
        row[f"dice_objects_{angle}"] = recipe.accuracy(model, *recipe.data(angle)[1])
    turned = [np.rot90(part, axes=(1, 2)) for part in (images, masks)]
    return row | {"dice_picture_90": recipe.accuracy(model, *turned)}


def report(rows: list[dict]) -> list[str]:
    """Returns the table of the networks: mean ± standard deviation over the seeds, in per cent."""
    measures = [key for key in rows[0] if key.startswith("dice")]
    groups = {}
    for row in rows:
        groups.setdefault((row["name"], row["epochs"]), []).append(row)
    cells = []
    for (name, epochs), group in groups.items():
        cells.append([name, str(epochs), str(len(group)), f"{group[0]['parameters']:,}"])
        cells[-1] += [spread([100 * row[measure] for row in group]) for measure in measures]
        cells[-1] += [spread([row["train_seconds"] for row in group])]
    header = ["name", "epochs", "seeds", "parameters", *measures, "train seconds"]
    return results.markdown_table(header, cells)


def spread(values: list[float]) -> str:
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=len(values) > 1):.1f}"


if __name__ == "__main__":
    main()
