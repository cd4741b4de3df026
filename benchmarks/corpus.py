"""Exports every model of the corpus, for the tables of docs/corpus.md.

    python -m benchmarks.corpus
    python -m benchmarks.corpus --groups recurrent attention --page build/corpus.md

Each model is converted in this process, and its file is compared with it in onnxruntime, as in
`make test-corpus`. Seconds are those of both. An export also starts a process, and compares more.
"""

import argparse
import time
from collections import Counter
from pathlib import Path

from benchmarks import results
from tests.export.corpus.comparison import convert_here, largest_difference
from tests.export.corpus.registry import GROUPS, Entry, entries

INTRODUCTION = """# Does the export take my model?

Each row is a small model, defined by a few lines of Keras in `tests/export/corpus/`. `exported`:
the file computes the same as the model. `refused`: ONNX has no such operation, or not every device
runs it; the reasons and the remedies follow the tables. `make test-corpus` checks all rows;
`python -m benchmarks.corpus` makes this page.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", nargs="+", default=GROUPS, choices=GROUPS)
    parser.add_argument("--names", help="only models whose name contains this")
    parser.add_argument("--page", type=Path, default=Path("docs/corpus.md"))
    results.add_options(parser, "corpus")
    options = parser.parse_args()
    chosen = [
        entry
        for entry in entries()
        if entry.group in options.groups and (options.names or "") in entry.id
    ]
    rows, messages = [], {}
    for entry in chosen:
        row, messages[entry.id] = exported(entry)
        rows.append(row)
        print(row, flush=True)
        options.page.write_text("\n".join(page(rows, messages)))  # Hours may follow.
    results.publish(rows, ["model"], options)


def exported(entry: Entry) -> tuple[dict, str]:
    """Converts and compares a model, and returns its row, and the reason if there is no file."""
    start = time.perf_counter()
    nodes, reason, verdict = 0, "", "exported"
    try:
        model, file = convert_here(entry.build())
        nodes = len(file.graph.node)
        if not largest_difference(entry, model, file) <= entry.tolerance:
            verdict, reason = "differs", "The file computes something else than the model."
    except Exception as error:  # A model may fail in any way; the page says so.
        verdict = "refused" if entry.refusal else "failed"
        reason = " ".join(str(error).split())
    seconds = time.perf_counter() - start
    return {"model": entry.id, "verdict": verdict, "seconds": seconds, "nodes": nodes}, reason


def page(rows: list[dict], messages: dict[str, str]) -> list[str]:
    """Returns the lines of the page: the counts, a table for each group, and the reasons."""
    counts = Counter(row["verdict"] for row in rows)
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    lines = [INTRODUCTION, f"{len(rows)} models: {words}.", ""]
    for group in GROUPS:
        of_group = [row for row in rows if row["model"].startswith(f"{group}/")]
        if of_group:
            lines += [f"## {group.capitalize()}", "", *results.table(of_group), ""]
    reasons = [[name, reason.replace("|", r"\|")] for name, reason in messages.items() if reason]
    if reasons:
        table = results.markdown_table(["model", "what the export says"], reasons)
        lines += ["## Reasons and remedies", "", *table, ""]
    return lines


if __name__ == "__main__":
    main()
