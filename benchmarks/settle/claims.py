"""The claims of docs/which-one-rule.md, and their verdicts."""

from typing import NamedTuple

from benchmarks.settle import statistics
from benchmarks.settle.heads import HEADS
from benchmarks.settle.tasks import TASKS

AGREEMENT = ("dynamic", "em", "heinsen", "inverted_dot_product", "kmeans", "variational_bayes")
POINT = 0.01


class Claim(NamedTuple):
    """A sentence about the difference of two results, for each head.

    Attributes:
        task, measure: What is compared.
        heads: The heads that the claim is about.
        other_head: The head that they are compared with, `None` for themselves.
        other_loss: The loss that margin is compared with, `None` for the same.
        smallest: Float. The smallest difference that matters.
        more: Whether the claim says that the difference is greater, or that it is not.
    """

    task: str
    measure: str
    heads: tuple[str, ...]
    other_head: str | None
    other_loss: str | None
    smallest: float
    more: bool


def _beside(task, measure, heads, other, smallest, more) -> Claim:
    return Claim(task, measure, heads, other, None, smallest, more)


def _varied(head, other) -> Claim:
    return _beside("mnist_5000", "accuracy", (head,), other, 0.5 * POINT, False)


_SEED = ("dynamic",)
_SERIES = "cross_entropy"
CLAIMS = {
    "seed_accuracy": _beside("mnist", "accuracy", _SEED, "excitation", 0.1 * POINT, False),
    "seed_small": _beside("mnist_500", "accuracy", _SEED, "excitation", POINT, False),
    "seed_robustness": _beside("mnist", "robustness", _SEED, "excitation", POINT, False),
    "seed_relations": _beside("mnist", "relations", _SEED, "excitation", 0.01, False),
    "uniform_accuracy": _beside("mnist", "accuracy", AGREEMENT, "uniform", 0.1 * POINT, False),
    "uniform_cifar10": _beside("cifar10", "accuracy", AGREEMENT, "uniform", 0.5 * POINT, False),
    "uniform_angles": _beside("turned", "unseen_angles", AGREEMENT, "uniform", POINT, False),
    "plain_robustness": _beside("mnist", "robustness", AGREEMENT, "average_pooling", POINT, False),
    "plain_angles": _beside("turned", "unseen_angles", AGREEMENT, "average_pooling", POINT, False),
    "capsules_pairs": _beside("pairs", "accuracy", AGREEMENT, "dense", 0.5 * POINT, True),
    "capsules_small": _beside("mnist_500", "accuracy", AGREEMENT, "dense", POINT, True),
    "capsules_relations": _beside("mnist", "relations", AGREEMENT, "dense", 0.01, True),
    "capsules_noise": _beside("mnist", "ood_noise", AGREEMENT, "dense", 0.01, True),
    "affnist": _beside("affnist", "accuracy", AGREEMENT, "average_pooling", POINT, False),
    "capsules_attack": _beside("mnist", "pgd", AGREEMENT, "dense", 5 * POINT, True),
    "iterations": _varied("dynamic", "dynamic_1_iterations"),
    "iterations_em": _varied("em", "em_1_iterations"),
    "deeper": _varied("dynamic_4_layers", "dynamic"),
    "deeper_em": _varied("em_4_layers", "em"),
    "kmeans_reading": _beside("mnist", "kmeans_cosine_3", _SEED, None, 0.9, True),
    "factors": _beside("mnist", "factor_gap", AGREEMENT, "excitation", 0.05, True),
    "margin_accuracy": Claim("mnist", "accuracy", HEADS, None, _SERIES, 0.1 * POINT, True),
    "margin_calibration": Claim("mnist", "ece", HEADS, None, _SERIES, 0.01, True),
    "static_coupling": _beside("mnist", "coupling_variance", AGREEMENT, None, 0.001, False),
    "starvation": _beside("mnist", "dead_children", AGREEMENT, None, 0.05, True),
}


# The smallest difference of the accuracy that matters, by task.
MATTERS = {
    "mnist": 0.1 * POINT,
    "mnist_5000": 0.5 * POINT,
    "mnist_500": POINT,
    "turned": POINT,
    "affnist": POINT,
    "pairs": 0.5 * POINT,
    "cifar10": 0.5 * POINT,
}


def unbeaten(task: str, loss: str, rows: list[dict]) -> list[str]:
    """Returns the heads that no other beats by more than what matters."""
    results = {head: by_seed(rows, task, head, loss, "accuracy") for head in HEADS}
    results = {head: values for head, values in results.items() if values}
    return [
        head
        for head, values in results.items()
        if not any(_beats(other, values, MATTERS[task]) for other in results.values())
    ]


def _beats(one, other, smallest):
    differences = [one[seed] - other[seed] for seed in one.keys() & other.keys()]
    found = statistics.interval(differences) if differences else None
    return found is not None and statistics.verdict(found, smallest, more=True) == "holds"


def judged(claim: Claim, rows: list[dict]) -> dict[str, tuple[statistics.Interval, str]]:
    """Returns the difference and the verdict of each head that has results."""
    found = {}
    for head in claim.heads:
        differences = paired(claim, head, rows)
        if differences:
            difference = statistics.interval(differences)
            verdict = statistics.verdict(difference, claim.smallest, claim.more)
            found[head] = difference, verdict
    return found


def paired(claim: Claim, head: str, rows: list[dict]) -> list[float]:
    """Returns the differences in the seeds that both have, or the values if there is no other."""
    values = by_seed(rows, claim.task, head, "margin", claim.measure)
    if claim.other_head is None and claim.other_loss is None:
        return list(values.values())
    other = by_seed(
        rows,
        claim.task,
        claim.other_head or head,
        claim.other_loss or "margin",
        claim.measure,
    )
    return [value - other[seed] for seed, value in values.items() if seed in other]


def by_seed(rows, task, head, loss, measure) -> dict[int, float]:
    """Returns the results by the seed, without those of trainings that missed their target."""
    target = TASKS[task].target or 0
    return {
        row["seed"]: row[measure]
        for row in rows
        if (row["task"], row["head"], row["loss"]) == (task, head, loss)
        and measure in row
        and row.get("clean", 1) >= target
    }


def conclusion(claim: Claim, found: dict) -> str:
    """Returns the verdict of a claim about several heads, all of which must have results."""
    if set(found) != set(claim.heads):
        return "cannot be told"
    return statistics.agreed([verdict for _, verdict in found.values()])
