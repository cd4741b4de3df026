"""Trains and measures thirteen heads on equal terms, and judges claims about them.

    KERAS_CAPSULES_DATA=data python -m benchmarks.settle --rates --jobs 2
    python -m benchmarks.settle --jobs 2
    python -m benchmarks.settle --only 'mnist/*/margin' --seeds 1
    python -m benchmarks.settle --cost
    python -m benchmarks.settle --report

Each finished run is a line in benchmarks/results/TASK.jsonl, and is not repeated. The report is
made of these lines alone. docs/which-one-rule.md says what is measured, and how it is judged.
"""

import argparse
import functools
from pathlib import Path

from benchmarks import lines, results
from benchmarks.settle import cost, heads, rates, report, runs


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", default=["*"], metavar="TASK/HEAD/LOSS", help="patterns"
    )
    parser.add_argument("--seeds", type=int, default=5, help="from 0 on (default: 5)")
    parser.add_argument("--tiny", action="store_true", help="few images and one epoch, for a test")
    parser.add_argument("--results", type=Path, default=lines.FOLDER, help="folder of the lines")
    parser.add_argument("--rates", action="store_true", help="choose the learning rates first")
    parser.add_argument("--cost", action="store_true", help="measure what each head costs")
    lines.add_options(parser)
    parser.add_argument("--build", type=Path, default=Path("build/settle"), help="of the report")
    options = parser.parse_args(arguments)

    if options.tiny and options.results == lines.FOLDER:
        parser.error("--tiny is for a test: give it a folder, --results FOLDER")
    rows = runs.read(options.results)
    if options.report and not rows:
        parser.error(f"there is not a finished run in {options.results}; leave out --report first")
    if options.report:
        report.write(rows, lines.read(options.results / cost.FILE), options.build)
        return
    if options.rates or options.cost:
        (pilot if options.rates else price)(options)
        return
    finished = {runs.identity(row) for row in rows}
    chosen = runs.planned(options.only, options.seeds)
    if not chosen:
        names = " ".join(options.only)
        parser.error(f"--only {names} fits none of the runs, such as mnist/em/margin")
    todo = [run for run in chosen if run not in finished]
    print(f"{len(todo)} of {len(chosen)} runs to do", flush=True)
    try:
        chosen_rates = rates.chosen(lines.read(options.results / rates.FILE))
    except ValueError as error:
        parser.error(str(error))
    perform(todo, chosen_rates, options)


def pilot(options) -> None:
    """Trains the pilots that are missing, and prints the learning rates."""
    path = options.results / rates.FILE
    finished = {rates.identity(row) for row in lines.read(path)}
    todo = [each for each in rates.planned() if each not in finished]
    perform_one = functools.partial(runs.piloted, tiny=options.tiny)
    for row in lines.performed(perform_one, todo, options.jobs):
        lines.append(path, row)
    for (head, loss), rate in rates.chosen(lines.read(path)).items():
        print(f"{head:24}{loss:16}{rate:g}")


def price(options) -> None:
    """Measures the heads that are missing on each backend, one process after the other."""
    path = options.results / cost.FILE
    finished = {(row["head"], row["backend"]) for row in lines.read(path)}
    for head in heads.HEADS:
        for backend in cost.BACKENDS:
            if (head, backend) not in finished:
                row = results.in_process("benchmarks.settle.cost", [head], backend)
                lines.append(path, row)
                print(row, flush=True)


def perform(todo: list[runs.Run], chosen_rates: dict, options) -> None:
    """Performs runs, and writes each as soon as it is finished."""
    perform_one = functools.partial(runs.performed, chosen_rates=chosen_rates, tiny=options.tiny)
    finished = lines.performed(perform_one, todo, options.jobs)
    for number, (row, scores) in enumerate(finished, start=1):
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
