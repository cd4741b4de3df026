"""Shows on a terminal which step of an export runs, if it takes longer than two seconds."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_SECONDS = 2.0


@contextlib.contextmanager
def shown(steps: int) -> Iterator[Callable[[str], None]]:
    """Yields a function that says which step begins.

    Args:
        steps: Number of steps in all.
    """
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task("", total=steps)
    started = -1

    def begin(step: str) -> None:
        nonlocal started
        started += 1
        progress.update(task, completed=started, description=step)

    timer = threading.Timer(_SECONDS, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield begin
    finally:
        timer.cancel()
        progress.stop()
