"""Tables on standard output."""

import sys
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_WIDTH_ELSEWHERE = 1_000


def print_table(columns: Iterable[str], rows: Iterable[Sequence[str]], *, figures: Collection[str] = ()) -> None:
    """Print rows of plain text; `figures` are the columns of numbers, to the right and never broken.

    Without a terminal the table is as wide as it must be: cut names are of no use to another program.
    """
    table = Table(box=None, pad_edge=False)
    for name in columns:
        numeric = name in figures
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else _WIDTH_ELSEWHERE).print(table)
