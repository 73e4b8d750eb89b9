"""Many rows through one statement, past SQLAlchemy's handling of each parameter (a third of a record's cost)."""

from collections.abc import Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.sql.compiler import SQLCompiler

from broker.domain import money

Row = dict[str, Any]
_COST = "cost"


class Bulk:
    """A statement whose parameters are named, executed for rows that have all of these names.

    Values go to the driver as they are, but for money, which SQLite keeps as whole units.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, list[str]]] = {}

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run the statement once per row, as one call of the driver."""
        dialect = connection.dialect
        if dialect.name not in self._compiled:
            compiled = self._statement.compile(dialect=dialect)  # type: ignore[attr-defined]
            assert isinstance(compiled, SQLCompiler)  # noqa: S101 - for the type checker
            self._compiled[dialect.name] = (str(compiled), list(compiled.positiontup or ()))
        sql, names = self._compiled[dialect.name]
        values = list(map(itemgetter(*names), rows))
        if dialect.name == "sqlite" and _COST in names:
            at = names.index(_COST)
            values = [(*row[:at], _units(row[at]), *row[at + 1 :]) for row in values]
        connection.exec_driver_sql(sql, values)


def _units(amount: Decimal | None) -> int | None:
    return None if amount is None else money.to_units(amount)
