"""Measures a trained network, as docs/which-one-rule.md says."""

import keras
import numpy as np

from benchmarks.settle import changes, poses, statistics
from benchmarks.settle.attack import attacked
from benchmarks.settle.heads import multiply_adds
from benchmarks.settle.tasks import Data, Task
from keras_capsules import CapsuleLayer, explain

ANGLES = (0, 15, 30, 45, 60, 75, 90)
UNSEEN = (30, 45, 60)
CHANGED, TURNED, ATTACKED, EXPLAINED, DEFORMED = 2000, 1000, 500, 100, 5000


def measured(model: keras.Model, task: Task, data: Data, run):
    """Returns the measures by name, and the scores of the test images."""
    (images, labels), seed = data.test, run.seed
    scores = predicted(model, images)
    found = {"accuracy": accuracy(scores, labels)}
    if task.digits:
        found |= robustness(model, images[:CHANGED], labels[:CHANGED], seed)
        found |= angles(model, images[:TURNED], labels[:TURNED])
        found |= outside(model, images[:CHANGED], scores[:CHANGED], seed)
        found |= calibration(model, data, scores, run.loss)
        found |= explanations(model, images[:EXPLAINED])
    if task.target:
        found["clean"] = accuracy(predicted(model, data.held_out[0]), data.held_out[1])
    if run.task == "mnist":
        found |= under_attack(model, images[:ATTACKED], labels[:ATTACKED], seed)
        found |= of_poses(model, images[:DEFORMED], labels[:DEFORMED], run)
    found |= coupling(model, images[:TURNED])
    found |= {"parameters": model.count_params(), "multiply_adds": multiply_adds(model)}
    return found, scores


def predicted(model, images) -> np.ndarray:
    return model.predict(images, batch_size=250, verbose=0)


def accuracy(scores, labels) -> float:
    """Returns the share of images of which all digits are read right, one or two."""
    labels = labels.reshape(len(labels), -1)
    answers = np.argsort(-scores, axis=1)[:, : labels.shape[1]]
    return float((np.sort(answers) == np.sort(labels)).all(axis=1).mean())


def robustness(model, images, labels, seed) -> dict:
    generator = np.random.default_rng((seed, 1))
    found = {
        name: accuracy(predicted(model, change(images, generator)), labels)
        for name, change in changes.CORRUPTIONS.items()
    }
    return {**found, "robustness": float(np.mean(list(found.values())))}


def angles(model, images, labels) -> dict:
    found = {
        angle: accuracy(predicted(model, changes.turned(images, angle)), labels) for angle in ANGLES
    }
    unseen = float(np.mean([found[angle] for angle in UNSEEN]))
    return {f"turned_{angle}": value for angle, value in found.items()} | {"unseen_angles": unseen}


def outside(model, images, scores, seed) -> dict:
    """Returns how well the highest score tells images from what is none of the classes."""
    generator, highest = np.random.default_rng((seed, 2)), scores.max(axis=1)
    others = {
        "relations": changes.shuffled,
        "ood_noise": changes.uniform,
        "ood_glyphs": changes.glyphs,
    }
    return {
        name: statistics.auroc(highest, predicted(model, make(images, generator)).max(axis=1))
        for name, make in others.items()
    }


def calibration(model, data, scores, loss) -> dict:
    labels = data.test[1]
    divisor = statistics.temperature(
        logits(predicted(model, data.held_out[0]), loss), data.held_out[1]
    )
    after = statistics.scaled(logits(scores, loss), divisor)
    return {
        "ece": statistics.calibration_error(scores, labels),
        "brier": statistics.brier(scores, labels),
        "temperature": divisor,
        "ece_scaled": statistics.calibration_error(after, labels),
        "brier_scaled": statistics.brier(after, labels),
    }


def logits(scores, loss):
    return scores if loss == "margin" else np.log(np.maximum(scores, 1e-12))


def explanations(model, images) -> dict:
    maps = explain.grad_cam(model, images, layer="trunk_2")
    found = explain.deletion_insertion(model, images, maps, steps=14)
    return {
        "deletion": float(found.deletion_area.mean()),
        "insertion": float(found.insertion_area.mean()),
    }


def under_attack(model, images, labels, seed) -> dict:
    """Returns the share of the images read right that are read right after an attack."""
    right = predicted(model, images).argmax(axis=1) == labels
    changed = attacked(model, images, labels, np.random.default_rng((seed, 3)))
    return {"pgd": accuracy(predicted(model, changed)[right], labels[right])}


def of_poses(model, images, labels, run) -> dict:
    found = poses.factors(model, images, labels, np.random.default_rng((run.seed, 4)))
    if run.head == "dynamic":
        found |= poses.beside_kmeans(model, images[:TURNED])
    return found


def coupling(model, images) -> dict:
    """Returns the critics' measures, the mean of all layers with a routing."""
    if not any(isinstance(layer, CapsuleLayer) for layer in model.layers):
        return {}
    found = explain.coupling_statistics(model, images, batch_size=250).values()
    names = explain.CouplingStatistics._fields
    means = dict(zip(names, np.mean(list(found), axis=0).tolist(), strict=True))
    return {
        "coupling_entropy": means["entropy"],
        "coupling_variance": means["variance"],
        "dead_children": means["dead_children"],
        "dead_parents": means["dead_parents"],
    }
