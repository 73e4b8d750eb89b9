"""Views."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from broker.domain.batch import Batch
from broker.progress import Progress


class Plain:
    def receiving(self, rows: int) -> None: ...
    def accepted(self, batch: Batch, *, resumed: bool) -> None: ...
    def show(self, progress: Progress) -> None:
        print(
            progress.batch.state,
            progress.batch.counts.finished,
            round(progress.rows_per_s),
            progress.in_flight,
            [a.waits_for for a in progress.accounts],
            file=sys.stderr,
        )


@contextmanager
def view_for(*, quiet: bool) -> Iterator[Plain]:
    yield Plain()
