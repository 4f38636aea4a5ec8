"""How far a bulk is, on standard error: a bar on a terminal, a line now and then on a pipe.

    12000 of 100000 queued; 2000 ready, 0 waiting, 3 rejected

Counts only: no reference and no person.
"""

import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from deploy.node_tools import Counts

_LINE_EVERY = 5000
"""Items between two lines on a pipe; the last is always told."""


class Shown:
    """Called with the counts; a context manager, so that the bar is gone when the command speaks.

    Args:
        verb: What becomes of an item that is done.
        silent: Nothing at all, for `--json`.
    """

    def __init__(self, verb: str, *, silent: bool) -> None:
        self._verb = verb
        self._silent = silent
        self._told = -_LINE_EVERY
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if not self._silent and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, counts: "Counts") -> None:
        text = (
            f"{counts.done} of {counts.total} {self._verb}; {max(counts.ready - counts.done, 0)} ready, "
            f"{counts.waiting} waiting, {counts.rejected} rejected"
        )
        far = max(counts.done, counts.ready)
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(text, total=counts.total)
            self._bar.update(self._task, completed=far, description=text)
        elif (
            not self._silent
            and counts.total
            and (far - self._told >= _LINE_EVERY or counts.done == counts.total)
        ):
            self._told = far
            print(text, file=sys.stderr, flush=True)
