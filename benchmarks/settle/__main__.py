"""Trains and measures thirteen heads on equal terms, and judges claims about them.

    KERAS_CAPSULES_DATA=data python -m benchmarks.settle --jobs 2
    python -m benchmarks.settle --only 'mnist/*/margin' --seeds 1
    python -m benchmarks.settle --report

Each finished run is a line in benchmarks/results/TASK.jsonl, and is not repeated. The report is
made of these lines alone. docs/which-one-rule.md says what is measured, and how it is judged.
"""

import argparse
import functools
import multiprocessing
import os
from pathlib import Path

from benchmarks.settle import report, runs

FOLDER = Path(__file__).parent.parent / "results"
ONE_CORE = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}  # For each of several jobs.
RUNS_OF_A_PROCESS = 8  # What a backend keeps in memory goes with its process.


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", default=["*"], metavar="TASK/HEAD/LOSS", help="patterns"
    )
    parser.add_argument("--seeds", type=int, default=5, help="from 0 on (default: 5)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (default: 1)")
    parser.add_argument("--tiny", action="store_true", help="few images and one epoch, for a test")
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of the lines")
    parser.add_argument("--report", action="store_true", help="write the report, and run nothing")
    parser.add_argument("--build", type=Path, default=Path("build/settle"), help="of the report")
    options = parser.parse_args(arguments)

    if options.tiny and options.results == FOLDER:
        parser.error("--tiny is for a test: give it a folder, --results FOLDER")
    rows = runs.read(options.results)
    if options.report and not rows:
        parser.error(f"there is not a finished run in {options.results}; leave out --report first")
    if options.report:
        report.write(rows, options.build)
        return
    finished = {runs.identity(row) for row in rows}
    chosen = runs.planned(options.only, options.seeds)
    if not chosen:
        names = " ".join(options.only)
        parser.error(f"--only {names} fits none of the runs, such as mnist/em/margin")
    todo = [run for run in chosen if run not in finished]
    print(f"{len(todo)} of {len(chosen)} runs to do", flush=True)
    if todo:
        perform(todo, options)


def perform(todo: list[runs.Run], options) -> None:
    """Performs runs, and writes each as soon as it is finished."""
    if options.jobs > 1:
        os.environ |= ONE_CORE
    options.results.mkdir(parents=True, exist_ok=True)
    perform_one = functools.partial(runs.performed, tiny=options.tiny)
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(options.jobs, len(todo)), maxtasksperchild=RUNS_OF_A_PROCESS) as pool:
        for number, (row, scores) in enumerate(pool.imap_unordered(perform_one, todo), start=1):
            runs.write(options.results, row, scores)
            run = runs.identity(row)
            print(
                f"{number} of {len(todo)}: {run.name}, seed {run.seed}: "
                f"{row['accuracy']:.2%} in {row['train_seconds']:.0f} s",
                flush=True,
            )
    runs.pack(options.results)


if __name__ == "__main__":
    main()
