"""Draws figures of how the shipped networks read MNIST's digits, without training.

    python -m examples.explain_mnist [--output build/explain]

The figures are the traversal of a pose, coupling maps, Grad-CAM, reconstructions, a part-whole
tree, the statistics of the coupling and, if the weights of `se_capsnet` exist, its excitation
profile.
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
    scores = explain.explained_model(model, ["scores"]).predict(digits, verbose=0)["scores"]
    found = scores.argmax(axis=1)
    titles = [f"{row.argmax()}: {row.max():.2f}" for row in scores]
    save(explain.plot_coupling_map(model, digits, titles), "coupling_map.png")
    save(explain.plot_grad_cam(model, digits, titles), "grad_cam.png")
    save(explain.plot_reconstructions(model, digits, titles), "reconstructions.png")
    two = digits[found == 2][0]
    save(explain.plot_pose_traversal(model, two), "pose_traversal.png", dpi=60)

    # Maps for the classes that look most like each other.
    rivals = np.repeat(digits[found == 9][:1], 3, axis=0)
    titles = ["for 9", "for 4", "for 7"]
    save(explain.plot_coupling_map(model, rivals, titles, class_index=[9, 4, 7]), "rivals.png")

    save(explain.plot_part_whole_tree(model, digits[0], strongest=5), "part_whole_tree.png")
    save(explain.plot_coupling_statistics(model, digits), "coupling_statistics.png")
    for name, statistics in explain.coupling_statistics(model, digits).items():
        print(name, statistics)

    if "se_capsnet" in keras_capsules.list_models(weights="mnist"):
        gated = keras_capsules.create_model("se_capsnet", "mnist")
        stored = keras_capsules.models.examples("se_capsnet", "mnist")
        labels = stored["scores"].argmax(axis=1)
        figure = explain.plot_excitation_profile(
            gated,
            (stored["image"], labels),
            classes=[1, 9],
            layers=["block_1_se", "block_2_se"],
        )
        save(figure, "excitation_profile.png")


if __name__ == "__main__":
    main()
