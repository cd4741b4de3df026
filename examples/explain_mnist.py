"""Draws figures of how the shipped networks read MNIST's digits, without training.

    python -m examples.explain_mnist [--output build/explain]

The figures are the traversal of a pose, coupling maps, reconstructions, a part-whole tree and, if
the weights of `se_capsnet` exist, its excitation profile.
"""

import argparse
from pathlib import Path

import numpy as np

import keras_capsules
from keras_capsules import explain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/explain"))
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)

    def save(figure, name, dpi=80):
        figure.savefig(folder / name, dpi=dpi)
        print(folder / name)

    digits = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"][:10]
    model = keras_capsules.create_model("efficient_capsnet", "mnist", with_decoder=True)
    explained = explain.explained_model(model, ["scores", "map", "reconstruction"])
    found = explained.predict(digits, verbose=0)
    titles = [f"{row.argmax()}: {row.max():.2f}" for row in found["scores"]]
    save(explain.plot_coupling_map(digits, found["map"], titles), "coupling_map.png")
    save(
        explain.plot_reconstructions(digits, found["reconstruction"], titles), "reconstructions.png"
    )
    two = found["scores"].argmax(axis=1).tolist().index(2)
    decoded = explain.pose_traversal(model, digits[two : two + 1])[0]
    save(explain.plot_pose_traversal(decoded), "pose_traversal.png", dpi=60)

    # Maps for the classes that look most like each other.
    nine = digits[found["scores"].argmax(axis=1) == 9][:1]
    rivals = np.repeat(nine, 3, axis=0)
    maps = explain.coupling_map(model, rivals, class_index=[9, 4, 7])
    save(explain.plot_coupling_map(rivals, maps, ["for 9", "for 4", "for 7"]), "rivals.png")

    tree = explain.part_whole_tree(model, digits[0], strongest=5)
    save(explain.plot_part_whole_tree(tree), "part_whole_tree.png")
    for name, statistics in explain.coupling_statistics(model, digits).items():
        print(name, statistics)

    if "se_capsnet" in keras_capsules.list_models(weights="mnist"):
        gated = keras_capsules.create_model("se_capsnet", "mnist")
        stored = keras_capsules.models.examples("se_capsnet", "mnist")
        labels = stored["scores"].argmax(axis=1)
        profile = explain.excitation_profile(
            gated, (stored["image"], labels), [1, 9], ["block_1_se", "block_2_se"]
        )
        save(explain.plot_excitation_profile(profile), "excitation_profile.png")


if __name__ == "__main__":
    main()
