"""Makes the tables and figures of the runs from their lines."""

from pathlib import Path

import numpy as np

from benchmarks import results
from benchmarks.settle import claims, figures, statistics
from benchmarks.settle.cost import BACKENDS
from benchmarks.settle.heads import HEADS, LOSSES, VARIANTS
from benchmarks.settle.poses import ITERATIONS
from benchmarks.settle.tasks import TASKS

# Shares are printed in per cent, the others as they are.
SHARES = (
    *("accuracy", "noise", "blur", "contrast", "occlusion", "robustness"),
    *(f"turned_{angle}" for angle in (0, 15, 30, 45, 60, 75, 90)),
    "unseen_angles",
    *("pgd", "clean"),
)
TABLES = {
    "Read right, %": (*SHARES[:6], "pgd", "clean"),
    "Read right when turned by so many degrees, %": SHARES[6:14],
    "What is not a digit, and how sure": (
        *("relations", "ood_noise", "ood_glyphs", "ece", "ece_scaled", "brier", "brier_scaled"),
        "temperature",
    ),
    "Coupling and explanations": (
        *("coupling_entropy", "coupling_variance", "dead_children", "dead_parents"),
        *("deletion", "insertion"),
    ),
    "What a pose holds": ("factor_information", "factor_gap"),
    "Dynamic routing and k-means, by iteration": (
        *(f"kmeans_cosine_{number}" for number in ITERATIONS),
        *(f"kmeans_children_{number}" for number in ITERATIONS[1:]),
    ),
    "Cost": ("parameters", "multiply_adds", "rate", "steps"),
}


def write(rows: list[dict], costs: list[dict], folder: Path) -> None:
    """Prints the tables and the verdicts, and keeps them with the figures in a folder."""
    parts = (verdicts(rows), unbeaten(rows, costs), *tables(rows), price(costs))
    lines = [line for part in parts for line in (*part, "")]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text("\n".join(lines))
    print("\n".join(lines))
    for name, figure in figures.drawn(rows).items():
        figure.savefig(folder / f"{name}.png", dpi=100)


def verdicts(rows: list[dict]) -> list[str]:
    """Returns the table of the claims, with the difference and the verdict of each head."""
    cells = []
    for name, claim in claims.CLAIMS.items():
        found = claims.judged(claim, rows)
        cells.append([name, "all", "", "", claims.conclusion(claim, found)])
        for head, (difference, verdict) in found.items():
            spread = f"{difference.mean:.4f} [{difference.low:.4f}, {difference.high:.4f}]"
            cells.append([name, head, spread, str(difference.number), verdict])
    header = ["claim", "head", "difference [95 %]", "seeds", "verdict"]
    return ["## Claims", "", *results.markdown_table(header, cells)]


def unbeaten(rows: list[dict], costs: list[dict]) -> list[str]:
    """Returns the table of the heads that no other beats, the fastest exported file first."""
    times = {row["head"]: row["ms"] for row in costs if "ms" in row}
    cells = []
    for task, protocol in TASKS.items():
        for loss in protocol.losses:
            found = claims.unbeaten(task, loss, rows)
            if found:
                found.sort(key=lambda head: times.get(head, 0))
                cells.append([task, loss, ", ".join(found)])
    header = ["task", "loss", "heads"]
    return ["## Heads that no other beats", "", *results.markdown_table(header, cells)]


def tables(rows: list[dict]):
    """Yields the tables of each task: mean ± standard deviation over the seeds."""
    for task in TASKS:
        of_task = [row for row in rows if row["task"] == task]
        for title, measures in TABLES.items():
            known = [name for name in measures if any(name in row for row in of_task)]
            if known:
                header = ["head", "loss", "seeds", *known]
                cells = list(_lines(of_task, known))
                yield [f"## {task}: {title}", "", *results.markdown_table(header, cells)]


def price(rows: list[dict]) -> list[str]:
    """Returns the table of what each head costs."""
    header = ["head", *(f"epoch s, {backend}" for backend in BACKENDS), "ms", "bytes", "nodes"]
    cells = []
    for head in HEADS:
        by_backend = {row["backend"]: row for row in rows if row["head"] == head}
        if by_backend:
            seconds = [by_backend.get(name, {}).get("epoch_seconds") for name in BACKENDS]
            file = by_backend.get("tensorflow", {})
            numbers = [*seconds, *(file.get(name) for name in ("ms", "bytes", "nodes"))]
            cells.append([head, *map(_number, numbers)])
    return ["## Cost of the heads", "", *results.markdown_table(header, cells)]


def _number(value) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value > 1000 else f"{value:.3g}"


def _lines(rows, measures):
    for loss in LOSSES:
        for head in HEADS + VARIANTS:
            chosen = [row for row in rows if (row["head"], row["loss"]) == (head, loss)]
            if chosen:
                cells = [
                    _cell(name, [row[name] for row in chosen if name in row]) for name in measures
                ]
                yield [head, loss, str(len(chosen)), *cells]


def _cell(name, values):
    if not values:
        return ""
    if name in ("parameters", "multiply_adds"):
        return f"{values[0]:,}"
    values = np.multiply(values, 100 if name in SHARES else 1)
    mean = statistics.interval(values).mean
    digits = ".2f" if name in SHARES else ".3g"
    spread = f" ± {np.std(values, ddof=1):{digits}}" if len(values) > 1 else ""
    return f"{mean:{digits}}{spread}"
