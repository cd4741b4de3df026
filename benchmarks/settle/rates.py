"""The learning rate of each head and loss: the best of several, in pilots that are not results.

A pilot trains on 500 digits with a seed that no run has, and is judged on the held-out digits.
"""

from typing import NamedTuple

from benchmarks.settle.heads import HEADS, LOSSES, base

FILE = "rates.jsonl"
TASK = "mnist_500"
RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
SEEDS = (100, 101, 102)


class Pilot(NamedTuple):
    """What identifies a pilot."""

    head: str
    loss: str
    rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.head}/{self.loss} at {self.rate:g}"


def identity(row: dict) -> Pilot:
    return Pilot(*(row[name] for name in Pilot._fields))


def planned() -> list[Pilot]:
    return [
        Pilot(head, loss, rate, seed)
        for seed in SEEDS
        for loss in LOSSES
        for head in HEADS
        for rate in RATES
    ]


def chosen(rows: list[dict]) -> dict[tuple[str, str], float]:
    """Returns the rate whose lowest accuracy is the highest, the lowest of equal ones.

    Args:
        rows: The lines of all pilots.

    Returns:
        Dictionary from a head and a loss to the rate.

    Raises:
        ValueError: If a pilot is missing.
    """
    accuracies = {identity(row): row["accuracy"] for row in rows}
    missing = [pilot for pilot in planned() if pilot not in accuracies]
    if missing:
        raise ValueError(
            f"Learning rates are chosen by {len(planned())} pilots. Run `python -m "
            f"benchmarks.settle --rates` first. Missing: {len(missing)}, such as {missing[0].name}"
        )

    def lowest(head, loss, rate):
        return min(accuracies[Pilot(head, loss, rate, seed)] for seed in SEEDS)

    return {
        (head, loss): max(RATES, key=lambda rate: (lowest(head, loss, rate), -rate))
        for head in HEADS
        for loss in LOSSES
    }


def rate_of(rates: dict, head: str, loss: str) -> float:
    """Returns the rate of a head, or of the head that a variant varies."""
    return rates[base(head), loss]
